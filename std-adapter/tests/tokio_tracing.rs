//! Spans of connections and requests, as a subscriber sees them; peers of Unix sockets.
#![cfg(all(unix, feature = "tokio"))]
#![allow(missing_docs, reason = "a test")]

mod recorder;

use std::sync::Arc;
use std::time::Duration;

use hgrpc_std::tokio::{Client, Config, Failure, Peer, Router, Server};
use recorder::Recorder;
use tokio::net::{UnixListener, UnixStream};

#[test]
fn connections_and_requests_have_spans_and_unix_peers_are_known() {
    let recorder = Recorder::global();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let router = Router::new().command("who", |peer: Arc<Peer>| async move {
            let credentials = peer.credentials.unwrap();
            Err::<(), Failure>(format!("user {}", credentials.uid).into())
        });
        let server = Server::new(router);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(server.clone().serve(listener));
        let stream = UnixStream::connect(&path).await.unwrap();
        let client = Client::spawn(stream, &Config::default());
        let response = client.call("who").send().await.unwrap();
        let error = response.read_bytes(10).await.unwrap_err();
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(error.to_string(), format!("user {uid}"));
        drop(client);
        server.shutdown(Duration::from_secs(10)).await;
    });
    let uid = rustix::process::getuid().as_raw();
    recorder.assert_has("connection peer=user ", "");
    recorder.assert_has("connection peer=user ", "request id=1 command=who");
    recorder.assert_has(
        "connection peer=user ",
        &format!("message=the command failed failure=user {uid}"),
    );
    recorder.assert_has("connection peer=user ", "message=closed");
}
