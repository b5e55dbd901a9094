//! What went wrong with a call, in one line that helps, and whose fault it was.

use std::time::Duration;

use hgrpc::{REVISIONS, Revision};
use hgrpc_std::encoding::DecodeError;
use hgrpc_std::tokio::{AnswerError, CallError, ConnectionError, Lost};

use super::answer::Problem;
use super::data::Count;
use super::print::PrintError;
use super::session::{Cause, Session};
use crate::escape::one_line;
use crate::exit::Failure;
use crate::units::{Bytes, Shown};

/// The call that went wrong.
pub(super) struct About {
    pub(super) name: String,
    /// How much of its data was read, if it had any.
    pub(super) sent: Option<Count>,
    /// The time that it had for itself.
    pub(super) timeout: Option<Duration>,
}

/// What went wrong.
pub(super) fn explain(session: &Session, about: &About, problem: Problem) -> Failure {
    let name = one_line(&about.name);
    let error = match problem {
        Problem::Print(PrintError::Output(error)) => return Failure::output(error),
        // Whoever gave up knows why a response is cut.
        Problem::Print(error) => {
            return Failure::Connection(format!("the result of {name}: {error}"));
        }
        Problem::Call(error) => error,
    };
    match &error {
        _ if error.is_unknown_command(&about.name) => Failure::BadInput(format!(
            "the server has no command {name}; call capabilities to list what an hgrpc server has"
        )),
        _ if error.is_data_cut() => Failure::Connection(format!(
            "no answer to {name}: the server did not understand its data{}",
            revision_hint(session)
        )),
        CallError::Command(failure) => {
            Failure::Command(format!("{name}: {}", one_line(&failure.message)))
        }
        CallError::Server(failure) => {
            let message = one_line(&failure.message);
            match failure.kind.as_str() {
                "protocol" => Failure::Connection(format!(
                    "{name}: the server found the protocol broken: {message}{}",
                    revision_hint(session)
                )),
                // 0003 and 0005 do not tell the command's failures from the server's.
                "" => Failure::Command(format!("{name}: {message}")),
                _ => Failure::Command(format!("{name} failed at the server: {message}")),
            }
        }
        CallError::Misuse(misuse) => {
            Failure::BadInput(format!("{name} cannot be called: {misuse}"))
        }
        CallError::Source(error) => {
            Failure::Io(format!("the data for {name} could not be read: {error}"))
        }
        CallError::Answer(AnswerError::NotBytes) => Failure::BadInput(format!(
            "the result of {name} has values after its bytes: it has no --raw form"
        )),
        CallError::Answer(AnswerError::Protocol(error)) => Failure::Connection(format!(
            "the response to {name} breaks the protocol: {error}{}",
            revision_hint(session)
        )),
        CallError::Answer(AnswerError::TooLarge) => Failure::Connection(format!(
            "the result of {name} is larger than --max-filesize, {}: it was given up",
            Bytes(session.max_filesize)
        )),
        CallError::Answer(error) => Failure::Connection(format!("{name}: {error}")),
        CallError::TimedOut => {
            let time = about.timeout.unwrap_or_default();
            session.ask();
            Failure::Connection(format!(
                "no complete answer to {name} within {}{}",
                Shown(time),
                late_hint(session)
            ))
        }
        CallError::Connection(lost) => lost_connection(session, about, lost),
        other => Failure::Connection(format!("{name}: {}", one_line(other))),
    }
}

/// The connection has ended before the answer came.
fn lost_connection(session: &Session, about: &About, lost: &Lost) -> Failure {
    let name = one_line(&about.name);
    let has_come = session.client.traffic().frames_in > 0;
    match session.cause() {
        Some(Cause::Signal(signal)) => return Failure::Interrupted(signal),
        Some(Cause::Time(time)) => {
            let what = match lost.received {
                0 => format!("no answer to {name} within {}", Shown(time)),
                received => format!(
                    "the response to {name} was not complete within {}: {received} bytes had come",
                    Shown(time)
                ),
            };
            return Failure::Connection(what + &late_hint(session));
        }
        Some(Cause::Unread(_)) | None => {}
    }
    let sent = match &about.sent {
        Some(count) if count.bytes() > 0 => {
            format!(" ({} bytes of its data were read)", count.bytes())
        }
        _ => String::new(),
    };
    let what = match lost.received {
        0 => format!("no answer to {name}"),
        received => format!("the response to {name} was lost after {received} bytes"),
    };
    let why = match &lost.error {
        ConnectionError::Protocol(error) => {
            let broke = match has_come {
                true => format!("the peer broke the protocol, {error}"),
                false => format!("what the peer sent is no frame, {error}"),
            };
            broke + &hint_of(*error, has_come, session)
        }
        error if error.is_path_lost() && !session.keepalive.is_zero() => format!(
            "the path to the server is dead: nothing came back from its machine for {} \
             (--keepalive); the command may have run all the same",
            Shown(session.keepalive)
        ),
        ConnectionError::Decode(DecodeError::RatioTooLarge) => format!(
            "its compressed bytes decode to over {} times their size and were given up; if that is \
             what you expect, raise --max-decode-ratio, or have it sent with \
             --accept-encoding identity",
            session.max_decode_ratio
        ),
        ConnectionError::NotHgrpc("HTTP") => {
            "the peer speaks HTTP, not hgrpc: is this a web server's port?".to_owned()
        }
        ConnectionError::NotHgrpc("TLS") => {
            "the peer speaks TLS, not hgrpc: is this the port behind it?".to_owned()
        }
        error => {
            let mut why = match error {
                // The rest is said better below.
                ConnectionError::ClosedAtOnce => ConnectionError::Closed.to_string(),
                error => error.to_string(),
            };
            if let Some(status) = session.exit_status() {
                why = format!("the program ended with {status}");
            } else if !has_come && is_end(error) && !error.is_path_lost() {
                why.push_str(" before it sent anything");
                why.push_str(&revision_hint(session));
            }
            why
        }
    };
    Failure::Connection(one_line(format_args!("{what}{sent}: {why}")))
}

/// What is known of a peer that has not answered in time.
fn late_hint(session: &Session) -> String {
    let traffic = session.client.traffic();
    if traffic.frames_in > 0 || session.is_linked {
        return "; the server is there, but slow: --timeout gives it longer".to_owned();
    }
    let what = match traffic.bytes_in {
        0 => "the peer has sent nothing at all".to_owned(),
        bytes => format!("{bytes} bytes came, and no whole frame"),
    };
    format!("; {what}: is it an hgrpc server?")
}

/// Whether the peer went away, by whatever this end notices first.
fn is_end(error: &ConnectionError) -> bool {
    matches!(
        error,
        ConnectionError::Closed
            | ConnectionError::ClosedAtOnce
            | ConnectionError::Read(_)
            | ConnectionError::Write(_)
    )
}

/// What may help where the peer broke a rule.
fn hint_of(error: hgrpc::ProtocolError, has_come: bool, session: &Session) -> String {
    use hgrpc::ProtocolError::FrameTooLarge;
    match (error, has_come) {
        (FrameTooLarge, true) => "; --max-frame takes larger ones".to_owned(),
        (FrameTooLarge, false) => "; is it an hgrpc server?".to_owned(),
        _ => revision_hint(session),
    }
}

/// The question that most often has the answer.
fn revision_hint(session: &Session) -> String {
    let spoken = session.revision;
    let others: Vec<&str> = REVISIONS
        .into_iter()
        .filter(|other| *other != spoken)
        .map(Revision::name)
        .collect();
    format!(
        "; if it speaks another revision than {spoken}, try --revision {}",
        others.join(" or ")
    )
}
