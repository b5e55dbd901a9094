//! The tokio client against blocking servers and hand-made ones, over small pipes.
#![cfg(all(unix, feature = "tokio"))]

mod support;

use std::io;
use std::io::Write as _;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use hgrpc::Revision;
use hgrpc::cbor::Value;
use hgrpc_std::blocking::{Atom, Progress, Router, Transport, serve};
use hgrpc_std::tokio::{
    AnswerError, Backoff, CallError, Client, Config, ConnectionError, Note, ReconnectingClient,
};
use support::commands::{commands, configs};
use support::{Served, pattern};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::UnixStream;
use tokio::time::timeout;

const MANY: usize = 1 << 20;

/// A guard against hanging.
const LONG: Duration = Duration::from_secs(180);

fn router() -> Router {
    commands()
        .command("work", |_, reply| {
            reply.text("50 % döne\x1b\n")?;
            reply.notes().atoms(&[Atom {
                msg: b"%s of %s",
                args: &[b"1", b"2"],
                labels: &[b"ui.status"],
            }])?;
            reply.notes().progress(&Progress::new("files", 1, 2))?;
            reply.write_all(b"done")?;
            Ok(())
        })
        .command("chatter", |call, reply| {
            for number in 0..call.arg::<u32>("lines")? {
                reply.text(format!("{number}\n"))?;
            }
            Ok(())
        })
}

/// A client of a blocking server.
fn connect(router: Router, config: &Config) -> (Client, Served) {
    connect_to(router, config.clone(), config)
}

/// The same with a configuration for each.
fn connect_to(router: Router, server: Config, config: &Config) -> (Client, Served) {
    let (here, there) = StdStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    let served = thread::spawn(move || serve(Transport::unix(there).unwrap(), &router, &server));
    let stream = UnixStream::from_std(here).unwrap();
    (Client::spawn(stream, config), served)
}

async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(LONG, future).await.expect("it hangs")
}

async fn echo(client: &Client, msg: &[u8]) {
    let response = client.call("echo").arg("msg", msg).send().await.unwrap();
    assert_eq!(response.read_bytes(MANY).await.unwrap(), msg);
}

/// Joins a server's thread.
async fn ended(served: Served) {
    let result = tokio::task::spawn_blocking(move || served.join().unwrap());
    in_time(result).await.unwrap().unwrap();
}

