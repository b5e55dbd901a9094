//! `hgrpc demo`: what the protocol does, in one command that needs nothing.
//!
//! - `demo/server.rs`: the commands.
//! - `demo/bulk.rs`: the upload and the download.
//! - `demo/pattern.rs`: the bytes that they carry.
//! - `demo/report.rs`: what is shown.

mod bulk;
mod pattern;
mod report;
mod server;

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use hgrpc::Revision;
use hgrpc::wire::RequestId;
use hgrpc_std::blocking::{
    CallError, Client, Config, ConnectionError, Direction, Response, Transport, serve,
};

use crate::exit::Failure;
use crate::revision_parser;
use report::{Report, bytes, count};

/// Show what hgrpc does: a server and a client over loopback TCP
///
/// Calls that are answered out of order, text output, an error, a large upload and a large download
/// at once through one connection, verified, and a request that is refused while its neighbours go
/// on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The revision to speak
    #[arg(long, default_value = Revision::R0006.name(), value_parser = revision_parser())]
    revision: Revision,

    /// Bytes to upload and to download, each; `K`, `M` and `G` are 1024 each
    #[arg(long, default_value = "256M", value_parser = crate::units::size)]
    size: u64,
}

/// What went over the wire of each request.
#[derive(Clone, Debug, Default)]
struct Tally(Arc<Mutex<HashMap<RequestId, Counts>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    incoming: Count,
    outgoing: Count,
    /// When its first frame came in: how many requests' had before.
    place: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    frames: u64,
    bytes: u64,
}

impl Tally {
    fn add(&self, direction: Direction, id: RequestId, len: u32) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = requests.values().filter(|c| c.place.is_some()).count();
        let counts = requests.entry(id).or_default();
        let count = match direction {
            Direction::In => {
                counts.place.get_or_insert(answered);
                &mut counts.incoming
            }
            Direction::Out => &mut counts.outgoing,
        };
        count.frames += 1;
        count.bytes += u64::from(len) + 8;
    }

    fn of(&self, id: RequestId) -> Counts {
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.get(&id).copied().unwrap_or_default()
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let broken =
        |what: &str, error: &dyn std::fmt::Display| Failure::Io(format!("{what}: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0")
        .map_err(|error| broken("cannot listen on loopback", &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| broken("cannot listen on loopback", &error))?;
    let revision = args.revision;
    let server = thread::spawn(move || -> Result<_, ConnectionError> {
        let read = |error| ConnectionError::Read(Arc::new(error));
        let (stream, _) = listener.accept().map_err(read)?;
        let transport = Transport::tcp(stream).map_err(read)?;
        serve(transport, &server::router(), &server::config(revision))
    });

    let mut report = Report::new();
    report.title(&format!(
        "hgrpc revision {revision}: a server and a client over tcp {address}"
    ))?;
    let tally = Tally::default();
    let mut config = Config::new(revision);
    config.observer = Some(Arc::new({
        let tally = tally.clone();
        move |direction, header| tally.add(direction, header.request_id(), header.length())
    }));
    let client = TcpStream::connect(address)
        .and_then(Transport::tcp)
        .and_then(|transport| Client::new(transport, &config))
        .map_err(|error| broken("cannot connect to the server", &error))?;

    out_of_order(&client, &tally, &mut report)?;
    text_output(&client, &mut report)?;
    command_error(&client, &mut report)?;
    bulk::run(&client, args.size, &tally, &mut report)?;

    let traffic = client.traffic();
    drop(client);
    match server.join() {
        Ok(Ok(served)) => {
            let is_same = (
                served.bytes_in,
                served.bytes_out,
                served.frames_in,
                served.frames_out,
            ) == (
                traffic.bytes_out,
                traffic.bytes_in,
                traffic.frames_out,
                traffic.frames_in,
            );
            report.check(
                is_same,
                "both ends have counted the same frames and bytes",
                &format!(
                    "{} frames, {}",
                    count(traffic.frames_in + traffic.frames_out),
                    bytes(traffic.bytes_in + traffic.bytes_out)
                ),
            )?;
        }
        Ok(Err(error)) => report.check(false, "the server ended in order", &error.to_string())?,
        Err(_) => report.check(false, "the server ended in order", "it panicked")?,
    }
    report.memory()?;
    report.end(&traffic)
}

/// A call's whole answer as text, or its error.
fn answer(response: Result<Response, CallError>) -> Result<String, CallError> {
    response?.read_text(1 << 20)
}

/// Five calls, of which the server answers the last one first.
fn out_of_order(client: &Client, tally: &Tally, report: &mut Report) -> Result<(), Failure> {
    const CALLS: u64 = 5;
    let calls: Vec<_> = (1..=CALLS)
        .map(|number| {
            // It is answered after those with larger numbers.
            let call = client.call("after");
            (
                number,
                call.value("number", &number).value("calls", &CALLS).send(),
            )
        })
        .collect();
    let mut order = Vec::new();
    let mut is_right = true;
    for (number, call) in calls {
        let id = call.as_ref().map(Response::request_id).ok();
        is_right &= answer(call).is_ok_and(|text| text == format!("answer {number}"));
        order.push((id.and_then(|id| tally.of(id).place), number));
    }
    order.sort_unstable();
    let order: Vec<String> = order.iter().map(|(_, number)| number.to_string()).collect();
    let order = order.join(" ");
    report.check(
        is_right && order == "5 4 3 2 1",
        "concurrent commands, answered out of order",
        &format!("called 1 2 3 4 5, answered {order}"),
    )
}

fn text_output(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let (send, lines) = std::sync::mpsc::channel();
    let result = answer(
        client
            .call("greet")
            .arg("name", "you")
            .on_text(move |atoms| {
                // Text of a peer may hold anything; escaped, a terminal shows it as it is.
                let _ = send.send(atoms.escaped().to_string());
            })
            .send(),
    );
    let lines: Vec<String> = lines.iter().collect();
    report.check(
        matches!(&result, Ok(text) if text == "done")
            && lines
                == [
                    "hello, you\n",
                    "control characters are harmless: \\x1b[31mred\\x07\n",
                ],
        "text output from the server, escaped",
        &match result {
            Ok(_) => format!("{} messages beside one answer", lines.len()),
            Err(error) => error.to_string(),
        },
    )?;
    for line in lines {
        report.aside(line.trim_end())?;
    }
    Ok(())
}

fn command_error(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let error = answer(client.call("fail").arg("file", "no/such/file").send()).err();
    let is_right = match &error {
        Some(CallError::Command(failure)) => failure.args == [b"no/such/file"],
        // 0003 has one kind of error only.
        Some(CallError::Server(_)) => client.revision() == Revision::R0003,
        _ => false,
    };
    let message = error.map_or_else(|| "it succeeded".to_owned(), |error| error.to_string());
    report.check(
        is_right && message.contains("no/such/file"),
        "a command's error, with its arguments",
        &message,
    )
}
