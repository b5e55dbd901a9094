//! A host: shared state, an upload that streams in beside progress, values that stream out, a command
//! that fails, and shutting down; and a client that asks for all of it.
//!
//! ```text
//! cargo run --example host --features tokio
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hgrpc_std::tokio::{
    Args, Cbor, Client, Config, Data, Failure, Notes, Progress, Reply, Router, Server, State,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

/// What all handlers share: the sizes of files by their names.
#[derive(Clone, Default)]
struct Files(Arc<Mutex<BTreeMap<String, u64>>>);

impl Files {
    fn with<R>(&self, act: impl FnOnce(&mut BTreeMap<String, u64>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

hgrpc::args! {
    /// Arguments of `put` and `remove`.
    struct File { name: String }
}

/// `put`: counts the data as it comes, and returns its length.
async fn put(
    State(files): State<Files>,
    Args(File { name }): Args<File>,
    mut data: Data,
    notes: Notes,
) -> Result<Cbor<u64>, Failure> {
    let mut len = 0;
    while let Some(chunk) = data.next().await? {
        len += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let pos = i64::try_from(len).unwrap_or(i64::MAX);
        notes.progress(&Progress::new(&name, pos, len)).await?;
    }
    files.with(|files| files.insert(name, len));
    Ok(Cbor(len))
}

/// `list`: one value after the other.
async fn list(State(files): State<Files>, mut reply: Reply) -> Result<(), Failure> {
    for file in files.with(|files| files.clone()) {
        reply.value(&file).await?;
    }
    Ok(reply.finish()?)
}

/// `remove`: fails if there is no such file.
async fn remove(
    State(files): State<Files>,
    Args(File { name }): Args<File>,
) -> Result<(), Failure> {
    match files.with(|files| files.remove(&name)) {
        Some(_) => Ok(()),
        None => Err(Failure::format("there is no file %s", [name])),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::new()
        .command("put", put)
        .command("list", list)
        .command("remove", remove);
    let server = Server::new(router.with_state(Files::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(server.clone().serve(listener));

    ask(TcpStream::connect(address).await?).await?;

    // No new requests; what runs has a second to end.
    let shutdown = server.shutdown(Duration::from_secs(1)).await;
    serving.await?;
    println!("shut down, {} connections cut", shutdown.cut.len());
    Ok(())
}

/// The client's part.
async fn ask(stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let client = Client::spawn(stream, &Config::default());
    for (name, len) in [("a", 1 << 20), ("b", 3)] {
        let upload = tokio::io::repeat(7).take(len);
        let put = client.call("put").arg("name", name).data(upload);
        let len: u64 = put.send().await?.read_value().await?;
        println!("put {name}: {len} bytes");
    }
    let mut list = client.call("list").send().await?;
    while let Some(file) = list.next_value().await? {
        let (name, len): (String, u64) = hgrpc_std::minicbor::decode(&file)?;
        println!("list: {name} has {len} bytes");
    }
    let failed = client.call("remove").arg("name", "c").send().await?;
    if let Err(error) = failed.read_bytes(0).await {
        println!("remove c: {error}");
    }
    Ok(())
}
