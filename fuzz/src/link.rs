//! One end of a link over any bytes and any split, and two ends over a line that the input damages.

use hgrpc::link::{Link, LinkConfig, LinkError, LinkEvent};

use crate::input::Input;

/// What an end was told; pieces of text and of noise are joined.
#[derive(Debug, PartialEq)]
enum Told {
    Up,
    Lost(LinkError),
    Payload(Vec<u8>, bool),
    Console(Vec<u8>),
    Noise(Vec<u8>),
}

fn take<const N: usize>(link: &mut Link<N>, mut bytes: &[u8], told: &mut Vec<Told>) {
    while let Some(event) = link.handle_bytes(&mut bytes) {
        match (event, told.last_mut()) {
            (LinkEvent::Console(more), Some(Told::Console(text)))
            | (LinkEvent::Noise(more), Some(Told::Noise(text))) => text.extend(more),
            (LinkEvent::Console(text), _) => told.push(Told::Console(text.to_vec())),
            (LinkEvent::Noise(text), _) => told.push(Told::Noise(text.to_vec())),
            (LinkEvent::Up, _) => told.push(Told::Up),
            (LinkEvent::Lost(error), _) => told.push(Told::Lost(error)),
            (
                LinkEvent::Payload {
                    bytes,
                    is_frame_start,
                },
                _,
            ) => told.push(Told::Payload(bytes.to_vec(), is_frame_start)),
            (other, _) => panic!("{other:?}"),
        }
    }
    assert!(bytes.is_empty(), "a link takes everything");
}

/// Up and lost take turns, and nothing is delivered but between them. Whether it is up at the end.
fn check(told: &[Told], mut is_up: bool) -> bool {
    for event in told {
        match event {
            Told::Up => assert!(!std::mem::replace(&mut is_up, true)),
            Told::Lost(_) => assert!(std::mem::replace(&mut is_up, false)),
            Told::Payload(bytes, _) => assert!(is_up && !bytes.is_empty()),
            Told::Console(text) | Told::Noise(text) => {
                assert!(!text.is_empty() && !text.contains(&0));
            }
        }
    }
    is_up
}

/// The input as what comes over the line. Every bit may be anything, so what is delivered may too.
fn any_bytes(bytes: &[u8]) {
    let run = |piece: usize| {
        let mut link = Link::<64>::new(LinkConfig::new(1));
        let mut told = Vec::new();
        for piece in bytes.chunks(piece) {
            take(&mut link, piece, &mut told);
        }
        assert_eq!(check(&told, false), link.is_up());
        (told, link.session(), link.peer_session())
    };
    let whole = run(usize::MAX);
    assert_eq!(run(1), whole);
    assert_eq!(run(7), whole);
}

/// An end, and what it has sent and received in the connection that it is in.
struct End<const N: usize> {
    link: Link<N>,
    /// By connection: own number, peer's number, bytes.
    sent: Vec<(u32, u32, Vec<u8>)>,
    received: Vec<u8>,
    is_up: bool,
    line: Vec<u8>,
    past: Vec<u8>,
}

impl<const N: usize> End<N> {
    fn new(session: u32) -> Self {
        Self {
            link: Link::new(LinkConfig::new(session)),
            sent: Vec::new(),
            received: Vec::new(),
            is_up: false,
            line: Vec::new(),
            past: Vec::new(),
        }
    }

    fn put(&mut self, packet: &[u8]) {
        self.line.extend_from_slice(packet);
        self.past.extend_from_slice(packet);
    }

    fn control(&mut self) {
        let mut out = [0; 32];
        while let Some(packet) = self.link.control_packet(&mut out) {
            let packet = packet.to_vec();
            self.put(&packet);
        }
    }

    fn send(&mut self, bytes: &[u8], is_frame_start: bool) {
        let mut out = [0; 256];
        let mut rest = bytes;
        let Ok(packet) = self.link.packet(&mut rest, is_frame_start, &mut out) else {
            return;
        };
        let packet = packet.to_vec();
        self.put(&packet);
        let own = self.link.session();
        let peer = self.link.peer_session().expect("it is up");
        if self
            .sent
            .last()
            .is_none_or(|(o, p, _)| (*o, *p) != (own, peer))
        {
            self.sent.push((own, peer, Vec::new()));
        }
        let taken = &bytes[..bytes.len() - rest.len()];
        self.sent.last_mut().unwrap().2.extend_from_slice(taken);
    }

