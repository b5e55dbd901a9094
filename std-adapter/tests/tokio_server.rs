//! The server with tasks, asked by the client with threads: another implementation of both halves.
#![cfg(feature = "tokio")]
#![allow(missing_docs, reason = "a test")]

mod raw;

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hgrpc::link::LinkError;
use hgrpc::{ProtocolError, Revision};
use hgrpc_std::blocking::{CallError, Client, Config, Transport};
use hgrpc_std::encoding::SUPPORTED;
use hgrpc_std::tokio::{
    Args, Call, Cbor, Collected, ConnectionError, Data, Failure, Gone, Notes, Peer, Progress,
    Refusal, Reply, Router, Server, ServerBuilder, ServerLimits, State,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const REVISIONS: [Revision; 3] = [Revision::R0003, Revision::R0005, Revision::R0006];

hgrpc::args! {
    /// Arguments of `repeat`.
    struct Repeat {
        count: u32,
        size: u32 = 1000,
    }
}

async fn cat(mut data: Data, mut reply: Reply) -> Result<(), Failure> {
    tokio::io::copy_buf(&mut data, &mut reply).await?;
    reply.finish()?;
    Ok(())
}

async fn repeat(Args(args): Args<Repeat>, mut reply: Reply) -> Result<(), Failure> {
    let piece = vec![7; usize::try_from(args.size).unwrap()];
    for _ in 0..args.count {
        reply.write_all(&piece).await?;
    }
    reply.finish()?;
    Ok(())
}

async fn make_noise(notes: &Notes) -> Result<(), Failure> {
    for pos in 0..3 {
        notes.text(format!("line {pos}\n")).await?;
        notes.progress(&Progress::new("noise", pos, 3)).await?;
    }
    Ok(())
}

async fn noisy(reply: Reply) -> Result<(), Failure> {
    make_noise(&reply.notes()).await?;
    reply.finish()?;
    Ok(())
}

async fn noisy_value(notes: Notes) -> Result<&'static str, Failure> {
    make_noise(&notes).await?;
    Ok("quiet")
}

fn router() -> Router {
    Router::new()
        .command("cat", cat)
        .command("repeat", repeat)
        .command("noisy", noisy)
        .command("noisy-value", noisy_value)
        .command("greet", |call: Call| async move {
            Ok::<_, Failure>(format!("hello {}", call.arg_text("name")?))
        })
        .command("count", |data: Collected| async move { Cbor(data.len()) })
        .command("values", |mut reply: Reply| async move {
            reply.value("one").await?;
            reply.value(&2).await?;
            reply.finish()?;
            Ok::<_, Failure>(())
        })
        .command("fail", || async {
            Err::<(), _>(Failure::format("no %s", ["way"]))
        })
        .command("late", |mut reply: Reply| async move {
            reply.write_all(&[1; 100_000]).await?;
            Err::<(), Failure>("too late".into())
        })
        .command("panic", |reply: Reply| async move {
            let _kept = reply;
            tokio::task::yield_now().await;
            panic!("on purpose");
            #[allow(unreachable_code, reason = "its type")]
            ()
        })
        .command("forget", |reply: Reply| async move { drop(reply) })
        .command(
            "state",
            |State(calls): State<Arc<AtomicUsize>>| async move {
                calls.fetch_add(1, Ordering::Relaxed).to_string()
            },
        )
        .with_state(Arc::new(AtomicUsize::new(0)))
}

struct Served {
    server: Server,
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
}

impl Served {
    fn new(builder: ServerBuilder) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = builder.build();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(server.clone().serve(listener));
        Self {
            server,
            address,
            runtime,
        }
    }

    fn client(&self, revision: Revision) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        Client::new(Transport::tcp(stream).unwrap(), &Config::new(revision)).unwrap()
    }

    fn shut_down(self) {
        let shutdown = self.server.shutdown(Duration::from_secs(20));
        let shutdown = self.runtime.block_on(shutdown);
        assert!(shutdown.cut.is_empty(), "{shutdown:?}");
        let stats = self.server.stats();
        assert_eq!(
            (stats.connections, stats.running, stats.held_bytes),
            (0, 0, 0)
        );
    }
}

