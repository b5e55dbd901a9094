//! `--batch`: many calls over one connection.
//!
//! Each of some threads takes the next line, makes its call and prints the answer. Whoever has a
//! whole line of an answer prints it, behind the number of its call; a line that is still coming
//! waits in memory, or in a temporary file if it is large, so that no call waits for another.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Stdout, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args as _, FromArgMatches};
use hgrpc_std::transport::Address;
use tempfile::SpooledTempFile;

use super::print::Format;
use super::session::{Cause, Session};
use super::side::Side;
use super::{Call, SharedSide, Words, answer, data, with_side};
use crate::exit::{self, Failure};
use crate::io::BUFFER;
use crate::stderr;

/// The longest line of a batch: arguments are held in memory, by the server too.
const MAX_LINE: u64 = 16 * 1024 * 1024;
/// Bytes of an unfinished line of an answer that are kept in memory.
const IN_MEMORY: usize = 1024 * 1024;

/// Bytes of output that are written at a time, with a timeout: as soon as somebody reads any, it is
/// known.
const PIECE: usize = 16 * 1024;

/// The lines of a batch.
pub(super) struct Lines {
    source: Box<dyn BufRead + Send>,
    name: String,
    number: u64,
    has_ended: bool,
}

impl Lines {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// It is not there, or is not to be read.
    pub(super) fn open(path: &Path, address: &Address) -> Result<Self, Failure> {
        let name = path.display();
        let source: Box<dyn BufRead + Send> = if data::is_stdin(path) {
            if *address == Address::Stdio {
                let message = "--batch -: standard input is the connection to stdio:";
                return Err(Failure::BadInput(message.to_owned()));
            }
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::new(data::open("--batch", path)?))
        };
        Ok(Self {
            source,
            name: name.to_string(),
            number: 0,
            has_ended: false,
        })
    }

    /// The next line that says anything, with its number.
    fn next(&mut self) -> Option<(u64, Result<Vec<OsString>, Failure>)> {
        while !self.has_ended {
            let mut line = Vec::new();
            let read = (&mut self.source)
                .take(MAX_LINE + 1)
                .read_until(b'\n', &mut line);
            self.number += 1;
            match read {
                Ok(0) => break,
                Err(error) => {
                    self.has_ended = true;
                    let message = format!("cannot read {}: {error}", self.name);
                    return Some((self.number, Err(Failure::Io(message))));
                }
                Ok(_) => {}
            }
            if u64::try_from(line.len()).unwrap_or(u64::MAX) > MAX_LINE {
                self.has_ended = true;
                let message = format!("over {MAX_LINE} bytes; what follows is not read");
                return Some((self.number, Err(Failure::BadInput(message))));
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match shlex::bytes::split(line) {
                Some(words) if words.is_empty() => {}
                Some(words) => {
                    let words = words.into_iter().map(OsString::from_vec).collect();
                    return Some((self.number, Ok(words)));
                }
                None => {
                    let message = "a quote is not closed, or a backslash ends the line";
                    return Some((self.number, Err(Failure::BadInput(message.to_owned()))));
                }
            }
        }
        self.has_ended = true;
        None
    }
}

/// What the threads share.
struct Batch {
    session: Session,
    side: SharedSide,
    format: Format,
    timeout: Option<Duration>,
    lines: Mutex<Lines>,
    out: Mutex<BufWriter<Output>>,
    /// Since when a piece of the output waits for whoever reads it.
    writing: Arc<Mutex<Option<Instant>>>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Threads that have not ended.
    threads: usize,
    /// Calls that are under way.
    calls: usize,
    /// The connection, or the output, is of no more use.
    is_over: bool,
    /// The largest exit code of a call.
    worst: u8,
}

