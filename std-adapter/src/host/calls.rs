//! What a server says instead of an answer, as callers are told.

use hgrpc::ProtocolError;
use hgrpc::cbor::{Atoms, ByteString, CommandError, ErrorMessage};

use super::{AnswerError, CallError, CommandFailure, ServerFailure};

/// A command's failure.
pub(crate) fn command_failure(error: &CommandError<'_>) -> CommandFailure {
    match error.atoms() {
        Some(atoms) => from_atoms(&atoms),
        None => CommandFailure {
            message: error.to_string(),
            format: error.message().as_bytes().map(owned).unwrap_or_default(),
            args: error.args().map(owned).collect(),
        },
    }
}

/// A single atom is a format and its arguments, as 0005 sends them.
fn from_atoms(atoms: &Atoms<'_>) -> CommandFailure {
    let mut failure = CommandFailure {
        message: atoms.to_string(),
        format: Vec::new(),
        args: Vec::new(),
    };
    let mut iter = atoms.iter();
    if let (Some(atom), None) = (iter.next(), iter.next()) {
        failure.format = owned(atom.msg());
        failure.args = atom.args().map(owned).collect();
    }
    failure
}

fn owned(bytes: ByteString<'_>) -> Vec<u8> {
    bytes.chunks().flatten().copied().collect()
}

/// An error response: the command's own after output has begun, or the server's.
pub(crate) fn error_response(error: &ErrorMessage<'_>) -> CallError {
    let message = error.to_string();
    let kind = match error {
        ErrorMessage::Structured { kind, message } if *kind == *b"command" => {
            return CallError::Command(match Atoms::from_value(*message) {
                Some(atoms) => from_atoms(&atoms),
                None => CommandFailure {
                    message: error.to_string(),
                    format: Vec::new(),
                    args: Vec::new(),
                },
            });
        }
        ErrorMessage::Structured { kind, .. } => kind.to_string(),
        _ => String::new(),
    };
    CallError::Server(ServerFailure { kind, message })
}

/// The rule for an answer that ends inside a value.
pub(crate) const TRUNCATED: CallError =
    CallError::Answer(AnswerError::Protocol(ProtocolError::TruncatedResponse));
