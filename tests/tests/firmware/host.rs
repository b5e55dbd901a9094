//! The host's end of a line, in the test's own hands: what is sent can be anything.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use embedded_io::{Error, ErrorKind, ErrorType, Read, Write};
use hgrpc::R0006;
use hgrpc::cbor::{ArgsWriter, EncodedArgs};
use hgrpc::client::{ClientAction, ClientConfig, Request};
use hgrpc::io::blocking::{ClientConnection, LineError, LineReader, LineWriter, LinkedLine};
use hgrpc::link::{LinkConfig, LinkError};

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

/// The line to a board, with the link over it.
pub(crate) type Line = LinkedLine<Half, Half, fn(&[u8]), 256>;

/// How long reading waits before it counts as a tick.
const TICK: Duration = Duration::from_millis(50);

/// The line to the board at this address.
pub(crate) fn line(address: &str) -> Line {
    let socket = address.strip_prefix("tcp://").expect("a TCP port");
    let socket = TcpStream::connect(socket).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(TICK)).unwrap();
    let written = socket.try_clone().unwrap();
    let session = std::process::id() << 16;
    let mut config = LinkConfig::new(session);
    // What is asked of the board may wait behind much data: silence means nothing.
    config.patience = 0;
    LinkedLine::new(Half(socket), Half(written), |_| {}, config)
}

/// The client's end of a connection over a line.
pub(crate) type Connection<'l> = ClientConnection<
    LineReader<'l, Half, Half, fn(&[u8]), 256, 64>,
    LineWriter<'l, Half, Half, fn(&[u8]), 256, 64>,
    8,
    1024,
    64,
    244,
    R0006,
>;

/// Connects over the line.
pub(crate) fn connect(line: &Line) -> Connection<'_> {
    let (reader, writer) = line.connect().unwrap();
    ClientConnection::new(reader, writer, R0006, ClientConfig::FULL_DUPLEX)
}

/// Why a connection has ended.
pub(crate) type Ended = Box<dyn std::error::Error>;

/// Calls `echo`, and gives what comes back.
pub(crate) fn echo(connection: &mut Connection<'_>, value: u32) -> Result<Vec<u8>, Ended> {
    let mut memory = [0; 32];
    let mut args = ArgsWriter::new(&mut memory, connection.client().revision().key_order());
    args.value(b"value", &value)?;
    let args: EncodedArgs<'_> = args.finish()?;
    connection.calls().call(Request::new(b"echo", args))?;
    let mut answer = Vec::new();
    loop {
        match connection.next_action().map_err(|e| e.to_string())? {
            Some((ClientAction::ResponseData { data, eos, .. }, _)) => {
                answer.extend_from_slice(data);
                if eos {
                    return Ok(answer);
                }
            }
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
    let (_, output) = line.io_mut();
    output.write_all(bytes).unwrap();
}

/// Connects, and sends these bytes where frames belong; gives how the connection ends.
pub(crate) fn send_frames(line: &Line, bytes: &[u8]) -> LinkError {
    let (mut reader, mut writer) = line.connect().unwrap();
    writer.write_all(bytes).unwrap();
    loop {
        match reader.read(&mut [0; 64]) {
            Ok(_) => {}
            Err(LineError::Link(error)) => return error,
            Err(error) => panic!("{error}"),
        }
    }
}
