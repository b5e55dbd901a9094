//! What a program writes: its response, its text, its progress.

use std::io::{PipeReader, Read, Write};
use std::ops::ControlFlow;
use std::process::{ChildStderr, ChildStdout};
use std::time::Duration;

use hgrpc_std::blocking::{Progress, Reply, Side};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::lines::Lines;
use super::watch::{End, Watch};
use crate::serve::log;

/// What a pipe holds, mostly.
const CHUNK: usize = 64 << 10;
/// Bytes of a line of text; a longer one goes in pieces.
const TEXT: usize = 4 << 10;
/// Bytes of a line of progress; a longer one is none.
const PROGRESS: usize = 1 << 10;

/// How long what a program has started may go on writing when the program itself has exited. It is
/// not cut off in the middle, as in `sh -c 'producer | consumer &'`; but nothing stays behind.
const SILENCE: Duration = Duration::from_secs(1);

/// The thread of a program's output.
pub(super) struct Output<'a> {
    pub(super) name: &'a str,
    pub(super) peer: &'a str,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
    pub(super) progress: Option<PipeReader>,
    /// Bytes of the response that are left.
    pub(super) left: u64,
    pub(super) watch: &'a Watch,
}

/// What is ready to be read.
#[derive(Default)]
struct Ready {
    stdout: bool,
    stderr: bool,
    progress: bool,
    exited: bool,
}

impl Ready {
    fn is_none(&self) -> bool {
        !(self.stdout || self.stderr || self.progress || self.exited)
    }
}

impl Output<'_> {
    pub(super) fn run(mut self, reply: &mut Reply) {
        let watch = self.watch;
        if let ControlFlow::Break(end) = self.copy(reply) {
            watch.end(end);
        }
        // Closed: a program that still writes is told so by that.
        drop(self);
        watch.read();
    }

    fn copy(&mut self, reply: &mut Reply) -> ControlFlow<End> {
        let side = reply.side();
        let mut buffer = vec![0; CHUNK];
        let mut text = Lines::new(TEXT);
        let mut progress = Lines::new(PROGRESS);
        let mut has_exited = false;
        let mut is_flushed = true;
        while self.stdout.is_some() || self.stderr.is_some() || self.progress.is_some() {
            let time = match (is_flushed, has_exited) {
                (false, _) => Some(Duration::ZERO),
                (true, true) => Some(SILENCE),
                (true, false) => None,
            };
            let ready = self.wait(time, !has_exited)?;
            if ready.exited {
                has_exited = true;
            }
            if has_exited && self.watch.reason().is_some() {
                break;
            }
            if ready.is_none() {
                if is_flushed {
                    break;
                }
                // Nothing more comes at once: what there is goes out.
                reply.flush().map_err(|_| End::Gone).or_break()?;
                is_flushed = true;
            }
            // Text first: it is about what comes.
            if ready.stderr {
                let bytes = take(&mut self.stderr, &mut buffer);
                text.push(bytes, |line| self.text(&side, line))?;
            }
            if ready.progress {
                let bytes = take(&mut self.progress, &mut buffer);
                self.progress(&side, &mut progress, bytes)?;
            }
            if ready.stdout {
                let bytes = take(&mut self.stdout, &mut buffer);
                let len = usize::try_from(self.left).map_or(bytes.len(), |l| l.min(bytes.len()));
                let (allowed, over) = bytes.split_at(len);
                reply.write_all(allowed).map_err(|_| End::Gone).or_break()?;
                is_flushed = false;
                self.left -= u64::try_from(len).unwrap_or(u64::MAX);
                if !over.is_empty() {
                    return ControlFlow::Break(End::TooLong);
                }
            }
        }
        if let Some(line) = text.finish() {
            self.text(&side, &line)?;
        }
        ControlFlow::Continue(())
    }

    fn wait(&self, time: Option<Duration>, with_exit: bool) -> ControlFlow<End, Ready> {
        let mut files = Vec::with_capacity(4);
        let (mut kinds, mut ready) = (Vec::with_capacity(4), Ready::default());
        if let Some(stdout) = &self.stdout {
            files.push(PollFd::new(stdout, PollFlags::IN));
            kinds.push(0);
        }
        if let Some(stderr) = &self.stderr {
            files.push(PollFd::new(stderr, PollFlags::IN));
            kinds.push(1);
        }
        if let Some(progress) = &self.progress {
            files.push(PollFd::new(progress, PollFlags::IN));
            kinds.push(2);
        }
        if with_exit {
            files.push(PollFd::from_borrowed_fd(
                self.watch.exit_fd(),
                PollFlags::IN,
            ));
            kinds.push(3);
        }
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        loop {
            match poll(&mut files, time.as_ref()) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => {
                    let error = std::io::Error::from(error);
                    return ControlFlow::Break(End::Failed(error.into()));
                }
            }
        }
        for (file, kind) in files.iter().zip(kinds) {
            let is_ready = !file.revents().is_empty();
            match kind {
                0 => ready.stdout = is_ready,
                1 => ready.stderr = is_ready,
                2 => ready.progress = is_ready,
                _ => ready.exited = is_ready,
            }
        }
        ControlFlow::Continue(ready)
    }

    /// A line of the error output: to the client, or where it takes none, to ours.
    fn text(&self, side: &Side, line: &[u8]) -> ControlFlow<End> {
        let line = String::from_utf8_lossy(line);
        if !side.is_taken() {
            log::about(self.peer, format_args!("{}: {line}", self.name));
            return ControlFlow::Continue(());
        }
        side.text(format!("{line}\n"))
            .map_err(|_| End::Gone)
            .or_break()
    }

    /// Lines `TOPIC POS TOTAL`. Of those that come together, the last of a topic is sent.
    fn progress(&self, side: &Side, lines: &mut Lines, bytes: &[u8]) -> ControlFlow<End> {
        let mut last: Option<(String, i64, u64)> = None;
        let send = |update: Option<(String, i64, u64)>| match update {
            Some((topic, pos, total)) => {
                let progress = Progress::new(&topic, pos, total);
                side.progress(&progress).map_err(|_| End::Gone).or_break()
            }
            None => ControlFlow::Continue(()),
        };
        lines.push(bytes, |line| {
            let line = String::from_utf8_lossy(line);
            let Some(update) = parse_progress(&line) else {
                log::about(
                    self.peer,
                    format_args!("{}: not TOPIC POS TOTAL: {line}", self.name),
                );
                return ControlFlow::Continue(());
            };
            if let Some(before) = last.take()
                && before.0 != update.0
            {
                send(Some(before))?;
            }
            last = Some(update);
            ControlFlow::Continue(())
        })?;
        send(last)
    }
}

