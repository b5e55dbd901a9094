//! The error output, behind a bounded queue: nobody here waits for whoever reads it.
//!
//! ```text
//!   any thread ──line, text, drawing──▶ Queue, 256 KiB at most ──▶ writer thread ──▶ error output
//! ```
//!
//! - A line that does not fit is dropped. The next line that is written says how many were.
//! - Lines that peers can cause are [`limited`](Queue::limited) to so many a second. How many were
//!   left out is said when the second is over.
//! - Text of peers comes through [`text`](Queue::text), which marks each of its lines: no line of
//!   this program begins like that.
//! - No lock is held while anything is written.

mod limit;
mod terminal;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::{escape, units};
use limit::Limits;
pub(crate) use limit::Source;
pub(crate) use terminal::draw_target;

/// Begins each line of a peer's text, as with Git.
pub(crate) const REMOTE: &str = "remote: ";

/// Bytes that wait, at most, with those that are being written.
const CAPACITY: usize = 256 << 10;
/// Bytes that are written at a time: what a pipe takes whole once it takes anything.
const CHUNK: usize = 4 << 10;
/// Bytes for a line of the queue's own.
const ROOM_TO_SAY: usize = 200;
/// How long it takes nothing until it counts as one that nobody reads.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a full error output that does not block is tried again, and how often one who waits
/// for room looks for it.
const PAUSE: Duration = Duration::from_millis(5);
/// How long output waits for lines that were said before it; less if nobody reads them.
const BEFORE_OUTPUT: Duration = Duration::from_millis(100);
/// How long the end of the run waits for the last lines; less if nobody reads them.
pub(crate) const LAST_LINES: Duration = Duration::from_secs(5);

/// Lines on their way to the error output.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Something was written.
    written: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Vec<u8>,
    /// Bytes that the writer has taken and not written yet.
    in_flight: usize,
    /// When the writer wrote last, or began to.
    progress: Instant,
    /// The last line has not ended.
    is_mid_line: bool,
    /// Lines that did not fit since the last that did.
    dropped: u64,
    limits: Limits,
    /// The queue's own lines have the time.
    is_log: bool,
    /// Without a writer, whoever adds something writes it.
    has_writer: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            in_flight: 0,
            progress: Instant::now(),
            is_mid_line: false,
            dropped: 0,
            limits: Limits::default(),
            is_log: false,
            has_writer: true,
        }
    }
}

impl State {
    fn used(&self) -> usize {
        self.waiting.len() + self.in_flight
    }

    /// The error output has taken nothing for a while, though there is something.
    fn is_stalled(&self, now: Instant) -> bool {
        self.used() > 0 && now.saturating_duration_since(self.progress) >= PATIENCE
    }

    /// Whether so many bytes fit. Once something was dropped, half of the queue has to be free:
    /// what is there and what is missing come in stretches.
    fn fits(&self, len: usize) -> bool {
        let most = if self.dropped > 0 {
            CAPACITY / 2
        } else {
            CAPACITY
        };
        self.used() + len <= most
    }

    /// Adds text, on a line of its own if it is fresh; or drops it.
    fn add(&mut self, text: &str, is_fresh: bool) {
        if text.is_empty() {
            return;
        }
        if !self.fits(text.len()) {
            let lines = text.bytes().filter(|&byte| byte == b'\n').count().max(1);
            self.dropped += u64::try_from(lines).unwrap_or(u64::MAX);
            return;
        }
        self.say_dropped();
        if self.used() == 0 {
            self.progress = Instant::now();
        }
        if is_fresh {
            self.end_line();
        }
        self.waiting.extend_from_slice(text.as_bytes());
        self.is_mid_line = !text.ends_with('\n');
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.is_mid_line) {
            self.waiting.push(b'\n');
        }
    }

    /// Says how many lines were dropped, if any were.
    fn say_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let lines = counted(dropped);
            self.own(&format!("{lines} dropped: they were not read in time"));
        }
    }

    /// Says how many lines were left out in seconds that are over by now.
    fn say_left_out(&mut self, now: Instant) {
        while self.fits(ROOM_TO_SAY)
            && let Some((source, number)) = self.limits.left_out(now)
        {
            let (lines, most) = (counted(number), source.most());
            self.own(&format!("{lines} left out: over {most} a second {source}"));
        }
    }

    /// Adds a line of the queue's own.
    fn own(&mut self, message: &str) {
        let line = match self.is_log {
            true => dated(message),
            false => format!("hgrpc: {message}"),
        };
        self.add(&(line + "\n"), true);
    }

    /// Takes what is to be written now.
    fn take(&mut self) -> Vec<u8> {
        self.say_left_out(Instant::now());
        if self.dropped > 0 && self.fits(0) {
            self.say_dropped();
        }
        let bytes = std::mem::take(&mut self.waiting);
        self.in_flight += bytes.len();
        bytes
    }
}

