//! HTTP by hand: a server that answers as it was recorded, and requests sent as they were recorded.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::recorded::{Request, Response};
use crate::fields::Fault;
use crate::parts::Cut;

/// How long a replay may take before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A head and a body, as they came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The first line.
    pub(super) start: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// A header's value; names are in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.start.split(' ').nth(1)?.parse().ok()
    }

    pub(super) fn reason(&self) -> &str {
        self.start.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    /// The media type without parameters.
    pub(super) fn media_type(&self) -> Option<&str> {
        self.header("content-type")?.split(';').next()
    }
}

/// Reads a head, and a body by its length, by its chunks or to the end.
fn read(stream: &mut TcpStream, is_request: bool) -> io::Result<Message> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, &mut bytes)?;
    };
    let mut body = bytes.split_off(head_len);
    let head = String::from_utf8_lossy(&bytes);
    let mut lines = head.lines();
    let start = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let mut message = Message {
        start,
        headers: headers.collect(),
        body: Vec::new(),
    };
    let length = message
        .header("content-length")
        .and_then(|text| text.parse().ok());
    if message.header("transfer-encoding") == Some("chunked") {
        while !body.ends_with(b"0\r\n\r\n") && more(stream, &mut body).is_ok() {}
        message.body = dechunk(&body).ok_or(io::ErrorKind::UnexpectedEof)?;
        return Ok(message);
    }
    match length {
        Some(length) => {
            while body.len() < length {
                more(stream, &mut body)?;
            }
        }
        None if is_request => {}
        None => while more(stream, &mut body).is_ok() {},
    }
    message.body = body;
    Ok(message)
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 1 << 14];
    match stream.read(&mut buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        len => {
            bytes.extend(buffer.iter().take(len));
            Ok(())
        }
    }
}

fn dechunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(all);
        }
        let start = end + 2;
        all.extend_from_slice(bytes.get(start..start + size)?);
        bytes = bytes.get(start + size + 2..)?;
    }
}

/// Answers requests until it is dropped, each connection's first one.
pub(super) struct Canned {
    pub(super) address: SocketAddr,
    /// The requests that came.
    pub(super) seen: Receiver<Message>,
}

impl Canned {
    /// A server that answers with the bytes that `answer` makes of a request.
    pub(super) fn new(
        answer: impl Fn(&Message) -> Vec<u8> + Send + 'static,
    ) -> Result<Self, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let (sender, seen) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let Ok(request) = read(&mut stream, true) else {
                    // Whoever ends this connects once more and says nothing.
                    return;
                };
                let answer = answer(&request);
                let _ = sender.send(request);
                // The client may have had enough.
                let _ = stream.write_all(&answer);
            }
        });
        Ok(Self { address, seen })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        drop(TcpStream::connect(self.address));
    }
}

pub(super) fn fault(error: io::Error) -> Fault {
    super::differs("a connection on loopback", "works", error)
}

/// An answer as it was recorded, with this body. Chunked coding stays, in the recorded chunks or as
/// `cut` says.
pub(super) fn answer(recorded: &Response, body: &[u8], cut: Cut) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", recorded.status, recorded.reason);
    for (name, value) in &recorded.headers {
        if !["transfer-encoding", "content-length"].contains(&name.to_lowercase().as_str()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("Connection: close\r\n");
    let Some(sizes) = &recorded.chunk_sizes else {
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        return [head.as_bytes(), body].concat();
    };
    head.push_str("Transfer-Encoding: chunked\r\n\r\n");
    let mut bytes = head.into_bytes();
    let mut rest = body;
    let mut sizes = sizes.iter().copied();
    while !rest.is_empty() {
        let size = match cut {
            Cut::Whole => sizes.next().unwrap_or(usize::MAX),
            Cut::Every(size) => size,
        };
        let (chunk, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = after;
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// An answer made here, with a length.
pub(super) fn plain_answer(media_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Sends a request as it was recorded and reads the answer.
pub(super) fn send(address: SocketAddr, request: &Request) -> Result<Message, Fault> {
    let mut stream = TcpStream::connect(address).map_err(fault)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(fault)?;
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        if !name.eq_ignore_ascii_case("connection") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(fault)?;
    stream.write_all(&request.body).map_err(fault)?;
    read(&mut stream, false).map_err(fault)
}
