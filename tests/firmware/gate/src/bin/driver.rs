//! A server and a client through the blocking embedded-io driver, with what it has for them.
#![no_std]
#![no_main]

use hgrpc::Revision;
use hgrpc::cbor::{Atom, Progress};
use hgrpc::client::{CallData, ClientAction, ClientConfig, Request};
use hgrpc::io::blocking::{ClientConnection, SendError, ServerConnection};
use hgrpc::server::{Body, Failure, Responder, ServerAction, ServerConfig};
use hgrpc_gate::{Port, choose_revision, plant};

type Server = ServerConnection<Port, Port, 4, 256, 64, 64>;
type Client = ClientConnection<Port, Port, 4, 256, 64, 64>;
type Sent = Result<(), SendError<core::convert::Infallible>>;

hgrpc_gate::entry!(main);

fn main() -> ! {
    let mut port = Port::first();
    let revision = choose_revision(&mut port);
    let config = ServerConfig::STREAMING;
    let mut server = Server::new(Port::first(), Port::first(), revision, config);
    let config = ClientConfig::FULL_DUPLEX;
    let mut client = Client::new(Port::second(), Port::second(), revision, config);
    let mut upload = None;
    loop {
        // A connection that is over: this program goes on regardless.
        let _ = serve(&mut server, &mut upload);
        let _ = call(&mut client, revision);
        while client.take_unanswered().is_some() {}
    }
}

fn serve(server: &mut Server, upload: &mut Option<Responder>) -> Sent {
    while let Ok(Some((action, replies))) = server.next_action() {
        match action {
            ServerAction::RunCommand(command) if command.data_follows => {
                replies.text_output(&command.responder, &[Atom::new("it begins")])?;
                replies.progress(&command.responder, &Progress::new("upload", 0, 9))?;
                *upload = Some(command.responder);
            }
            ServerAction::RunCommand(command) => {
                let body = Body::Bytes(command.args.as_cbor());
                replies.respond(command.responder, body)?;
            }
            ServerAction::CommandData { bytes, is_last, .. } => {
                plant(bytes);
                if is_last && let Some(responder) = upload.take() {
                    let mut writer = replies.begin(responder)?;
                    replies.write(&mut writer, bytes)?;
                    if bytes.len() > 3 {
                        replies.finish(writer)?;
                    } else {
                        replies.fail(writer, Failure::command(b"too short"))?;
                    }
                }
            }
            ServerAction::RejectRequest(rejection) => replies.reject(rejection)?,
            _ => {}
        }
        replies.flush()?;
    }
    core::hint::black_box(server.receiving().count());
    Ok(())
}

fn call(client: &mut Client, revision: Revision) -> Sent {
    core::hint::black_box(revision);
    let args = hgrpc::cbor::EncodedArgs::EMPTY;
    client.calls().call(Request::new(b"echo", args))?;
    let request = Request::new(b"sum", args).with_data(CallData::Stream);
    let mut call = client.calls().open(request)?;
    while let Ok(Some((action, calls))) = client.next_action() {
        if let ClientAction::ResponseData { data, .. } = action {
            calls.send_data(&mut call, data, data.is_empty())?;
        }
    }
    client.cancel(call.request_id())?;
    Ok(())
}
