//! A child's standard input and output as a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{Connection, Left};
use crate::transport::exec::{EXIT_DELAY, ExecLink, Running, spawn};

/// Runs a program and connects to it.
pub(super) fn connect(program: &str, args: &[String], name: String) -> io::Result<Connection> {
    let (stdin, stdout, link) = spawn(program, args)?;
    let (alive, left) = watch::channel(());
    let program = Program(link.running());
    let link = Arc::new(Background(Some((link, alive))));
    let reader = Half {
        pipe: Some(ChildStdout::from_std(stdout)?),
        _link: Arc::clone(&link),
    };
    let writer = Half {
        pipe: Some(ChildStdin::from_std(stdin)?),
        _link: link,
    };
    let mut connection = Connection::new(reader, writer, name);
    connection.program = Some(program);
    connection.left = Left(Some(left));
    Ok(connection)
}

/// The program at the other end of a connection (`exec:`). It does not keep the connection open.
#[derive(Clone, Debug)]
pub struct Program(Arc<Running>);

impl Program {
    /// How the program ended, for messages after its end was read; `None` if it goes on. Waits for
    /// a tenth of a second at most, since its exit may come a little after its output's end.
    pub async fn exit_status(&self) -> Option<ExitStatus> {
        const PAUSE: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + EXIT_DELAY;
        loop {
            let status = self.0.exit_status();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the program to end, and kills it when it does not within a second.
    pub fn end(&self) {
        self.0.end();
    }
}

/// Has the program ended on a thread of its own: that waits.
struct Background(Option<(ExecLink, watch::Sender<()>)>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            // Without a thread, whoever drops this waits.
            let _ = thread::Builder::new()
                .name("hgrpc-exec".into())
                .spawn(move || drop(link));
        }
    }
}

/// A pipe, which is closed before the program is waited for; none once it was shut down.
struct Half<T> {
    pipe: Option<T>,
    _link: Arc<Background>,
}

impl<T> Half<T> {
    fn pipe(&mut self) -> io::Result<Pin<&mut T>>
    where
        T: Unpin,
    {
        match &mut self.pipe {
            Some(pipe) => Ok(Pin::new(pipe)),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl AsyncRead for Half<ChildStdout> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pipe()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Half<ChildStdin> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pipe()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pipe()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe()?.poll_flush(context)
    }

    /// Closes it: only that tells the program that no more comes.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe = None;
        Poll::Ready(Ok(()))
    }
}
