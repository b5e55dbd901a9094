//! Listening, and an orderly end.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};

use super::Server;

/// How long accepting pauses when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Serves the connections of a listener until `stop` is ready, then lets what runs end within
    /// [`ServerLimits::shutdown`](super::ServerLimits::shutdown).
    ///
    /// Commands run in tokio's blocking threads; the runtime needs I/O and time enabled.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let limits = self.0.config.limits;
        let connections = Arc::new(Semaphore::new(limits.connections));
        let graceful = GracefulShutdown::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = async {
                let permit = Arc::clone(&connections).acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => break,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Not worth an error: it is slower without.
            let _ = stream.set_nodelay(true);
            let connection = graceful.watch(self.connection(stream, Some(peer)));
            tokio::spawn(async move {
                // Its errors are the client's: gone, or not HTTP.
                let _ = connection.await;
                drop(permit);
            });
        }
        drop(listener);
        let _ = tokio::time::timeout(limits.shutdown, graceful.shutdown()).await;
    }

    /// Serves one connection that the caller has accepted, over any byte stream: one with TLS, a
    /// Unix socket. Returns when it is over. [`ServerLimits::connections`] does not count it.
    ///
    /// Commands run in tokio's blocking threads; the runtime needs time enabled.
    ///
    /// [`ServerLimits::connections`]: super::ServerLimits::connections
    pub async fn serve_connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Option<SocketAddr>,
    ) {
        // Its errors are the client's: gone, or not HTTP.
        let _ = self.connection(stream, peer).await;
    }

    fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        peer: Option<SocketAddr>,
    ) -> impl GracefulConnection<Output = hyper::Result<()>> + use<S> {
        let server = self.clone();
        let service = service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(request, peer).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.0.config.limits.read)
            .serve_connection(TokioIo::new(stream), service)
    }

    /// Serves a listener in a thread of its own, with a runtime of its own.
    ///
    /// # Errors
    /// The listener cannot be used so, or the system has no threads left.
    pub fn start(&self, listener: std::net::TcpListener) -> io::Result<Running> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime()?;
        let server = self.clone();
        listener.set_nonblocking(true)?;
        let thread = thread::Builder::new()
            .name("hgrpc-http".into())
            .spawn(move || {
                server.run_in(runtime, listener, async {
                    if stopped.await.is_err() {
                        // Nobody can stop it any more.
                        std::future::pending().await
                    }
                });
            })?;
        Ok(Running {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Serves a listener in this thread, for as long as the program runs.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn run(&self, listener: std::net::TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.run_in(runtime()?, listener, std::future::pending());
        Ok(())
    }

    fn run_in(
        &self,
        runtime: Runtime,
        listener: std::net::TcpListener,
        stop: impl Future<Output = ()>,
    ) {
        runtime.block_on(async {
            // Fails only outside of a runtime.
            if let Ok(listener) = TcpListener::from_std(listener) {
                self.serve(listener, stop).await;
            }
        });
        // A command that still runs is not waited for: its client is gone, and it is told so.
        runtime.shutdown_background();
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("hgrpc-http")
        .enable_io()
        .enable_time()
        .build()
}

/// A server that runs in a thread of its own. Dropped, it goes on.
#[must_use = "only this can stop the server"]
pub struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it: no connection is accepted any more, what runs may end. Returns when it has, within
    /// [`ServerLimits::shutdown`](super::ServerLimits::shutdown).
    pub fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
