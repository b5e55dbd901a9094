//! The device that is called: its main loop. Its commands are in `serve/`.

mod answers;
mod counters;
mod digest;
mod events;

use core::mem::MaybeUninit;

use embedded_io::Write;
use hgrpc::R0006;
use hgrpc::io::blocking::{
    LineError, LinkedLine, NextError, ReceiveError, SendError, ServerConnection,
};
use hgrpc::link::LinkConfig;
use hgrpc::server::{Body, Command, Failure, ResponseWriter, ServerAction, ServerConfig};
use hgrpc::wire::RequestId;

use crate::log::{alert, info};
use crate::serial::{Line, LinkReader, LinkWriter, OUT, Serial, Woken};
use crate::starts;
use crate::uart::Uart;
use counters::Counters;
use digest::Digests;
use events::Events;

/// Requests at once.
const REQUESTS: usize = 4;
/// Bytes that they share for what has to be gathered.
const BYTES: usize = 256;

/// The server's end of a connection, in fixed memory: 64 bytes of it are the receive buffer.
pub type Connection<U> =
    ServerConnection<LinkReader<U>, LinkWriter<U>, REQUESTS, BYTES, 64, OUT, R0006>;

/// The half that answers.
type Replies<W> = hgrpc::io::blocking::Replies<W, REQUESTS, OUT, R0006>;

/// What sending comes to.
type Sent<W> = Result<(), SendError<<W as embedded_io::ErrorType>::Error>>;

/// The connection is over.
struct Over;

impl<E> From<SendError<E>> for Over {
    fn from(_: SendError<E>) -> Self {
        Self
    }
}

/// What the commands remember.
#[derive(Debug)]
pub struct Application {
    board: &'static str,
    counters: Counters,
    is_led_on: bool,
    /// Data that is being sent back.
    echo: Option<ResponseWriter>,
    digests: Digests,
    events: Events,
    /// `reset` was called: its answer is on its way, the next wake resets.
    resets: bool,
}

/// The main loop.
pub fn run<U: Uart>(
    board: &'static str,
    serial: &'static Serial<U>,
    line: &'static mut MaybeUninit<Line<U>>,
    connection: &'static mut MaybeUninit<Connection<U>>,
    application: &'static mut Application,
) -> ! {
    let starts = starts::count();
    application.board = board;
    application.counters.starts = starts;
    application.counters.hgrpc_ram = Line::<U>::SIZE + Connection::<U>::SIZE;
    let (reader, mut writer) = serial.start();
    // Nothing reads packets yet: this is text on the host's console.
    for text in ["hgrpc on ", board, "\r\n"] {
        let Ok(_) = writer.write(text.as_bytes());
    }
    let config = LinkConfig::new(starts << 16);
    let line = line.write(LinkedLine::new(reader, writer, |_| {}, config));
    loop {
        // Waits for the host; the timer's wakes interrupt that, and nothing is lost.
        let Ok((reader, writer)) = line.connect() else {
            continue;
        };
        info!("connected");
        application.begin();
        let server = ServerConnection::new(reader, writer, R0006, ServerConfig::STREAMING);
        let connection = connection.write(server);
        while application.step(serial, connection).is_ok() {}
    }
}

hgrpc::args! {
    /// Arguments of `led`.
    struct Led {
        on: bool,
        level: u8 = 100,
    }
}

hgrpc::args! {
    /// Arguments of `count`.
    struct Count {
        to: u16,
    }
}

hgrpc::args! {
    /// Arguments of `fault`.
    struct Fault {
        late: bool = false,
    }
}

hgrpc::args! {
    /// Arguments of `events`.
    struct Subscription {
        most: u16 = u16::MAX,
    }
}

impl Application {
    /// As at power-on.
    pub const fn new() -> Self {
        Self {
            board: "",
            counters: Counters::new(),
            is_led_on: false,
            echo: None,
            digests: Digests::new(),
            events: Events::new(),
            resets: false,
        }
    }

    /// A connection begins: the calls of the last one are gone.
    fn begin(&mut self) {
        self.counters.begin();
        self.echo = None;
        self.digests = Digests::new();
        self.events = Events::new();
    }

