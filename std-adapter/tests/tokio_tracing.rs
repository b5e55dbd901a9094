//! Spans of connections and requests, as a subscriber sees them; peers of Unix sockets.
#![cfg(all(unix, feature = "tokio"))]
#![allow(missing_docs, reason = "a test")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hgrpc_std::tokio::{Client, Config, Failure, Peer, Router, Server};
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
        let mut line = self.around();
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
    tracing::subscriber::set_global_default(recorder.clone()).unwrap();
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
    let lines = recorder.0.lines.lock().unwrap();
    let starts = |start: &str, end: &str| {
        let found = lines.iter();
        let mut found = found.filter(|line| line.starts_with(start) && line.ends_with(end));
        assert!(found.next().is_some(), "{start} … {end}: {lines:#?}");
    };
    starts("connection peer=user ", "");
    starts("connection peer=user ", "request id=1 command=who");
    starts(
        "connection peer=user ",
        &format!("message=the command failed failure=user {uid}"),
    );
    starts("connection peer=user ", "message=closed");
}
