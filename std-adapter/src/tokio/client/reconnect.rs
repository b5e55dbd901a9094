//! A client that connects again.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::request::{Draft, send, within};
use super::{Client, Request, Response};
use crate::tokio::{CallError, Config, ConnectionError, Lost};

/// How long to wait before connecting again.
///
/// The first attempt is made at once. One fails if there is no connection, or if that ends before
/// the server has said anything. Before attempt *n* after that, the wait is a random part,
/// between half and all, of `first` × 2ⁿ⁻¹, at most `longest`: so that a thousand clients of a server
/// that has restarted do not all come back at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The first wait. Default: 100 ms.
    pub first: Duration,
    /// The longest wait. Default: 30 s.
    pub longest: Duration,
    /// After so many attempts in a row that failed, all calls that wait fail; the next one begins to
    /// count anew. Default: 10, which is about a minute and a half. `None`: they wait for as long as
    /// their own time allows.
    pub attempts: Option<u32>,
}

impl Backoff {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(30),
        attempts: Some(10),
    };

    /// The wait after so many attempts that failed, with `random` for its random part.
    fn wait(&self, failed: u32, random: u64) -> Duration {
        let doublings = failed.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        // 0 to 65,535 of 65,536 parts of a half.
        let part = u32::from(u16::from_le_bytes({
            let [a, b, ..] = random.to_le_bytes();
            [a, b]
        }));
        whole / 2 + (whole / 2 / 65_536).saturating_mul(part)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

type Connect = dyn Fn() -> BoxFuture<'static, io::Result<Client>> + Send + Sync;

/// A client that connects when it is first used, and again when its connection has ended. Clone it
/// to call from many tasks.
///
/// # Which calls are made again
/// Only those of which nothing was sent: they wait for the next connection, with its
/// [back-off](Backoff), until their own time is up. A call that is on its way when the connection
/// ends fails with [`CallError::Connection`], since whether the server has run it cannot be known;
/// call again what may be run twice.
///
/// # Errors of connecting
/// They are those of the closure, which is called by whoever calls first; the others wait for it.
/// After [`Backoff::attempts`] that failed, all of them fail with [`ConnectionError::Connect`], in a
/// [`CallError::Connection`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use hgrpc_std::tokio::{Backoff, Client, Config, ReconnectingClient};
/// use tokio::net::TcpStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::default();
/// let client = ReconnectingClient::new(&config, Backoff::default(), |config| async move {
///     Ok(Client::spawn(TcpStream::connect("127.0.0.1:7070").await?, &config))
/// });
/// let call = client.call("status").timeout(Duration::from_secs(5));
/// println!("{}", call.send().await?.read_text(1000).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReconnectingClient(Arc<Inner>);

struct Inner {
    config: Config,
    backoff: Backoff,
    connect: Box<Connect>,
    /// Who holds it connects; the others wait for that.
    state: Mutex<State>,
    /// How often connecting was given up.
    given_up: AtomicU64,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    /// Attempts that failed, one after another.
    failed: u32,
    /// When the next attempt may be made.
    next: Option<Instant>,
    /// Why connecting was given up last.
    error: Option<(io::ErrorKind, String)>,
}

impl State {
    /// An attempt has failed; its error, if it was one too many.
    fn failed(&mut self, inner: &Inner, error: io::Error) -> io::Result<()> {
        self.failed = self.failed.saturating_add(1);
        let wait = inner.backoff.wait(self.failed, random());
        self.next = Some(Instant::now() + wait);
        debug!(%error, failed = self.failed, ?wait, "no connection");
        if inner
            .backoff
            .attempts
            .is_some_and(|most| self.failed >= most)
        {
            self.failed = 0;
            self.error = Some((error.kind(), error.to_string()));
            inner.given_up.fetch_add(1, Ordering::Release);
            return Err(error);
        }
        Ok(())
    }

    /// The error of whoever has given up connecting, for those who waited for that.
    fn same_error(&self) -> io::Error {
        match &self.error {
            Some((kind, message)) => io::Error::new(*kind, message.clone()),
            None => io::ErrorKind::NotConnected.into(),
        }
    }
}

impl ReconnectingClient {
    /// A client that gets its connections from `connect`, which is given this configuration. It is
    /// not called before the first call. A connection is closed when this client, all its clones and
    /// responses are dropped.
    pub fn new<C, F>(config: &Config, backoff: Backoff, connect: C) -> Self
    where
        C: Fn(Config) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<Client>> + Send + 'static,
    {
        let given = config.clone();
        Self(Arc::new(Inner {
            config: config.clone(),
            backoff,
            connect: Box::new(move || Box::pin(connect(given.clone()))),
            state: Mutex::default(),
            given_up: AtomicU64::new(0),
        }))
    }

    /// A call of this command, to be given arguments and sent.
    pub fn call(&self, command: impl AsRef<[u8]>) -> Request<'_> {
        Request::reconnecting(self, command.as_ref().to_vec())
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    /// A client whose connection is open, as far as can be known: the one there is, or a new one.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// Connecting has failed so often that [`Backoff::attempts`] gives up.
    pub async fn client(&self) -> io::Result<Client> {
        let inner = &*self.0;
        let given_up = || inner.given_up.load(Ordering::Acquire);
        let before = given_up();
        let mut state = inner.state.lock().await;
        let has_given_up = given_up() != before;
        loop {
            if let Some(client) = &state.client {
                let Some(ended) = client.ended() else {
                    return Ok(client.clone());
                };
                let said_nothing = client.traffic().bytes_in == 0;
                state.client = None;
                if said_nothing {
                    // As good as none: a server that closes at once is not to be asked in a loop.
                    state.failed(inner, ended.into())?;
                } else {
                    *state = State::default();
                }
            }
            if has_given_up {
                return Err(state.same_error());
            }
            if let Some(next) = state.next {
                sleep_until(next).await;
            }
            match (inner.connect)().await {
                Ok(client) => state.client = Some(client),
                Err(error) => state.failed(inner, error)?,
            }
        }
    }

    /// Sends a call, over one connection after another as long as nothing of it was sent.
    pub(super) async fn send(&self, draft: Draft) -> Result<Response, CallError> {
        let command = String::from_utf8_lossy(&draft.command).into_owned();
        let deadline = draft.deadline;
        let (mut outgoing, source) = draft.prepare(self.0.config.revision)?;
        loop {
            let client = within(deadline, self.client()).await;
            let client = client.ok_or(CallError::TimedOut)?.map_err(|error| {
                CallError::Connection(Lost {
                    command: command.clone(),
                    received: 0,
                    error: ConnectionError::Connect(Arc::new(error)),
                })
            })?;
            match send(outgoing, &client.handle, deadline).await {
                Ok(sending) => return Ok(sending.answer(source)),
                Err(unsent) => outgoing = unsent.outgoing.ok_or(unsent.error)?,
            }
        }
    }
}

impl fmt::Debug for ReconnectingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingClient")
            .field("config", &self.0.config)
            .field("backoff", &self.0.backoff)
            .finish_non_exhaustive()
    }
}

/// A number that differs from process to process and from call to call; not for secrets.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_with_a_random_half() {
        let backoff = Backoff::DEFAULT;
        let millis = |failed, random| backoff.wait(failed, random).as_millis();
        assert_eq!((millis(1, 0), millis(2, 0), millis(3, 0)), (50, 100, 200));
        assert!((99..=100).contains(&millis(1, u64::MAX)));
        assert_eq!(millis(9, 0), 12_800);
        assert_eq!((millis(10, 0), millis(u32::MAX, 0)), (15_000, 15_000));
    }
}
