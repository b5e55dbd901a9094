//! The host's end of a line, in the test's own hands: what is sent can be anything.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use embedded_io::{Error, ErrorKind, ErrorType, Read, Write};
use hgrpc::R0006;
use hgrpc::cbor::{ArgsWriter, EncodedArgs};
use hgrpc::client::{Client, ClientConfig, Event, Request};
use hgrpc::connection::{Buffers, LineEvent, LinkBuffers, LinkedClient};
use hgrpc::drive::blocking::Driver;
use hgrpc::link::{Link, LinkConfig, LinkError, LinkEvent};
use hgrpc::store::FixedRequests;

/// A socket as a half of a line. Reading times out after a tick's time.
pub(crate) struct Half(TcpStream);

/// An error of a socket's.
#[derive(Debug)]
pub(crate) struct Failed(io::Error);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failed {}

impl Error for Failed {
    fn kind(&self) -> ErrorKind {
        match self.0.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            kind => kind.into(),
        }
    }
}

impl ErrorType for Half {
    type Error = Failed;
}

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failed> {
        io::Read::read(&mut self.0, buffer).map_err(Failed)
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failed> {
        io::Write::write(&mut self.0, bytes).map_err(Failed)
    }

    fn flush(&mut self) -> Result<(), Failed> {
        Ok(())
    }
}

/// Requests that wait at once.
type Requests = FixedRequests<8>;

/// The client's end of connections over the line to a board.
pub(crate) type Line = Driver<LinkedClient<'static, R0006, Requests>, Half, Half>;

/// How long reading waits before it counts as a tick.
const TICK: Duration = Duration::from_millis(50);

/// The line to the board at this address.
pub(crate) fn line(address: &str) -> Line {
    let socket = address.strip_prefix("tcp://").expect("a TCP port");
    let socket = TcpStream::connect(socket).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(TICK)).unwrap();
    let written = socket.try_clone().unwrap();
    let client = Client::new(R0006, ClientConfig::FULL_DUPLEX, Requests::new());
    // There are few lines in a test, and each is used to its end.
    let buffers = Buffers {
        input: vec![0; 64].leak(),
        memory: vec![0; 1024].leak(),
        output: vec![0; 256].leak(),
    };
    let packets = LinkBuffers {
        received: vec![0; 256].leak(),
        sent: vec![0; 256].leak(),
    };
    let client = Box::leak(Box::new(client));
    let connection = LinkedClient::linked(client, buffers, config(0), packets);
    Driver::new(connection, Half(socket), Half(written))
}

/// A link's start; each has sessions of its own.
fn config(number: u32) -> LinkConfig {
    let mut config = LinkConfig::new(std::process::id() << 16 | number << 8);
    // What is asked of the board may wait behind much data: silence means nothing.
    config.patience = 0;
    config
}

/// Gives up the connection, if there is one, and begins another.
pub(crate) fn connect(line: &mut Line) {
    line.connection_mut().disconnect();
    loop {
        let (event, _) = line.step().unwrap().expect("the line does not end");
        if matches!(event, Event::Line(LineEvent::Up)) {
            return;
        }
    }
}

/// Why a connection has ended.
pub(crate) type Ended = Box<dyn std::error::Error>;

/// Calls `echo`, and gives what comes back.
pub(crate) fn echo(line: &mut Line, value: u32) -> Result<Vec<u8>, Ended> {
    let mut memory = [0; 32];
    let revision = line.connection().end().revision();
    let mut args = ArgsWriter::new(&mut memory, revision.key_order());
    args.value(b"value", &value)?;
    let args: EncodedArgs<'_> = args.finish()?;
    let mut calls = line.sender();
    let call = calls.request(Request::new(b"echo", args), false)?;
    calls.send(call)?;
    let mut answer = Vec::new();
    loop {
        match line.step()? {
            Some((Event::Response { data, is_last, .. }, _)) => {
                answer.extend_from_slice(data);
                if is_last {
                    return Ok(answer);
                }
            }
            Some((Event::Line(LineEvent::Lost(error)), _)) => return Err(error.into()),
            Some(_) => {}
            None => return Err("the input has ended".into()),
        }
    }
}

/// What `echo` answers.
pub(crate) fn echoed(value: u32) -> Vec<u8> {
    let mut answer = b"\xa1Evalue".to_vec();
    answer.push(u8::try_from(value).unwrap());
    answer
}

/// Puts bytes on the line that no link has made, in the middle of a connection.
pub(crate) fn write_raw(line: &mut Line, bytes: &[u8]) {
    let (_, output) = line.halves();
    output.write_all(bytes).unwrap();
}

/// Connects with a link of its own, and sends these bytes where frames belong; gives how the
/// connection ends. `number`: which link of the process it is, from 1.
pub(crate) fn send_frames(line: &mut Line, number: u32, mut bytes: &[u8]) -> LinkError {
    let mut link = Link::<256>::new(config(number));
    let (input, output) = line.halves();
    let (mut buffer, mut packet) = ([0; 64], [0; 256]);
    loop {
        if let Some(due) = link.control_packet(&mut packet) {
            output.write_all(due).unwrap();
        }
        if link.is_up() && !bytes.is_empty() {
            let data = link.packet(&mut bytes, true, &mut packet).unwrap();
            output.write_all(data).unwrap();
            continue;
        }
        let mut came = match input.read(&mut buffer) {
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                link.tick();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        while let Some(event) = link.handle_bytes(&mut came) {
            if let LinkEvent::Lost(error) = event {
                return error;
            }
        }
    }
}
