//! One declaration for a device and its host: `cargo run -p hgrpc-std --features tokio --example board`.
//!
//! The module `board` would be a crate of its own, without `std`, which the firmware and the host's program
//! both depend on. Here the device is a thread, and a socket stands for the serial line.

use std::error::Error;
use std::io::{Cursor, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use hgrpc::R0006;
use hgrpc::connection::{Buffers, ServerConnection};
use hgrpc::server::{Event, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use hgrpc_std::tokio::{Client, Config};

hgrpc::service! {
    /// A board with a lamp and an ADC.
    service board {
        /// Switches the lamp, and answers whether it is lit now.
        fn led(
            /// Whether to light it.
            on: bool,
            /// Brightness.
            level: u8 [unit("%"), range(0..=100)] = 100,
        ) -> bool where write, idempotent;

        /// Adds up the data.
        fn sum() <- Stream -> u32 where read;

        /// Samples, as they come.
        fn sample(channel: u8, count: u16 = 4) -> Values<u16> where read;
    }
}

/// The device: a declaration's commands, a `match` and a loop.
fn device(mut line: UnixStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut memory, mut output) = ([0; 256], [0; 128]);
    let buffers = Buffers {
        input: &mut [],
        memory: &mut memory,
        output: &mut output,
    };
    let mut server = Server::new(R0006, ServerConfig::STREAMING, FixedRequests::<4>::new());
    let mut connection = ServerConnection::new(&mut server, buffers);
    let (mut upload, mut sum) = (None, 0u32);
    loop {
        let mut received = [0; 64];
        let count = line.read(&mut received)?;
        if count == 0 {
            return Ok(());
        }
        let mut bytes = received.get(..count).unwrap_or_default();
        let mut sent = Vec::new();
        while let Some((event, replies)) = connection.take(&mut bytes)? {
            let mut write = |bytes: &[u8]| sent.extend_from_slice(bytes);
            match event {
                Event::Command(command) => match board::Command::read(command) {
                    Ok(board::Command::led { on, level, reply }) => {
                        replies.make_all(&mut reply.ok(on && level > 0), &mut write)?;
                    }
                    Ok(board::Command::sum { reply }) => (upload, sum) = (Some(reply), 0),
                    Ok(board::Command::sample {
                        channel,
                        count,
                        reply,
                    }) => {
                        for number in 0..count {
                            let sample = u16::from(channel).wrapping_mul(1000).wrapping_add(number);
                            replies.make_all(&mut reply.item(sample), &mut write)?;
                        }
                        replies.make_all(&mut reply.end(), &mut write)?;
                    }
                    // `capabilities`, and what cannot be run.
                    Err(mut answer) => replies.make_all(&mut answer, &mut write)?,
                },
                Event::Data { bytes, is_last, .. } => {
                    let bytes = bytes.iter().copied().map(u32::from);
                    sum = bytes.fold(sum, u32::wrapping_add);
                    if is_last && let Some(reply) = upload.take() {
                        replies.make_all(&mut reply.ok(sum), &mut write)?;
                    }
                }
                _ => {}
            }
            replies.write_all(&mut write);
        }
        line.write_all(&sent)?;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (here, there) = UnixStream::pair()?;
    thread::spawn(move || device(there));
    here.set_nonblocking(true)?;
    let line = tokio::net::UnixStream::from_std(here)?;
    let client = Client::spawn(line, &Config::default());

    let board = board::Client::new(&client);
    println!("lit: {}", board.led(true).level(50).await?);
    println!("sum: {}", board.sum().data(Cursor::new(b"data")).await?);
    let mut samples = board.sample(3).await?;
    while let Some(sample) = samples.next().await? {
        println!("sample: {sample}");
    }
    match board.led(true).level(101).await {
        Ok(_) => println!("too bright"),
        Err(error) => println!("error: {error}"),
    }
    Ok(())
}
