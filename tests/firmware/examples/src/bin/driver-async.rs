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
use hgrpc::Error;
use hgrpc::Revision;
use hgrpc::cbor::{Atom, EncodedArgs, Progress};
use hgrpc::client::{Client, ClientConfig, Event as Answer, Request};
use hgrpc::connection::{Buffers, ClientConnection, Drive, LinkBuffers, LinkedServer};
use hgrpc::drive::asynch::Driver;
use hgrpc::link::LinkConfig;
use hgrpc::server::{Event, Failure, Reply, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use port::Port;

// The port of the programs that are measured.
#[allow(unreachable_pub, dead_code, reason = "it is of a library there")]
#[path = "../../../gate/src/port.rs"]
mod port;

type Requests = FixedRequests<4>;
type Linked<'b> = Driver<LinkedServer<'b, Revision, Requests>, Port, Port>;
type Caller<'b> = Driver<ClientConnection<'b, Revision, Requests>, Port, Port>;

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
    let mut server = Server::new(revision, ServerConfig::STREAMING, Requests::new());
    let buffers = Buffers {
        input: &mut [0; 64],
        memory: &mut [0; 1024],
        output: &mut [0; 96],
    };
    let packets = LinkBuffers {
        received: &mut [0; 64],
        sent: &mut [0; 64],
    };
    let link = LinkConfig::new(1 << 16);
    let connection = LinkedServer::linked(&mut server, buffers, link, packets);
    let mut server = Driver::new(connection, Port::first(), Port::first());
    let mut client = Client::new(revision, ClientConfig::FULL_DUPLEX, Requests::new());
    let buffers = Buffers {
        input: &mut [0; 64],
        memory: &mut [0; 1024],
        output: &mut [0; 96],
    };
    let connection = ClientConnection::new(&mut client, buffers);
    let mut client = Driver::new(connection, Port::second(), Port::second());
    let mut serving = pin!(async {
        let mut upload = None;
        loop {
            let _ = answer(&mut server, &mut upload).await;
            server.connection_mut().disconnect();
            server.connection_mut().tick();
        }
    });
    let mut calling = pin!(async {
        loop {
            let _ = call(&mut client).await;
            while client.connection_mut().take_unanswered().is_some() {}
        }
    });
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let _: Poll<()> = serving.as_mut().poll(&mut context);
        let _: Poll<()> = calling.as_mut().poll(&mut context);
    }
}

async fn answer(server: &mut Linked<'_>, upload: &mut Option<Reply>) -> Result<(), Error> {
    while let Some((event, mut replies)) = server.step().await? {
        match event {
            Event::Command(command) if command.data_follows => {
                let reply = command.reply;
                replies.send(reply.text(&[Atom::new("it begins")])).await?;
                let progress = Progress::new("upload", 0, 9);
                replies.send(reply.progress(&progress)).await?;
                *upload = Some(reply);
            }
            Event::Command(command) => {
                let body = command.args.as_cbor();
                replies.send(command.reply.body(body)).await?;
            }
            Event::Data { bytes, is_last, .. } => {
                shown(bytes);
                if is_last && let Some(reply) = upload.take() {
                    replies.send(reply.piece(bytes)).await?;
                    if bytes.len() > 3 {
                        replies.send(reply.end()).await?;
                    } else {
                        let failure = Failure::command(b"too short");
                        replies.send(reply.fail(failure)).await?;
                    }
                }
            }
            _ => {}
        }
        replies.flush().await?;
    }
    core::hint::black_box(server.connection().end().receiving().count());
    Ok(())
}

async fn call(client: &mut Caller<'_>) -> Result<(), Error> {
    let mut calls = client.sender();
    let request = Request::new(b"echo", EncodedArgs::EMPTY);
    let call = calls.request(request, false)?;
    calls.send(call).await?;
    let request = Request::new(b"sum", EncodedArgs::EMPTY);
    let mut call = calls.request(request, true)?;
    calls.send(&mut call).await?;
    while let Some((event, mut calls)) = client.step().await? {
        if let Answer::Response { data, .. } = event {
            calls.send(call.data(data, data.is_empty())).await?;
        }
    }
    client.connection_mut().cancel(call.request_id())?;
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
