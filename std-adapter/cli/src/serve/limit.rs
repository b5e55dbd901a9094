//! What one program may take: `--limit`.

use std::time::Duration;

use super::places;
use crate::units;

/// The limits of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Calls of it at once, over all connections.
    pub(super) running: usize,
    /// Of these of one peer; none: [a part](places::part).
    pub(super) peer: Option<usize>,
    /// How long one call may take; none: for ever.
    pub(super) time: Option<Duration>,
    /// Bytes of one call's response; none: any.
    pub(super) output: Option<u64>,
}

impl Limit {
    /// A process and a thread each; enough for a machine's cores by one peer, few enough for its
    /// memory by all.
    /// An hour is for programs that hang: one that nobody waits for ends with its client anyway.
    /// Output streams at the client's pace and is nowhere kept, so it needs no limit.
    pub(super) const DEFAULT: Self = Self {
        running: 64,
        peer: None,
        time: Some(Duration::from_secs(3600)),
        output: None,
    };

    /// Calls of it at once by one peer.
    pub(super) fn of_peer(&self) -> usize {
        self.peer.unwrap_or_else(|| places::part(self.running))
    }

    /// Changes what `running=4,time=30s,output=10M` names.
    pub(super) fn apply(&mut self, text: &str) -> Result<(), String> {
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("running", value)) => self.running = positive("running", value)?,
                Some(("peer", value)) => self.peer = Some(positive("peer", value)?),
                Some(("time", value)) => {
                    self.time = Some(units::duration(value)?).filter(|time| !time.is_zero());
                }
                Some(("output", value)) => {
                    self.output = Some(units::size(value)?).filter(|&output| output > 0);
                }
                _ => {
                    return Err(format!(
                        "{part:?} is not running=N, peer=N, time=DURATION or output=SIZE"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn positive(name: &str, value: &str) -> Result<usize, String> {
    value
        .parse()
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| format!("{name}={value:?} is not a number from 1 up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let mut limit = Limit::DEFAULT;
        limit.apply("running=2,output=1K").unwrap();
        assert_eq!((limit.running, limit.output), (2, Some(1024)));
        limit.apply("time=0,output=0").unwrap();
        assert_eq!((limit.time, limit.output), (None, None));
        assert_eq!(limit.of_peer(), 1);
        limit.apply("running=8,peer=3").unwrap();
        assert_eq!(limit.of_peer(), 3);
        for text in ["", "running=0", "peer=0", "running", "memory=1", "time=x"] {
            assert!(limit.apply(text).is_err(), "{text}");
        }
    }
}
