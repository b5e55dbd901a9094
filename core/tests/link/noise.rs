//! Rounds of noise, each of which ends with a clean line: nothing wrong is ever delivered, every
//! loss is reported at both ends, and then the next exchange gets through.

use crate::end::{End, assert_whole, random_session, settle};
use crate::line::{Line, Rng};

struct Pair<const N: usize, const M: usize> {
    rng: Rng,
    a: End<N>,
    b: End<M>,
    there: Line,
    back: Line,
    out: [u8; 256],
    /// How often b has started.
    starts: u32,
}

/// A device that counts its starts and has nothing random.
fn counted_session(starts: u32) -> u32 {
    starts << 16
}

impl<const N: usize, const M: usize> Pair<N, M> {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            a: End::new(random_session(&mut rng)),
            b: End::new(counted_session(1)),
            rng,
            there: Line::default(),
            back: Line::default(),
            out: [0; 256],
            starts: 1,
        }
    }

    fn packets(&self) -> u64 {
        self.a.counts.packets + self.b.counts.packets
    }

    /// Puts what is due and some data on a line; one packet in `noise` is damaged.
    fn send(&mut self, from_a: bool, noise: usize) {
        for _ in 0..=self.rng.below(6) {
            let len = match self.rng.below(3) {
                0 => self.rng.below(12),
                1 => self.rng.below(100),
                _ => 256,
            };
            let made = if from_a {
                self.a.packet(len, &mut self.out)
            } else {
                self.b.packet(len, &mut self.out)
            };
            let made = made.or_else(|| {
                if from_a {
                    self.a.link.control_packet(&mut self.out).map(<[u8]>::len)
                } else {
                    self.b.link.control_packet(&mut self.out).map(<[u8]>::len)
                }
            });
            let Some(len) = made else { return };
            let line = if from_a {
                &mut self.there
            } else {
                &mut self.back
            };
            let packet = &self.out[..len];
            if self.rng.one_in(noise) {
                line.put_noisy(packet, &mut self.rng);
            } else {
                line.put(packet);
            }
        }
    }

    /// One of the ends takes some of what is under way to it.
    fn receive(&mut self, by_a: bool) {
        let line = if by_a {
            &mut self.back
        } else {
            &mut self.there
        };
        let len = self.rng.below(line.bytes.len() + 1);
        let bytes: Vec<u8> = line.bytes.drain(..len).collect();
        let (head, tail) = bytes.split_at(self.rng.below(len + 1));
        for piece in [head, tail] {
            if by_a {
                self.a.take(piece, &self.b);
            } else {
                self.b.take(piece, &self.a);
            }
        }
    }

    fn settle(&mut self) {
        let rng = &mut self.rng;
        settle(
            (&mut self.a, &mut self.b),
            (&mut self.there, &mut self.back),
            || 1 + rng.below(400),
        );
    }

    fn round(&mut self) {
        // From one in three damaged to hardly any.
        let noise = [3, 10, 40, 400][self.rng.below(4)];
        for _ in 0..self.rng.below(24) {
            let which = self.rng.one_in(2);
            match self.rng.below(24) {
                0..9 => self.send(which, noise),
                9..20 => self.receive(which),
                20 => self.a.tick(),
                21 => self.b.tick(),
                22 if self.rng.one_in(6) => {
                    // In mid-packet as often as not.
                    if which {
                        let session = random_session(&mut self.rng);
                        self.a.restart(session);
                    } else {
                        self.starts += 1;
                        self.b.restart(counted_session(self.starts));
                    }
                }
                _ => {}
            }
        }
        let (a_before, b_before) = (self.a.up, self.b.up);

        // The line is clean. Two ticks of one end suffice.
        let ticks_a = self.rng.one_in(2);
        for _ in 0..2 {
            if ticks_a {
                self.a.tick();
            } else {
                self.b.tick();
            }
            self.settle();
        }
        // Whatever was not delivered has ended its connection at both ends.
        let (own, other) = self.a.up.expect("a is up");
        if a_before == Some((own, other)) && b_before == Some((other, own)) {
            assert_eq!(self.b.received, self.a.sent_in((own, other)));
            assert_eq!(self.a.received, self.b.sent_in((other, own)));
        }
        assert_whole(&self.a, &self.b);

        // The next exchange gets through.
        let losses = |end: (u64, u64)| end.0 + end.1;
        let lost = |pair: &Self| {
            losses((pair.a.counts.lost, pair.a.counts.restarted))
                + losses((pair.b.counts.lost, pair.b.counts.restarted))
        };
        let before = lost(self);
        self.send(true, usize::MAX >> 32);
        self.settle();
        self.send(false, usize::MAX >> 32);
        self.settle();
        assert_whole(&self.a, &self.b);
        assert_eq!(lost(self), before);
    }
}

fn run<const N: usize, const M: usize>(seed: u64, packets: u64) {
    let mut pair = Pair::<N, M>::new(seed);
    let mut rounds = 0u64;
    while pair.packets() < packets {
        pair.round();
        rounds += 1;
    }
    println!("N {N} and {M}: {} packets, {rounds} rounds", pair.packets());
    println!("  a {:?}\n  b {:?}", pair.a.counts, pair.b.counts);
    println!("  {:?}\n  {:?}", pair.there.damage, pair.back.damage);
}

fn run_all(packets: u64) {
    run::<256, 256>(1, packets / 4);
    run::<64, 256>(2, packets / 4);
    run::<256, 100>(3, packets / 4);
    run::<32, 64>(4, packets / 4);
}

/// On a clean line there is one connection, however slow it is and whoever ticks.
#[test]
fn a_clean_line_loses_nothing() {
    for seed in 0..200 {
        let mut pair = Pair::<256, 64>::new(seed);
        for _ in 0..200 {
            let which = pair.rng.one_in(2);
            match pair.rng.below(10) {
                0..3 => pair.send(which, usize::MAX >> 32),
                3..8 => pair.receive(which),
                // Patience is for ticks that are further apart than this.
                8 if pair.a.link.is_up() || pair.rng.one_in(3) => {}
                8 => pair.a.tick(),
                _ if pair.b.link.is_up() => {}
                _ => pair.b.tick(),
            }
        }
        pair.settle();
        pair.a.tick();
        pair.settle();
        assert_whole(&pair.a, &pair.b);
        assert_eq!((pair.a.counts.ups, pair.b.counts.ups), (1, 1));
        assert_eq!((pair.a.counts.console, pair.b.counts.noise), (0, 0));
    }
}

#[test]
fn nothing_wrong_is_delivered_and_every_loss_is_reported() {
    run_all(if cfg!(debug_assertions) {
        40_000
    } else {
        400_000
    });
}

/// `cargo test --release -p hgrpc --features link --test link -- --ignored --nocapture`
#[test]
#[ignore = "half a minute in a release build"]
fn ten_million_packets() {
    run_all(10_000_000);
}
