//! A running `hgrpc serve`, and clients of it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hgrpc::Revision;
use hgrpc_std::blocking::{CallError, Client, Config, Response, Transport};
use hgrpc_std::transport::Address;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// A server; killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

pub(crate) use crate::tool::tool as binary;

impl Served {
    /// Listens on any TCP port.
    pub(crate) fn tcp(args: &[&str]) -> Self {
        Self::start("tcp://127.0.0.1:0", args)
    }

    pub(crate) fn start(address: &str, args: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["serve", address])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reading = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = stderr.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..len]);
                kept.lock().unwrap().push_str(&text);
            }
        });
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("{line:?} {}", log.lock().unwrap()));
        Self {
            address: address.to_owned(),
            child,
            log,
            reading: Some(reading),
        }
    }

    pub(crate) fn client(&self, revision: Revision) -> Client {
        client(&self.address, revision)
    }

    /// `host:port`.
    pub(crate) fn socket(&self) -> &str {
        self.address.strip_prefix("tcp://").unwrap()
    }

    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        status
    }

    /// The lines on its error output, so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a line with this text is there.
    pub(crate) fn expect_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || {
            self.log().contains(text)
        });
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // In order, so that what it started ends too.
        let _ = kill_process(self.id(), Signal::TERM);
        let _ = kill_process(self.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}

pub(crate) fn client(address: &str, revision: Revision) -> Client {
    let address: Address = address.parse().unwrap();
    let (reader, writer, handle) = address.connect(None).unwrap().into_parts();
    let transport = Transport::new(reader, writer).on_close(move || handle.close());
    Client::new(transport, &Config::new(revision)).unwrap()
}

/// Waits for something, for some seconds.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    // A guard against hanging.
    let end = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs; one that has ended but was not reaped does not.
pub(crate) fn is_running(id: i32) -> bool {
    let is_zombie = std::fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().unwrap().trim().starts_with('Z'));
    test_kill_process(Pid::from_raw(id).unwrap()).is_ok() && !is_zombie
}

/// The numbers that a program wrote to a file, once they are there.
pub(crate) fn ids(path: &std::path::Path, count: usize) -> Vec<i32> {
    let mut ids = Vec::new();
    eventually(&format!("{count} processes in {path:?}"), || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let is_complete = text.ends_with('\n');
        ids = text
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect();
        is_complete && ids.len() >= count
    });
    ids
}

/// What a call gives, as text.
pub(crate) fn text(response: Result<Response, CallError>) -> Result<String, CallError> {
    response?.read_text(1 << 20)
}
