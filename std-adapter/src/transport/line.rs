//! A raw line with a link over it, and the thread that moves its bytes.
//!
//! ```text
//!   line ──read──▶ Link ──payload──▶ Session.inbox ──▶ the connection's reader
//!        ◀─write── Link ◀─────────── Session.outbox ◀── its writer
//!                   │ ▲ tick
//!                   └─▶ up: a new Session, into Arrivals; lost: its end
//! ```

use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
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
        })
    }
}

/// What others may ask of a line's thread.
#[derive(Debug)]
pub(super) struct Control {
    signal: Signal,
    is_ending: AtomicBool,
}

impl Control {
    /// Something is to be done.
    pub(super) fn wake(&self) {
        self.signal.set();
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

/// Puts a link over a line. `is_single`: the line ends with its first connection.
pub(super) fn start(
    raw: Raw,
    settings: LinkSettings,
    console: Option<Console>,
    arrivals: &Arc<Arrivals>,
    is_single: bool,
) -> io::Result<()> {
    let control = Arc::new(Control {
        signal: Signal::new()?,
        is_ending: AtomicBool::new(false),
    });
    arrivals.add(&control);
    let arrivals = Arc::downgrade(arrivals);
    let name = thread::Builder::new().name("hgrpc-line".into());
    let shared = Shared {
        raw,
        console,
        control,
        arrivals,
        is_single,
        settings,
    };
    name.spawn(move || match shared.settings.packet {
        32 => Line::<32>::new(shared).run(),
        64 => Line::<64>::new(shared).run(),
        128 => Line::<128>::new(shared).run(),
        _ => Line::<MAX_PACKET>::new(shared).run(),
    })
    .map(drop)
}

struct Shared {
    raw: Raw,
    console: Option<Console>,
    control: Arc<Control>,
    arrivals: Weak<Arrivals>,
    is_single: bool,
    settings: LinkSettings,
}

/// The thread's own.
struct Line<const N: usize> {
    shared: Shared,
    link: Link<N>,
    /// The connection that is up.
    current: Option<Current>,
    /// The connection with which the line ends: its owner waits for that, to open the line again.
    last: Option<Arc<Session>>,
    has_been_up: bool,
    /// The packet that is being written, and how much of it was.
    packet: Vec<u8>,
    written: usize,
    /// Nothing can be written any more; what came before is still read.
    is_broken: bool,
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
        } = shared.settings;
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
            packet: Vec::new(),
            written: 0,
            is_broken: false,
            tick,
            next_tick: Instant::now() + tick,
        }
    }

    /// Moves bytes until the line ends.
    fn run(mut self) {
        let error = self.moving().err();
        if self.current.is_some() {
            self.end(Ended::Line(error.map(Arc::new)));
        } else if let Some(arrivals) = self.shared.arrivals.upgrade() {
            let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the line has ended");
            arrivals.push(Arrival::Gone(error.unwrap_or_else(ended)));
        }
        let last = self.last.take();
        // Closes the line.
        drop(self);
        if let Some(session) = last {
            session.leave();
        }
    }

    /// The connection that is up has ended.
    fn end(&mut self, ended: Ended) {
        let Some(Current { session, .. }) = self.current.take() else {
            return;
        };
        session.end(ended);
        if self.shared.is_single {
            self.last = Some(session);
        } else {
            session.leave();
        }
    }

    fn moving(&mut self) -> io::Result<()> {
        let mut input = [0; 4096];
        // What is still to be written when all is over.
        let mut until: Option<Instant> = None;
        loop {
            self.shared.control.signal.clear();
            self.close_current();
            self.next_packet();
            let is_over = self.current.is_none()
                && (self.shared.control.is_ending() || (self.shared.is_single && self.has_been_up));
            if is_over {
                let until = *until.get_or_insert_with(|| Instant::now() + GRACE);
                if self.packet.is_empty() || Instant::now() >= until {
                    return Ok(());
                }
            }
            let is_full = (self.current.as_ref()).is_some_and(|current| current.session.is_full());
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !is_full);
            flags.set(PollFlags::OUT, !self.packet.is_empty());
            let found = self.wait(flags)?;
            if self.next_tick <= Instant::now() {
                self.next_tick = Instant::now() + self.tick;
                if is_full {
                    self.link.ask();
                } else if let Some(error) = self.link.tick() {
                    self.end(Ended::Lost(error));
                }
            }
            if found.contains(PollFlags::OUT) {
                self.write();
            }
            // Errors and hang-ups too: reading tells them.
            if !is_full && found.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                match rustix::io::read(&self.shared.raw.file, &mut input) {
                    Ok(0) => return Ok(()),
                    Ok(len) => self.handle(input.get(..len).unwrap_or_default()),
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Waits for the line, a wake-up, or the next tick.
    fn wait(&self, flags: PollFlags) -> io::Result<PollFlags> {
        let left = self.next_tick.saturating_duration_since(Instant::now());
        let until = self.current.as_ref().and_then(|current| current.until);
        let left = until.map_or(left, |until| {
            left.min(until.saturating_duration_since(Instant::now()))
        });
        let timeout = timespec(left);
        let mut files = [
            PollFd::new(&self.shared.control.signal, PollFlags::IN),
            PollFd::new(&self.shared.raw.file, flags),
        ];
        match poll(&mut files, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [_, line] = &files;
        Ok(line.revents())
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
                Some(LinkEvent::Noise(text)) => {
                    show(&self.shared, text, true);
                    Event::Other
                }
                Some(_) => Event::Other,
            };
            match event {
                Event::Up => self.up(),
                Event::Lost(error) => self.end(Ended::Lost(error)),
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
        arrivals.push(Arrival::Up(
            session.connection(self.shared.raw.peer.clone()),
        ));
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
            self.end(Ended::Line(None));
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

fn show(shared: &Shared, bytes: &[u8], is_noise: bool) {
    if let Some(console) = &shared.console {
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
