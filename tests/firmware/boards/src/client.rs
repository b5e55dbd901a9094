//! The device that calls: it greets the host, uploads data to the host's `digest`, compares the
//! answer with its own, says all that through semihosting, and ends the emulator with an exit code.

use core::mem::MaybeUninit;

use hgrpc::R0006;
use hgrpc::cbor::{ArgsWriter, CborReader, EncodedArgs, Status, Text};
use hgrpc::client::{CallData, ClientAction, ClientConfig, Request};
use hgrpc::io::blocking::{
    ClientConnection, LineError, LinkedLine, NextError, ReceiveError, SendError,
};
use hgrpc::link::LinkConfig;

use crate::console;
use crate::hash::{self, Hash};
use crate::log::{alert, info};
use crate::serial::{Line, LinkReader, LinkWriter, OUT, Serial, Woken};
use crate::starts;
use crate::uart::Uart;

/// The client's end of a connection: two calls at once, which share 256 bytes.
pub type Connection<U> = ClientConnection<LinkReader<U>, LinkWriter<U>, 2, 256, 64, OUT, R0006>;

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

impl<E> From<SendError<E>> for Stop {
    fn from(_: SendError<E>) -> Self {
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
    line: &'static mut MaybeUninit<Line<U>>,
    connection: &'static mut MaybeUninit<Connection<U>>,
    application: &'static mut Application,
) -> ! {
    let (reader, writer) = serial.start();
    let config = LinkConfig::new(starts::count() << 16);
    let line = line.write(LinkedLine::new(reader, writer, |_| {}, config));
    let mut attempts = ATTEMPTS;
    while attempts > 0 {
        let Ok((reader, writer)) = line.connect() else {
            continue;
        };
        let client = ClientConnection::new(reader, writer, R0006, ClientConfig::FULL_DUPLEX);
        match application.session(board, connection.write(client)) {
            Ok(()) => console::exit(true),
            Err(Stop::Failed) => console::exit(false),
            Err(Stop::Over) => attempts -= 1,
        }
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
    fn session<U: Uart>(
        &mut self,
        board: &str,
        connection: &mut Connection<U>,
    ) -> Result<(), Stop> {
        let mut memory = [0; 32];
        let mut args = ArgsWriter::new(&mut memory, connection.client().revision().key_order());
        args.bytes(b"name", board.as_bytes())
            .map_err(|_| Stop::Failed)?;
        let args = args.finish().map_err(|_| Stop::Failed)?;
        self.call(connection, Request::new(b"greet", args), 0)?;
        self.show("greet");

        let request = Request::new(b"digest", EncodedArgs::EMPTY).with_data(CallData::Stream);
        let expected = hash::text(self.call(connection, request, UPLOAD)?);
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
        connection: &mut Connection<U>,
        request: Request<'_>,
        upload: u32,
    ) -> Result<[u8; 32], Stop> {
        self.len = 0;
        let mut hash = Hash::new();
        let mut sent = 0u32;
        let mut call = connection.calls().open(request)?;
        loop {
            // What comes goes first: the host may be waiting with it.
            if call.wants_data() && !connection.is_ready().map_err(|_| Stop::Over)? {
                let mut piece = [0; OUT - 8];
                let left = usize::try_from(upload.wrapping_sub(sent)).unwrap_or(usize::MAX);
                let len = left.min(piece.len());
                let piece = piece.get_mut(..len).unwrap_or_default();
                for byte in piece.iter_mut() {
                    *byte = pattern(sent);
                    sent = sent.wrapping_add(1);
                }
                hash.update(piece);
                connection
                    .calls()
                    .send_data(&mut call, piece, sent == upload)?;
                continue;
            }
            match connection.next_action() {
                Ok(Some((action, _))) => {
                    info!("{}", action);
                    if self.take(action)? {
                        return Ok(hash.finish());
                    }
                }
                Err(NextError::Receive(ReceiveError::Io(LineError::Read(Woken)))) => {}
                Ok(None) => return Err(Stop::Over),
                Err(error) => {
                    alert!("the connection is over: {}", error);
                    return Err(Stop::Over);
                }
            }
        }
    }

    /// Takes what the host says. `true`: the answer is complete.
    fn take(&mut self, action: ClientAction<'_>) -> Result<bool, Stop> {
        match action {
            ClientAction::ResponseData {
                status: Some(Status::Error(_) | Status::Redirect(_)),
                ..
            }
            | ClientAction::ErrorResponse { .. }
            | ClientAction::MessageTooLarge { .. } => {
                console::print(b"the host says no\n");
                Err(Stop::Failed)
            }
            ClientAction::ResponseData { data, eos, .. } => {
                let room = self.answer.get_mut(self.len..).unwrap_or_default();
                room.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
                self.len = self.len.saturating_add(room.len().min(data.len()));
                Ok(eos)
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

/// The byte at this place of the upload.
const fn pattern(place: u32) -> u8 {
    let [byte, ..] = (place.wrapping_mul(0x9e37_79b1) >> 24).to_le_bytes();
    byte
}