    fn sent_in(&self, own: u32, peer: u32) -> &[u8] {
        let found = self.sent.iter().find(|(o, p, _)| (*o, *p) == (own, peer));
        found.map_or(&[], |(_, _, bytes)| bytes)
    }

    /// Takes bytes one by one, so that the numbers are those of the event.
    fn take<const M: usize>(&mut self, bytes: &[u8], peer: &End<M>) {
        for byte in bytes {
            let mut told = Vec::new();
            take(&mut self.link, &[*byte], &mut told);
            self.is_up = check(&told, self.is_up);
            for event in told {
                match event {
                    Told::Up => self.received.clear(),
                    Told::Payload(bytes, _) => {
                        self.received.extend(bytes);
                        let other = self.link.peer_session().unwrap();
                        let sent = peer.sent_in(other, self.link.session());
                        assert!(
                            sent.starts_with(&self.received),
                            "a prefix of what was sent"
                        );
                    }
                    _ => {}
                }
            }
        }
    }

    fn tick(&mut self) {
        if self.link.tick().is_some() {
            assert!(std::mem::replace(&mut self.is_up, false));
        }
    }

    fn restart(&mut self, session: u32) {
        self.link = Link::new(LinkConfig::new(session));
        self.is_up = false;
        self.received.clear();
    }
}

/// Does to a line what the input says, and lets the other end have some of it.
fn pass<const N: usize, const M: usize>(input: &mut Input<'_>, from: &mut End<N>, to: &mut End<M>) {
    let mut line = std::mem::take(&mut from.line);
    let op = input.byte();
    let at = usize::from(input.byte()).min(line.len());
    match op & 7 {
        0 if at < line.len() => line[at] ^= 1 << (op >> 5),
        1 => drop(line.drain(at..(at + 1 + usize::from(op >> 3)).min(line.len()))),
        2 => drop(line.splice(at..at, b"panicked\r\n".iter().copied())),
        3 => line.insert(at, if op & 8 == 0 { 0 } else { 0xf8 | (op >> 5) }),
        4 => {
            let start = usize::from(input.byte()).min(from.past.len());
            let end = (start + usize::from(input.byte())).min(from.past.len());
            drop(line.splice(at..at, from.past[start..end].iter().copied()));
        }
        5 => line.truncate(at),
        6 => from.line = line.split_off(at),
        _ => {}
    }
    to.take(&line, from);
}

fn two_ends(input: &mut Input<'_>) {
    let mut starts = 1u16;
    let mut a = End::<256>::new(0x0a00_0000);
    let mut b = End::<64>::new(0x0b00_0000);
    while !input.is_empty() {
        let op = input.byte();
        let bytes = [op; 70];
        let bytes = &bytes[..1 + usize::from(op >> 2)];
        match op & 3 {
            0 => {
                a.send(bytes, true);
                pass(input, &mut a, &mut b);
            }
            1 => {
                b.send(bytes, op & 4 == 0);
                pass(input, &mut b, &mut a);
            }
            2 => {
                a.control();
                pass(input, &mut a, &mut b);
                b.control();
                pass(input, &mut b, &mut a);
            }
            _ => match op >> 2 {
                0 => a.restart(0x0a00_0000 | u32::from(starts.min(0xfff)) << 12),
                1 => b.restart(0x0b00_0000 | u32::from(starts.min(0xfff)) << 12),
                2..20 => a.tick(),
                _ => b.tick(),
            },
        }
        starts = starts.saturating_add(u16::from(op & 3 == 3));
    }
    // The line is clean: two ticks suffice.
    for _ in 0..2 {
        a.tick();
        for _ in 0..8 {
            a.control();
            let line = std::mem::take(&mut a.line);
            b.take(&line, &a);
            b.control();
            let line = std::mem::take(&mut b.line);
            a.take(&line, &b);
        }
    }
    let (own, peer) = (a.link.session(), b.link.session());
    assert!(a.is_up && b.is_up, "both are up");
    assert_eq!(
        (a.link.peer_session(), b.link.peer_session()),
        (Some(peer), Some(own))
    );
    assert_eq!(b.received, a.sent_in(own, peer), "or it was reported");
    assert_eq!(a.received, b.sent_in(peer, own), "or it was reported");
}

/// Any bytes over any split; and two ends whose line loses, alters, inserts and repeats bytes:
/// nothing wrong is delivered, every loss is reported, afterwards they agree.
pub fn link(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() & 1 == 0 {
        any_bytes(input.rest());
    } else {
        two_ends(&mut input);
    }
}
