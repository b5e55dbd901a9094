//! One end, and what it may rely on (link.md, "What a receiver may rely on").

use hgrpc::link::{Link, LinkConfig, LinkError, LinkEvent};

use crate::line::{Line, Rng};

/// Own and peer's session number, seen from the sender.
pub type Connection = (u32, u32);

/// The byte at this place of what is sent in a connection. Many zeros: they make codes.
fn byte_at(connection: Connection, offset: u64) -> u8 {
    let (sender, receiver) = connection;
    let mixed = (u64::from(sender) << 32 | u64::from(receiver))
        .wrapping_add(offset.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let byte = (mixed >> 40) as u8;
    if mixed >> 61 == 0 { 0 } else { byte }
}

/// Whether a frame begins at this place.
fn is_start(connection: Connection, offset: u64) -> bool {
    offset == 0 || byte_at(connection, offset) & 1 == 1
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub packets: u64,
    pub delivered: u64,
    pub ups: u64,
    pub lost: u64,
    pub restarted: u64,
    pub console: u64,
    pub noise: u64,
}

pub struct End<const N: usize> {
    pub link: Link<N>,
    /// The connection that is reported, as this end sees it, and how many bytes came in it.
    pub up: Option<Connection>,
    pub received: u64,
    /// The latest connections, and how many bytes were sent in each.
    pub sent: Vec<(Connection, u64)>,
    pub counts: Counts,
}

impl<const N: usize> End<N> {
    pub fn new(session: u32) -> Self {
        Self {
            link: Link::new(LinkConfig::new(session)),
            up: None,
            received: 0,
            sent: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// A restart: all is forgotten, but for what the test remembers.
    pub fn restart(&mut self, session: u32) {
        self.link = Link::new(LinkConfig::new(session));
        self.up = None;
    }

    pub fn sent_in(&self, connection: Connection) -> u64 {
        self.sent
            .iter()
            .find(|(of, _)| *of == connection)
            .map_or(0, |(_, sent)| *sent)
    }

    /// Takes bytes; `peer` knows what was sent.
    pub fn take<const M: usize>(&mut self, mut input: &[u8], peer: &End<M>) {
        while let Some(event) = self.link.handle_bytes(&mut input) {
            match event {
                LinkEvent::Up => {
                    assert!(self.up.is_none(), "up twice");
                    self.counts.ups += 1;
                    self.received = 0;
                    let connection = (self.link.session(), self.link.peer_session().unwrap());
                    self.up = Some(connection);
                    self.sent.insert(0, (connection, 0));
                    self.sent.truncate(8);
                }
                LinkEvent::Payload {
                    bytes,
                    is_frame_start,
                } => {
                    let (own, other) = self.up.expect("nothing is delivered while not up");
                    let connection = (other, own);
                    assert!(!bytes.is_empty());
                    assert_eq!(is_frame_start, is_start(connection, self.received));
                    for byte in bytes {
                        assert_eq!(*byte, byte_at(connection, self.received));
                        self.received += 1;
                    }
                    assert!(self.received <= peer.sent_in(connection), "never sent");
                    self.counts.delivered += 1;
                }
                LinkEvent::Lost(error) => self.lost(error),
                LinkEvent::Console(text) => self.counts.console += text.len() as u64,
                LinkEvent::Noise(bytes) => {
                    assert!(!bytes.contains(&0), "as it came");
                    self.counts.noise += bytes.len() as u64;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(input.is_empty());
        assert_eq!(self.link.is_up(), self.up.is_some());
    }

    fn lost(&mut self, error: LinkError) {
        assert!(self.up.take().is_some(), "lost without having been up");
        match error {
            LinkError::PeerRestarted => self.counts.restarted += 1,
            _ => self.counts.lost += 1,
        }
    }

    pub fn tick(&mut self) {
        if let Some(error) = self.link.tick() {
            self.lost(error);
        }
    }

    /// Makes the next packet with up to `len` bytes; `None`: not up.
    pub fn packet(&mut self, len: usize, out: &mut [u8]) -> Option<usize> {
        let Some((connection, sent)) = self.sent.first_mut().filter(|_| self.up.is_some()) else {
            let mut nothing: &[u8] = b"x";
            assert!(self.link.packet(&mut nothing, true, out).is_err());
            return None;
        };
        let bytes: Vec<u8> = (0..len.max(1) as u64)
            .map(|n| byte_at(*connection, *sent + n))
            .collect();
        let mut rest = bytes.as_slice();
        let start = is_start(*connection, *sent);
        let packet = self.link.packet(&mut rest, start, out).unwrap();
        let packet_len = packet.len();
        *sent += (bytes.len() - rest.len()) as u64;
        self.counts.packets += 1;
        Some(packet_len)
    }
}

/// Takes everything that lies on the lines, and what that brings about, until both are empty.
/// In pieces of up to `piece` bytes.
pub fn settle<const N: usize, const M: usize>(
    (a, b): (&mut End<N>, &mut End<M>),
    (there, back): (&mut Line, &mut Line),
    mut piece: impl FnMut() -> usize,
) {
    let mut out = [0; 256];
    for round in 0.. {
        assert!(round < 10_000, "they never come to rest");
        while let Some(packet) = a.link.control_packet(&mut out) {
            there.put(packet);
        }
        while let Some(packet) = b.link.control_packet(&mut out) {
            back.put(packet);
        }
        if there.bytes.is_empty() && back.bytes.is_empty() {
            break;
        }
        let bytes: Vec<u8> = there
            .bytes
            .drain(..piece().min(there.bytes.len()))
            .collect();
        b.take(&bytes, a);
        let bytes: Vec<u8> = back.bytes.drain(..piece().min(back.bytes.len())).collect();
        a.take(&bytes, b);
    }
}

/// The same numbers at both ends, everything sent has been delivered.
pub fn assert_whole<const N: usize, const M: usize>(a: &End<N>, b: &End<M>) {
    let (own, other) = a.up.expect("a is up");
    assert_eq!(b.up, Some((other, own)), "they agree");
    assert_eq!(b.received, a.sent_in((own, other)), "b has all of it");
    assert_eq!(a.received, b.sent_in((other, own)), "a has all of it");
}

pub fn random_session(rng: &mut Rng) -> u32 {
    rng.next() as u32
}
