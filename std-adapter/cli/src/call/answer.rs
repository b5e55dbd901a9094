//! One call: the request out, the response in.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use hgrpc_std::tokio::{CallError, Note, NoteStream, Request, Response};
use tokio::io::AsyncBufReadExt as _;

use super::data::Count;
use super::failure::{self, About};
use super::print::{Format, PrintError, Printer};
use super::session::Session;
use super::{Call, SharedSide, with_side};
use crate::exit::Failure;
use crate::stderr::queue;

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
    let sent = call.data.as_ref().map(|data| (data.count(), data.total()));
    let result = session.block_on(async {
        let (request, events) = request(session, call, timeout).notes();
        let tag = tag.map(str::to_owned);
        // It is shown while the printing of the result waits.
        let showing = tokio::spawn(show(events, Arc::clone(side), tag.clone()));
        let sending = sent.map(|(count, total)| {
            tokio::spawn(show_sent(count, total, Arc::clone(side), tag.clone())).abort_handle()
        });
        let result = match request.send().await {
            Ok(response) => receive(response, format, session, out).await,
            Err(error) => Err(error.into()),
        };
        if let Some(sending) = sending {
            sending.abort();
            with_side(side, |side| side.sent(tag.as_deref(), None, None));
        }
        let _ = showing.await;
        result
    });
    let result = result.and_then(|()| out.flush().map_err(|error| PrintError::from(error).into()));
    result.map_err(|problem| failure::explain(session, &about, problem))
}

fn request(session: &Session, call: Call, timeout: Option<Duration>) -> Request<'_> {
    let mut request = call.arguments.add_to(session.client.call(&call.name));
    if let Some(data) = call.data {
        request = request.data_stream(data.into_stream());
    }
    if let Some(timeout) = timeout {
        request = request.timeout(timeout);
    }
    request
}

/// Shows what comes beside a response.
async fn show(mut events: NoteStream, side: SharedSide, tag: Option<String>) {
    let tag = tag.as_deref();
    while let Some(event) = events.next_note().await {
        // As fast as it is read, if it is: then nothing is dropped.
        queue().room().await;
        with_side(&side, |side| match event {
            Note::Text(text) => side.text(tag, &text.atoms()),
            Note::Progress(update) => side.progress(tag, &update.progress()),
            _ => {}
        });
    }
}

/// How often it is shown how much was sent, and how long it takes until that is done.
const SENDING: Duration = Duration::from_millis(250);

/// Shows how much of the data has been sent, until the call ends.
async fn show_sent(count: Count, total: Option<u64>, side: SharedSide, tag: Option<String>) {
    loop {
        tokio::time::sleep(SENDING).await;
        let sent = Some(count.bytes()).filter(|sent| Some(*sent) != total);
        with_side(&side, |side| side.sent(tag.as_deref(), sent, total));
    }
}

/// Prints a response as it comes.
async fn receive(
    mut response: Response,
    format: Format,
    session: &Session,
    out: &mut (impl Write + ?Sized),
) -> Result<(), Problem> {
    let mut printer = match session.revision.has_settings() {
        true => Printer::of_values(out, format),
        false => Printer::new(out, format),
    };
    if format == Format::Raw {
        while let Some(bytes) = response.next_piece().await? {
            printer.push(&bytes)?;
        }
        printer.finish()?;
        return Ok(());
    }
    let mut body = response.raw_body();
    loop {
        let bytes = body.fill_buf().await.map_err(call_error)?;
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

/// The call's error inside of one that reading gave.
fn call_error(error: std::io::Error) -> Problem {
    Problem::Call(CallError::from_io(error).unwrap_or_else(|error| {
        // Reading a response gives no others.
        CallError::Source(Arc::new(error))
    }))
}
