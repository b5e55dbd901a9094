//! What a handler says when it fails.

use std::fmt;
use std::io;

use hgrpc::ApiMisuse;
use hgrpc::cbor::{ArgsError, ByteString};

use super::text::shown;
use super::{CallError, ConnectionError};

/// What a server says, before the name, of a command that it does not have; so do devices.
pub(super) const UNKNOWN_COMMAND: &str = "unknown command";

/// Why a command failed: what goes to the client.
///
/// `?` makes one of an argument's error (the command's), of an I/O error (the server's), and of
/// any text.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) is_command: bool,
    /// A format string in ASCII, or text without arguments.
    pub(crate) format: Vec<u8>,
    pub(crate) args: Vec<Vec<u8>>,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("is_command", &self.is_command)
            .field("format", &ByteString::from_slice(&self.format))
            .field("args", &shown(&self.args))
            .finish()
    }
}

impl Failure {
    /// The command itself failed; the client gets
    /// [`CallError::Command`](super::CallError::Command).
    pub fn command(message: impl fmt::Display) -> Self {
        Self::text(true, &message.to_string())
    }

    /// The same with a message that is formatted where it is shown, so that it can be translated:
    /// an ASCII format in which `%s` stands for the next argument, and `%%` for a percent sign.
    ///
    /// In 0003, and in 0005 after output has begun, it is sent formatted.
    pub fn format<A: AsRef<[u8]>>(format: &str, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            is_command: true,
            format: format.bytes().filter(u8::is_ascii).collect(),
            args: args.into_iter().map(|arg| arg.as_ref().to_vec()).collect(),
        }
    }

    /// Something around the command failed; the client gets
    /// [`CallError::Server`](super::CallError::Server).
    pub fn server(message: impl fmt::Display) -> Self {
        Self::text(false, &message.to_string())
    }

    /// There is no such command. [`CallError::is_unknown_command`](super::CallError) knows it.
    pub(crate) fn unknown_command(name: &[u8]) -> Self {
        Self::format(&format!("{UNKNOWN_COMMAND}: %s"), [name])
    }

    fn text(is_command: bool, text: &str) -> Self {
        // A message is a format, in ASCII: any other text goes as its argument.
        if is_command && (!text.is_ascii() || text.contains('%')) {
            return Self {
                is_command,
                format: b"%s".to_vec(),
                args: vec![text.as_bytes().to_vec()],
            };
        }
        Self {
            is_command,
            format: text.as_bytes().to_vec(),
            args: Vec::new(),
        }
    }

    /// The message with its arguments filled in.
    pub fn message(&self) -> String {
        if !self.is_command {
            return String::from_utf8_lossy(&self.format).into_owned();
        }
        let mut text = Vec::with_capacity(self.format.len());
        let mut args = self.args.iter();
        let mut rest = self.format.iter().copied().peekable();
        while let Some(byte) = rest.next() {
            match (byte, rest.peek()) {
                (b'%', Some(b'%')) => {
                    rest.next();
                    text.push(b'%');
                }
                (b'%', Some(b's')) => match args.next() {
                    Some(arg) => {
                        rest.next();
                        text.extend_from_slice(arg);
                    }
                    None => text.push(byte),
                },
                _ => text.push(byte),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::server(error)
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::server(error)
    }
}

/// Another server's failure is this one's, in the same words.
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Command(failure) => Self::command(failure.message),
            error => Self::server(error),
        }
    }
}

impl From<ApiMisuse> for Failure {
    fn from(error: ApiMisuse) -> Self {
        Self::server(error)
    }
}

impl From<ArgsError> for Failure {
    fn from(error: ArgsError) -> Self {
        Self::command(error)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::command(message)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::command(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_show_their_text() {
        let failure = Failure::format("no %s", [b"wa\xff"]);
        let shown = r#"Failure { is_command: true, format: b"no %s", args: [b"wa\xff"] }"#;
        assert_eq!(format!("{failure:?}"), shown);
    }

    #[test]
    fn messages_are_formatted() {
        assert_eq!(Failure::command("50 % of ü").message(), "50 % of ü");
        assert_eq!(Failure::command("plain").format, b"plain");
        assert_eq!(Failure::server("50 %s").message(), "50 %s");
        let failure = Failure::format("no %s in %s, 5 %% %s %d", ["a%s", "b"]);
        assert_eq!(failure.message(), "no a%s in b, 5 % %s %d");
    }
}
