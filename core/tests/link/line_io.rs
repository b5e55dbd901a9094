//! The blocking connections over a raw line between two threads.

use std::sync::mpsc;

use embedded_io::Write;
use hgrpc::R0005;
use hgrpc::cbor::EncodedArgs;
use hgrpc::client::{CallData, ClientAction, ClientConfig, Request};
use hgrpc::io::blocking::{
    ClientConnection, LineError, LinkedLine, NextError, ReceiveError, ServerConnection,
};
use hgrpc::link::{LinkConfig, LinkError};
use hgrpc::server::{Body, ServerAction, ServerConfig};

use crate::uart::{Rx, Tx};

/// Serves connection after connection; returns why each one ended.
fn serve(rx: Rx, tx: Tx, mut console: impl FnMut(&[u8])) -> Vec<LinkError> {
    let mut errors = Vec::new();
    let mut config = LinkConfig::new(1 << 16);
    // The threads may have to wait for a processor.
    config.patience = 100;
    let line: LinkedLine<_, _, _, 64> =
        LinkedLine::new(rx, tx, |text: &[u8]| console(text), config);
    loop {
        let (reader, writer) = match line.connect() {
            Ok(halves) => halves,
            Err(LineError::Ended) => return errors,
            Err(other) => panic!("{other:?}"),
        };
        let mut server: ServerConnection<_, _, 4, 256, 64, 64, R0005> =
            ServerConnection::new(reader, writer, R0005, ServerConfig::STREAMING);
        loop {
            match server.next_action() {
                Ok(Some((ServerAction::RunCommand(command), replies))) => {
                    let body = Body::Cbor(command.args.as_cbor());
                    replies.respond(command.responder, body).unwrap();
                }
                Ok(Some(_)) => {}
                Ok(None) => return errors,
                Err(NextError::Receive(ReceiveError::Io(LineError::Link(error)))) => {
                    errors.push(error);
                    break;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

type HostLine<C> = LinkedLine<Rx, Tx, C, 256>;

/// Calls once on a new connection.
fn call<C: FnMut(&[u8])>(line: &mut HostLine<C>) -> Result<Vec<u8>, LinkError> {
    let (reader, writer) = line.connect().unwrap();
    let mut client: ClientConnection<_, _, 4, 256, 64, 244, R0005> =
        ClientConnection::new(reader, writer, R0005, ClientConfig::FULL_DUPLEX);
    let args =
        EncodedArgs::from_cbor(b"\xa1DdataX\x28\0\0\0\0\0\0\0\0abcdefghijklmnopqrstuvwxyz012345")
            .unwrap();
    let request = Request::new(b"echo", args).with_data(CallData::None);
    client.calls().call(request).unwrap();
    let mut answer = Vec::new();
    loop {
        match client.next_action() {
            Ok(Some((ClientAction::ResponseData { data, eos, .. }, _))) => {
                answer.extend_from_slice(data);
                if eos {
                    return Ok(answer);
                }
            }
            Ok(Some(_)) => {}
            Err(NextError::Receive(ReceiveError::Io(LineError::Link(error)))) => return Err(error),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn calls_over_a_line_with_losses_and_restarts() {
    let (to_device, from_host) = mpsc::channel();
    let (to_host, from_device) = mpsc::channel();
    let boot = b"boot v1.2\r\n";
    for byte in boot {
        to_host.send(*byte).unwrap();
    }
    let device = std::thread::spawn(move || {
        let tx = Tx {
            to: to_host,
            spoils: false,
        };
        serve(Rx(from_host), tx, |_| {})
    });

    let mut text = Vec::new();
    let tx = Tx {
        to: to_device.clone(),
        spoils: false,
    };
    let mut config = LinkConfig::new(0x5eed);
    config.patience = 100;
    let console = |bytes: &[u8]| text.extend_from_slice(bytes);
    let mut line = HostLine::new(Rx(from_device), tx, console, config);
    let whole = call(&mut line).unwrap();
    assert!(whole.ends_with(b"012345"));
    // The host begins anew.
    assert_eq!(call(&mut line).unwrap(), whole);

    // It gives up in the middle of a frame; the next packet is the beginning of one again.
    let (_, mut writer) = line.connect().unwrap();
    let half = b"\x40\0\0\x01\0\x01\x01\x11\xa2Dargs";
    assert_eq!(writer.write(half).unwrap(), half.len());
    writer.flush().unwrap();
    assert_eq!(call(&mut line).unwrap(), whole);

    // A spoiled byte in the next call's packet.
    line.io_mut().1.spoils = true;
    assert_eq!(call(&mut line), Err(LinkError::LinkLost));
    assert_eq!(call(&mut line).unwrap(), whole);

    // The host's program restarts.
    let (Rx(from_device), _) = line.into_halves();
    let mut config = LinkConfig::new(0xf00d);
    config.patience = 100;
    let tx = Tx {
        to: to_device,
        spoils: false,
    };
    let mut line = HostLine::new(Rx(from_device), tx, |_: &[u8]| {}, config);
    assert_eq!(call(&mut line).unwrap(), whole);
    drop(line);
    assert_eq!(text, boot);
    let errors = device.join().unwrap();
    // Each beginning of the host's, one of them by the spoiled byte, and its restart.
    let [begun @ .., last] = errors.as_slice() else {
        panic!("{errors:?}");
    };
    assert_eq!(begun, [LinkError::LinkLost; 5]);
    assert_eq!(*last, LinkError::PeerRestarted);
}