#[test]
fn every_kind_of_handler_answers_in_every_revision() {
    for revision in REVISIONS {
        for encodes in [
            &[hgrpc_std::encoding::ContentEncoding::Identity][..],
            SUPPORTED,
        ] {
            let served = Served::new(
                Server::builder(router())
                    .revision(revision)
                    .encodes(encodes),
            );
            let client = served.client(revision);
            let greet = client.call("greet").arg("name", "world").send().unwrap();
            assert_eq!(greet.read_text(100).unwrap(), "hello world");

            let sent: Vec<u8> = (0..700_000u32).flat_map(u32::to_le_bytes).collect();
            let mut copy = client
                .call("cat")
                .data(io::Cursor::new(sent.clone()))
                .send()
                .unwrap();
            let mut got = Vec::new();
            copy.read_to_end(&mut got).unwrap();
            assert!(got == sent, "{revision:?}: {} of {}", got.len(), sent.len());

            let whole = client
                .call("cat")
                .data(io::Cursor::new(b"short".to_vec()))
                .send()
                .unwrap();
            assert_eq!(whole.read_text(100).unwrap(), "short");

            let mut many = client
                .call("repeat")
                .value("count", &3000u32)
                .send()
                .unwrap();
            assert_eq!(io::copy(&mut many, &mut io::sink()).unwrap(), 3_000_000);

            let count = client
                .call("count")
                .data(io::repeat(1).take(50_000))
                .send()
                .unwrap();
            assert_eq!(count.read_value::<u32>().unwrap(), 50_000);
            let mut values = client.call("values").send().unwrap();
            let first = values.next_value().unwrap().unwrap();
            assert_eq!(first, b"\x63one");
            assert!(values.next_value().unwrap().is_some());
            assert!(values.next_value().unwrap().is_none());

            let error = client
                .call("fail")
                .send()
                .and_then(|r| r.read_text(9))
                .unwrap_err();
            assert_eq!(
                error.to_string().trim_start_matches("server error: "),
                "no way"
            );
            let error = client
                .call("late")
                .send()
                .and_then(|r| r.read_text(1 << 20))
                .unwrap_err();
            assert!(error.to_string().contains("too late"), "{error}");
            let error = client
                .call("panic")
                .send()
                .and_then(|r| r.read_text(9))
                .unwrap_err();
            assert!(
                error.to_string().contains("the command panicked"),
                "{error}"
            );
            let error = client
                .call("forget")
                .send()
                .and_then(|r| r.read_text(9))
                .unwrap_err();
            assert!(
                error.to_string().contains("the command gave no answer"),
                "{error}"
            );
            let error = client
                .call("nothing")
                .send()
                .and_then(|r| r.read_text(9))
                .unwrap_err();
            assert!(error.is_unknown_command("nothing"), "{error}");
            let state = client.call("state").send().unwrap();
            assert_eq!(state.read_text(9).unwrap(), "0");

            let stats = served.server.stats();
            assert_eq!((stats.panicked, stats.unanswered, stats.failed), (1, 1, 2));
            assert_eq!(stats.refused_for(Refusal::UnknownCommand), 1);
            drop(client);
            served.shut_down();
        }
    }
}

#[test]
fn text_and_progress_come_beside_the_response() {
    for revision in REVISIONS {
        let served = Served::new(Server::builder(router()).revision(revision));
        let client = served.client(revision);
        for (command, answer) in [("noisy", ""), ("noisy-value", "quiet")] {
            let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
            let (text, progress) = (Arc::clone(&seen), Arc::clone(&seen));
            let response = client
                .call(command)
                .on_text(move |atoms| text.lock().unwrap().push(atoms.to_string()))
                .on_progress(move |p| progress.lock().unwrap().push(format!("at {}", p.pos)))
                .send()
                .unwrap();
            assert_eq!(response.read_text(9).unwrap(), answer);
            let seen = seen.lock().unwrap().join("");
            assert_eq!(seen, "line 0\nat 0line 1\nat 1line 2\nat 2");
        }
        drop(client);
        served.shut_down();
    }
}

