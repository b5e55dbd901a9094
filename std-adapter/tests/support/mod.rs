//! In-memory connections for tests, and bytes to send over them.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod commands;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use hgrpc_std::blocking::{Client, Config, ConnectionError, Router, Traffic, Transport, serve};

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    is_closed: bool,
}

/// One direction that holds few bytes, so that writers wait for readers.
#[derive(Clone)]
struct Shared(Arc<(Mutex<Pipe>, Condvar)>, usize);

pub(crate) struct PipeReader(Shared);
pub(crate) struct PipeWriter(Shared);

pub(crate) fn pipe(capacity: usize) -> (PipeReader, PipeWriter) {
    let shared = Shared(Arc::default(), capacity);
    (PipeReader(shared.clone()), PipeWriter(shared))
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (pipe, signal) = &*self.0.0;
        let mut pipe = pipe.lock().unwrap();
        while pipe.bytes.is_empty() && !pipe.is_closed {
            pipe = signal.wait(pipe).unwrap();
        }
        let len = pipe.bytes.read(buffer)?;
        signal.notify_all();
        Ok(len)
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (pipe, signal) = &*self.0.0;
        let mut pipe = pipe.lock().unwrap();
        while pipe.bytes.len() >= self.0.1 && !pipe.is_closed {
            pipe = signal.wait(pipe).unwrap();
        }
        if pipe.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let len = bytes.len().min(self.0.1 - pipe.bytes.len());
        pipe.bytes.extend(&bytes[..len]);
        signal.notify_all();
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn close(&self) {
        self.0.0.lock().unwrap().is_closed = true;
        self.0.1.notify_all();
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.close();
    }
}

pub(crate) type Served = JoinHandle<Result<Traffic, ConnectionError>>;

fn serving(transport: Transport, router: Router, config: Config) -> Served {
    thread::spawn(move || serve(transport, &router, &config))
}

/// Both ends over pipes of this capacity.
pub(crate) fn over_pipes(capacity: usize, router: Router, config: &Config) -> (Client, Served) {
    let (server_read, client_write) = pipe(capacity);
    let (client_read, server_write) = pipe(capacity);
    let server = Transport::new(server_read, server_write);
    let served = serving(server, router, config.clone());
    let client = Client::new(Transport::new(client_read, client_write), config).unwrap();
    (client, served)
}

/// Both ends over loopback TCP; the client's socket too.
pub(crate) fn over_tcp(router: Router, config: &Config) -> (Client, Served, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = stream.try_clone().unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let served = serving(Transport::tcp(accepted).unwrap(), router, config.clone());
    let client = Client::new(Transport::tcp(stream).unwrap(), config).unwrap();
    (client, served, socket)
}

/// Bytes that differ by seed and position.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// Runs this in a thread and fails if it takes too long: a deadlock must not hang the tests.
pub(crate) fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = done.send(what());
    });
    match result.recv_timeout(std::time::Duration::from_secs(180)) {
        Ok(result) => result,
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
        Err(error) => panic!("still running after three minutes: {error}"),
    }
}
