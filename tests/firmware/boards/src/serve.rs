//! The device that is called: its main loop. Its commands are in `serve/`.

mod counters;
mod digest;
mod events;

use core::convert::Infallible;
use core::mem::MaybeUninit;

use embedded_io::Write;
use hgrpc::Error;
use hgrpc::cbor::{Atom, Progress};
use hgrpc::connection::{Drive, LineEvent, LinkedServer};
use hgrpc::drive::Sending;
use hgrpc::drive::blocking::Driver;
use hgrpc::link::LinkConfig;
use hgrpc::server::{Command, Event, Failure, Reply, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use hgrpc::wire::RequestId;
use hgrpc::{R0006, Streaming};

use crate::log::{alert, info};
use crate::serial::{GATHERED, Memory, Serial, SerialHalves, SerialReader, SerialWriter, Woken};
use crate::starts;
use crate::uart::Uart;
use counters::Counters;
use digest::Digests;
use events::Events;

/// Requests at once.
const REQUESTS: usize = 4;

/// The server; in a `static` it is zeros.
pub type End = Server<Streaming<R0006>, FixedRequests<REQUESTS>>;

/// The server at power-on.
pub const END: End = Server::new(
    Streaming(R0006),
    ServerConfig::STREAMING,
    FixedRequests::new(),
);

/// What hgrpc needs.
pub type Statics<U> = (
    &'static mut Memory,
    &'static mut End,
    &'static mut MaybeUninit<Device<U>>,
);

/// The server's end of the connections over the line.
type Connection = LinkedServer<'static, Streaming<R0006>, FixedRequests<REQUESTS>>;

/// The connection with what carries it.
pub type Device<U> = Driver<Connection, SerialReader<U>, SerialWriter<U>>;

/// The half that answers.
type Replies<'r, U> = Sending<'r, <Connection as Drive>::Sender, SerialHalves<U>>;

/// What a step comes to; an error: the connection is over.
type Done = Result<(), Error<Woken, Infallible>>;

/// What the commands remember.
#[derive(Debug)]
pub struct Application {
    board: &'static str,
    counters: Counters,
    is_led_on: bool,
    /// Data that is being sent back.
    echo: Option<Reply>,
    digests: Digests,
    events: Events,
    /// `reset` was called: its answer is on its way, the next wake resets.
    resets: bool,
}

/// The main loop.
pub fn run<U: Uart>(
    board: &'static str,
    serial: &'static Serial<U>,
    (memory, end, device): Statics<U>,
    application: &'static mut Application,
) -> ! {
    let starts = starts::count();
    application.board = board;
    application.counters.starts = starts;
    application.counters.hgrpc_ram = size_of::<Memory>() + End::SIZE + Device::<U>::SIZE;
    let (reader, mut writer) = serial.start();
    // Nothing reads packets yet: this is text on the host's console.
    for text in ["hgrpc on ", board, "\r\n"] {
        let Ok(_) = writer.write(text.as_bytes());
    }
    let (buffers, packets) = memory.lend();
    let link = LinkConfig::new(starts << 16);
    let connection = LinkedServer::linked(end, buffers, link, packets);
    let device = device.write(Driver::new(connection, reader, writer));
    loop {
        if let Err(error) = application.step(serial, device) {
            alert!("the connection is over: {}", error);
            application.end();
            // The host's end is over, too; then it begins anew.
            device.connection_mut().disconnect();
        }
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

    /// A connection has ended in an error.
    fn end(&mut self) {
        self.counters.ended = self.counters.ended.wrapping_add(1);
        self.forget_all();
    }

    /// The calls of the last connection are gone.
    fn forget_all(&mut self) {
        self.echo = None;
        self.digests = Digests::new();
        self.events = Events::new();
    }

    /// Handles the next thing that comes.
    fn step<U: Uart>(&mut self, serial: &Serial<U>, device: &mut Device<U>) -> Done {
        self.counters.saw_ring(serial.most_waiting());
        match device.step() {
            Ok(Some((event, mut replies))) => {
                self.counters.saw_requests(replies.end().active().count());
                self.act(event, &mut replies)?;
            }
            // The line does not end.
            Ok(None) => {}
            // The timer's wakes interrupt reading, and nothing is lost.
            Err(Error::Read(Woken)) => self.wake(&mut device.sender())?,
            Err(error) => return Err(error),
        }
        let connection = device.connection();
        self.counters
            .saw_store(GATHERED.saturating_sub(connection.free_memory()));
        // Whoever asks for them has them without the frame that asked.
        self.counters.saw_frames(connection.end().frames());
        Ok(())
    }

    fn act<U: Uart>(&mut self, event: Event<'_>, replies: &mut Replies<'_, U>) -> Done {
        if !matches!(event, Event::Idle) {
            info!("{}", event);
        }
        match event {
            Event::Command(command) => {
                self.counters.commands = self.counters.commands.wrapping_add(1);
                self.run(command, replies)
            }
            Event::Data {
                request_id,
                bytes,
                is_last,
            } => self.take_data(request_id, bytes, is_last, replies),
            // It has been answered.
            Event::Refused(refusal) => {
                alert!("refused: {}", refusal.reason());
                self.counters.refused = self.counters.refused.wrapping_add(1);
                self.forget(refusal.request_id());
                Ok(())
            }
            Event::Line(LineEvent::Up) => {
                info!("connected");
                self.counters.begin();
                self.forget_all();
                Ok(())
            }
            Event::Line(LineEvent::Lost(error)) => {
                alert!("the connection is over: {}", error);
                self.end();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The commands.
    fn run<U: Uart>(&mut self, command: Command<'_>, replies: &mut Replies<'_, U>) -> Done {
        let name = command.name.as_bytes().and_then(|name| name.as_slice());
        match name.unwrap_or_default() {
            b"echo" if command.data_follows && self.echo.is_none() => {
                self.echo = Some(command.reply);
                Ok(())
            }
            b"digest" if command.data_follows => self.digests.begin(command.reply, replies),
            _ if command.data_follows => {
                let failure = Failure::command(b"it takes no data now");
                replies.send(command.reply.fail(failure))
            }
            b"echo" => replies.send(command.reply.body(command.args.as_cbor())),
            b"digest" => digest::of_nothing(command.reply, replies),
            b"led" => match Led::from_args(&command.args) {
                Ok(Led { on, level }) => {
                    self.is_led_on = on && level > 0;
                    replies.send(command.reply.ok(self.is_led_on))?;
                    self.events
                        .report("led", u32::from(self.is_led_on), replies)
                }
                Err(error) => replies.send(command.reply.wrong(error)),
            },
            b"count" => match Count::from_args(&command.args) {
                Ok(Count { to }) => count(to, command.reply, replies),
                Err(error) => replies.send(command.reply.wrong(error)),
            },
            b"fault" => match Fault::from_args(&command.args) {
                Ok(Fault { late }) => fault(late, command.reply, replies),
                Err(error) => replies.send(command.reply.wrong(error)),
            },
            b"events" => match Subscription::from_args(&command.args) {
                Ok(Subscription { most }) => self.events.open(most, command.reply, replies),
                Err(error) => replies.send(command.reply.wrong(error)),
            },
            b"stop" => {
                self.events.stop(replies)?;
                replies.send(command.reply.ok(true))
            }
            b"stats" => self.counters.answer(self.board, command.reply, replies),
            b"reset" => {
                self.resets = true;
                replies.send(command.reply.ok(true))
            }
            _ => replies.send(command.unknown()),
        }
    }

    fn take_data<U: Uart>(
        &mut self,
        id: RequestId,
        bytes: &[u8],
        is_last: bool,
        replies: &mut Replies<'_, U>,
    ) -> Done {
        if let Some(reply) = self.echo.as_ref()
            && reply.request_id() == id
        {
            // Each piece is a byte string of its own.
            for piece in bytes.chunks(32) {
                replies.send(reply.item(piece))?;
            }
            if is_last && let Some(reply) = self.echo.take() {
                replies.send(reply.end())?;
            }
            return Ok(());
        }
        self.digests.take_data(id, bytes, is_last, replies)
    }

    /// A request was refused while it ran.
    fn forget(&mut self, id: RequestId) {
        if self.echo.as_ref().is_some_and(|r| r.request_id() == id) {
            self.echo = None;
        }
        self.digests.forget(id);
        self.events.forget(id);
    }

    /// The timer.
    fn wake<U: Uart>(&mut self, replies: &mut Replies<'_, U>) -> Done {
        if self.resets {
            cortex_m::peripheral::SCB::sys_reset();
        }
        self.counters.ticks = self.counters.ticks.wrapping_add(1);
        self.events.report("tick", self.counters.ticks, replies)
    }
}

/// `fault`: fails at once, or `late`, when a part of the response has been sent.
fn fault<U: Uart>(late: bool, reply: Reply, replies: &mut Replies<'_, U>) -> Done {
    if late {
        replies.send(reply.item(42u8))?;
    }
    replies.send(reply.fail(Failure::command(b"a fault, as asked for")))
}

/// `count`: says how far it is, and a line of text at the end.
fn count<U: Uart>(to: u16, reply: Reply, replies: &mut Replies<'_, U>) -> Done {
    if replies.end().peer_takes_notes() {
        for number in 1..=to {
            let progress = Progress::new("count", i64::from(number), u64::from(to));
            replies.send(reply.progress(&progress))?;
        }
        replies.send(reply.text(&[Atom::new("counted\n")]))?;
    }
    replies.send(reply.ok(to))
}

impl Default for Application {
    fn default() -> Self {
        Self::new()
    }
}