#[test]
fn what_is_written_goes_out_when_the_handler_waits() {
    let router = Router::new()
        .command("bytes", |gone: Gone, mut reply: Reply| async move {
            reply.write_all(b"first").await?;
            gone.wait().await;
            Ok::<_, Failure>(())
        })
        .command("value", |gone: Gone, mut reply: Reply| async move {
            tokio::task::yield_now().await;
            reply.value(&7).await?;
            gone.wait().await;
            Ok::<_, Failure>(())
        });
    for revision in REVISIONS {
        for encodings in [&[][..], SUPPORTED] {
            let mut config = Config::new(revision);
            config.decodes = encodings.to_vec();
            let served = Served::new(Server::builder(router.clone()).revision(revision));
            let stream = TcpStream::connect(served.address).unwrap();
            // Far less than it would take otherwise.
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let client = Client::new(Transport::tcp(stream).unwrap(), &config).unwrap();
            let mut first = [0; 5];
            let mut response = client.call("bytes").send().unwrap();
            response.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"first");
            let mut response = client.call("value").send().unwrap();
            let mut body = response.raw_body();
            body.read_exact(&mut first[..1]).unwrap();
            assert_eq!(first[0], 7);
        }
    }
}

#[test]
fn who_may_not_is_told_so_and_nothing_runs() {
    let builder = Server::builder(router()).authorize(|call: Call| async move {
        assert!(call.peer().address.is_some());
        match call.name() {
            b"greet" => Ok(()),
            _ => Err(Failure::server("not for you")),
        }
    });
    let served = Served::new(builder);
    let client = served.client(Revision::R0006);
    assert!(client.call("greet").arg("name", "you").send().is_ok());
    let error = client
        .call("panic")
        .send()
        .and_then(|r| r.read_text(9))
        .unwrap_err();
    assert!(matches!(&error, CallError::Server(failure) if failure.message == "not for you"));
    let stats = served.server.stats();
    assert_eq!(
        (stats.refused_for(Refusal::Forbidden), stats.panicked),
        (1, 0)
    );
    drop(client);
    served.shut_down();
}

#[cfg(unix)]
#[tokio::test]
async fn a_rule_may_ask_for_the_user_of_a_unix_socket() {
    use tokio::net::{UnixListener, UnixStream};

    let me = rustix::process::getuid().as_raw();
    let server = Server::builder(router())
        .authorize(move |call: Call| async move {
            let owner = match call.name() {
                b"greet" => me,
                // Somebody else's.
                _ => me.wrapping_add(1),
            };
            match call.peer().credentials {
                Some(credentials) if credentials.uid == owner => Ok(()),
                Some(credentials) => Err(Failure::server(format!("not for {}", credentials.uid))),
                None => Err(Failure::server("not for strangers")),
            }
        })
        .build();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    tokio::spawn(server.clone().serve(UnixListener::bind(&path).unwrap()));
    let stream = UnixStream::connect(&path).await.unwrap();
    let client = hgrpc_std::tokio::Client::spawn(stream, &Config::default());
    let greet = client.call("greet").arg("name", "you").send().await;
    assert_eq!(greet.unwrap().read_text(100).await.unwrap(), "hello you");
    let error = client.call("count").send().await.unwrap();
    let error = error.read_bytes(9).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Server(failure) if failure.message == format!("not for {me}")),
        "{error}"
    );

    // The same rule over a connection that knows no user.
    let (here, there) = tokio::io::duplex(1 << 16);
    let served = server.clone();
    tokio::spawn(async move { served.serve_connection(there, Peer::UNKNOWN).await });
    let stranger = hgrpc_std::tokio::Client::spawn(here, &Config::default());
    let error = stranger.call("greet").send().await.unwrap();
    let error = error.read_bytes(9).await.unwrap_err();
    assert!(error.to_string().contains("not for strangers"), "{error}");
    assert_eq!(server.stats().refused_for(Refusal::Forbidden), 2);
    drop((client, stranger));
    server.shutdown(Duration::from_secs(20)).await;
}

