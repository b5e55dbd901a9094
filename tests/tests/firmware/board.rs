//! A board as an application has it: the adapter's client over its line.

use std::io::Read;
use std::time::Duration;

use hgrpc_std::blocking::{
    CallError, Client, Config, ConnectionError, Request, Response, Transport,
};
use hgrpc_std::diagnostic::Diagnostic;
use hgrpc_std::transport::Address;

use crate::emulator::Emulator;

/// Nothing here takes that long, however busy the machine is: then the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Connects to a board.
pub(crate) fn connect(emulator: &Emulator) -> Client {
    let address: Address = emulator.linked().parse().unwrap();
    let connection = address.connect(Some(PATIENCE)).unwrap();
    Client::new(Transport::from(connection), &Config::default()).unwrap()
}

/// A call.
pub(crate) fn call(client: &Client, command: &str) -> Request {
    client.call(command).timeout(PATIENCE)
}

/// The values of an answer, as people read them.
pub(crate) fn values(mut response: Response) -> Result<String, CallError> {
    let mut all = Vec::new();
    while let Some(value) = response.next_value()? {
        all.extend_from_slice(&value);
    }
    Ok(Diagnostic::new(&all).to_string())
}

/// Calls, and gives the answer's values.
pub(crate) fn ask(request: Request) -> Result<String, CallError> {
    values(request.send()?)
}

/// The next value of an answer that is open.
pub(crate) fn next(response: &mut Response) -> Result<String, CallError> {
    let value = response.next_value()?.expect("the answer is open");
    Ok(Diagnostic::new(&value).to_string())
}

/// A number that the board's `stats` has.
pub(crate) fn stat(client: &Client, key: &str) -> u64 {
    let all = ask(call(client, "stats")).unwrap();
    let key = format!("b'{key}': ");
    let (_, rest) = all
        .split_once(&key)
        .unwrap_or_else(|| panic!("no {key} in {all}"));
    let end = rest.find([',', '}']).unwrap();
    rest[..end].parse().unwrap()
}

/// Bytes that do not repeat soon.
#[derive(Clone)]
pub(crate) struct Pattern {
    place: u32,
    end: u32,
}

impl Pattern {
    pub(crate) fn new(len: u32) -> Self {
        Self { place: 0, end: len }
    }

    /// The digest of all of it, as a board answers it.
    pub(crate) fn digest(mut self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        std::io::copy(&mut self, &mut hash).unwrap();
        let digits: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        format!("\"{digits}\"")
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min((self.end - self.place) as usize);
        for byte in &mut buffer[..len] {
            *byte = self.place.wrapping_mul(0x9e37_79b1).to_be_bytes()[0];
            self.place += 1;
        }
        Ok(len)
    }
}

/// How a connection ended under a call.
pub(crate) fn lost(error: CallError) -> ConnectionError {
    match error {
        CallError::Connection(lost) => lost.error,
        other => panic!("{other}"),
    }
}
