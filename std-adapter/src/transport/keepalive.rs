//! Noticing that the path to a TCP peer has died, though nobody says so.
//!
//! | on the connection | noticed by |
//! | --- | --- |
//! | nothing is in flight | keepalive probes that are not answered (`SO_KEEPALIVE`) |
//! | bytes in flight are not acknowledged | `TCP_USER_TIMEOUT` |
//! | the peer's system answers, but its program takes nothing | nothing: the path is alive |
//!
//! The kernel counts the last kind against `TCP_USER_TIMEOUT`, too, and would cut a connection whose
//! reader pauses. So one thread for all connections looks at the kernel's table of sockets and moves
//! the limit on for those whose probes are answered. Elsewhere than on Linux there are only the
//! keepalive probes.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;

/// The default of [`Options::keepalive`](super::Options::keepalive).
pub(super) const DEFAULT: Duration = Duration::from_secs(45);

/// Sets a TCP stream's options: small frames go out at once, and a path that was dead for this long
/// ends the connection. `None`: it never does.
///
/// # Errors
/// The peer is gone already.
pub(crate) fn prepare<S>(stream: &Arc<S>, keepalive: Option<Duration>) -> io::Result<()>
where
    S: AsFd + Send + Sync + 'static,
{
    sockopt::set_tcp_nodelay(stream, true)?;
    // What follows is not worth an error.
    let Some(limit) = keepalive.filter(|limit| !limit.is_zero()) else {
        let _ = sockopt::set_socket_keepalive(stream, false);
        return Ok(());
    };
    // The kernel takes whole seconds.
    let limit = limit.max(SECOND);
    probe(stream, limit);
    #[cfg(target_os = "linux")]
    watch::add(stream, limit);
    Ok(())
}

const SECOND: Duration = Duration::from_secs(1);

/// Has a silent peer probed, so that a dead one is known after this long.
fn probe(stream: &impl AsFd, limit: Duration) {
    /// Unanswered probes that end the connection where the kernel has no limit of time.
    const PROBES: u32 = 6;
    // Not worth an error.
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, (limit / 3).max(SECOND));
    let _ = sockopt::set_tcp_keepintvl(stream, (limit / 9).max(SECOND));
    let _ = sockopt::set_tcp_keepcnt(stream, PROBES);
}

#[cfg(target_os = "linux")]
mod watch {
    use std::collections::HashMap;
    use std::fs;
    use std::os::fd::AsFd;
    use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::net::sockopt;

    /// A connection whose limit may have to be moved on.
    struct Watched {
        socket: Weak<dyn AsFd + Send + Sync>,
        inode: u64,
        limit: Duration,
        /// Since when its peer takes nothing.
        stalled: Option<Instant>,
    }

    struct State {
        watched: Vec<Watched>,
        /// How many are taken before those that are gone are looked for: connections may come and
        /// go faster than the thread looks.
        room: usize,
        is_running: bool,
    }

    impl State {
        fn forget_gone(&mut self) {
            self.watched
                .retain(|watched| watched.socket.strong_count() > 0);
            self.watched.shrink_to(2 * LEAST_ROOM);
            self.room = LEAST_ROOM.max(2 * self.watched.len());
        }
    }

    const LEAST_ROOM: usize = 64;

    static STATE: Mutex<State> = Mutex::new(State {
        watched: Vec::new(),
        room: LEAST_ROOM,
        is_running: false,
    });
    static ADDED: Condvar = Condvar::new();

    fn state() -> MutexGuard<'static, State> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Limits how long bytes of this connection may go unacknowledged.
    pub(super) fn add<S>(socket: &Arc<S>, limit: Duration)
    where
        S: AsFd + Send + Sync + 'static,
    {
        set(socket, limit);
        let Ok(found) = rustix::fs::fstat(socket) else {
            return;
        };
        let socket: Weak<S> = Arc::downgrade(socket);
        let mut state = state();
        if state.watched.len() >= state.room {
            state.forget_gone();
        }
        state.watched.push(Watched {
            socket,
            inode: found.st_ino,
            limit,
            stalled: None,
        });
        if !state.is_running {
            let thread = thread::Builder::new().name("hgrpc-keepalive".into());
            // Without the thread, a peer that takes nothing for so long is cut.
            state.is_running = thread.spawn(run).is_ok();
        }
        ADDED.notify_all();
    }

