//! Answers of the commands that remember nothing.

use embedded_io::Write;
use hgrpc::cbor::{ArgsError, Atom, Head, MessageArgs, Progress};
use hgrpc::server::{Body, Failure, Responder, ResponseWriter};

use super::{Replies, Sent};

/// `true` or `false`.
pub(super) const fn boolean(value: bool) -> Body<'static> {
    Body::Cbor(if value { b"\xf5" } else { b"\xf4" })
}

/// An argument is missing, or of a wrong type.
pub(super) fn wrong<W: Write>(
    error: ArgsError,
    responder: Responder,
    replies: &mut Replies<W>,
) -> Sent<W> {
    let mut memory = [0; 32];
    let args = MessageArgs::encode(&[error.key.as_bytes()], &mut memory)?;
    let failure = Failure::command(b"the argument %s is missing or of a wrong type");
    replies.respond(responder, Body::Failure(failure.with_args(args)))
}

/// There is no such command.
pub(super) fn unknown<W: Write>(
    name: &[u8],
    responder: Responder,
    replies: &mut Replies<W>,
) -> Sent<W> {
    let mut memory = [0; 64];
    // A long name is cut.
    let name = name.get(..48).unwrap_or(name);
    let args = MessageArgs::encode(&[name], &mut memory)?;
    let failure = Failure::command(b"unknown command: %s");
    replies.respond(responder, Body::Failure(failure.with_args(args)))
}

/// `fault`: fails at once, or `late`, when a part of the response has been sent.
pub(super) fn fault<W: Write>(
    late: bool,
    responder: Responder,
    replies: &mut Replies<W>,
) -> Sent<W> {
    let failure = Failure::command(b"a fault, as asked for");
    if !late {
        return replies.respond(responder, Body::Failure(failure));
    }
    let mut writer = replies.begin(responder)?;
    replies.write(&mut writer, Head::new(0, 42).as_slice())?;
    replies.fail(writer, failure)
}

/// `count`: says how far it is, and a line of text at the end.
pub(super) fn count<W: Write>(to: u16, responder: Responder, replies: &mut Replies<W>) -> Sent<W> {
    if replies.server().peer_takes_side_frames() {
        for number in 1..=to {
            let progress = Progress::new("count", i64::from(number), u64::from(to));
            replies.progress(&responder, &progress)?;
        }
        replies.text_output(&responder, &[Atom::new("counted\n")])?;
    }
    replies.respond(
        responder,
        Body::Cbor(Head::new(0, u64::from(to)).as_slice()),
    )
}

/// A piece of data as a byte string of its own.
pub(super) fn byte_string<W: Write>(
    bytes: &[u8],
    writer: &mut ResponseWriter,
    replies: &mut Replies<W>,
) -> Sent<W> {
    for piece in bytes.chunks(32) {
        let mut memory = [0; 34];
        let mut value = hgrpc::cbor::CborWriter::new(&mut memory);
        value.bytes(piece)?;
        replies.write(writer, value.finish())?;
    }
    Ok(())
}
