//! Drives the first server and the reworked one through the same random connections, and compares
//! all that they say and write.
//!
//! - `peer.rs`: what a random client sends; `rng.rs`: the seed.
//! - `pair.rs`: the two servers, fed in step; `receive.rs`: what comes in.
//! - `answers.rs`: the random answers; `fixtures.rs`: what they say.
//! - `connection.rs`: one connection from its seed.
//!
//! [`judge`] is the core that has the first server: this one, or an older one that is put in its
//! place.

mod answers;
mod connection;
mod fixtures;
mod pair;
mod peer;
mod receive;
mod rng;

pub(crate) use hgrpc as judge;

use std::collections::BTreeMap;

pub use connection::run;

/// How often each thing came up.
#[derive(Debug, Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, what: &str) {
        self.add_many(what, 1);
    }

    fn add_many(&mut self, what: &str, count: u64) {
        match self.0.get_mut(what) {
            Some(sum) => *sum += count,
            None => {
                self.0.insert(what.to_owned(), count);
            }
        }
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: Self) {
        for (what, count) in other.0 {
            self.add_many(&what, count);
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(what, count)| (what.as_str(), *count))
    }
}