#[test]
fn what_peers_do_wrong_is_counted_by_kind() {
    let served = Served::new(Server::builder(router()));
    // A request's continuation where none was begun; a browser.
    let wrong: [&[u8]; 3] = [
        &[0, 0, 0, 1, 0, 1, 1, 0x12],
        &[0, 0, 0, 1, 0, 1, 1, 0x12],
        b"GET / HTTP/1.1\r\nhost: here\r\n\r\n",
    ];
    for bytes in wrong {
        let mut stream = TcpStream::connect(served.address).unwrap();
        stream.write_all(bytes).unwrap();
        // Until the server has closed it.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let stats = loop {
        let stats = served.server.stats();
        if stats.accepted == 3 && stats.connections == 0 {
            break stats;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!((stats.protocol_errors, stats.not_hgrpc), (2, 1));
    assert_eq!(
        stats.protocol_errors_for(ProtocolError::ExpectedNewRequest),
        2
    );
    assert_eq!(stats.protocol_errors_for(ProtocolError::StreamParity), 0);
    served.shut_down();
}

#[test]
fn a_shutdown_lets_what_runs_end_and_says_what_it_cut() {
    let go_on = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&go_on);
    let router = Router::new()
        .command("slow", move |reply: Reply| {
            let waits = Arc::clone(&waits);
            async move {
                drop(waits.acquire().await);
                reply.finish()
            }
        })
        .command("stuck", |gone: Gone| async move { gone.wait().await });
    let served = Served::new(Server::builder(router));
    let client = served.client(Revision::R0006);
    let slow = client.call("slow").send_later();
    let stuck = served.client(Revision::R0006);
    let waiting = stuck.call("stuck").send_later();
    while served.server.stats().running < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let server = served.server.clone();
    let shutdown = async move { server.shutdown(Duration::from_secs(3)).await };
    let shutdown = served.runtime.spawn(shutdown);
    while TcpStream::connect(served.address).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    go_on.add_permits(1);
    let shutdown = served.runtime.block_on(shutdown).unwrap();
    assert_eq!(shutdown.cut.len(), 1);
    let [(_, name)] = &shutdown.cut[0].commands[..] else {
        panic!("{shutdown:?}");
    };
    assert_eq!(name, b"stuck");
    slow.join().unwrap().unwrap();
    assert!(matches!(
        waiting.join().unwrap(),
        Err(CallError::Connection(_))
    ));
    assert!(TcpStream::connect(served.address).is_err());
    // A handler that is cut ends at its next `await`, which may be after the connection's end.
    while served.server.stats().running > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

trait SendLater {
    fn send_later(self) -> std::thread::JoinHandle<Result<String, CallError>>;
}

impl SendLater for hgrpc_std::blocking::Request {
    fn send_later(self) -> std::thread::JoinHandle<Result<String, CallError>> {
        std::thread::spawn(move || self.send()?.read_text(100))
    }
}

#[test]
fn a_handler_that_takes_no_data_is_refused_and_its_neighbours_go_on() {
    let router = router().command("deaf", |data: Data, gone: Gone| async move {
        gone.wait().await;
        drop(data);
    });
    let mut limits = ServerLimits::DEFAULT;
    limits.per_connection.stall = Some(Duration::from_millis(100));
    let served = Served::new(Server::builder(router).limits(limits));
    let client = served.client(Revision::R0006);
    let error = client
        .call("deaf")
        .data(io::repeat(1).take(10 << 20))
        .send()
        .and_then(|response| response.read_text(9))
        .unwrap_err();
    assert!(
        matches!(&error, CallError::Server(f) if f.message.starts_with("stalled")),
        "{error}"
    );
    let greet = client.call("greet").arg("name", "you").send().unwrap();
    assert_eq!(greet.read_text(100).unwrap(), "hello you");
    assert_eq!(served.server.stats().refused_for(Refusal::Stalled), 1);
    drop(client);
    served.shut_down();
}

#[tokio::test(start_paused = true)]
async fn a_gathered_request_that_finds_no_room_is_refused_alone() {
    let mut limits = ServerLimits::DEFAULT;
    limits.own_bytes = 0;
    limits.per_connection.request_size = 64 << 10;
    // It is at least two requests.
    limits.connection_bytes = 0;
    let router = Router::new().command("len", |call: Call| async move {
        Ok::<_, Failure>(format!("{} bytes", call.arg_bytes("msg")?.len()))
    });
    let server = Server::builder(router).limits(limits).build();
    let (here, there) = tokio::io::duplex(1 << 20);
    let served = server.clone();
    let task = tokio::spawn(async move { served.serve_connection(there, Peer::UNKNOWN).await });
    let (mut read, mut write) = tokio::io::split(here);
    let mut request = raw::command("len");
    request[0] = 0xa2;
    request.extend_from_slice(b"\x44args\xa1\x43msg\x59\xea\x60");
    request.extend_from_slice(&[7; 60_000]);
    let (start, end) = request.split_at(59_000);
    for id in [1, 3, 5] {
        let frame = raw::request(id, raw::NEW | raw::MORE, start);
        write.write_all(&frame).await.unwrap();
    }
    // The third is over: after the stall it is refused, and what comes of it is swallowed.
    for id in [5, 1, 3] {
        let frame = raw::request(id, raw::CONTINUATION, end);
        write.write_all(&frame).await.unwrap();
    }
    write.shutdown().await.unwrap();
    let mut answers = Vec::new();
    read.read_to_end(&mut answers).await.unwrap();
    task.await.unwrap().unwrap();
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("60000 bytes").count(), 2, "{answers:?}");
    assert_eq!(answers.matches("request-too-large").count(), 1);
    let stats = server.stats();
    assert_eq!(stats.refused_for(Refusal::ServerBytes), 1);
    assert_eq!((stats.requests, stats.held_bytes), (2, 0));
    assert!(stats.most_bytes <= 2 * 65_536, "{stats:?}");
}

#[test]
fn answers_are_not_lost_with_what_comes_after_a_fault() {
    let served = Served::new(Server::builder(router()).revision(Revision::R0003));
    let mut socket = TcpStream::connect(served.address).unwrap();
    // A call whose answer is too long for the peer's receive buffer, a frame of no kind that there
    // is, and more than is read at once.
    let call = b"\x1c\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Ecount\x19\x03\xe8DnameFrepeat";
    let fault = b"\0\0\0\x03\0\x01\0\xf0";
    let all = [&call[..], fault, &[0; 800_000]].concat();
    socket.write_all(&all).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 1_000_000, "{}", answer.len());
    drop(socket);
    let server = served.server.clone();
    served.shut_down();
    assert_eq!(server.stats().protocol_errors, 1);
}

