//! How connections are made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::keepalive;

/// Text or noise that a link found on its line.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stray<'a> {
    /// Whose line it is: an address.
    pub peer: &'a str,
    /// A piece of it, as it came; not safe for terminals.
    pub bytes: &'a [u8],
    /// Whether it is a packet that was damaged. A text may have fallen into its middle.
    pub is_noise: bool,
}

impl<'a> Stray<'a> {
    /// A piece of text, or of noise.
    pub fn new(peer: &'a str, bytes: &'a [u8], is_noise: bool) -> Self {
        Self {
            peer,
            bytes,
            is_noise,
        }
    }
}

/// Told of what a link finds on its line that is not the peer's packets: boot messages, a panic. It
/// is called by the thread that moves the line's bytes.
pub type Console = Arc<dyn Fn(&Stray<'_>) + Send + Sync>;

/// How a connection is made, or waited for.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// How long connecting may take in all, resolving a name included. `None`: as long as the
    /// operating system has it, and for a link ten seconds after that.
    pub timeout: Option<Duration>,
    /// Where text and noise on a line go that has a [link](super::Address::Linked). `None`: nowhere.
    pub console: Option<Console>,
    /// TCP: how long nothing may come back from the peer's machine, which is asked from time to time,
    /// until the connection ends. A program that is silent, or takes nothing, does not count: the
    /// system answers for it. Default 45 seconds. `None`: for ever.
    ///
    /// A [link](super::Address::Linked) has its own
    /// [`patience`](super::LinkSettings::patience). What is on this machine ends with its process;
    /// nothing notices that a process is stopped.
    pub keepalive: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: None,
            console: None,
            keepalive: Some(keepalive::DEFAULT),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("timeout", &self.timeout)
            .field("console", &self.console.is_some())
            .field("keepalive", &self.keepalive)
            .finish()
    }
}
