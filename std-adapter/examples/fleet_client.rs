//! A client of many agents: it asks all of them at once, each over a connection that is made again
//! when it breaks, and shows what each answers.
//!
//! ```text
//! cargo run --example fleet_client --features tokio -- tcp://127.0.0.1:7070 unix:///run/agent …
//! ```
//! Any hgrpc server is an agent: `hgrpc serve tcp://127.0.0.1:7070`. Without addresses the program
//! starts three agents of its own.

use std::time::Duration;

use hgrpc_std::diagnostic::Diagnostic;
use hgrpc_std::tokio::{
    Backoff, Call, CallError, Cbor, Client, Config, Data, Failure, Note, Progress,
    ReconnectingClient, Reply, Router, Server,
};
use hgrpc_std::transport::Address;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

/// How long one agent may take for everything.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut addresses: Vec<Address> = std::env::args()
        .skip(1)
        .map(|address| address.parse())
        .collect::<Result<_, _>>()?;
    if addresses.is_empty() {
        addresses = start_agents(3).await?;
    }
    let mut agents = JoinSet::new();
    for address in addresses {
        agents.spawn(async move {
            let result = ask(&address).await;
            (address, result)
        });
    }
    let mut failed = 0;
    while let Some(agent) = agents.join_next().await {
        match agent? {
            (address, Ok(answer)) => println!("{address}: {answer}"),
            (address, Err(error)) => {
                println!("{address}: {error}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        return Err(format!("{failed} agents did not answer").into());
    }
    Ok(())
}

/// Asks one agent three things, all under way at once over one connection.
async fn ask(address: &Address) -> Result<String, CallError> {
    let target = address.clone();
    let client = ReconnectingClient::new(&Config::default(), Backoff::DEFAULT, move |config| {
        let target = target.clone();
        async move {
            let connection = target.connect_async(Some(PATIENCE)).await?;
            Ok(Client::spawn(connection, &config))
        }
    });

    // Text and progress come beside a response.
    let (count, mut side) = client
        .call("count")
        .value("to", &3)
        .timeout(PATIENCE)
        .notes();
    let counting = async { count.send().await?.next_value().await };
    let watching = async {
        let mut updates = 0;
        while let Some(event) = side.next_note().await {
            if matches!(event, Note::Progress(_)) {
                updates += 1;
            }
        }
        updates
    };

    // Data streams up while its answer is waited for, in constant memory.
    let mebibyte = tokio::io::repeat(7).take(1 << 20);
    let digest = client.call("digest").data(mebibyte).timeout(PATIENCE);
    let digesting = async { digest.send().await?.next_value().await };

    let echo = client.call("echo").arg("msg", "hello").timeout(PATIENCE);
    let echoing = async { echo.send().await?.read_text(1000).await };

    let (counted, updates, digest, echo) = tokio::join!(counting, watching, digesting, echoing);
    Ok(format!(
        "{}, counted to {} with {updates} updates, digest {}",
        echo?,
        Diagnostic::new(&counted?.unwrap_or_default()),
        Diagnostic::new(&digest?.unwrap_or_default()),
    ))
}

/// Agents to try this with.
async fn start_agents(count: u64) -> Result<Vec<Address>, Box<dyn std::error::Error>> {
    let router = Router::new()
        .command("echo", |call: Call| async move {
            Ok::<_, Failure>(call.arg_bytes("msg")?.into_owned())
        })
        .command("count", |call: Call, mut reply: Reply| async move {
            let to = call.arg("to")?;
            for number in 1..=to {
                reply
                    .progress(&Progress::new("counting", number, 3))
                    .await?;
            }
            reply.value(&to).await?;
            Ok::<_, Failure>(reply.finish()?)
        })
        .command("digest", |mut data: Data| async move {
            let mut sum = 0u64;
            while let Some(piece) = data.next().await? {
                sum = piece.iter().fold(sum, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
                });
            }
            Ok::<_, Failure>(Cbor(sum))
        });
    let server = Server::new(router);
    let mut addresses = Vec::new();
    for _ in 0..count {
        let listener = "tcp://127.0.0.1:0"
            .parse::<Address>()?
            .listen_async()
            .await?;
        addresses.push(listener.address().clone());
        tokio::spawn(server.clone().serve(listener));
    }
    Ok(addresses)
}
