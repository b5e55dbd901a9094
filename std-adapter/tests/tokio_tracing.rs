//! Spans of connections and requests, refusals and panics, as a subscriber sees them; peers of Unix
//! sockets.
#![cfg(all(unix, feature = "tokio"))]
#![allow(missing_docs, reason = "a test")]

mod recorder;

use std::sync::Arc;
use std::time::Duration;

use hgrpc_std::tokio::{
    Call, Client, Config, Data, Failure, Gone, Peer, Refusal, Router, Server, ServerLimits,
};
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

#[tokio::test(start_paused = true)]
async fn refusals_and_panics_are_reported_with_their_request() {
    let recorder = Recorder::global();
    let router = Router::new()
        .command("stuck", |gone: Gone, data: Data| async move {
            gone.wait().await;
            drop(data);
        })
        .command("secret", || async {})
        .command("panic", || async { assert_eq!(1, 2, "on purpose") });
    let mut limits = ServerLimits::DEFAULT;
    limits.requests = 1;
    limits.per_connection.request_size = 200;
    let server = Server::builder(router)
        .limits(limits)
        .authorize(|call: Call| async move {
            match call.name() {
                b"secret" => Err(Failure::server("not for you")),
                _ => Ok(()),
            }
        })
        .build();
    let (here, there) = tokio::io::duplex(1 << 16);
    let served = server.clone();
    let peer = Peer::labelled("tester");
    tokio::spawn(async move { served.serve_connection(there, peer).await });
    let client = Client::spawn(here, &Config::default());
    let ask = async |command: &str, msg: &[u8]| {
        let call = client.call(command).arg("msg", msg).send().await;
        call.unwrap().read_bytes(10).await.unwrap_err();
    };
    ask("noth\ning", b"").await;
    ask("secret", b"").await;
    ask("panic", b"").await;
    ask("stuck", &[7; 500]).await;
    // It takes no data: after the stall it is refused, while it runs.
    let data = tokio::io::repeat(7);
    let stalled = client.call("stuck").data(data).send().await.unwrap();
    while server.stats().running == 0 {
        tokio::task::yield_now().await;
    }
    ask("stuck", b"").await;
    stalled.read_bytes(10).await.unwrap_err();
    drop(client);
    server.shutdown(Duration::from_secs(10)).await;

    let refused = |id, command: &str, refusal: Refusal, is_in_span: bool| {
        let span = format!("request id={id} command={command}: ");
        let span = if is_in_span { &span } else { "" };
        let name = match command {
            "" => String::new(),
            command => format!(" command={command:?}"),
        };
        recorder.assert_has(
            &format!("connection peer=tester: {span}DEBUG message=a request was refused id={id}"),
            &format!("id={id}{name} refusal={refusal}"),
        );
        assert_eq!(server.stats().refused_for(refusal), 1, "{refusal}");
    };
    refused(1, r"noth\ning", Refusal::UnknownCommand, true);
    refused(3, "secret", Refusal::Forbidden, true);
    recorder.assert_has(
        "connection peer=tester: request id=5 command=panic: ERROR message=the command panicked",
        "id=5 command=\"panic\"",
    );
    // Its name was never read.
    refused(7, "", Refusal::RequestTooLarge, false);
    refused(9, "stuck", Refusal::Stalled, false);
    refused(11, "stuck", Refusal::TooManyRequests, true);
}