#[tokio::test]
async fn data_is_a_stream_and_a_reader() {
    use futures_core::Stream as _;
    let router = Router::new().command("read", |mut data: Data| async move {
        let mut start = [0; 3];
        data.read_exact(&mut start).await?;
        let mut rest = 0;
        while let Some(bytes) =
            std::future::poll_fn(|cx| std::pin::Pin::new(&mut data).poll_next(cx)).await
        {
            rest += bytes?.len();
        }
        Ok::<_, Failure>(format!("{start:?} {rest}"))
    });
    let server = Server::new(router);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.clone().serve(listener));
    let text = tokio::task::spawn_blocking(move || {
        let stream = TcpStream::connect(address).unwrap();
        let client = Client::new(Transport::tcp(stream).unwrap(), &Config::default()).unwrap();
        let call = client.call("read").data(io::Cursor::new(vec![9; 100_003]));
        call.send().unwrap().read_text(100).unwrap()
    });
    assert_eq!(text.await.unwrap(), "[9, 9, 9] 100000");
    server.shutdown(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_connection_is_known_again_by_its_peer() {
    let peers = [Arc::new(Peer::UNKNOWN), Arc::new(Peer::UNKNOWN)];
    let (known, labelled) = (peers.clone(), Arc::new(AtomicUsize::new(0)));
    let frames = Arc::clone(&labelled);
    let router = Router::new().command("which", move |call: Call| {
        let found = known.iter().position(|peer| Arc::ptr_eq(peer, call.peer()));
        async move { found.map_or_else(|| "none".to_owned(), |number| number.to_string()) }
    });
    let server = Server::builder(router)
        .observer(move |peer, _, _| {
            let is_labelled = peer.label.is_some();
            frames.fetch_add(usize::from(is_labelled), Ordering::Relaxed);
        })
        .build();
    for (number, peer) in peers.into_iter().enumerate() {
        let (here, there) = tokio::io::duplex(1 << 16);
        let served = server.clone();
        tokio::spawn(async move { served.serve_connection(there, peer).await });
        let client = hgrpc_std::tokio::Client::spawn(here, &Config::default());
        let answer = client.call("which").send().await.unwrap();
        assert_eq!(answer.read_text(9).await.unwrap(), number.to_string());
    }
    assert_eq!(labelled.load(Ordering::Relaxed), 0);
    let (here, there) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let peer = Peer::labelled("a port");
        server.serve_connection(there, peer).await
    });
    let client = hgrpc_std::tokio::Client::spawn(here, &Config::default());
    let answer = client.call("which").send().await.unwrap();
    assert_eq!(answer.read_text(9).await.unwrap(), "none");
    assert!(labelled.load(Ordering::Relaxed) >= 2, "its frames");
}

