//! Raw lines with links over them, and the thread that moves the bytes of all lines of a listener, or
//! of the one of a client.
//!
//! ```text
//!   line ──read──▶ Link ──payload──▶ Session.inbox ──▶ the connection's reader
//!        ◀─write── Link ◀─────────── Session.outbox ◀── its writer
//!                   │ ▲ tick
//!                   └─▶ up: a new Session, into Arrivals; lost: its end
//! ```

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc::link::{Link, LinkConfig, LinkError, LinkEvent, MAX_PACKET};
use hgrpc::wire::FrameReader;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::LinkSettings;
use super::arrivals::{Arrival, Arrivals};
use super::options::{Console, Stray};
use super::session::{Ended, GRACE, Session};
use super::signal::Signal;
use super::wake::timespec;
use crate::host::origin::Origin;

/// How often a peer is asked where it is, unless the line is slow.
const TICK: Duration = Duration::from_millis(200);

/// A line, before a link is put over it.
#[derive(Debug)]
pub(super) struct Raw {
    /// It does not block.
    pub(super) file: OwnedFd,
    /// Bits a second, if that is known.
    pub(super) baud: Option<u32>,
    /// Who is at the other end, for messages.
    pub(super) peer: String,
    /// Where it is, if it has come in over TCP.
    pub(super) address: Option<SocketAddr>,
}

/// Bytes that may wait in a socket: what is said of a link must not wait behind too many.
const SEND_BUFFER: usize = 8 * 1024;

impl Raw {
    /// A socket's bytes.
    pub(super) fn socket(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let file = socket.into();
        rustix::io::ioctl_fionbio(&file, true)?;
        // Not worth an error. Only one of a kind takes the second.
        let _ = sockopt::set_socket_send_buffer_size(&file, SEND_BUFFER);
        let _ = sockopt::set_tcp_nodelay(&file, true);
        Ok(Self {
            file,
            baud: None,
            peer: String::new(),
            address: None,
        })
    }

    /// With whose lines it counts.
    pub(super) fn origin(&self) -> Origin {
        self.address
            .map_or(Origin::Unknown, |address| Origin::of(address.ip()))
    }
}

/// What is to be done with a line.
pub(super) struct Plan {
    pub(super) settings: LinkSettings,
    pub(super) console: Option<Console>,
    /// How long it may be without a connection; none: for ever.
    pub(super) silence: Option<Duration>,
    /// It ends with its first connection.
    pub(super) is_single: bool,
    /// Set when the peer sends data of another connection while there is none.
    pub(super) is_busy: Arc<AtomicBool>,
}

/// What others may ask of a line.
#[derive(Debug)]
pub(super) struct Control {
    mover: Arc<Mover>,
    is_ending: AtomicBool,
}

impl Control {
    /// Something is to be done.
    pub(super) fn wake(&self) {
        self.mover.signal.set();
    }

    /// Ends the line as soon as it has no connection.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::SeqCst)
    }
}

/// Puts a link over a line.
pub(super) fn start(raw: Raw, plan: Plan, arrivals: &Arc<Arrivals>) -> io::Result<()> {
    let mover = arrivals.mover();
    let control = Arc::new(Control {
        mover: Arc::clone(mover),
        is_ending: AtomicBool::new(false),
    });
    arrivals.add(raw.origin(), &control);
    mover.add(Shared {
        raw,
        plan,
        control,
        arrivals: Arc::downgrade(arrivals),
    })
}

/// A thread that moves the bytes of lines, while there are any.
#[derive(Debug)]
pub(super) struct Mover {
    signal: Signal,
    state: Mutex<MoverState>,
}

#[derive(Debug, Default)]
struct MoverState {
    /// Lines that the thread has not taken.
    new: Vec<Shared>,
    is_running: bool,
}

