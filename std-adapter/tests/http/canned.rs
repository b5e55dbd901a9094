//! A server that answers with given bytes, whatever is asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use hgrpc_std::http::{Client, Command, Config, Response};

use crate::support::F;

/// Listens until the test ends.
pub(crate) struct Canned {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

/// The handshake's answer: two commands, `heads` and `known`, neither with arguments.
const HANDSHAKE: &[u8] = b"\xa2\x47apibase\x44api/\x44apis\xa1\x50exp-http-v2-0003\xa1\x48commands\
\xa2\x45heads\xa2\x44args\xa0\x4bpermissions\x81\x44pull\x45known\xa2\x44args\xa0\x4bpermissions\x81\x44pull";

/// An answer with a length.
pub(crate) fn answer(status: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n");
    if !media_type.is_empty() {
        answer.push_str(&format!("Content-Type: {media_type}\r\n"));
    }
    answer.push_str("\r\n");
    [answer.as_bytes(), body].concat()
}

impl Canned {
    /// Answers every GET with the first bytes and every POST with the second.
    pub(crate) fn new(get: Vec<u8>, post: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                // Requests here are small and have a length.
                while !is_complete(&seen) {
                    match stream.read(&mut buffer) {
                        Ok(len) if len > 0 => seen.extend_from_slice(&buffer[..len]),
                        _ => break,
                    }
                }
                all.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&seen).to_lowercase());
                let answer = if seen.starts_with(b"POST") {
                    &post
                } else {
                    &get
                };
                // The client may have had enough.
                let _ = stream.write_all(answer);
            }
        });
        Self {
            address,
            seen: requests,
        }
    }

    /// Answers POSTs with these frames, after a good handshake.
    pub(crate) fn frames(body: &[u8]) -> Self {
        Self::posts(answer("200 OK", F, body))
    }

    /// Answers POSTs so, after a good handshake.
    pub(crate) fn posts(post: Vec<u8>) -> Self {
        Self::new(
            answer("200 OK", "application/mercurial-cbor", HANDSHAKE),
            post,
        )
    }

    pub(crate) fn cbor(body: &[u8]) -> Self {
        Self::new(
            answer("200 OK", "application/mercurial-cbor", body),
            Vec::new(),
        )
    }

    /// The requests that came, in lower case.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.url(), Config::default()).unwrap()
    }

    /// Calls `heads`.
    pub(crate) fn call(&self) -> Result<Response, hgrpc_std::http::Error> {
        self.client().call(&Command::new("heads"))
    }
}

fn is_complete(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |text| text.trim().parse().unwrap());
    request.len() >= end + 4 + length
}
