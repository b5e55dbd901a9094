//! Spans of connections and requests, refusals and panics, as a subscriber sees them; peers of Unix
//! sockets.
#![cfg(all(unix, feature = "tokio"))]
#![allow(missing_docs, reason = "a test")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hgrpc_std::tokio::{
    Call, Client, Config, Data, Failure, Gone, Peer, Refusal, Router, Server, ServerLimits,
};
use tokio::net::{UnixListener, UnixStream};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Spans by number: what they are called, with the span around them. What happened in which.
#[derive(Clone, Default)]
struct Recorder(Arc<Recorded>);

#[derive(Default)]
struct Recorded {
    next: AtomicU64,
    spans: Mutex<HashMap<u64, String>>,
    lines: Mutex<Vec<String>>,
}

thread_local! {
    static ENTERED: std::cell::RefCell<Vec<u64>> = const { std::cell::RefCell::new(Vec::new()) };
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Recorder {
    /// A line begins and ends so.
    fn has(&self, start: &str, end: &str) {
        let lines = self.0.lines.lock().unwrap();
        let mut found = lines.iter();
        let is_found = found.any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(is_found, "{start} … {end}: {lines:#?}");
    }

    fn around(&self) -> String {
        let around = ENTERED.with_borrow(|entered| entered.last().copied());
        let spans = self.0.spans.lock().unwrap();
        around
            .and_then(|id| spans.get(&id).map(|name| format!("{name}: ")))
            .unwrap_or_default()
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("hgrpc_std")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut name = self.around() + attributes.metadata().name();
        attributes.record(&mut Text(&mut name));
        let id = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.lines.lock().unwrap().push(name.clone());
        self.0.spans.lock().unwrap().insert(id, name);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = self.around() + event.metadata().level().as_str();
        event.record(&mut Text(&mut line));
        self.0.lines.lock().unwrap().push(line);
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, _: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.pop());
    }
}

#[test]
fn connections_and_requests_have_spans_and_unix_peers_are_known() {
    let recorder = Recorder::default();
    let _guard = tracing::subscriber::set_default(recorder.clone());
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
    let starts = |start: &str, end: &str| recorder.has(start, end);
    starts("connection peer=user ", "");
    starts("connection peer=user ", "request id=1 command=who");
    starts(
        "connection peer=user ",
        &format!("message=the command failed failure=user {uid}"),
    );
    starts("connection peer=user ", "message=closed");
}

#[tokio::test(start_paused = true)]
async fn refusals_and_panics_are_reported_with_their_request() {
    let recorder = Recorder::default();
    let _guard = tracing::subscriber::set_default(recorder.clone());
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
        recorder.has(
            &format!("connection peer=tester: {span}DEBUG message=a request was refused id={id}"),
            &format!("id={id}{name} refusal={refusal}"),
        );
        assert_eq!(server.stats().refused_for(refusal), 1, "{refusal}");
    };
    refused(1, r"noth\ning", Refusal::UnknownCommand, true);
    refused(3, "secret", Refusal::Forbidden, true);
    recorder.has(
        "connection peer=tester: request id=5 command=panic: ERROR message=the command panicked",
        "id=5 command=\"panic\"",
    );
    // Its name was never read.
    refused(7, "", Refusal::RequestTooLarge, false);
    refused(9, "stuck", Refusal::Stalled, false);
    refused(11, "stuck", Refusal::TooManyRequests, true);
}
