//! One call: the request out, the response in.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use hgrpc_std::blocking::{CallError, Response};

use super::failure::{self, About};
use super::print::{Format, PrintError, Printer};
use super::session::Session;
use super::{Call, SharedSide, with_side};
use crate::exit::Failure;

/// Why a response did not arrive where it should.
pub(super) enum Problem {
    Call(CallError),
    Print(PrintError),
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<PrintError> for Problem {
    fn from(error: PrintError) -> Self {
        Self::Print(error)
    }
}

/// Makes a call and prints its result. With a tag, what comes beside it has that in front; with a
/// timeout, this call alone is given up after it.
///
/// # Errors
/// What went wrong, in one line.
pub(super) fn run(
    session: &Session,
    call: Call,
    side: &SharedSide,
    tag: Option<&str>,
    timeout: Option<Duration>,
    format: Format,
    out: &mut (impl Write + ?Sized),
) -> Result<(), Failure> {
    let about = About {
        name: String::from_utf8_lossy(&call.name).into_owned(),
        sent: call.data.as_ref().map(super::Data::count),
        timeout,
    };
    let result = send(session, call, side, tag, timeout)
        .map_err(Problem::from)
        .and_then(|response| receive(response, format, session, out));
    let result = result.and_then(|()| out.flush().map_err(|error| PrintError::from(error).into()));
    result.map_err(|problem| failure::explain(session, &about, problem))
}

fn send(
    session: &Session,
    call: Call,
    side: &SharedSide,
    tag: Option<&str>,
    timeout: Option<Duration>,
) -> Result<Response, CallError> {
    let mut request = call.arguments.add_to(session.client.call(&call.name));
    if let Some(data) = call.data {
        request = request.data(data);
    }
    let shown = (Arc::clone(side), tag.map(str::to_owned));
    request = request.on_text(move |atoms| {
        with_side(&shown.0, |side| side.text(shown.1.as_deref(), atoms));
    });
    let shown = (Arc::clone(side), tag.map(str::to_owned));
    request = request.on_progress(move |update| {
        with_side(&shown.0, |side| side.progress(shown.1.as_deref(), update));
    });
    let Some(timeout) = timeout else {
        return request.send();
    };
    // A server that reads nothing would hold up the sending, too.
    let sending = session.end_unless_done(timeout);
    let result = request.timeout(timeout).send();
    drop(sending);
    result
}

/// Prints a response as it comes.
fn receive(
    mut response: Response,
    format: Format,
    session: &Session,
    out: &mut (impl Write + ?Sized),
) -> Result<(), Problem> {
    if format == Format::Raw
        && session.revision.has_settings()
        && begins_with_string(&mut response)?
    {
        loop {
            let bytes = response.fill_buf().map_err(call_error)?;
            let len = bytes.len();
            if len == 0 {
                return Ok(());
            }
            out.write_all(bytes).map_err(PrintError::from)?;
            response.consume(len);
        }
    }
    let mut printer = Printer::new(out, format);
    let mut body = response.raw_body();
    loop {
        let bytes = body.fill_buf().map_err(call_error)?;
        let len = bytes.len();
        if len == 0 {
            break;
        }
        printer.push(bytes)?;
        body.consume(len);
    }
    printer.finish()?;
    Ok(())
}

/// Whether the first value of a response is a byte string, definite or streamed.
fn begins_with_string(response: &mut Response) -> Result<bool, Problem> {
    let mut body = response.raw_body();
    let first = body.fill_buf().map_err(call_error)?.first();
    Ok(matches!(first, Some(0x40..=0x5f)))
}

/// The call's error inside of one that reading gave.
fn call_error(error: std::io::Error) -> Problem {
    Problem::Call(CallError::from_io(error).unwrap_or_else(|error| {
        // Reading a response gives no others.
        CallError::Source(Arc::new(error))
    }))
}
