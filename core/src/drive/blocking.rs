//! The blocking driver, over embedded-io 0.7.
//!
//! ```text
//!   R: Read  ──▶ connection ──▶ event ──▶ your code
//!   W: Write ◀── connection ◀── replies.send(reply.ok(&value))
//! ```
//! See [the crate](crate) for a whole program.

use embedded_io::{ErrorType, Read, ReadReady, Write};

use super::{Failed, Next, Sending};
use crate::connection::{Drive, Frames, Outgoing};

/// Halves that block while they wait.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Blocking {}

ways!(Blocking, FnMut);
