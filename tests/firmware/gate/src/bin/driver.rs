//! A server and a client through the blocking embedded-io driver, with what it has for them.
#![no_std]
#![no_main]

use hgrpc::Error;
use hgrpc::Revision;
use hgrpc::cbor::{Atom, EncodedArgs, Progress};
use hgrpc::client::{self, ClientConfig, Event as Answer, Request};
use hgrpc::connection::{Buffers, ClientConnection, ServerConnection};
use hgrpc::drive::blocking::Driver;
use hgrpc::server::{Event, Failure, Reply};
use hgrpc::store::FixedRequests;
use hgrpc_gate::{BUFFER, Memory, Port, ServerEnd, choose_revision, plant, server_end};

type Requests = FixedRequests<4>;
type Caller = client::Client<Revision, Requests>;
type Server<'b> = Driver<ServerConnection<'b, Revision, Requests>, Port, Port>;
type Client<'b> = Driver<ClientConnection<'b, Revision, Requests>, Port, Port>;

hgrpc_gate::entry!(
    main,
    [[u8; BUFFER]; 4] = [[0; BUFFER]; 4],
    [Memory; 2] = [[0; 256]; 2],
    ServerEnd<Revision> = server_end(Revision::R0003),
    Caller = Caller::new(
        Revision::R0003,
        ClientConfig::FULL_DUPLEX,
        Requests::new()
    ),
);

fn main(
    buffers: &mut [[u8; BUFFER]; 4],
    memories: &mut [Memory; 2],
    server: &mut ServerEnd<Revision>,
    caller: &mut Caller,
) -> ! {
    let mut port = Port::first();
    let revision = choose_revision(&mut port);
    let [input, output, answers, requests] = buffers;
    let [memory, gathered] = memories;
    let buffers = Buffers {
        input,
        memory,
        output,
    };
    server.restart(revision, buffers.memory);
    let connection = ServerConnection::new(server, buffers);
    let mut server = Driver::new(connection, Port::first(), Port::first());
    let buffers = Buffers {
        input: answers,
        memory: gathered,
        output: requests,
    };
    caller.restart(revision, buffers.memory);
    let connection = ClientConnection::new(caller, buffers);
    let mut client = Driver::new(connection, Port::second(), Port::second());
    let mut upload = None;
    loop {
        // A connection that is over: this program goes on regardless.
        let _ = serve(&mut server, &mut upload);
        let _ = call(&mut client);
        while client.connection_mut().take_unanswered().is_some() {}
    }
}

fn serve(server: &mut Server<'_>, upload: &mut Option<Reply>) -> Result<(), Error> {
    while let Some((event, mut replies)) = server.step()? {
        match event {
            Event::Command(command) if command.data_follows => {
                replies.send(command.reply.text(&[Atom::new("it begins")]))?;
                replies.send(command.reply.progress(&Progress::new("upload", 0, 9)))?;
                *upload = Some(command.reply);
            }
            Event::Command(command) => {
                replies.send(command.reply.body(command.args.as_cbor()))?;
            }
            Event::Data { bytes, is_last, .. } => {
                plant(bytes);
                if is_last && let Some(reply) = upload.take() {
                    replies.send(reply.piece(bytes))?;
                    if bytes.len() > 3 {
                        replies.send(reply.end())?;
                    } else {
                        replies.send(reply.fail(Failure::command(b"too short")))?;
                    }
                }
            }
            _ => {}
        }
    }
    core::hint::black_box(server.connection().end().receiving().count());
    Ok(())
}

fn call(client: &mut Client<'_>) -> Result<(), Error> {
    let mut calls = client.sender();
    let request = Request::new(b"echo", EncodedArgs::EMPTY);
    let call = calls.request(request, false)?;
    calls.send(call)?;
    let request = Request::new(b"sum", EncodedArgs::EMPTY);
    let mut call = calls.request(request, true)?;
    calls.send(&mut call)?;
    while let Some((event, mut calls)) = client.step()? {
        if let Answer::Response { data, .. } = event {
            calls.send(call.data(data, data.is_empty()))?;
        }
    }
    client.connection_mut().cancel(call.request_id())?;
    Ok(())
}