/// Makes all calls.
///
/// # Errors
/// The largest exit code; what it was for has been told.
pub(super) fn run(
    session: Session,
    lines: Lines,
    jobs: usize,
    format: Format,
    timeout: Option<Duration>,
    side: &SharedSide,
) -> Result<(), Failure> {
    let writing = Arc::<Mutex<Option<Instant>>>::default();
    let out = Output {
        out: io::stdout(),
        writing: Arc::clone(&writing),
    };
    let batch = Arc::new(Batch {
        session,
        side: Arc::clone(side),
        format,
        timeout,
        lines: Mutex::new(lines),
        out: Mutex::new(BufWriter::with_capacity(BUFFER, out)),
        writing,
        state: Mutex::new(State {
            threads: 0,
            calls: 0,
            is_over: false,
            worst: 0,
        }),
        changed: Condvar::new(),
    });
    if let Some(timeout) = timeout {
        let watching = Arc::clone(&batch);
        // Without the thread, an output that nobody reads has no limit.
        let _ = thread::Builder::new().spawn(move || watching.watch_output(timeout));
    }
    for number in 0..jobs {
        let worker = Arc::clone(&batch);
        batch.state().threads += 1;
        let started = thread::Builder::new()
            .name("call".into())
            .spawn(move || worker.work());
        if let Err(error) = started {
            batch.state().threads -= 1;
            if number == 0 {
                return Err(Failure::Io(format!("cannot start a thread: {error}")));
            }
            break;
        }
    }
    batch.wait();
    with_side(side, Side::finish);
    batch.session.close();
    if let Some(Cause::Signal(signal)) = batch.session.cause() {
        return Err(Failure::Interrupted(signal));
    }
    let state = batch.state();
    match state.worst {
        0 => Ok(()),
        code => {
            if state.is_over && code == 3 {
                let number = batch
                    .lines
                    .try_lock()
                    .map(|lines| (lines.number, lines.has_ended));
                if let Ok((number, false)) = number {
                    exit::report(&format!("the calls after line {number} were not made"));
                }
            }
            Err(Failure::Reported(code))
        }
    }
}

impl Batch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all is done. A thread may be waiting for a line that does not come: when the
    /// connection is gone, nobody waits for that.
    fn wait(&self) {
        let mut state = self.state();
        while state.threads > 0 && !(state.is_over && state.calls == 0) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the run if nobody reads its output for so long; no call ends then.
    fn watch_output(&self, timeout: Duration) {
        loop {
            let since = *self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = since.map_or(Duration::ZERO, |since| since.elapsed());
            if waited >= timeout {
                return self.session.unread(timeout);
            }
            thread::sleep(timeout - waited);
        }
    }

    fn work(&self) {
        while self.next() {}
        self.state().threads -= 1;
        self.changed.notify_all();
    }

    /// Makes the next call; whether there may be another.
    fn next(&self) -> bool {
        let next = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if self.state().is_over {
                return false;
            }
            let next = lines.next();
            if next.is_some() {
                self.state().calls += 1;
            }
            next
        };
        let Some((number, words)) = next else {
            return false;
        };
        let tag = number.to_string();
        let result = words.and_then(|words| self.call(&tag, words));
        with_side(&self.side, |side| side.end(Some(&tag)));
        let has_failed = result.is_err();
        if let Err(failure) = result {
            self.failed(&tag, &failure);
        }
        let mut state = self.state();
        state.calls -= 1;
        state.is_over |= has_failed && self.session.client.ended().is_some();
        let is_over = state.is_over;
        drop(state);
        self.changed.notify_all();
        !is_over
    }

    fn call(&self, tag: &str, words: Vec<OsString>) -> Result<(), Failure> {
        let words = parse(words).map_err(|error| Failure::BadInput(exit::one_line(&error)))?;
        if words.data.as_deref().is_some_and(data::is_stdin) {
            let message = "--data -: standard input is not for the calls of a batch";
            return Err(Failure::BadInput(message.to_owned()));
        }
        let mut call = Call::parse(&words, self.session.revision.key_order())?;
        let run = |call, format, out: &mut dyn Write| {
            let (session, side) = (&self.session, &self.side);
            answer::run(session, call, side, Some(tag), self.timeout, format, out)
        };
        match (call.output.take(), self.format) {
            (Some(mut file), format) => {
                self.session.remove_if_cut(file.temporary());
                let format = match format {
                    Format::Json => Format::Json,
                    Format::Notation | Format::Raw => Format::Raw,
                };
                run(call, format, &mut file).and_then(|()| file.finish())
            }
            (None, format) => {
                let mut out = Tagged::new(self, tag);
                let result = run(call, format, &mut out);
                if result.is_err() && format == Format::Json {
                    // Half a value is no JSON.
                    return result;
                }
                let ended = out.end().map_err(Failure::output);
                result.and(ended)
            }
        }
    }

    fn failed(&self, tag: &str, failure: &Failure) {
        let mut state = self.state();
        state.worst = state.worst.max(failure.code());
        if matches!(failure, Failure::OutputClosed) {
            state.is_over = true;
        }
        drop(state);
        if matches!(failure, Failure::Interrupted(_)) {
            return;
        }
        let Some(message) = failure.message() else {
            return;
        };
        with_side(&self.side, |side| {
            side.line(format_args!("hgrpc: line {tag}: {message}"));
        });
        if self.format == Format::Json {
            let mut out = self.out();
            let _ = write!(out, "{{\"line\":{tag},\"error\":\"")
                .and_then(|()| super::print::write_text(&mut *out, message))
                .and_then(|()| writeln!(out, "\",\"exit\":{}}}", failure.code()))
                .and_then(|()| out.flush());
        }
    }

    fn out(&self) -> MutexGuard<'_, BufWriter<Output>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The words of a line, as a command line.
