//! What may stand behind `where` in a declaration. Each is an item of this module.

/// A note of a command: what callers may count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Note {
    /// It changes nothing.
    Read,
    /// It changes something.
    Write,
    /// It may destroy something: people are asked before it is called.
    Destructive,
    /// Calling it twice does what calling it once does.
    Idempotent,
    /// The version that has it first.
    Since(u16, u16),
    /// It should not be used any more; the text says what to use instead.
    Deprecated(&'static str),
}

/// The command changes nothing.
#[allow(non_upper_case_globals, reason = "spelt as in declarations")]
pub const read: Note = Note::Read;

/// The command changes something.
#[allow(non_upper_case_globals, reason = "spelt as in declarations")]
pub const write: Note = Note::Write;

/// The command may destroy something.
#[allow(non_upper_case_globals, reason = "spelt as in declarations")]
pub const destructive: Note = Note::Destructive;

/// Calling the command twice does what calling it once does.
#[allow(non_upper_case_globals, reason = "spelt as in declarations")]
pub const idempotent: Note = Note::Idempotent;

/// The version that has the command first.
pub const fn since(major: u16, minor: u16) -> Note {
    Note::Since(major, minor)
}

/// The command should not be used any more; the text says what to use instead.
pub const fn deprecated(instead: &'static str) -> Note {
    Note::Deprecated(instead)
}