    /// Handles the next thing that comes.
    fn step<U: Uart>(
        &mut self,
        serial: &Serial<U>,
        connection: &mut Connection<U>,
    ) -> Result<(), Over> {
        self.counters.saw_ring(serial.most_waiting());
        match connection.next_action() {
            Ok(Some((action, replies))) => {
                info!("{}", action);
                self.counters.saw_requests(replies.active().count());
                self.act(action, replies)?;
            }
            Err(NextError::Receive(ReceiveError::Io(LineError::Read(Woken)))) => {
                self.wake(connection.replies())?;
            }
            Ok(None) => return Err(Over),
            Err(error) => {
                alert!("the connection is over: {}", error);
                self.counters.ended = self.counters.ended.wrapping_add(1);
                return Err(Over);
            }
        }
        self.counters.saw_store(connection.held());
        // Whoever asks for them has them without the frame that asked.
        self.counters.saw_frames(connection.frames());
        Ok(())
    }

    fn act<W: Write>(&mut self, action: ServerAction<'_>, replies: &mut Replies<W>) -> Sent<W> {
        match action {
            ServerAction::RunCommand(command) => {
                self.counters.commands = self.counters.commands.wrapping_add(1);
                self.run(command, replies)
            }
            ServerAction::CommandData {
                request_id,
                bytes,
                is_last,
            } => self.take_data(request_id, bytes, is_last, replies),
            ServerAction::RejectRequest(rejection) => {
                alert!("refused: {}", rejection.reason());
                self.counters.refused = self.counters.refused.wrapping_add(1);
                self.forget(rejection.request_id());
                replies.reject(rejection)
            }
            _ => Ok(()),
        }
    }

    /// The commands.
    fn run<W: Write>(&mut self, command: Command<'_>, replies: &mut Replies<W>) -> Sent<W> {
        let name = command.name.as_slice().unwrap_or_default();
        let (args, responder) = (&command.args, command.responder);
        match name {
            b"echo" if command.data_follows && self.echo.is_none() => {
                self.echo = Some(replies.begin(responder)?);
                Ok(())
            }
            b"digest" if command.data_follows => self.digests.begin(responder, replies),
            _ if command.data_follows => {
                let failure = Failure::command(b"it takes no data now");
                replies.respond(responder, Body::Failure(failure))
            }
            b"echo" => replies.respond(responder, Body::Cbor(args.as_cbor())),
            b"digest" => digest::of_nothing(responder, replies),
            b"led" => match Led::from_args(args) {
                Ok(Led { on, level }) => {
                    self.is_led_on = on && level > 0;
                    replies.respond(responder, answers::boolean(self.is_led_on))?;
                    self.events
                        .report("led", u32::from(self.is_led_on), replies)
                }
                Err(error) => answers::wrong(error, responder, replies),
            },
            b"count" => match Count::from_args(args) {
                Ok(Count { to }) => answers::count(to, responder, replies),
                Err(error) => answers::wrong(error, responder, replies),
            },
            b"fault" => match Fault::from_args(args) {
                Ok(Fault { late }) => answers::fault(late, responder, replies),
                Err(error) => answers::wrong(error, responder, replies),
            },
            b"events" => match Subscription::from_args(args) {
                Ok(Subscription { most }) => self.events.open(most, responder, replies),
                Err(error) => answers::wrong(error, responder, replies),
            },
            b"stop" => {
                self.events.stop(replies)?;
                replies.respond(responder, answers::boolean(true))
            }
            b"stats" => self.counters.answer(self.board, responder, replies),
            b"reset" => {
                self.resets = true;
                replies.respond(responder, answers::boolean(true))
            }
            _ => answers::unknown(name, responder, replies),
        }
    }

    fn take_data<W: Write>(
        &mut self,
        id: RequestId,
        bytes: &[u8],
        is_last: bool,
        replies: &mut Replies<W>,
    ) -> Sent<W> {
        if let Some(writer) = self.echo.as_mut()
            && writer.request_id() == id
        {
            answers::byte_string(bytes, writer, replies)?;
            if is_last && let Some(writer) = self.echo.take() {
                replies.finish(writer)?;
            }
            return Ok(());
        }
        self.digests.take_data(id, bytes, is_last, replies)
    }

    /// A request was refused while it ran.
    fn forget(&mut self, id: RequestId) {
        if self.echo.as_ref().is_some_and(|w| w.request_id() == id) {
            self.echo = None;
        }
        self.digests.forget(id);
        self.events.forget(id);
    }

    /// The timer.
    fn wake<W: Write>(&mut self, replies: &mut Replies<W>) -> Sent<W> {
        if self.resets {
            cortex_m::peripheral::SCB::sys_reset();
        }
        self.counters.ticks = self.counters.ticks.wrapping_add(1);
        self.events.report("tick", self.counters.ticks, replies)
    }
}

impl Default for Application {
    fn default() -> Self {
        Self::new()
    }
}
