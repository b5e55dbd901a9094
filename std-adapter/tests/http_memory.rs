//! A large answer passes through a client and a server in bounded memory. Alone in its process,
//! whose memory is measured: both ends together.
#![cfg(all(target_os = "linux", feature = "http", feature = "http-server"))]

use std::io::{self, Read};
use std::net::TcpListener;

use hgrpc_std::blocking::Router;
use hgrpc_std::encoding::SUPPORTED;
use hgrpc_std::http::server::{Server, ServerConfig};
use hgrpc_std::http::{ArgInfo, ArgType, Capabilities, Client, Command, CommandInfo, Config};
use hgrpc_std::value::Value;

const MIB: u64 = 1 << 20;

/// Pseudo-random bytes, so that no encoding makes them few.
struct Noise {
    state: u64,
    left: u64,
}

impl Noise {
    fn new(len: u64) -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
            left: len,
        }
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(usize::try_from(self.left).unwrap());
        for eight in buffer[..len].chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            eight.copy_from_slice(&self.state.to_le_bytes()[..eight.len()]);
        }
        self.left -= u64::try_from(len).unwrap();
        Ok(len)
    }
}

/// Whether these are the bytes that a fresh source gives.
fn is_noise(mut from: impl Read, len: u64) -> bool {
    let mut expected = Noise::new(len);
    let [mut came, mut wanted] = [(); 2].map(|()| vec![0; 1 << 15]);
    let mut all = 0;
    loop {
        // Sources are read in whole pieces, since this one makes eight bytes at a time.
        let mut filled = 0;
        while filled < came.len() {
            match from.read(&mut came[filled..]).unwrap() {
                0 => break,
                len => filled += len,
            }
        }
        let due = expected.read(&mut wanted).unwrap();
        all += u64::try_from(filled).unwrap();
        if came[..filled] != wanted[..due] {
            return false;
        }
        if filled == 0 {
            return all == len;
        }
    }
}

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

fn pass(len: u64, most: u64) {
    let router = Router::new().command("noise", |call, reply| {
        let len: u64 = call.arg("len")?;
        if call.arg("chunks")? {
            io::copy(&mut Noise::new(len), reply)?;
        } else {
            io::copy(&mut Noise::new(len), &mut reply.byte_string(len)?)?;
        }
        Ok(())
    });
    let noise = CommandInfo::pull()
        .arg("len", ArgInfo::required(ArgType::Int))
        .arg("chunks", ArgInfo::required(ArgType::Bool));
    let capabilities = Capabilities::new([("noise", noise)]);
    let running = Server::new(router, capabilities, ServerConfig::default())
        .start(TcpListener::bind("127.0.0.1:0").unwrap())
        .unwrap();
    for encoding in SUPPORTED {
        for chunks in [false, true] {
            let mut config = Config::default();
            config.encodings = vec![*encoding];
            let url = format!("http://{}/", running.address());
            let client = Client::connect(&url, config).unwrap();
            let command = Command::new("noise")
                .arg("len", Value::from(len))
                .arg("chunks", chunks);
            let mut response = client.call(&command).unwrap();
            assert!(is_noise(response.bytes().unwrap(), len));
            assert!(response.next_item().unwrap().is_none());
        }
    }
    running.stop();
    let peak = peak();
    println!(
        "{} MiB, every encoding: at most {} KiB",
        len / MIB,
        peak / 1024
    );
    assert!(peak < most, "{peak} bytes");
}

/// More than the memory that both ends together may have.
#[test]
fn more_than_fits_passes_through() {
    pass(33 * MIB, 32 * MIB);
}

/// `cargo test --release -p hgrpc-std --all-features --test http_memory -- --ignored --nocapture`
#[test]
#[ignore = "takes a minute"]
fn a_gibibyte_passes_through() {
    pass(1024 * MIB, 64 * MIB);
}