static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// The queue before the error output of this process.
pub(crate) fn queue() -> &'static Arc<Queue> {
    QUEUE.get_or_init(|| {
        let queue = Arc::<Queue>::default();
        let writing = Arc::clone(&queue);
        let writer = thread::Builder::new()
            .name("log".into())
            .spawn(move || writing.write_to(&mut error_output()));
        queue.state().has_writer = writer.is_ok();
        queue
    })
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        if state.has_writer {
            drop(state);
            self.filled.notify_one();
        } else {
            let bytes = state.take();
            state.in_flight = 0;
            drop(state);
            // Nobody has to read it.
            let _ = error_output().write_all(&bytes);
        }
    }

    /// Says that lines of the queue's own are to have the time, as all others have.
    pub(crate) fn is_log(&self) {
        self.state().is_log = true;
    }

    /// Adds a line of this program's, which is safe to show.
    pub(crate) fn line(&self, line: &str) {
        self.change(|state| state.add(&format!("{line}\n"), true));
    }

    /// Adds a line, unless this second had enough of them.
    pub(crate) fn limited(&self, source: Source, line: &str) {
        self.change(|state| {
            let now = Instant::now();
            state.say_left_out(now);
            if state.limits.allow(source, now) {
                state.add(&format!("{line}\n"), true);
            }
        });
    }

    /// Adds a peer's text, which is safe to show; each of its lines begins with the mark. What is
    /// not fresh goes on in the line that has not ended, if there is one.
    pub(crate) fn text(&self, mark: &str, text: &str, is_fresh: bool) {
        self.change(|state| {
            let is_mid_line = state.is_mid_line && state.dropped == 0 && !is_fresh;
            let mut marked = String::new();
            for (number, line) in text.split_inclusive('\n').enumerate() {
                if number > 0 || !is_mid_line {
                    marked.push_str(mark);
                }
                marked.push_str(line);
            }
            state.add(&marked, is_fresh);
        });
    }

    /// Ends the line that has not ended, if there is one.
    pub(crate) fn end_line(&self) {
        self.change(State::end_line);
    }

    /// Adds what draws on a terminal, after which the cursor is at the beginning of a line or not.
    /// A terminal that does not keep up is spared it.
    fn draw(&self, drawing: &str, is_mid_line: bool) {
        self.change(|state| {
            if state.used() <= CAPACITY / 8 {
                state.add(drawing, false);
                state.is_mid_line = is_mid_line;
            }
        });
    }

    /// Waits until there is much room, as long as somebody reads: text that comes faster than it is
    /// read is not dropped.
    pub(crate) async fn room(&self) {
        let has_room = |state: &State| {
            let is_free = state.dropped == 0 && state.used() <= CAPACITY / 2;
            is_free || state.is_stalled(Instant::now())
        };
        while !has_room(&self.state()) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until all is written; not for long, and less if nobody reads.
    fn flush(&self, at_most: Duration) {
        let end = Instant::now() + at_most;
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let is_empty =
                state.used() == 0 && state.dropped == 0 && state.limits.next(now).is_none();
            if is_empty || !state.has_writer || state.is_stalled(now) || now >= end {
                return;
            }
            let wait = (end - now).min(PATIENCE / 4);
            let waited = self.written.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes what comes, for ever.
    fn write_to(&self, out: &mut impl Write) {
        loop {
            let bytes = self.wait();
            for mut rest in bytes.chunks(CHUNK) {
                while !rest.is_empty() {
                    let len = match out.write(rest) {
                        Ok(len) => len,
                        Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            thread::sleep(PAUSE);
                            continue;
                        }
                        // Nobody can read it.
                        Err(_) => rest.len(),
                    };
                    rest = rest.get(len..).unwrap_or_default();
                    let mut state = self.state();
                    state.in_flight = state.in_flight.saturating_sub(len);
                    state.progress = Instant::now();
                    drop(state);
                    self.written.notify_all();
                }
            }
        }
    }

    /// Waits for something to write, and takes it.
    fn wait(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            let bytes = state.take();
            if !bytes.is_empty() {
                return bytes;
            }
            let until = state.limits.next(Instant::now());
            state = match until {
                None => (self.filled.wait(state)).unwrap_or_else(PoisonError::into_inner),
                Some(time) => {
                    let waited = self.filled.wait_timeout(state, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// What was added since the last time.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> String {
        let mut state = self.state();
        let bytes = state.take();
        state.in_flight = 0;
        String::from_utf8(bytes).unwrap()
    }
}

/// A line of a log: behind the program's name and the time, in UTC.
pub(crate) fn dated(message: &str) -> String {
    format!("hgrpc: {} {message}", units::timestamp(SystemTime::now()))
}

/// Waits a short time for the last lines, at the end of the run.
pub(crate) fn flush(at_most: Duration) {
    // Nothing to say needs no thread.
    if let Some(queue) = QUEUE.get() {
        queue.change(|state| state.limits.end());
        queue.flush(at_most);
    }
}

/// Waits for what was said before output is printed, if that may be on the same terminal.
pub(crate) fn settle() {
    if let Some(queue) = QUEUE.get()
        && io::stdout().is_terminal()
    {
        queue.flush(BEFORE_OUTPUT);
    }
}

/// Has panics tell their message here: where a thread panics it must not wait either.
pub(crate) fn take_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        let place = place.as_deref().unwrap_or("an unknown place");
        let mut text = escape::one_line(format!("thread '{name}' panicked at {place}: {message}"));
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            text = format!("{text}\n{backtrace}");
        }
        queue().line(&format!("hgrpc: {text}"));
        if name == "main" {
            flush(LAST_LINES);
        }
    }));
}