#[tokio::test]
async fn small_and_large_answers_in_every_revision_and_encoding() {
    for config in configs() {
        let (client, served) = connect(router(), &config);
        for len in [0, 1, 23, 24, 255, 256, 32_767, 32_768, 32_769, 100_000] {
            in_time(echo(&client, &pattern(1, len))).await;
        }
        drop(client);
        ended(served).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_calls_stream_both_ways_at_once() {
    for config in configs() {
        let (client, served) = connect(router(), &config);
        let calls = (0..100u64).map(|seed| {
            let client = client.clone();
            tokio::spawn(async move {
                let sent = pattern(seed, 100_000 + usize::try_from(seed).unwrap());
                let request = client.call("cat");
                let request = match seed % 3 {
                    0 => request.bytes(sent.clone()),
                    1 => request.data(io::Cursor::new(sent.clone())),
                    _ => {
                        let pieces: Vec<_> = sent
                            .chunks(7777)
                            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                            .collect();
                        request.data_stream(futures_util::stream::iter(pieces))
                    }
                };
                let mut response = request.send().await.unwrap();
                let mut all = Vec::new();
                response.read_to_end(&mut all).await.unwrap();
                assert!(all == sent, "call {seed}");
            })
        });
        for result in in_time(join_all(calls)).await {
            result.unwrap();
        }
        let traffic = client.traffic();
        assert!(traffic.bytes_out > 10_000_000 && traffic.bytes_in > 1000);
        drop(client);
        ended(served).await;
    }
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_for_room() {
    let mut config = Config::default();
    config.limits.calls = 3;
    let (client, _served) = connect_to(router(), Config::default(), &config);
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(client.call("cat").open().await.unwrap());
    }
    let waits = timeout(
        Duration::from_millis(50),
        client.call("echo").arg("msg", "x").send(),
    );
    assert!(waits.await.is_err());
    let late = client.call("echo").timeout(Duration::from_millis(20));
    assert!(matches!(late.send().await, Err(CallError::TimedOut)));
    for (mut upload, response) in open.drain(..) {
        upload.write_all(b"abc").await.unwrap();
        upload.finish();
        assert_eq!(response.read_bytes(9).await.unwrap(), b"abc");
    }
    let many: Vec<_> = (0..200).map(|_| echo(&client, b"room again")).collect();
    in_time(join_all(many)).await;
}

#[tokio::test]
async fn failures_are_those_of_one_call() {
    for config in configs() {
        let revision = config.revision;
        let (client, served) = connect(router(), &config);
        let call = async |name: &str| client.call(name).send().await.unwrap();
        match call("fail").await.read_bytes(MANY).await.unwrap_err() {
            // 0003 has no command errors of its own.
            CallError::Server(failure) if revision == Revision::R0003 => {
                assert_eq!(failure.to_string(), "no tea left");
            }
            CallError::Command(failure) => {
                assert_eq!(failure.message, "no tea left");
                assert_eq!(failure.args, [b"tea"]);
            }
            other => panic!("{other:?}"),
        }
        let mut late = call("fail-late").await;
        assert_eq!(late.fill_buf().await.unwrap(), b"sent");
        late.consume(4);
        let error = CallError::from_io(late.fill_buf().await.unwrap_err()).unwrap();
        assert!(error.to_string().ends_with("50 % of ü"), "{error}");
        let error = call("no-such").await.read_bytes(MANY).await.unwrap_err();
        assert!(error.is_unknown_command("no-such"), "{error}");
        echo(&client, b"still there").await;
        drop((client, late));
        ended(served).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_one_value_is_read_as_a_type() {
    let served = |values: &'static [u8]| {
        let (here, there) = tokio::io::duplex(1 << 16);
        let router = hgrpc_std::tokio::Router::new().command(
            "answer",
            move |mut reply: hgrpc_std::tokio::Reply| async move {
                reply.cbor(values).await?;
                reply.finish()?;
                Ok::<_, hgrpc_std::tokio::Failure>(())
            },
        );
        let server = hgrpc_std::tokio::Server::builder(router).build();
        tokio::spawn(async move {
            server
                .serve_connection(there, hgrpc_std::tokio::Peer::labelled("test"))
                .await
        });
        Client::spawn(here, &Config::default())
    };
    let call = async |values| served(values).call("answer").send().await.unwrap();
    let value = call(b"\x82\x01\x61a").await.read_value::<(u8, String)>();
    assert_eq!(value.await.unwrap(), (1, "a".to_owned()));
    assert!(call(b"\xf5").await.read_value::<bool>().await.unwrap());
    for wrong in [&b""[..], b"\x01", b"\xf5\xf5", b"\x81\xf5"] {
        let error = call(wrong).await.read_value::<bool>().await.unwrap_err();
        let is_told = matches!(error, CallError::Answer(AnswerError::NotThisValue));
        assert!(is_told, "{wrong:?}: {error}");
    }
}

#[tokio::test]
async fn text_and_progress_come_beside_the_response() {
    for config in configs() {
        let (client, _served) = connect(router(), &config);
        let (request, events) = client.call("work").notes();
        let response = request.send().await.unwrap();
        assert_eq!(in_time(response.read_text(9)).await.unwrap(), "done");
        let seen: Vec<String> = in_time(events.collect::<Vec<_>>())
            .await
            .iter()
            .map(|event| match event {
                Note::Text(text) => text.atoms().escaped().to_string(),
                Note::Progress(update) => {
                    let update = update.progress();
                    format!("{} {}/{}", update.topic, update.pos, update.total)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, ["50 % döne\\x1b\n", "1 of 2", "files 1/2"]);
    }
}

#[tokio::test]
async fn no_text_is_lost_however_slowly_it_is_read() {
    let (client, _served) = connect(router(), &Config::default());
    let (request, mut events) = client.call("chatter").value("lines", &5000).notes();
    let response = request.send().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reading = tokio::spawn(response.read_bytes(9));
    for number in 0..5000 {
        let Some(Note::Text(text)) = in_time(events.next_note()).await else {
            panic!("{number} is missing");
        };
        assert_eq!(text.atoms().to_string(), format!("{number}\n"));
    }
    assert!(events.next_note().await.is_none());
    assert_eq!(reading.await.unwrap().unwrap(), b"");
}

#[tokio::test]
async fn values_come_one_by_one_and_a_dropped_read_loses_nothing() {
    for config in configs() {
        let (client, _served) = connect(router(), &config);
        let data = tokio::io::repeat(1).take(77);
        let mut response = client.call("count").data(data).send().await.unwrap();
        let value = response.next_value().await.unwrap().unwrap();
        assert_eq!(Value::from_cbor(&value).unwrap().as_u64(), Some(77));
        assert_eq!(response.next_value().await.unwrap(), None);
        // As bytes it is what was encoded, in every revision.
        let response = client.call("count").send().await.unwrap();
        assert_eq!(response.read_bytes(9).await.unwrap(), b"\x00");
        let response = client.call("values").send().await.unwrap();
        let all = response.read_bytes(99).await;
        if config.revision != Revision::R0006 {
            assert_eq!(all.unwrap(), b"\x01\x82\x02\x19\x01\x2cabc\x64text");
            continue;
        }
        // Bytes behind values are one of them.
        assert_eq!(all.unwrap(), b"\x01\x82\x02\x19\x01\x2c\x43abc\x64text");
        let response = client.call("bytes-then-value").send().await.unwrap();
        let error = response.read_bytes(9).await.unwrap_err();
        assert!(matches!(error, CallError::Answer(AnswerError::NotBytes)));
        let mut response = client.call("values").send().await.unwrap();
        let mut values = Vec::new();
        loop {
            // Polled once and dropped, until it is ready at once.
            let next = std::pin::pin!(response.next_value());
            match futures_util::poll!(next) {
                std::task::Poll::Ready(Ok(Some(value))) => values.push(value),
                std::task::Poll::Ready(other) => break assert_eq!(other.unwrap(), None),
                std::task::Poll::Pending => tokio::task::yield_now().await,
            }
        }
        let expected = [
            &b"\x01"[..],
            b"\x82\x02\x19\x01\x2c",
            b"\x43abc",
            b"\x64text",
        ];
        assert_eq!(values, expected);
    }
}

#[tokio::test]
async fn a_dropped_call_leaves_its_neighbours_alone() {
    for config in configs() {
        let (client, served) = connect(router(), &config);
        for _ in 0..3 {
            let call = client.call("bytes").value("seed", &1).value("len", &MANY);
            let mut response = call.send().await.unwrap();
            response.read_exact(&mut [0; 1000]).await.unwrap();
            drop(response);
            let call = client.call("cat").data(tokio::io::repeat(1));
            let mut upload = call.send().await.unwrap();
            upload.wait().await.unwrap();
            upload.cancel();
            in_time(echo(&client, b"neighbour")).await;
        }
        drop(client);
        ended(served).await;
    }
}

#[tokio::test]
async fn an_upload_by_hand_is_complete_or_fails() {
    let (client, _served) = connect(router(), &Config::default());
    let (mut upload, response) = client.call("cat").open().await.unwrap();
    upload.write_all(b"abc").await.unwrap();
    drop(upload);
    let error = response.read_bytes(9).await.unwrap_err();
    assert!(matches!(error, CallError::Source(_)), "{error}");
    let (mut upload, response) = client.call("cat").open().await.unwrap();
    upload.write_all(&pattern(1, 300_000)).await.unwrap();
    upload.shutdown().await.unwrap();
    assert_eq!(
        response.read_bytes(MANY).await.unwrap(),
        pattern(1, 300_000)
    );
    echo(&client, b"neighbour").await;
}

#[tokio::test]
async fn a_call_has_a_deadline() {
    let (client, _served) = connect(router(), &Config::default());
    let call = client.call("cat").timeout(Duration::from_millis(20));
    // On a busy machine it is over before the data can be sent.
    let answer = async {
        let (_upload, response) = call.open().await?;
        response.read_bytes(9).await
    };
    let answer = in_time(answer).await;
    assert!(matches!(answer, Err(CallError::TimedOut)), "{answer:?}");
    echo(&client, b"neighbour").await;
}

#[tokio::test]
async fn a_vanished_server_ends_every_call_with_what_was_lost() {
    // Answers the first call by half, then is gone in the middle of a frame.
    let (here, mut there) = duplex(5000);
    let client = Client::spawn(here, &Config::new(Revision::R0005));
    let mut first = client.call("first").send().await.unwrap();
    let second = client.call("second").send().await.unwrap();
    there.read_exact(&mut [0; 30]).await.unwrap();
    there
        .write_all(b"\x0e\0\0\x01\0\x02\x01\x31\xa1FstatusBokabc\x09\0\0\x01\0\x02\0\x31xy")
        .await
        .unwrap();
    first.read_exact(&mut [0; 3]).await.unwrap();
    drop(there);
    let mut rest = Vec::new();
    let error = first.read_to_end(&mut rest).await.unwrap_err();
    assert_eq!(rest, b"xy");
    assert_eq!(
        CallError::from_io(error).unwrap().to_string(),
        "the response to first was lost after 5 bytes: the connection was cut in the middle of a \
         frame, 7 bytes before its end"
    );
    let error = second.read_bytes(9).await.unwrap_err();
    assert!(error.to_string().starts_with("no answer to second: "));
    let error = client.call("third").send().await.unwrap_err();
    assert!(matches!(error, CallError::Connection(_)), "{error}");
    assert!(matches!(
        client.ended(),
        Some(ConnectionError::Cut { missing: 7 })
    ));
}

#[tokio::test]
async fn peers_that_speak_something_else_are_named() {
    let (here, mut there) = duplex(5000);
    let client = Client::spawn(here, &Config::default());
    let response = client.call("x").send().await.unwrap();
    there
        .write_all(b"HTTP/1.1 400 Bad Request\r\n")
        .await
        .unwrap();
    let error = response.read_bytes(9).await.unwrap_err().to_string();
    assert_eq!(error, "no answer to x: the peer speaks HTTP, not hgrpc");
    let (here, there) = duplex(5000);
    let client = Client::spawn(here, &Config::default());
    let response = client.call("x").send().await.unwrap();
    drop(there);
    let error = response.read_bytes(9).await.unwrap_err().to_string();
    assert!(error.contains("without a word"), "{error}");
}

#[tokio::test]
async fn closing_ends_calls_and_dropping_the_driver_does() {
    let (client, served) = connect(router(), &Config::default());
    let (_upload, response) = client.call("cat").open().await.unwrap();
    client.close();
    let error = response.read_bytes(9).await.unwrap_err();
    let expected = "no answer to cat: this end closed the connection";
    assert_eq!(error.to_string(), expected);
    drop(client);
    let _ = tokio::task::spawn_blocking(move || served.join()).await;

    let (here, mut there) = duplex(5000);
    let (client, driver) = Client::new(here, &Config::default());
    let driver = tokio::spawn(driver);
    let response = client.call("cat").send().await.unwrap();
    driver.abort();
    let error = response.read_bytes(9).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
    let error = client.call("cat").send().await.unwrap_err();
    assert_eq!(error.to_string(), expected);
    there.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn what_was_sent_goes_out_when_the_client_is_dropped() {
    let (told, seen) = mpsc::channel();
    let router = Router::new().command("tell", move |call, _| {
        told.send(io::copy(call, &mut io::sink()).ok()).unwrap();
        Ok(())
    });
    let (client, served) = connect(router, &Config::default());
    let response = client.call("tell").bytes(vec![1; 1000]).send().await;
    drop((client, response));
    ended(served).await;
    assert_eq!(seen.try_recv(), Ok(Some(1000)));
}

#[tokio::test]
async fn an_upload_whose_source_never_ends_does_not_keep_the_connection() {
    let (client, served) = connect(router(), &Config::default());
    let (source, _never) = duplex(10);
    let response = client.call("cat").data(source).send().await.unwrap();
    drop((client, response));
    ended(served).await;
}

#[tokio::test]
async fn a_slow_reader_holds_a_bounded_amount() {
    let mut config = Config::default();
    config.limits.buffer = 10_000;
    config.limits.stall = Some(Duration::from_millis(200));
    let (client, _served) = connect(router(), &config);
    let call = client.call("bytes").value("seed", &1).value("len", &MANY);
    let mut slow = call.send().await.unwrap();
    slow.wait().await.unwrap();
    // More comes than may be held only when the slow one is given up.
    in_time(async {
        while client.traffic().bytes_in < u64::try_from(MANY).unwrap() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    in_time(echo(&client, b"neighbour")).await;
    let mut read = Vec::new();
    let error = slow.read_to_end(&mut read).await.unwrap_err();
    let error = CallError::from_io(error).unwrap();
    assert!(matches!(error, CallError::Answer(AnswerError::Stalled)));
    assert!(read.len() <= 10_000, "{} held", read.len());
}

#[tokio::test]
async fn a_reconnecting_client_makes_unsent_calls_again() {
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = std::sync::Arc::clone(&attempts);
    let mut backoff = Backoff::default();
    backoff.first = Duration::from_millis(1);
    let client = ReconnectingClient::new(&Config::default(), backoff, move |config| {
        let attempt = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            if attempt.is_multiple_of(2) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(connect(router(), &config).0)
        }
    });
    for _ in 0..3 {
        let calls: Vec<_> = (0..20)
            .map(async |_| {
                let call = client.call("echo").arg("msg", "x").bytes(vec![0; 200_000]);
                let response = call.send().await?;
                response.read_text(9).await
            })
            .collect();
        for answer in in_time(join_all(calls)).await {
            assert_eq!(answer.unwrap(), "x");
        }
        client.client().await.unwrap().close();
    }
    assert_eq!(attempts.load(std::sync::atomic::Ordering::Relaxed), 6);
    // One that was sent is not made again.
    let (_upload, response) = client.call("cat").open().await.unwrap();
    client.client().await.unwrap().close();
    let error = response.read_bytes(9).await.unwrap_err();
    assert!(matches!(error, CallError::Connection(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_reconnecting_client_gives_up_or_keeps_to_the_calls_time() {
    let mut backoff = Backoff::default();
    backoff.attempts = Some(4);
    let refuse = |_| async { Err(io::ErrorKind::ConnectionRefused.into()) };
    let client = ReconnectingClient::new(&Config::default(), backoff, refuse);
    let began = tokio::time::Instant::now();
    let error = client.call("x").send().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no answer to x: connecting failed: connection refused"
    );
    // Half of 100, 200 and 400 ms at least, all of them at most.
    let took = began.elapsed().as_millis();
    assert!((350..=705).contains(&took), "{took}");
    // Whoever waits with it fails with it.
    let began = tokio::time::Instant::now();
    for result in join_all((0..20).map(|_| client.call("x").send())).await {
        let error = result.unwrap_err().to_string();
        assert!(error.ends_with("failed: connection refused"), "{error}");
    }
    // As before, and a wait of 400 to 800 ms that the last attempt has left.
    let took = began.elapsed().as_millis();
    assert!((750..=1505).contains(&took), "{took}");
    backoff.attempts = None;
    let client = ReconnectingClient::new(&Config::default(), backoff, refuse);
    let call = client.call("x").timeout(Duration::from_secs(100));
    let began = tokio::time::Instant::now();
    assert!(matches!(call.send().await, Err(CallError::TimedOut)));
    assert_eq!(began.elapsed().as_secs(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_at_once_is_not_asked_in_a_loop() {
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = std::sync::Arc::clone(&attempts);
    let client = ReconnectingClient::new(&Config::default(), Backoff::default(), move |config| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let client = Client::spawn(duplex(10).0, &config);
        async move {
            // It has noticed by the time that it is used.
            tokio::task::yield_now().await;
            Ok(client)
        }
    });
    let error = client.call("x").send().await.unwrap_err();
    assert!(matches!(error, CallError::Connection(_)), "{error}");
    assert_eq!(attempts.load(std::sync::atomic::Ordering::Relaxed), 10);
}

/// A driver that is polled again when it has ended, or panicked, says why it has ended.
#[tokio::test]
async fn a_driver_that_has_ended_stays_so() {
    let (here, there) = duplex(100);
    let (client, mut driver) = Client::new(here, &Config::default());
    drop(there);
    for _ in 0..2 {
        let error = in_time(&mut driver).await;
        assert!(matches!(error, ConnectionError::ClosedAtOnce), "{error:?}");
    }
    assert!(client.ended().is_some());

    let (here, _there) = duplex(100);
    let (client, mut driver) = Client::new(here, &Config::default());
    let data = futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<io::Result<Bytes>>> {
        panic!("on purpose")
    });
    let call = client.call("cat").data_stream(data);
    let driving = async {
        let panicked = std::panic::AssertUnwindSafe(&mut driver).catch_unwind();
        assert!(panicked.await.is_err());
        driver.await
    };
    let (error, response) = in_time(async { tokio::join!(driving, call.send()) }).await;
    assert!(matches!(error, ConnectionError::Shutdown), "{error:?}");
    let lost = match response {
        Ok(response) => response.read_bytes(9).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(lost, CallError::Connection(_)), "{lost:?}");
}
