//! A request's data on its way to a program's standard input; then, whether the client is there.

use std::convert::Infallible;

use hgrpc_std::tokio::{Data, Gone, Notes};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Sender;
use tokio_util::sync::CancellationToken;

use super::watch::{End, Watch};
use crate::serve::client;

/// What a program gets, and from whom.
pub(super) struct Input<'a> {
    pub(super) data: Option<Data>,
    pub(super) stdin: Option<Sender>,
    pub(super) side: Notes,
    pub(super) gone: &'a Gone,
    /// The connection has ended.
    pub(super) abandoned: &'a CancellationToken,
    pub(super) watch: &'a Watch,
}

impl Input<'_> {
    /// Feeds the program, and ends it when its client goes away; then does nothing. A client that
    /// has only closed its sending half still gets its answer.
    pub(super) async fn run(mut self) -> Infallible {
        let (watch, abandoned) = (self.watch, self.abandoned);
        tokio::select! {
            () = watch.wait_exited() => {}
            () = abandoned.cancelled() => watch.end(End::Gone),
            () = self.until_gone() => watch.end(End::Gone),
        }
        // Its input stays open until then, so that it does not take what it has for all.
        watch.wait_exited().await;
        drop(self);
        std::future::pending().await
    }

    async fn until_gone(&mut self) {
        if let (Some(data), Some(stdin)) = (&mut self.data, &mut self.stdin)
            && feed(data, stdin, &self.side).await.is_err()
        {
            return;
        }
        self.stdin = None;
        // What still comes is swallowed.
        self.data = None;
        client::left(self.gone, &self.side).await;
    }
}

/// The client has gone before its data had ended.
struct Cut;

/// Feeds the program until it has all of it, or wants no more.
async fn feed(data: &mut Data, stdin: &mut Sender, side: &Notes) -> Result<(), Cut> {
    loop {
        let bytes = data.fill_buf().await.map_err(|_| Cut)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let written = tokio::select! {
            written = stdin.write(bytes) => written,
            () = client::left_unread(side) => return Err(Cut),
        };
        match written {
            Ok(len) => data.consume(len),
            // It reads no more.
            Err(_) => return Ok(()),
        }
    }
}
