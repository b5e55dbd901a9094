//! What one program may take: `--limit`.

use std::time::Duration;

use crate::units;

/// The limits of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Calls of it at once, over all connections.
    pub(super) running: usize,
    /// How long one call may take; none: for ever.
    pub(super) time: Option<Duration>,
    /// Bytes of one call's response; none: any.
    pub(super) output: Option<u64>,
}

impl Limit {
    /// A process and a thread each; enough for a machine's cores, few enough for its memory.
    /// An hour is for programs that hang: one that nobody waits for ends with its client anyway.
    /// Output streams at the client's pace and is nowhere kept, so it needs no limit.
    pub(super) const DEFAULT: Self = Self {
        running: 32,
        time: Some(Duration::from_secs(3600)),
        output: None,
    };

    /// Changes what `running=4,time=30s,output=10M` names.
    pub(super) fn apply(&mut self, text: &str) -> Result<(), String> {
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("running", value)) => {
                    self.running = value
                        .parse()
                        .ok()
                        .filter(|&running| running > 0)
                        .ok_or_else(|| format!("running={value:?} is not a number from 1 up"))?;
                }
                Some(("time", value)) => {
                    self.time = Some(units::duration(value)?).filter(|time| !time.is_zero());
                }
                Some(("output", value)) => {
                    self.output = Some(units::size(value)?).filter(|&output| output > 0);
                }
                _ => {
                    return Err(format!(
                        "{part:?} is not running=N, time=DURATION or output=SIZE"
                    ));
                }
            }
        }
        Ok(())
    }
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
        for text in ["", "running=0", "running", "memory=1", "time=x"] {
            assert!(limit.apply(text).is_err(), "{text}");
        }
    }
}
