//! A server of a fleet: agents report how they are, stream their logs, and fetch what they should
//! run. It shows a router with state, who may do what, limits, statistics and a graceful shutdown.
//!
//! ```text
//! cargo run --example fleet_server --features tokio -- 127.0.0.1:7070     until Ctrl-C
//! cargo run --example fleet_server --features tokio                      with 500 agents of its own
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hgrpc_std::tokio::{
    Args, Call, CallError, Cbor, Client, Config, Data, Failure, Progress, Reply, Router, Server,
    ServerLimits, State,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How long a shutdown waits for what runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of the fleet.
#[derive(Clone, Default)]
struct Fleet {
    /// By agent: how hot it is, in degrees, and how many bytes of logs it has sent.
    agents: Arc<Mutex<BTreeMap<u32, (i32, usize)>>>,
}

impl Fleet {
    fn update(&self, agent: u32, change: impl FnOnce(&mut (i32, usize))) {
        // Each change leaves the map whole, so one that panicked did no harm.
        let mut agents = self.agents.lock().unwrap_or_else(|e| e.into_inner());
        change(agents.entry(agent).or_default());
    }

    fn len(&self) -> usize {
        self.agents.lock().unwrap_or_else(|e| e.into_inner()).len()
    }
}

hgrpc::args! {
    /// Arguments of `report`.
    struct Report {
        agent: u32,
        degrees: i32 = 20,
    }
}

/// Typed arguments in, a value out.
async fn report(State(fleet): State<Fleet>, Args(report): Args<Report>) -> Cbor<usize> {
    fleet.update(report.agent, |(degrees, _)| *degrees = report.degrees);
    Cbor(fleet.len())
}

/// Data streams in while the handler runs, in constant memory.
async fn logs(
    State(fleet): State<Fleet>,
    call: Call,
    mut data: Data,
) -> Result<Cbor<usize>, Failure> {
    let agent = call.arg("agent")?;
    let mut len = 0;
    while let Some(piece) = data.next().await? {
        len += piece.len();
    }
    fleet.update(agent, |(_, sent)| *sent += len);
    Ok(Cbor(len))
}

/// The response streams out, with progress beside it.
async fn firmware(mut reply: Reply) -> Result<(), Failure> {
    let piece = [0x7f; 32 * 1024];
    for number in 1..=8 {
        reply.write_all(&piece).await?;
        reply
            .progress(&Progress::new("firmware", number, 8))
            .await?;
    }
    Ok(reply.finish()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let fleet = Fleet::default();
    let router = Router::new()
        .command("report", report)
        .command("logs", logs)
        .command("firmware", firmware)
        .with_state(fleet.clone());

    let mut limits = ServerLimits::DEFAULT;
    limits.connections = 20_000;
    limits.per_connection.calls = 16; // one agent has no need for more
    limits.idle = None; // agents stay connected
    let server = Server::builder(router)
        .limits(limits)
        .authorize(|call: Call| async move {
            let is_near = |address: SocketAddr| address.ip().is_loopback();
            match call.name() {
                b"firmware" if !call.peer().address.is_some_and(is_near) => {
                    Err(Failure::server("firmware is only for this machine"))
                }
                _ => Ok(()),
            }
        })
        .build();

    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let local = listener.local_addr()?;
    println!("listening on {local}");
    let serving = tokio::spawn(server.clone().serve(listener));

    if address.is_some() {
        tokio::signal::ctrl_c().await?;
    } else {
        let mut agents = JoinSet::new();
        for agent in 0..500 {
            agents.spawn(run_agent(local, agent));
        }
        while let Some(agent) = agents.join_next().await {
            agent??;
        }
    }

    let shutdown = server.shutdown(PATIENCE).await;
    for cut in &shutdown.cut {
        println!("{} was cut with {} commands", cut.peer, cut.commands.len());
    }
    serving.await?;
    let stats = server.stats();
    println!(
        "{} agents; {} requests over {} connections, {} of them at once; {} bytes in, {} out",
        fleet.len(),
        stats.requests,
        stats.accepted,
        stats.most_connections,
        stats.bytes_in,
        stats.bytes_out,
    );
    Ok(())
}

/// An agent to try this with: everything at once over one connection.
async fn run_agent(server: SocketAddr, agent: u32) -> Result<(), CallError> {
    let stream = TcpStream::connect(server)
        .await
        .map_err(|error| CallError::Source(Arc::new(error)))?;
    let client = Client::spawn(stream, &Config::default());
    let report = async {
        let call = client.call("report").value("agent", &agent);
        call.value("degrees", &40).send().await?.next_value().await
    };
    let logs = async {
        let lines = tokio::io::repeat(b'\n').take(100_000);
        let call = client.call("logs").value("agent", &agent).data(lines);
        call.send().await?.next_value().await
    };
    let firmware = async {
        let call = client.call("firmware").send().await?;
        call.read_bytes(1 << 20).await
    };
    let (report, logs, firmware) = tokio::join!(report, logs, firmware);
    report?;
    logs?;
    firmware?;
    Ok(())
}