/// A line whose link is lost, as its two halves notice it: the writer at once, the reader when it has
/// had its turn, or never.
struct LostLine {
    request: Vec<u8>,
    reader_fails: bool,
}

fn link_lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, LinkError::LinkLost)
}

impl tokio::io::AsyncRead for LostLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.request.is_empty() {
            buffer.put_slice(&std::mem::take(&mut self.request));
            return Poll::Ready(Ok(()));
        }
        if self.reader_fails {
            return Poll::Ready(Err(link_lost()));
        }
        Poll::Pending
    }
}

impl tokio::io::AsyncWrite for LostLine {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(link_lost()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(link_lost()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(link_lost()))
    }
}

/// A writer that has failed is not polled again, whatever it failed with.
#[tokio::test]
async fn a_link_that_is_lost_while_the_server_writes_ends_only_its_connection() {
    let server = Server::new(router());
    for reader_fails in [false, true] {
        let line = LostLine {
            request: raw::request(1, raw::NEW, &raw::command("count")),
            reader_fails,
        };
        let serving = server.clone();
        let served =
            tokio::spawn(async move { serving.serve_connection(line, Peer::UNKNOWN).await });
        let served = tokio::time::timeout(Duration::from_secs(60), served).await;
        let result = served.expect("it hangs").expect("it panics");
        assert!(
            matches!(result, Err(ConnectionError::Link(LinkError::LinkLost))),
            "{result:?}"
        );
    }
    assert_eq!(server.stats().connections, 0);
}

/// Whatever a handler returns reads the same in every revision, with either client.
#[test]
fn what_a_handler_returns_reads_as_the_same_bytes_in_every_revision() {
    let router = || {
        Router::new()
            .command("number", || async { Cbor(5) })
            .command("text", || async { Cbor("hello") })
            .command("list", || async { Cbor([1, 2, 300]) })
            .command("pair", || async {
                Cbor((1, minicbor::bytes::ByteVec::from(vec![7])))
            })
            .command("float", || async { Cbor(2.5f32) })
            .command("null", || async { Cbor(()) })
            .command("bytes", || async { b"\x05 bytes".to_vec() })
            .command("string", || async { "hello" })
            .command("nothing", || async {})
            .command("long", || async { Cbor(vec![70_000u32; 20_000]) })
    };
    let long = minicbor::to_vec(vec![70_000u32; 20_000]).unwrap();
    let expected = [
        ("number", &b"\x05"[..]),
        ("text", b"\x65hello"),
        ("list", b"\x83\x01\x02\x19\x01\x2c"),
        ("pair", b"\x82\x01\x41\x07"),
        ("float", b"\xf9\x41\0"),
        ("null", b"\x80"),
        ("bytes", b"\x05 bytes"),
        ("string", b"hello"),
        ("nothing", b""),
        ("long", &long),
    ];
    for revision in REVISIONS {
        let served = Served::new(Server::builder(router()).revision(revision));
        let client = served.client(revision);
        let address = served.address;
        let tokio_client = served.runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            hgrpc_std::tokio::Client::spawn(stream, &Config::new(revision))
        });
        for (command, expected) in expected {
            let about = format!("{command} in {revision}");
            let bytes = client.call(command).send().unwrap().read_bytes(1 << 20);
            assert_eq!(bytes.as_deref().map_err(drop), Ok(expected), "{about}");
            let bytes = served.runtime.block_on(async {
                let response = tokio_client.call(command).send().await.unwrap();
                response.read_bytes(1 << 20).await
            });
            assert_eq!(bytes.as_deref().map_err(drop), Ok(expected), "{about}");
        }
        drop((client, tokio_client));
        served.shut_down();
    }
}
