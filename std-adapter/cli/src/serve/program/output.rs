//! What a program writes: its response, its text, its progress.

use std::time::Duration;

use hgrpc_std::tokio::{Notes, Progress, Reply};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::coop::consume_budget;
use tokio::time::sleep;

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

/// A program's output, on its way to the client.
pub(super) struct Output<'a> {
    pub(super) name: &'a str,
    pub(super) peer: &'a str,
    pub(super) stdout: Option<Receiver>,
    pub(super) stderr: Option<Receiver>,
    pub(super) progress: Option<Receiver>,
    /// Bytes of the response that are left.
    pub(super) left: u64,
    pub(super) watch: &'a Watch,
}

impl Output<'_> {
    pub(super) async fn run(mut self, reply: &mut Reply) {
        let watch = self.watch;
        if let Err(end) = self.copy(reply).await {
            watch.end(end);
        }
        // Closed: a program that still writes is told so by that.
        drop(self);
        watch.read();
    }

    async fn copy(&mut self, reply: &mut Reply) -> Result<(), End> {
        let side = reply.notes();
        let mut buffer = vec![0; CHUNK];
        let mut text = Lines::new(TEXT);
        let mut progress = Lines::new(PROGRESS);
        let mut has_exited = false;
        let mut is_flushed = true;
        while self.stdout.is_some() || self.stderr.is_some() || self.progress.is_some() {
            if has_exited && self.watch.reason().is_some() {
                break;
            }
            // A program that always writes must not keep this thread to itself.
            consume_budget().await;
            let mut has_some = false;
            // Text first: it is about what comes.
            if let Some(mut bytes) = take(&mut self.stderr, &mut buffer) {
                while let Some(line) = text.next(&mut bytes) {
                    self.text(&side, &line).await?;
                }
                has_some = true;
            }
            if let Some(bytes) = take(&mut self.progress, &mut buffer) {
                self.progress(&side, &mut progress, bytes).await?;
                has_some = true;
            }
            if let Some(bytes) = take(&mut self.stdout, &mut buffer) {
                let len = usize::try_from(self.left).map_or(bytes.len(), |l| l.min(bytes.len()));
                let (allowed, over) = bytes.split_at(len);
                reply.write_all(allowed).await.map_err(|_| End::Gone)?;
                self.left -= u64::try_from(len).unwrap_or(u64::MAX);
                if !over.is_empty() {
                    return Err(End::TooLong);
                }
                is_flushed = false;
                has_some = true;
            }
            if has_some {
                continue;
            }
            if !is_flushed {
                // Nothing more comes at once: what there is goes out.
                reply.flush().await.map_err(|_| End::Gone)?;
                is_flushed = true;
            }
            tokio::select! {
                () = readable(&self.stdout) => {}
                () = readable(&self.stderr) => {}
                () = readable(&self.progress) => {}
                () = self.watch.wait_exited(), if !has_exited => has_exited = true,
                () = sleep(SILENCE), if has_exited => break,
            }
        }
        if let Some(line) = text.finish() {
            self.text(&side, &line).await?;
        }
        Ok(())
    }

    /// A line of the error output: to the client, or where it takes none, to ours.
    async fn text(&self, side: &Notes, line: &[u8]) -> Result<(), End> {
        let line = String::from_utf8_lossy(line);
        if !side.is_taken() {
            log::program(self.peer, format_args!("{}: {line}", self.name));
            return Ok(());
        }
        let text = format!("{line}\n");
        side.text(text).await.map_err(|_| End::Gone)
    }

    /// Lines `TOPIC POS TOTAL`. Of those that come together, the last of a topic is sent.
    async fn progress(&self, side: &Notes, lines: &mut Lines, mut bytes: &[u8]) -> Result<(), End> {
        let mut last: Option<(String, i64, u64)> = None;
        while let Some(line) = lines.next(&mut bytes) {
            let line = String::from_utf8_lossy(&line);
            let Some(update) = parse_progress(&line) else {
                log::program(
                    self.peer,
                    format_args!("{}: not TOPIC POS TOTAL: {line}", self.name),
                );
                continue;
            };
            if let Some(before) = last.take()
                && before.0 != update.0
            {
                send_progress(side, &before).await?;
            }
            last = Some(update);
        }
        match last {
            Some(update) => send_progress(side, &update).await,
            None => Ok(()),
        }
    }
}

async fn send_progress(side: &Notes, update: &(String, i64, u64)) -> Result<(), End> {
    let (topic, pos, total) = update;
    let progress = Progress::new(topic, *pos, *total);
    side.progress(&progress).await.map_err(|_| End::Gone)
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

/// Waits until there is something to be read, or the end; for ever where the file was closed.
async fn readable(file: &Option<Receiver>) {
    match file {
        // What is wrong with it, reading says.
        Some(file) => drop(file.readable().await),
        None => std::future::pending().await,
    }
}

/// Reads what there is, if there is anything; at the end the file is closed.
fn take<'b>(file: &mut Option<Receiver>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    use std::io::ErrorKind::{Interrupted, WouldBlock};
    let len = match file.as_ref()?.try_read(buffer) {
        Ok(len) => len,
        Err(error) if matches!(error.kind(), Interrupted | WouldBlock) => return None,
        Err(_) => 0,
    };
    if len == 0 {
        *file = None;
    }
    buffer.get(..len)
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
