//! The device that calls: it greets the host, uploads data to the host's `digest`, compares the
//! answer with its own, says all that through semihosting, and ends the emulator with an exit code.

use core::mem::MaybeUninit;

use hgrpc::Error;
use hgrpc::R0006;
use hgrpc::cbor::{ArgsWriter, CborReader, EncodedArgs, Status, Text};
use hgrpc::client::{Client, ClientConfig, Event, Request};
use hgrpc::connection::{LineEvent, LinkedClient};
use hgrpc::drive::blocking::Driver;
use hgrpc::link::LinkConfig;
use hgrpc::store::FixedRequests;

use crate::console;
use crate::hash::{self, Hash};
use crate::log::{alert, info};
use crate::serial::{Memory, OUT, Serial, SerialReader, SerialWriter, Woken};
use crate::starts;
use crate::uart::Uart;

/// The client; in a `static` it is zeros.
pub type End = Client<R0006, FixedRequests<2>>;

/// The client at power-on.
pub const END: End = Client::new(R0006, ClientConfig::FULL_DUPLEX, FixedRequests::new());

/// What hgrpc needs.
pub type Statics<U> = (
    &'static mut Memory,
    &'static mut End,
    &'static mut MaybeUninit<Device<U>>,
);

/// The client's end of the connections over the line, two calls at once, with what carries it.
pub type Device<U> =
    Driver<LinkedClient<'static, R0006, FixedRequests<2>>, SerialReader<U>, SerialWriter<U>>;

/// Bytes of the upload.
const UPLOAD: u32 = 16 * 1024;

/// How often it begins anew after a loss.
const ATTEMPTS: u8 = 5;

/// Why a call has no answer.
enum Stop {
    /// The connection is over.
    Over,
    /// The host says no, or something else than expected.
    Failed,
}

impl<R, W> From<Error<R, W>> for Stop {
    fn from(_: Error<R, W>) -> Self {
        Self::Over
    }
}

/// The answer to a call, as far as it is kept.
#[derive(Debug)]
pub struct Application {
    answer: [u8; 96],
    len: usize,
}

/// The main loop.
pub fn run<U: Uart>(
    board: &'static str,
    serial: &'static Serial<U>,
    (memory, end, device): Statics<U>,
    application: &'static mut Application,
) -> ! {
    let (reader, writer) = serial.start();
    let (buffers, packets) = memory.lend();
    let link = LinkConfig::new(starts::count() << 16);
    let connection = LinkedClient::linked(end, buffers, link, packets);
    let device = device.write(Driver::new(connection, reader, writer));
    let mut attempts = ATTEMPTS;
    while attempts > 0 {
        match application.session(board, device) {
            Ok(()) => console::exit(true),
            Err(Stop::Failed) => console::exit(false),
            Err(Stop::Over) => attempts -= 1,
        }
        device.connection_mut().disconnect();
    }
    console::exit(false)
}

impl Application {
    /// As at power-on.
    pub const fn new() -> Self {
        Self {
            answer: [0; 96],
            len: 0,
        }
    }

    /// What the device wants of the host.
    fn session<U: Uart>(&mut self, board: &str, device: &mut Device<U>) -> Result<(), Stop> {
        while !device.connection().is_up() {
            wait(device)?;
        }
        let mut memory = [0; 32];
        let revision = device.connection().end().revision();
        let mut args = ArgsWriter::new(&mut memory, revision.key_order());
        args.bytes(b"name", board.as_bytes())
            .map_err(|_| Stop::Failed)?;
        let args = args.finish().map_err(|_| Stop::Failed)?;
        self.call(device, Request::new(b"greet", args), 0)?;
        self.show("greet");

        let request = Request::new(b"digest", EncodedArgs::EMPTY);
        let expected = hash::text(self.call(device, request, UPLOAD)?);
        self.show("digest");
        let is_right = self
            .strings()
            .flat_map(|text| text.as_bytes().chunks())
            .flatten()
            .eq(&expected);
        console::print(
            if is_right {
                "it is right\n"
            } else {
                "it is wrong\n"
            }
            .as_bytes(),
        );
        if is_right { Ok(()) } else { Err(Stop::Failed) }
    }

    /// Calls, sends so much data, and waits for the answer; gives the digest of what was sent.
    fn call<U: Uart>(
        &mut self,
        device: &mut Device<U>,
        request: Request<'_>,
        upload: u32,
    ) -> Result<[u8; 32], Stop> {
        self.len = 0;
        let mut hash = Hash::new();
        let mut sent = 0u32;
        let mut calls = device.sender();
        let mut call = calls
            .request(request, upload > 0)
            .map_err(|_| Stop::Failed)?;
        calls.send(&mut call)?;
        loop {
            // What comes goes first: the host may be waiting with it.
            if sent < upload && !device.is_ready().map_err(|_| Stop::Over)? {
                let mut piece = [0; OUT - 8];
                let left = usize::try_from(upload.wrapping_sub(sent)).unwrap_or(usize::MAX);
                let len = left.min(piece.len());
                let piece = piece.get_mut(..len).unwrap_or_default();
                for byte in piece.iter_mut() {
                    *byte = pattern(sent);
                    sent = sent.wrapping_add(1);
                }
                hash.update(piece);
                device.sender().send(call.data(piece, sent == upload))?;
                continue;
            }
            match device.step() {
                Ok(Some((event, _))) => {
                    if !matches!(event, Event::Idle) {
                        info!("{}", event);
                    }
                    if self.take(event)? {
                        return Ok(hash.finish());
                    }
                }
                Err(Error::Read(Woken)) => {}
                Ok(None) => return Err(Stop::Over),
                Err(error) => {
                    alert!("the connection is over: {}", error);
                    return Err(Stop::Over);
                }
            }
        }
    }

    /// Takes what the host says. `true`: the answer is complete.
    fn take(&mut self, event: Event<'_>) -> Result<bool, Stop> {
        match event {
            Event::Line(LineEvent::Lost(_)) => Err(Stop::Over),
            Event::Response {
                status: Some(Status::Error(_) | Status::Redirect(_)),
                ..
            }
            | Event::Failed { .. }
            | Event::MessageTooLarge { .. } => {
                console::print(b"the host says no\n");
                Err(Stop::Failed)
            }
            Event::Response { data, is_last, .. } => {
                let room = self.answer.get_mut(self.len..).unwrap_or_default();
                room.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
                self.len = self.len.saturating_add(room.len().min(data.len()));
                Ok(is_last)
            }
            _ => Ok(false),
        }
    }

    /// The strings of the answer.
    fn strings(&self) -> impl Iterator<Item = Text<'_>> {
        let mut reader = CborReader::new(self.answer.get(..self.len).unwrap_or_default());
        core::iter::from_fn(move || Text::from_any(reader.next_value().ok()?))
    }

    fn show(&self, command: &str) {
        console::print(command.as_bytes());
        console::print(b": ");
        for chunk in self.strings().flat_map(|text| text.as_bytes().chunks()) {
            console::print(chunk);
        }
        console::print(b"\n");
    }
}

impl Default for Application {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes a step while there is no connection.
fn wait<U: Uart>(device: &mut Device<U>) -> Result<(), Stop> {
    match device.step() {
        Ok(_) | Err(Error::Read(Woken)) => Ok(()),
        Err(_) => Err(Stop::Over),
    }
}

/// The byte at this place of the upload.
const fn pattern(place: u32) -> u8 {
    let [byte, ..] = (place.wrapping_mul(0x9e37_79b1) >> 24).to_le_bytes();
    byte
}
