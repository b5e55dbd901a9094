//! Runs of the tool whose output nobody reads, unless the test does.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, kill_process};

use crate::tool::tool;

/// A guard against hanging, for a machine that is busy.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A process; killed when it is dropped. Its pipes stay open, and nothing is read from them.
pub(crate) struct Run {
    child: Child,
    pub(crate) out: Option<ChildStdout>,
    pub(crate) err: Option<ChildStderr>,
}

impl Run {
    /// Starts the tool with these words.
    pub(crate) fn new(words: &[&str]) -> Self {
        Self::of(Command::new(tool()).args(words))
    }

    /// Starts a command.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_remove("NO_COLOR")
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        Self { child, out, err }
    }

    /// Starts the tool with pipes of the test's: its output's, and its error output's.
    pub(crate) fn with(words: &[&str], out: impl Into<Stdio>, err: impl Into<Stdio>) -> Self {
        let child = Command::new(tool())
            .args(words)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap();
        let (out, err) = (None, None);
        Self { child, out, err }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads what it prints, until its end.
    #[track_caller]
    pub(crate) fn output(&mut self) -> String {
        let mut out = self.out.take().unwrap();
        let (send, text) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            let _ = send.send(text);
        });
        text.recv_timeout(LONG).expect("its output ends")
    }

    /// Reads its error output from now on.
    pub(crate) fn errors(&mut self) -> Errors {
        let mut err = self.err.take().unwrap();
        let text = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&text);
        let reading = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = err.read(&mut buffer) {
                let piece = String::from_utf8_lossy(&buffer[..len]);
                kept.lock().unwrap().push_str(&piece);
            }
        });
        Errors { text, reading }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is read of an error output.
pub(crate) struct Errors {
    text: Arc<Mutex<String>>,
    reading: thread::JoinHandle<()>,
}

impl Errors {
    /// What has come so far.
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits until this has come.
    #[track_caller]
    pub(crate) fn expect(&self, piece: &str) {
        self.expect_that(piece, |text| text.contains(piece));
    }

    /// Waits until this is so of what has come.
    #[track_caller]
    pub(crate) fn expect_that(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let end = Instant::now() + LONG;
        while !is_so(&self.text()) {
            let text = self.text();
            let tail: String = text
                .lines()
                .rev()
                .take(5)
                .map(|l| format!("{l}\n"))
                .collect();
            assert!(
                Instant::now() < end,
                "not {what:?} in {} bytes, the last lines:\n{tail}",
                text.len()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// All of it, once the process has ended.
    pub(crate) fn end(self) -> String {
        self.reading.join().unwrap();
        Arc::into_inner(self.text).unwrap().into_inner().unwrap()
    }
}

/// A pipe that is full; nobody reads it, but somebody could.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// Starts a server; it, and its address.
pub(crate) fn serve(address: &str, words: &[&str]) -> (Run, String) {
    let mut run = Run::of(Command::new(tool()).args(["serve", address]).args(words));
    let mut line = String::new();
    let mut out = BufReader::new(run.out.take().unwrap());
    out.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ");
    let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
    (run, address)
}

/// Whether a call is answered.
pub(crate) fn is_answered(address: &str) -> bool {
    let words = ["call", "--timeout", "20s", address, "echo", "msg=hello"];
    let mut run = Run::new(&words);
    run.wait().success() && run.output() == "b'hello'\n"
}
