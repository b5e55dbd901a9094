//! Devices that call: the host serves.

use std::io::{self, Write};

use hgrpc_std::blocking::{Config, Router, Transport, serve};
use hgrpc_std::transport::Address;
use sha2::{Digest, Sha256};

use crate::board::PATIENCE;
use crate::emulator::{Emulator, is_possible};

fn router() -> Router {
    Router::new()
        .command("greet", |call, reply| {
            write!(reply, "hello {}", call.arg_text("name")?)?;
            Ok(())
        })
        .command("digest", |call, reply| {
            let mut hash = Sha256::new();
            io::copy(call, &mut hash)?;
            for byte in hash.finalize() {
                write!(reply, "{byte:02x}")?;
            }
            Ok(())
        })
}

/// Serves a device until it ends.
pub(crate) fn serve_device(emulator: &mut Emulator) {
    let address: Address = emulator.linked().parse().unwrap();
    let connection = address.connect(Some(PATIENCE)).unwrap();
    // It ends with the device.
    let _ = serve(Transport::from(connection), &router(), &Config::default());
    assert_eq!(emulator.wait(), Some(0));
}

fn calls_the_host(board: &str) {
    if !is_possible() {
        return;
    }
    let mut emulator = Emulator::start(&format!("{board}-client"));
    serve_device(&mut emulator);
    let output = String::from_utf8(emulator.output()).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines.first(),
        Some(&format!("greet: hello {board}").as_str()),
        "{output}"
    );
    assert!(
        lines
            .get(1)
            .is_some_and(|line| line.starts_with("digest: ")),
        "{output}"
    );
    assert_eq!(lines.get(2), Some(&"it is right"), "{output}");
}

#[test]
fn the_lm3s6965evb_calls_the_host() {
    calls_the_host("lm3s6965evb");
}

#[test]
fn the_mps2_an386_calls_the_host() {
    calls_the_host("mps2-an386");
}

#[test]
fn the_mps2_an500_calls_the_host() {
    calls_the_host("mps2-an500");
}

#[test]
fn the_microbit_calls_the_host() {
    calls_the_host("microbit");
}
