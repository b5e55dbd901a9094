//! Servers in the test process, and runs of `hgrpc call` against them.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use hgrpc::Revision;
use hgrpc_std::blocking::{Config, Failure, Progress, Router, Transport, serve};
use hgrpc_std::transport::Address;

use crate::tool::tool;

pub(crate) const REVISIONS: [Revision; 3] = hgrpc::REVISIONS;

/// How a run ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// The standard output of a run that was all right.
    #[track_caller]
    pub(crate) fn done(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""));
        self.text()
    }
}

/// Runs `hgrpc call` with these arguments and this standard input.
pub(crate) fn call_with<S: AsRef<std::ffi::OsStr>>(args: &[S], input: impl Into<Vec<u8>>) -> Run {
    let output = assert_cmd::Command::new(tool())
        .arg("call")
        .args(args)
        .env_remove("NO_COLOR")
        .write_stdin(input)
        .timeout(Duration::from_secs(120))
        .output()
        .unwrap();
    Run {
        code: output.status.code(),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn call(args: &[&str]) -> Run {
    call_with(args, "")
}

/// Listens on loopback and gives each connection to `peer`; the address. The thread goes with the
/// process.
pub(crate) fn peer(peer: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let peer = peer.clone();
            thread::spawn(move || peer(stream.unwrap()));
        }
    });
    address
}

/// A peer that waits for some bytes, says this and closes.
pub(crate) fn saying(bytes: &'static [u8]) -> String {
    peer(move |mut stream| {
        let _ = stream.read(&mut [0; 1000]);
        let _ = stream.write_all(bytes);
    })
}

/// An hgrpc server.
pub(crate) fn server(config: &Config) -> String {
    let config = config.clone();
    peer(move |stream| {
        let socket = stream.try_clone().unwrap();
        let router = router(move || drop(socket.shutdown(std::net::Shutdown::Both)));
        let _ = serve(Transport::tcp(stream).unwrap(), &router, &config);
    })
}

pub(crate) fn server_of(revision: Revision) -> String {
    server(&Config::new(revision))
}

/// An hgrpc server on a Unix socket.
pub(crate) fn unix_server(path: &Path) -> String {
    let address = format!("unix://{}", path.display());
    let listener = address.parse::<Address>().unwrap().listen().unwrap();
    thread::spawn(move || {
        while let Some(connection) = listener.accept().unwrap() {
            let (reader, writer, handle) = connection.into_parts();
            thread::spawn(move || {
                let transport = Transport::new(reader, writer).on_close(move || handle.close());
                serve(transport, &router(|| ()), &Config::default())
            });
        }
    });
    address
}

/// The commands; `cut` closes the connection at once.
fn router(cut: impl Fn() + Send + Sync + 'static) -> Router {
    let cut = Mutex::new(cut);
    let meeting = (Mutex::new(0), Condvar::new());
    Router::new()
        .command("echo", |call, reply| {
            let msg: hgrpc::cbor::Value<'_> = call
                .args()
                .find(b"msg")
                .ok_or_else(|| Failure::command("argument `msg` is missing"))?;
            match msg.as_bytes() {
                Some(bytes) => bytes
                    .chunks()
                    .try_for_each(|chunk| reply.write_all(chunk))?,
                None => reply.cbor(msg.as_cbor())?,
            }
            Ok(())
        })
        .command("args", |call, reply| {
            reply.cbor(call.args().as_cbor())?;
            Ok(())
        })
        .command("cat", |call, reply| {
            io::copy(call, reply)?;
            Ok(())
        })
        .command("length", |call, reply| {
            let len = io::copy(call, &mut io::sink())?;
            reply.value(&len)?;
            Ok(())
        })
        .command("big", |call, reply| {
            let mut bytes = io::repeat(b'x').take(call.arg("size")?);
            io::copy(&mut bytes, reply)?;
            Ok(())
        })
        .command("values", |_, reply| {
            reply.cbor(b"\x01\x82\x02\x41a\xa1\x41k\xf6")?;
            Ok(())
        })
        .command("bytes-then-value", |_, reply| {
            reply.write_all(b"abc")?;
            reply.value(&1u8)?;
            Ok(())
        })
        .command("say", |_, reply| {
            let side = reply.notes();
            side.labelled("careful: \x1b[31m\n", &["ui.warning"])?;
            for pos in [1, 2, -1] {
                side.progress(&Progress::new("files", pos, 2))?;
            }
            side.text("bye")?;
            reply.write_all(b"said")?;
            Ok(())
        })
        .command("say-and-fail", |_, reply| {
            reply.text("no newline")?;
            Err(Failure::command("it failed"))
        })
        .command("fail", |_, _| {
            Err(Failure::format("cannot open %s", ["no/such\x1b\nfile"]))
        })
        .command("fail-late", |_, reply| {
            reply.write_all(&[b'x'; 100_000])?;
            reply.flush()?;
            Err(Failure::command("the disk is full"))
        })
        .command("trouble", |_, _| {
            Err(Failure::server("the database is away"))
        })
        .command("wait", |call, reply| {
            let ms: u64 = call.arg("ms")?;
            call.gone().wait_timeout(Duration::from_millis(ms));
            reply.value(&ms)?;
            Ok(())
        })
        .command("meet", move |call, reply| {
            // Until there are two.
            let (count, changed) = &meeting;
            let mut count = count.lock().unwrap();
            *count += 1;
            changed.notify_all();
            let (count, _) = changed
                .wait_timeout_while(count, Duration::from_secs(20), |count| *count < 2)
                .unwrap();
            if *count < 2 {
                return Err(Failure::command("nobody came"));
            }
            reply.value(&call.arg::<u64>("as")?)?;
            Ok(())
        })
        .command("never", |call, _| {
            call.gone().wait_timeout(Duration::from_secs(20));
            Ok(())
        })
        .command("half", |call, reply| {
            reply.write_all(&[b'x'; 70_000])?;
            reply.flush()?;
            call.gone().wait_timeout(Duration::from_secs(20));
            Ok(())
        })
        .command("cut", move |call, reply| {
            let after: usize = call.arg("after")?;
            reply.write_all(&vec![b'x'; after])?;
            reply.flush()?;
            thread::sleep(Duration::from_millis(100));
            cut.lock().unwrap()();
            Ok(())
        })
}
