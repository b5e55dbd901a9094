//! A device that answers `led` over its serial line.
#![no_std]
#![no_main]

mod uart;

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hgrpc::R0006;
use hgrpc::io::blocking::{LinkedLine, ServerConnection};
use hgrpc::link::LinkConfig;
use hgrpc::server::{Body, Failure, ServerAction, ServerConfig};
use uart::Uart;

hgrpc::args! {
    /// Arguments of `led`.
    struct Led {
        on: bool,
        level: u8 = 100,
    }
}

/// Counts the starts: start-up code leaves `.uninit` as it is.
#[unsafe(link_section = ".uninit.starts")]
static STARTS: AtomicU32 = AtomicU32::new(0);

#[cortex_m_rt::entry]
fn main() -> ! {
    // Each start of the device is another session, so that the host notices a reset.
    let session = STARTS.fetch_add(1, Relaxed).wrapping_add(1) << 16;
    // Packets of at most 128 bytes. Text that comes between packets is dropped.
    let line: LinkedLine<_, _, _, 128> =
        LinkedLine::new(Uart::start(), Uart, |_: &[u8]| {}, LinkConfig::new(session));
    loop {
        let Ok((reader, writer)) = line.connect() else {
            continue;
        };
        // 4 requests at once, which share 256 bytes; 64 bytes of input; 116 of output, a packet's.
        let mut connection: ServerConnection<_, _, 4, 256, 64, 116, R0006> =
            ServerConnection::new(reader, writer, R0006, ServerConfig::STREAMING);
        // An error is the end of this connection: bytes were lost, or the host has started anew.
        while let Ok(Some((action, replies))) = connection.next_action() {
            let sent = match action {
                ServerAction::RunCommand(command) if command.name == *b"led" => {
                    let body = match Led::from_args(&command.args) {
                        Ok(Led { on, level }) => {
                            let is_lit = on && level > 0; // and here goes the LED
                            Body::Cbor(if is_lit { b"\xf5" } else { b"\xf4" })
                        }
                        Err(_) => Body::Failure(Failure::command(b"led takes on and level")),
                    };
                    replies.respond(command.responder, body)
                }
                ServerAction::RunCommand(command) => {
                    let failure = Failure::command(b"no such command");
                    replies.respond(command.responder, Body::Failure(failure))
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

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
