//! A server through the blocking driver over a raw line, with the link between.
#![no_std]
#![no_main]

use hgrpc::R0005;
use hgrpc::io::blocking::{LinkedLine, ServerConnection};
use hgrpc::link::LinkConfig;
use hgrpc::server::{Body, ServerAction, ServerConfig};
use hgrpc_gate::{Port, plant};

hgrpc_gate::entry!(main);

fn main() -> ! {
    let mut console = Port::second();
    let print = |text: &[u8]| console.write(text);
    let line: LinkedLine<_, _, _, 64> =
        LinkedLine::new(Port::first(), Port::first(), print, LinkConfig::new(1));
    loop {
        let Ok((reader, writer)) = line.connect() else {
            continue;
        };
        let mut server: ServerConnection<_, _, 4, 256, 64, 64, R0005> =
            ServerConnection::new(reader, writer, R0005, ServerConfig::STREAMING);
        while let Ok(Some((action, replies))) = server.next_action() {
            let sent = match action {
                ServerAction::RunCommand(command) => {
                    let body = Body::Bytes(command.args.as_cbor());
                    replies.respond(command.responder, body)
                }
                ServerAction::CommandData { bytes, .. } => {
                    plant(bytes);
                    Ok(())
                }
                ServerAction::RejectRequest(rejection) => replies.reject(rejection),
                _ => Ok(()),
            };
            if sent.is_err() {
                break;
            }
        }
    }
}