    fn set(socket: &impl AsFd, limit: Duration) {
        let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        // Not worth an error.
        let _ = sockopt::set_tcp_user_timeout(socket, millis);
    }

    /// Looks at all connections, several times within the shortest limit, until there are none.
    fn run() {
        let mut last = Instant::now();
        let mut state = state();
        loop {
            state.forget_gone();
            let Some(shortest) = state.watched.iter().map(|watched| watched.limit).min() else {
                state.is_running = false;
                return;
            };
            let next = last + shortest / 4;
            let now = Instant::now();
            if now >= next {
                last = now;
                drop(state);
                let stalls = stalls();
                state = self::state();
                for watched in &mut state.watched {
                    watched.look(&stalls, now);
                }
            } else {
                state = ADDED
                    .wait_timeout(state, next - now)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        }
    }

    impl Watched {
        fn look(&mut self, stalls: &HashMap<u64, u32>, now: Instant) {
            /// One may be on its way, and another be lost.
            const UNANSWERED: u32 = 3;
            let Some(socket) = self.socket.upgrade() else {
                return;
            };
            match (stalls.get(&self.inode), self.stalled) {
                (None, None) => {}
                (None, Some(_)) => {
                    self.stalled = None;
                    set(&socket.as_fd(), self.limit);
                }
                (Some(&unanswered), since) => {
                    let since = since.unwrap_or(now);
                    self.stalled = Some(since);
                    // The kernel counts from the first probe.
                    if unanswered < UNANSWERED {
                        set(&socket.as_fd(), now - since + 2 * self.limit);
                    }
                }
            }
        }
    }

    /// The sockets of this network namespace whose peer takes nothing, by inode, and how many
    /// probes of whether it takes something again are unanswered.
    fn stalls() -> HashMap<u64, u32> {
        let mut stalls = HashMap::new();
        for table in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
            let table = fs::read_to_string(table).unwrap_or_default();
            stalls.extend(table.lines().filter_map(stall));
        }
        stalls
    }

    /// A line of the table (proc_pid_net(5)): its sixth field is the timer, `04` for probes of a
    /// closed window; the ninth counts those; the tenth is the inode.
    fn stall(line: &str) -> Option<(u64, u32)> {
        let mut fields = line.split_ascii_whitespace();
        if !fields.nth(5)?.starts_with("04:") {
            return None;
        }
        let unanswered = fields.nth(2)?.parse().ok()?;
        Some((fields.next()?.parse().ok()?, unanswered))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn stalled_sockets_are_found() {
            let line = "   1: 0100007F:8AE0 0100007F:1F90 01 0007A120:00000000 04:00000012 00000000 \
                        1000        2 4711 3 00000000deadbeef 20 4 30 10 -1";
            assert_eq!(stall(line), Some((4711, 2)));
            assert_eq!(stall(&line.replace("04:", "01:")), None);
            let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                        uid  timeout inode";
            assert_eq!(stall(head), None);
            assert_eq!(stall(""), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_dead_path_is_noticed_within_a_minute_by_default() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let stream = connect();
        prepare(&stream, Some(DEFAULT)).unwrap();
        assert!(sockopt::tcp_nodelay(&stream).unwrap());
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        let idle = sockopt::tcp_keepidle(&stream).unwrap();
        let between = sockopt::tcp_keepintvl(&stream).unwrap();
        let probes = sockopt::tcp_keepcnt(&stream).unwrap();
        assert!(idle + between * probes < Duration::from_secs(60));
        #[cfg(target_os = "linux")]
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), 45_000);

        let stream = connect();
        prepare(&stream, None).unwrap();
        assert!(!sockopt::socket_keepalive(&stream).unwrap());
        // The shortest.
        prepare(&stream, Some(Duration::from_millis(1))).unwrap();
        assert_eq!(
            sockopt::tcp_keepidle(&stream).unwrap(),
            Duration::from_secs(1)
        );
    }
}
