//! A server and a client through the asynchronous driver, the server over a link, polled by hand:
//! what the driver has, for the check of its panic paths.
//!
//! The language puts one into each `async fn`: a future that is polled again after its end. Nothing
//! here does that, and no executor; but the compiler does not see it. It is the only one that may be
//! left (`.ci/run examples`).
#![no_std]
#![no_main]

use core::future::{Future, poll_fn};
use core::panic::PanicInfo;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use cortex_m_rt::entry;
use hgrpc::Revision;
use hgrpc::cbor::{Atom, EncodedArgs, Progress};
use hgrpc::client::{CallData, ClientAction, ClientConfig, Request};
use hgrpc::io::asynch::{ClientConnection, LinkedLine, SendError, ServerConnection};
use hgrpc::link::LinkConfig;
use hgrpc::server::{Body, Failure, Responder, ServerAction, ServerConfig};
use port::Port;

// The port of the programs that are measured.
#[allow(unreachable_pub, dead_code, reason = "it is of a library there")]
#[path = "../../../gate/src/port.rs"]
mod port;

type Client = ClientConnection<Port, Port, 4, 1024, 64, 96>;
type Sent<E> = Result<(), SendError<E>>;

impl embedded_io_async::Read for Port {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        poll_fn(|context| match Self::read(self, buffer) {
            0 if !buffer.is_empty() => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            count => Poll::Ready(Ok(count)),
        })
        .await
    }
}

impl embedded_io_async::Write for Port {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        Self::write(self, bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[entry]
fn main() -> ! {
    // Not known at build time, so that nothing of the driver is left out.
    let mut byte = [0];
    Port::first().read(&mut byte);
    let revision = match byte {
        [3] => Revision::R0003,
        [5] => Revision::R0005,
        _ => Revision::R0006,
    };
    let config = LinkConfig::new(1 << 16);
    let line: LinkedLine<_, _, _, 64> =
        LinkedLine::new(Port::first(), Port::first(), shown, config);
    let config = ClientConfig::FULL_DUPLEX;
    let mut client = Client::new(Port::second(), Port::second(), revision, config);
    let mut serving = pin!(serve(&line, revision));
    let mut calling = pin!(async {
        loop {
            // A connection that is over: this program goes on regardless.
            let _ = call(&mut client).await;
            while client.take_unanswered().is_some() {}
        }
    });
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let _ = serving.as_mut().poll(&mut context);
        let _: Poll<()> = calling.as_mut().poll(&mut context);
    }
}

async fn serve<C: FnMut(&[u8])>(line: &LinkedLine<Port, Port, C, 64>, revision: Revision) {
    let mut upload = None;
    while let Ok((reader, writer)) = line.connect().await {
        let config = ServerConfig::STREAMING;
        let mut server = ServerConnection::new(reader, writer, revision, config);
        // A connection that is over: the next one.
        let _ = answer(&mut server, &mut upload).await;
        line.tick();
    }
}

async fn answer<R, W>(
    server: &mut ServerConnection<R, W, 4, 1024, 64, 96>,
    upload: &mut Option<Responder>,
) -> Sent<W::Error>
where
    R: embedded_io_async::Read,
    W: embedded_io_async::Write,
{
    while let Ok(Some((action, replies))) = server.next_action().await {
        match action {
            ServerAction::RunCommand(command) if command.data_follows => {
                let atoms = [Atom::new("it begins")];
                replies.text_output(&command.responder, &atoms).await?;
                let progress = Progress::new("upload", 0, 9);
                replies.progress(&command.responder, &progress).await?;
                *upload = Some(command.responder);
            }
            ServerAction::RunCommand(command) => {
                let body = Body::Bytes(command.args.as_cbor());
                replies.respond(command.responder, body).await?;
            }
            ServerAction::CommandData { bytes, is_last, .. } => {
                shown(bytes);
                if is_last && let Some(responder) = upload.take() {
                    let mut writer = replies.begin(responder)?;
                    replies.write(&mut writer, bytes).await?;
                    if bytes.len() > 3 {
                        replies.finish(&mut writer).await?;
                    } else {
                        let mut failure = Failure::command(b"too short");
                        replies.fail(&mut writer, &mut failure).await?;
                    }
                }
            }
            ServerAction::RejectRequest(rejection) => replies.reject(rejection).await?,
            _ => {}
        }
        replies.flush().await?;
    }
    core::hint::black_box(server.receiving().count());
    Ok(())
}

async fn call(client: &mut Client) -> Sent<core::convert::Infallible> {
    let args = EncodedArgs::EMPTY;
    client.calls().call(Request::new(b"echo", args)).await?;
    let request = Request::new(b"sum", args).with_data(CallData::Stream);
    let mut call = client.calls().begin(request)?;
    client.calls().send(&mut call).await?;
    while let Ok(Some((action, calls))) = client.next_action().await {
        if let ClientAction::ResponseData { data, .. } = action {
            let is_last = data.is_empty();
            let mut rest = data;
            calls.send_data(&mut call, &mut rest, is_last).await?;
        }
    }
    client.cancel(call.request_id())?;
    Ok(())
}

/// No interrupt is on. (The chip's crate of the other examples asks for a table.)
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [unsafe extern "C" fn(); 1] = [never];

extern "C" fn never() {}

fn shown(bytes: &[u8]) {
    core::hint::black_box(bytes);
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