/// The topic may have spaces.
fn parse_progress(line: &str) -> Option<(String, i64, u64)> {
    let (rest, total) = line.trim().rsplit_once(' ')?;
    let (topic, pos) = rest.trim_end().rsplit_once(' ')?;
    Some((
        topic.trim_end().to_owned(),
        pos.parse().ok()?,
        total.parse().ok()?,
    ))
}

/// Reads what there is; at the end the file is closed.
fn take<'b, F: Read>(file: &mut Option<F>, buffer: &'b mut [u8]) -> &'b [u8] {
    let len = match file.as_mut().map(|file| file.read(buffer)) {
        Some(Ok(len)) => len,
        Some(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => return &[],
        _ => 0,
    };
    if len == 0 {
        *file = None;
    }
    buffer.get(..len).unwrap_or_default()
}

/// A result whose error ends the copying.
trait OrBreak<T> {
    fn or_break(self) -> ControlFlow<End, T>;
}

impl<T> OrBreak<T> for Result<T, End> {
    fn or_break(self) -> ControlFlow<End, T> {
        match self {
            Ok(value) => ControlFlow::Continue(value),
            Err(end) => ControlFlow::Break(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read() {
        let update = |topic: &str, pos, total| Some((topic.to_owned(), pos, total));
        assert_eq!(parse_progress("files 3 10"), update("files", 3, 10));
        assert_eq!(
            parse_progress(" two words  -1 0 "),
            update("two words", -1, 0)
        );
        for line in ["", "files", "files 3", "3 10", "files x 10", "files 3 -1"] {
            assert_eq!(parse_progress(line), None, "{line}");
        }
    }
}