impl Mover {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            signal: Signal::new()?,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, MoverState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, line: Shared) -> io::Result<()> {
        let packet = line.plan.settings.packet;
        let mut state = self.state();
        if !state.is_running {
            let mover = Arc::clone(self);
            // Packets of all its lines are of one size.
            thread::Builder::new()
                .name("hgrpc-line".into())
                .spawn(move || match packet {
                    32 => mover.run::<32>(),
                    64 => mover.run::<64>(),
                    128 => mover.run::<128>(),
                    _ => mover.run::<MAX_PACKET>(),
                })?;
            state.is_running = true;
        }
        state.new.push(line);
        drop(state);
        self.signal.set();
        Ok(())
    }

    fn run<const N: usize>(&self) {
        let mut input = [0; 4096];
        let mut lines: Vec<Box<Line<N>>> = Vec::new();
        loop {
            self.signal.clear();
            let mut state = self.state();
            lines.extend(state.new.drain(..).map(|line| Box::new(Line::new(line))));
            if lines.is_empty() {
                // With the next line comes another thread.
                state.is_running = false;
                return;
            }
            drop(state);
            lines.retain_mut(|line| line.prepare());
            let mut found = self.wait(&lines).into_iter();
            lines.retain_mut(|line| {
                let found = found.next().unwrap_or_else(PollFlags::empty);
                line.serve(found, &mut input)
            });
        }
    }

    /// Waits for a line, a wake-up, or the time when something is to be done; what there is of each
    /// line.
    fn wait<const N: usize>(&self, lines: &[Box<Line<N>>]) -> Vec<PollFlags> {
        let now = Instant::now();
        let Some(due) = lines.iter().map(|line| line.due()).min() else {
            return Vec::new();
        };
        let timeout = timespec(due.saturating_duration_since(now));
        let mut files = vec![PollFd::new(&self.signal, PollFlags::IN)];
        files.extend((lines.iter()).map(|line| PollFd::new(&line.shared.raw.file, line.wanted)));
        match poll(&mut files, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            // Mostly for want of memory.
            Err(_) => thread::sleep(TICK),
        }
        files.iter().skip(1).map(PollFd::revents).collect()
    }
}

struct Shared {
    raw: Raw,
    plan: Plan,
    control: Arc<Control>,
    arrivals: Weak<Arrivals>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("raw", &self.raw)
            .field("control", &self.control.is_ending)
            .finish_non_exhaustive()
    }
}