/// The error output itself, without the lock that the standard library holds while it writes.
fn error_output() -> Box<dyn Write> {
    #[cfg(unix)]
    if let Ok(file) = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned() {
        return Box::new(std::fs::File::from(file));
    }
    Box::new(io::stderr())
}

fn counted(lines: u64) -> String {
    match lines {
        1 => "1 line".to_owned(),
        lines => format!("{lines} lines"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A line of 100 bytes.
    fn line(number: usize) -> String {
        format!("{number:099}")
    }

    #[test]
    fn what_does_not_fit_is_counted_and_said() {
        let queue = Queue::default();
        for number in 0..5000 {
            queue.line(&line(number));
        }
        queue.text(REMOTE, "two\nlines", true);
        let text = queue.taken();
        assert_eq!(text.len(), CAPACITY / 100 * 100);
        assert!(text.starts_with(&line(0)));
        let dropped = 5000 - CAPACITY / 100 + 1;
        let said = format!("hgrpc: {dropped} lines dropped: they were not read in time\n");
        assert_eq!(queue.taken(), said);
        assert_eq!(queue.taken(), "");
    }

    #[test]
    fn once_full_it_has_to_be_half_empty() {
        let queue = Queue::default();
        queue.line(&"x".repeat(CAPACITY - 1));
        queue.line("dropped");
        queue.state().take();
        queue.state().in_flight = CAPACITY / 2;
        queue.line("dropped");
        queue.state().in_flight = CAPACITY / 2 - 100;
        queue.line("there");
        assert_eq!(
            queue.taken(),
            "hgrpc: 2 lines dropped: they were not read in time\nthere\n"
        );
    }

    #[test]
    fn every_line_of_text_is_marked_wherever_it_is_cut() {
        let queue = Queue::default();
        queue.text("r: ", "a", false);
        queue.text("r: ", "b\nc", false);
        queue.line("ours");
        queue.text("r: ", "d\n\ne", false);
        queue.text("r: ", "f", true);
        queue.end_line();
        queue.end_line();
        assert_eq!(queue.taken(), "r: ab\nr: c\nours\nr: d\nr: \nr: e\nr: f\n");
    }

    #[test]
    fn text_behind_a_gap_begins_a_line() {
        let queue = Queue::default();
        queue.text("r: ", "a", false);
        queue.text("r: ", &"x".repeat(CAPACITY), false);
        queue.text("r: ", "b\n", false);
        assert_eq!(
            queue.taken(),
            "r: a\nhgrpc: 1 line dropped: they were not read in time\nr: b\n"
        );
    }

    #[test]
    fn lines_over_the_limit_are_counted_when_their_second_is_over() {
        let queue = Queue::default();
        for number in 0..=Source::Connections.most() + 4 {
            queue.limited(Source::Connections, &number.to_string());
        }
        queue.limited(Source::Programs, "another");
        queue.line("none of them");
        let text = queue.taken();
        queue.state().limits.end();
        let said = queue.taken();
        assert!(text.contains("another\nnone of them\n"), "{text}");
        // Unless this takes seconds.
        if text.lines().count() == 22 {
            assert_eq!(
                said,
                "hgrpc: 5 lines left out: over 20 a second about connections\n"
            );
        }
    }

    #[test]
    fn a_writer_that_blocks_holds_up_nobody() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let queue = Arc::<Queue>::default();
        let writing = Arc::clone(&queue);
        thread::spawn(move || writing.write_to(&mut writer));
        for number in 0..10_000 {
            queue.line(&line(number));
        }
        queue.flush(Duration::from_millis(10));
        // What is read now makes room.
        let mut text = String::new();
        while !text.contains(" dropped: ") {
            let mut buffer = [0; 10_000];
            let len = reader.read(&mut buffer).unwrap();
            text.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
        }
        queue.line("the end");
        queue.flush(Duration::from_secs(60));
        assert_eq!(queue.state().used(), 0);
    }
}