fn parse(words: Vec<OsString>) -> Result<Words, clap::Error> {
    let command = clap::Command::new("hgrpc call")
        .no_binary_name(true)
        .disable_help_flag(true);
    let mut command = Words::augment_args(command);
    let matches = command.try_get_matches_from_mut(words)?;
    Words::from_arg_matches(&matches)
}

/// Standard output, of which it is known since when it blocks.
struct Output {
    out: Stdout,
    writing: Arc<Mutex<Option<Instant>>>,
}

impl Output {
    fn writing(&self, since: Option<Instant>) {
        *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writing(Some(Instant::now()));
        let written = self.out.write(bytes.get(..PIECE).unwrap_or(bytes));
        self.writing(None);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writing(Some(Instant::now()));
        let flushed = self.out.flush();
        self.writing(None);
        flushed
    }
}

/// Prints what is written line by line, each behind the number of its call.
struct Tagged<'a> {
    batch: &'a Batch,
    tag: &'a str,
    /// What has come of a line.
    line: SpooledTempFile,
    len: u64,
}

impl<'a> Tagged<'a> {
    fn new(batch: &'a Batch, tag: &'a str) -> Self {
        Self {
            batch,
            tag,
            line: tempfile::spooled_tempfile(IN_MEMORY),
            len: 0,
        }
    }

    /// Prints the line that has not ended, if there is one.
    fn end(&mut self) -> io::Result<()> {
        if self.len > 0 {
            self.print(b"")
        } else {
            Ok(())
        }
    }

    /// Prints a line, whose last bytes these are.
    fn print(&mut self, last: &[u8]) -> io::Result<()> {
        let (before, after) = match self.batch.format {
            Format::Json => (format!("{{\"line\":{},\"value\":", self.tag), "}\n"),
            Format::Notation | Format::Raw => (format!("{}: ", self.tag), "\n"),
        };
        self.line.seek(SeekFrom::Start(0))?;
        stderr::settle();
        {
            let mut out = self.batch.out();
            out.write_all(before.as_bytes())?;
            io::copy(&mut (&mut self.line).take(self.len), &mut *out)?;
            out.write_all(last)?;
            out.write_all(after.as_bytes())?;
            out.flush()?;
        }
        self.len = 0;
        self.line.seek(SeekFrom::Start(0))?;
        Ok(())
    }
}

impl Write for Tagged<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.iter().position(|&b| b == b'\n') {
            Some(at) => {
                let (line, _) = bytes.split_at(at);
                self.print(line)?;
                Ok(at + 1)
            }
            None => {
                self.line.write_all(bytes)?;
                self.len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