/// A connection that the thread has done with when this is dropped.
struct Leaving(Arc<Session>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The thread's own.
struct Line<const N: usize> {
    // Before `last`: the line is closed when the owner of its last connection, who waits to open it
    // again, is told.
    shared: Shared,
    link: Link<N>,
    /// The connection that is up.
    current: Option<Current>,
    /// The connection with which the line ends.
    last: Option<Leaving>,
    has_been_up: bool,
    /// It has no connection since.
    alone_since: Instant,
    /// The packet that is being written, and how much of it was.
    packet: Vec<u8>,
    written: usize,
    /// Nothing can be written any more; what came before is still read.
    is_broken: bool,
    /// The connection's reader has enough.
    is_full: bool,
    /// What it waits for.
    wanted: PollFlags,
    /// All is over; until then the rest may be written.
    until: Option<Instant>,
    tick: Duration,
    next_tick: Instant,
}

struct Current {
    session: Arc<Session>,
    /// Follows what is sent, for the mark of packets that begin with a frame.
    frames: FrameReader,
    /// Its owner has closed it, and it has until then to send the rest.
    until: Option<Instant>,
}

/// What the link said, with nothing borrowed.
enum Event {
    Up,
    Lost(LinkError),
    Other,
}

impl<const N: usize> Line<N> {
    fn new(shared: Shared) -> Self {
        let LinkSettings {
            packet, patience, ..
        } = shared.plan.settings;
        // Two packets each way, at ten bits a byte.
        let bits = u64::from(packet) * 40 * 1000;
        let slow = shared.raw.baud.map_or(0, |baud| bits / u64::from(baud));
        let patience = Duration::from_secs(patience.into());
        let tick = TICK
            .max(Duration::from_millis(slow))
            .max(patience / u32::from(u8::MAX));
        let ticks = patience.as_millis() / tick.as_millis().max(1);
        let mut config = LinkConfig::new(random());
        config.patience = match u8::try_from(ticks) {
            Ok(0) if !patience.is_zero() => 1,
            Ok(ticks) => ticks,
            Err(_) => u8::MAX,
        };
        Self {
            shared,
            link: Link::new(config),
            current: None,
            last: None,
            has_been_up: false,
            alone_since: Instant::now(),
            packet: Vec::new(),
            written: 0,
            is_broken: false,
            is_full: false,
            wanted: PollFlags::empty(),
            until: None,
            tick,
            next_tick: Instant::now() + tick,
        }
    }

    /// Says why the line has ended.
    fn end(&mut self, error: Option<io::Error>) {
        if self.current.is_some() {
            self.disconnected(Ended::Line(error.map(Arc::new)));
        } else if let Some(arrivals) = self.shared.arrivals.upgrade() {
            let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the line has ended");
            arrivals.push(Arrival::Gone(error.unwrap_or_else(ended)));
        }
    }

    /// The connection that is up has ended.
    fn disconnected(&mut self, ended: Ended) {
        let Some(Current { session, .. }) = self.current.take() else {
            return;
        };
        session.end(ended);
        self.alone_since = Instant::now();
        let leaving = Leaving(session);
        if self.shared.plan.is_single {
            self.last = Some(leaving);
        }
    }

    /// Does what is to be done before the line is waited for; `false` if it has ended.
    fn prepare(&mut self) -> bool {
        self.close_current();
        self.next_packet();
        let now = Instant::now();
        if self.current.is_none() {
            let plan = &self.shared.plan;
            let is_over = self.shared.control.is_ending() || (plan.is_single && self.has_been_up);
            let until = match is_over {
                true => Some(*self.until.get_or_insert(now + GRACE)),
                false => None,
            };
            if until.is_some_and(|until| self.packet.is_empty() || now >= until) {
                self.end(None);
                return false;
            }
            if (plan.silence).is_some_and(|silence| now >= self.alone_since + silence) {
                self.end(Some(io::ErrorKind::TimedOut.into()));
                return false;
            }
        }
        self.is_full = (self.current.as_ref()).is_some_and(|current| current.session.is_full());
        self.wanted = PollFlags::empty();
        self.wanted.set(PollFlags::IN, !self.is_full);
        self.wanted.set(PollFlags::OUT, !self.packet.is_empty());
        true
    }

    /// When something is to be done whatever comes.
    fn due(&self) -> Instant {
        let until = self.current.as_ref().and_then(|current| current.until);
        until.map_or(self.next_tick, |until| until.min(self.next_tick))
    }

    /// Does what can be done; `false` if the line has ended.
    fn serve(&mut self, found: PollFlags, input: &mut [u8]) -> bool {
        if self.next_tick <= Instant::now() {
            self.next_tick = Instant::now() + self.tick;
            if self.is_full {
                self.link.ask();
            } else if let Some(error) = self.link.tick() {
                self.disconnected(Ended::Lost(error));
            }
        }
        if found.contains(PollFlags::OUT) {
            self.write();
        }
        // Errors and hang-ups too: reading tells them.
        if !self.is_full && found.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            match rustix::io::read(&self.shared.raw.file, &mut *input) {
                Ok(0) => {
                    self.end(None);
                    return false;
                }
                Ok(len) => self.handle(input.get(..len).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => {
                    self.end(Some(error.into()));
                    return false;
                }
            }
        }
        true
    }

    /// Takes what has come.
    fn handle(&mut self, mut input: &[u8]) {
        loop {
            let event = match self.link.handle_bytes(&mut input) {
                None => return,
                Some(LinkEvent::Up) => Event::Up,
                Some(LinkEvent::Lost(error)) => Event::Lost(error),
                Some(LinkEvent::Payload { bytes, .. }) => {
                    if let Some(current) = &self.current {
                        current.session.deliver(bytes);
                    }
                    Event::Other
                }
                Some(LinkEvent::Console(text)) => {
                    show(&self.shared, text, false);
                    Event::Other
                }
                // Row L6: of another connection, and so nothing to do with this end.
                Some(LinkEvent::Noise(packet)) if self.current.is_none() && is_data(packet) => {
                    self.shared.plan.is_busy.store(true, Ordering::SeqCst);
                    Event::Other
                }
                Some(LinkEvent::Noise(packet)) => {
                    show(&self.shared, packet, true);
                    Event::Other
                }
                Some(_) => Event::Other,
            };
            match event {
                Event::Up => self.up(),
                Event::Lost(error) => self.disconnected(Ended::Lost(error)),
                Event::Other => {}
            }
        }
    }

    fn up(&mut self) {
        let arrivals = self.shared.arrivals.upgrade();
        let Some(arrivals) = arrivals.filter(|_| !self.shared.control.is_ending()) else {
            return self.link.disconnect();
        };
        let session = Session::new(Arc::clone(&self.shared.control));
        arrivals.push(Arrival::Up(session.connection(&self.shared.raw)));
        self.has_been_up = true;
        self.current = Some(Current {
            session,
            frames: FrameReader::new(u32::MAX),
            until: None,
        });
    }

    /// Gives up the connection that its owner has closed, once all that was written is out.
    fn close_current(&mut self) {
        let Some(current) = &mut self.current else {
            return;
        };
        if !current.session.is_closed() {
            return;
        }
        let until = *current.until.get_or_insert_with(|| Instant::now() + GRACE);
        let is_done = current.session.is_done() && self.packet.is_empty();
        if is_done || Instant::now() >= until {
            self.link.disconnect();
            self.disconnected(Ended::Line(None));
        }
    }

    /// Makes the next packet, if none is being written.
    fn next_packet(&mut self) {
        if self.is_broken || !self.packet.is_empty() {
            return;
        }
        let mut out = [0; N];
        if let Some(packet) = self.link.control_packet(&mut out) {
            self.packet.extend_from_slice(packet);
            return;
        }
        let Some(current) = &mut self.current else {
            return;
        };
        let (link, frames, packet) = (&mut self.link, &mut current.frames, &mut self.packet);
        current.session.take_outgoing(|bytes| {
            let is_frame_start = frames.received() == 0 && frames.current().is_none();
            let mut rest = bytes;
            // Without a connection it is about to be told so.
            if let Ok(made) = link.packet(&mut rest, is_frame_start, &mut out) {
                packet.extend_from_slice(made);
            }
            let len = bytes.len() - rest.len();
            let mut sent = bytes.get(..len).unwrap_or_default();
            // No length is over the reader's maximum.
            while let Ok(Some(_)) = frames.next(&mut sent) {}
            len
        });
    }

    fn write(&mut self) {
        let rest = self.packet.get(self.written..).unwrap_or_default();
        match rustix::io::write(&self.shared.raw.file, rest) {
            Ok(len) => self.written += len,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.is_broken = true,
        }
        if self.is_broken || self.written >= self.packet.len() {
            self.packet.clear();
            self.written = 0;
        }
    }
}

/// Whether a packet that is not taken claims to hold data: its kind comes after its code (link.md,
/// "Packets").
fn is_data(packet: &[u8]) -> bool {
    matches!(packet, [_, 0xf8 | 0xf9, ..])
}

fn show(shared: &Shared, bytes: &[u8], is_noise: bool) {
    if let Some(console) = &shared.plan.console {
        console(&Stray::new(&shared.raw.peer, bytes, is_noise));
    }
}

/// A session number that no earlier run had (link.md, "Session numbers").
fn random() -> u32 {
    let [a, b, c, d, ..] = std::hash::RandomState::new()
        .build_hasher()
        .finish()
        .to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
