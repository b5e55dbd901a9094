//! Blocking connections: both ends against each other, over small pipes and TCP.

mod support;

use std::io::{self, BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hgrpc::Revision;
use hgrpc::cbor::Value;
use hgrpc_std::blocking::{
    AnswerError, Atom, Call, CallError, Cbor, Client, Config, ConnectionError, Failure, Notes,
    Progress, Reply, Router, Transport,
};
use support::commands::{commands, configs};
use support::{in_time, over_pipes, over_tcp, pattern, pipe};

const MANY: usize = 1 << 20;

fn router() -> Router {
    commands()
        .command("fail-long", |_, _| {
            Err(Failure::format(
                "%s and %s",
                [vec![0xff; 9000], b"x".to_vec()],
            ))
        })
        .command("panic", |_, _| panic!("a handler's panic (part of a test)"))
        .handler("drop", |_: Call, _: Reply| {})
}

fn echo(client: &Client, msg: &[u8]) {
    let response = client.call("echo").arg("msg", msg).send().unwrap();
    assert_eq!(response.read_bytes(MANY).unwrap(), msg);
}

#[test]
fn small_and_large_answers_in_every_revision_and_encoding() {
    in_time(|| {
        for config in configs() {
            let (client, served) = over_pipes(1000, router(), &config);
            for len in [0, 1, 23, 24, 255, 256, 32_767, 32_768, 32_769, 100_000] {
                echo(&client, &pattern(1, len));
            }
            drop(client);
            served.join().unwrap().unwrap();
        }
    });
}

#[test]
fn both_sides_write_a_lot_at_once_through_tiny_pipes() {
    in_time(|| {
        for config in configs() {
            let (client, served) = over_pipes(200, router(), &config);
            let sent = pattern(2, 100_000);
            let mut response = client.call("cat").bytes(sent.clone()).send().unwrap();
            // Nothing is read for a while: everything on the way is full.
            thread::sleep(Duration::from_millis(50));
            let mut all = Vec::new();
            response.read_to_end(&mut all).unwrap();
            assert!(all == sent, "{config:?}");
            drop((client, response));
            served.join().unwrap().unwrap();
        }
    });
}

#[test]
fn twenty_calls_stream_both_ways_at_once() {
    in_time(|| {
        for config in configs() {
            let (client, served, _) = over_tcp(router(), &config);
            thread::scope(|scope| {
                for seed in 0..20 {
                    let client = &client;
                    scope.spawn(move || {
                        let sent = pattern(seed, MANY + usize::try_from(seed).unwrap());
                        let source = io::Cursor::new(sent.clone());
                        let mut response = client.call("cat").data(source).send().unwrap();
                        let mut all = Vec::new();
                        response.read_to_end(&mut all).unwrap();
                        assert!(all == sent, "call {seed}");
                    });
                }
            });
            drop(client);
            let traffic = served.join().unwrap().unwrap();
            assert!(traffic.bytes_in > 20 << 20);
        }
    });
}

#[test]
fn answers_come_out_of_order() {
    in_time(|| {
        let (release, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let router = router().command("slow", move |_, reply| {
            gate.lock().unwrap().recv().unwrap();
            reply.write_all(b"slow")?;
            Ok(())
        });
        let (client, _served) = over_pipes(1000, router, &Config::default());
        let slow = client.call("slow").send().unwrap();
        echo(&client, b"fast");
        release.send(()).unwrap();
        assert_eq!(slow.read_text(10).unwrap(), "slow");
    });
}

#[test]
fn failures_are_those_of_one_call() {
    in_time(|| {
        for config in configs() {
            let revision = config.revision;
            let (client, served) = over_pipes(1000, router(), &config);
            let call = |name: &str| client.call(name).send().unwrap().read_bytes(MANY);

            match call("fail").unwrap_err() {
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

            let mut late = client.call("fail-late").send().unwrap();
            assert_eq!(late.fill_buf().unwrap(), b"sent");
            late.consume(4);
            let error = CallError::from_io(late.fill_buf().unwrap_err()).unwrap();
            assert!(error.to_string().ends_with("50 % of ü"), "{error}");

            let error = call("fail-long").unwrap_err().to_string();
            assert!(error.contains("\u{fffd}\u{fffd}"), "{error}");
            let error = call("panic").unwrap_err();
            assert!(error.to_string().contains("panicked"), "{error}");
            let error = call("drop").unwrap_err();
            assert!(error.to_string().contains("no answer"), "{error}");
            let error = call("no-such").unwrap_err();
            assert!(
                error.to_string().contains("unknown command: no-such"),
                "{error}"
            );
            let error = call("echo").unwrap_err();
            assert!(
                error.to_string().contains("argument `msg` is missing"),
                "{error}"
            );
            echo(&client, b"still there");
            drop((client, late));
            served.join().unwrap().unwrap();
        }
    });
}

#[test]
fn what_is_over_a_limit_is_refused_and_its_neighbours_go_on() {
    in_time(|| {
        for mut config in configs() {
            config.limits.request_size = 10_000;
            config.limits.gathered = 50_000;
            let (client, served) = over_pipes(500, router(), &config);
            let mut neighbour = client
                .call("cat")
                .data(io::repeat(5).take(200_000))
                .send()
                .unwrap();
            let large = client
                .call("echo")
                .arg("msg", pattern(0, 70_000))
                .send()
                .unwrap();
            let error = large.read_bytes(MANY).unwrap_err();
            assert!(
                error.to_string().contains("request-too-large, limit 10000"),
                "{error}"
            );
            assert_eq!(io::copy(&mut neighbour, &mut io::sink()).unwrap(), 200_000);
            drop((client, neighbour));
            served.join().unwrap().unwrap();
        }
    });
}

#[test]
fn too_many_calls_are_refused() {
    in_time(|| {
        let mut config = Config::default();
        config.limits.calls = 3;
        let server = config.clone();
        config.limits.calls = 100;
        let (server_read, client_write) = pipe(500);
        let (client_read, server_write) = pipe(500);
        let served = thread::spawn(move || {
            let transport = Transport::new(server_read, server_write);
            hgrpc_std::blocking::serve(transport, &router(), &server)
        });
        let client = Client::new(Transport::new(client_read, client_write), &config).unwrap();
        let mut open: Vec<_> = (0..3).map(|_| client.call("cat").open().unwrap()).collect();
        let refused = client.call("echo").arg("msg", "x").send().unwrap();
        let error = refused.read_bytes(9).unwrap_err().to_string();
        assert!(error.contains("too-many-requests, limit 3"), "{error}");
        for (mut upload, response) in open.drain(..) {
            upload.write_all(b"abc").unwrap();
            upload.finish();
            assert_eq!(response.read_bytes(9).unwrap(), b"abc");
        }
        echo(&client, b"room again");
        drop(client);
        served.join().unwrap().unwrap();
    });
}

fn work(notes: &Notes) -> Result<(), Failure> {
    notes.text("50 % döne\x1b\n")?;
    notes.atoms(&[Atom {
        msg: b"%s of %s",
        args: &[b"1", b"2"],
        labels: &[b"ui.status"],
    }])?;
    Ok(notes.progress(&Progress::new("files", 1, 2))?)
}

#[test]
fn returned_values_are_responses_and_errors_failures() {
    in_time(|| {
        for config in configs() {
            let router = Router::new()
                .function("bytes", |call, _| call.read_data(9))
                .function("nothing", |_, _| Ok(()))
                .function("value", |_, _| Ok(Cbor(("a", 7))))
                .function("fails", |_, _| Err::<(), _>(Failure::command("no way")));
            let (client, _served) = over_pipes(100, router, &config);
            let response = client.call("bytes").bytes(*b"up").send().unwrap();
            assert_eq!(response.read_bytes(9).unwrap(), b"up");
            let response = client.call("nothing").send().unwrap();
            assert_eq!(response.read_bytes(9).unwrap(), b"");
            let response = client.call("value").send().unwrap();
            let value: (String, u8) = response.read_value().unwrap();
            assert_eq!(value, ("a".to_owned(), 7));
            let failed = client.call("fails").send().unwrap().read_bytes(9);
            assert!(failed.unwrap_err().to_string().ends_with("no way"));
        }
    });
}

#[test]
fn text_and_progress_come_beside_the_response() {
    in_time(|| {
        for config in configs() {
            let router = Router::new()
                .command("writes", |_, reply| {
                    work(&reply.notes())?;
                    reply.write_all(b"done")?;
                    Ok(())
                })
                .function("returns", |_, notes| {
                    work(notes)?;
                    Ok("done")
                });
            let (client, _served) = over_pipes(100, router, &config);
            for command in ["writes", "returns"] {
                let (send, seen) = mpsc::channel();
                let progress = send.clone();
                let response = client
                    .call(command)
                    .on_text(move |atoms| send.send(atoms.escaped().to_string()).unwrap())
                    .on_progress(move |p| {
                        let text = format!("{} {}/{}", p.topic, p.pos, p.total);
                        progress.send(text).unwrap();
                    })
                    .send()
                    .unwrap();
                assert_eq!(response.read_text(9).unwrap(), "done");
                let seen: Vec<String> = seen.try_iter().collect();
                assert_eq!(seen, ["50 % döne\\x1b\n", "1 of 2", "files 1/2"]);
            }
        }
    });
}

#[test]
fn values_come_one_by_one() {
    in_time(|| {
        for config in configs() {
            let (client, _served) = over_pipes(100, router(), &config);
            let mut response = client
                .call("count")
                .data(io::repeat(1).take(77))
                .send()
                .unwrap();
            let value = response.next_value().unwrap().unwrap();
            assert_eq!(Value::from_cbor(&value).unwrap().as_u64(), Some(77));
            assert_eq!(response.next_value().unwrap(), None);
            // As bytes it is what was encoded, in every revision.
            let response = client.call("count").send().unwrap();
            assert_eq!(response.read_bytes(9).unwrap(), b"\x00");
            if config.revision == Revision::R0006 {
                let mut response = client.call("values").send().unwrap();
                let mut values = Vec::new();
                while let Some(value) = response.next_value().unwrap() {
                    values.push(value);
                }
                assert_eq!(
                    values,
                    [
                        &b"\x01"[..],
                        b"\x82\x02\x19\x01\x2c",
                        b"\x43abc",
                        b"\x64text"
                    ]
                );
                let error = client
                    .call("bytes-then-value")
                    .send()
                    .unwrap()
                    .read_bytes(9)
                    .unwrap_err();
                assert!(
                    matches!(error, CallError::Answer(AnswerError::NotBytes)),
                    "{error}"
                );
            }
        }
    });
}

#[test]
fn a_cancelled_call_leaves_its_neighbours_alone() {
    in_time(|| {
        for config in configs() {
            let (client, served) = over_pipes(20_000, router(), &config);
            for _ in 0..3 {
                let call = client.call("bytes").value("seed", &1).value("len", &MANY);
                let mut response = call.send().unwrap();
                response.read_exact(&mut [0; 1000]).unwrap();
                drop(response);
                let upload = client.call("cat").data(io::repeat(1)).send().unwrap();
                upload.wait().unwrap();
                upload.cancel();
                echo(&client, b"neighbour");
            }
            drop(client);
            served.join().unwrap().unwrap();
        }
    });
}

#[test]
fn an_upload_by_hand_is_complete_or_fails() {
    in_time(|| {
        let (client, _served) = over_pipes(500, router(), &Config::default());
        let (mut upload, response) = client.call("cat").open().unwrap();
        upload.write_all(b"abc").unwrap();
        drop(upload);
        let error = response.read_bytes(9).unwrap_err();
        assert!(matches!(error, CallError::Source(_)), "{error}");
        echo(&client, b"neighbour");
    });
}

#[test]
fn a_call_has_a_deadline() {
    in_time(|| {
        let (client, _served) = over_pipes(500, router(), &Config::default());
        let call = client.call("cat").timeout(Duration::from_millis(20));
        // On a busy machine it is over before the data can be sent.
        let answer = call
            .open()
            .and_then(|(_upload, response)| response.read_bytes(9));
        assert!(matches!(answer, Err(CallError::TimedOut)), "{answer:?}");
        echo(&client, b"neighbour");
    });
}

#[test]
fn a_vanished_server_ends_every_call_with_what_was_lost() {
    in_time(|| {
        // Answers the first call by half, then is gone in the middle of a frame.
        let (mut server_read, client_write) = pipe(5000);
        let (client_read, mut server_write) = pipe(5000);
        let client = Client::new(
            Transport::new(client_read, client_write),
            &Config::new(Revision::R0005),
        )
        .unwrap();
        let mut first = client.call("first").send().unwrap();
        let second = client.call("second").send().unwrap();
        server_read.read_exact(&mut [0; 30]).unwrap();
        server_write
            .write_all(b"\x0e\0\0\x01\0\x02\x01\x31\xa1FstatusBokabc\x09\0\0\x01\0\x02\0\x31xy")
            .unwrap();
        first.read_exact(&mut [0; 3]).unwrap();
        drop((server_read, server_write));
        let mut rest = Vec::new();
        let error = CallError::from_io(first.read_to_end(&mut rest).unwrap_err()).unwrap();
        assert_eq!(rest, b"xy");
        assert_eq!(
            error.to_string(),
            "the response to first was lost after 5 bytes: the connection was cut in the middle \
             of a frame, 7 bytes before its end"
        );
        let error = second.read_bytes(9).unwrap_err();
        assert!(
            error.to_string().starts_with("no answer to second: "),
            "{error}"
        );
        let error = client.call("third").send().unwrap_err();
        assert!(matches!(error, CallError::Connection(_)), "{error}");
        assert!(matches!(
            client.ended(),
            Some(ConnectionError::Cut { missing: 7 })
        ));
    });
}

#[test]
fn a_vanished_client_ends_its_handlers() {
    in_time(|| {
        let (told, seen) = mpsc::channel();
        let router = Router::new().command("wait", move |call, _| {
            let _on_gone = call.gone().on_gone({
                let told = told.clone();
                move || told.send("gone").unwrap()
            });
            let error = io::copy(call, &mut io::sink()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(call.gone().wait_timeout(Duration::from_secs(20)));
            told.send("cut").unwrap();
            Ok(())
        });
        let (server_read, mut client_write) = pipe(5000);
        let (client_read, server_write) = pipe(5000);
        let served = thread::spawn(move || {
            let transport = Transport::new(server_read, server_write);
            hgrpc_std::blocking::serve(transport, &router, &Config::new(Revision::R0005))
        });
        // A request with data, and half a frame of that.
        client_write
            .write_all(b"\x0b\0\0\x01\0\x01\x01\x19\xa1DnameDwait\x09\0\0\x01\0\x01\0\x21ab")
            .unwrap();
        drop((client_read, client_write));
        let error = served.join().unwrap().unwrap_err();
        assert!(
            matches!(error, ConnectionError::Cut { missing: 7 }),
            "{error}"
        );
        let mut seen: Vec<_> = seen.try_iter().collect();
        seen.sort_unstable();
        assert_eq!(seen, ["cut", "gone"]);
    });
}

#[test]
fn a_client_that_only_stops_sending_still_gets_its_answers() {
    in_time(|| {
        let (server_read, mut client_write) = pipe(5000);
        let (mut client_read, server_write) = pipe(5000);
        let served = thread::spawn(move || {
            let transport = Transport::new(server_read, server_write);
            hgrpc_std::blocking::serve(transport, &router(), &Config::new(Revision::R0003))
        });
        client_write
            .write_all(b"\x19\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1CmsgCabcDnameDecho")
            .unwrap();
        drop(client_write);
        let mut answer = Vec::new();
        client_read.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"\x03\0\0\x01\0\x02\x01\x42abc");
        served.join().unwrap().unwrap();
    });
}

#[test]
fn answers_are_not_lost_with_what_comes_after_a_fault() {
    in_time(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let served = thread::spawn(move || {
            let transport = Transport::tcp(accepted).unwrap();
            hgrpc_std::blocking::serve(transport, &router(), &Config::new(Revision::R0003))
        });
        // A call whose answer is too long for the peer's receive buffer, a frame of no kind that
        // there is, and more than is read at once.
        let call =
            b"\x21\0\0\x01\0\x01\x01\x11\xa2Dargs\xa2Clen\x1a\0\x0f\x42\x40Dseed\x01DnameEbytes";
        let fault = b"\0\0\0\x03\0\x01\0\xf0";
        let all = [&call[..], fault, &[0; 800_000]].concat();
        socket.write_all(&all).unwrap();
        thread::sleep(Duration::from_millis(300));
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert!(answer.len() > 1_000_000, "{}", answer.len());
        drop(socket);
        assert!(matches!(
            served.join().unwrap(),
            Err(ConnectionError::Protocol(_))
        ));
    });
}

#[test]
fn refusals_that_nobody_reads_for_a_while_end_no_connection() {
    const REQUESTS: usize = 5000;
    in_time(|| {
        let mut config = Config::new(Revision::R0003);
        config.limits.request_size = 8;
        let (server_read, mut client_write) = pipe(5000);
        let (mut client_read, server_write) = pipe(500);
        let served = thread::spawn(move || {
            let transport = Transport::new(server_read, server_write);
            hgrpc_std::blocking::serve(transport, &router(), &config)
        });
        let sent = thread::spawn(move || {
            for id in (1..).step_by(2).take(REQUESTS) {
                let [low, high] = u16::to_le_bytes(id);
                let head = [0x0b, 0, 0, low, high, 1, u8::from(id == 1), 0x11];
                let request = [&head[..], b"\xa1DnameDecho"].concat();
                client_write.write_all(&request).unwrap();
            }
        });
        thread::sleep(Duration::from_millis(300));
        let mut ids = std::collections::HashSet::new();
        let mut head = [0; 8];
        while ids.len() < REQUESTS {
            client_read.read_exact(&mut head).unwrap();
            let mut payload = vec![0; usize::from(head[0]) + usize::from(head[1]) * 256];
            client_read.read_exact(&mut payload).unwrap();
            assert!(String::from_utf8_lossy(&payload).contains("request-too-large"));
            ids.insert([head[3], head[4]]);
        }
        sent.join().unwrap();
        served.join().unwrap().unwrap();
    });
}

#[test]
fn peers_that_speak_something_else_are_named() {
    in_time(|| {
        let (client_read, mut server_write) = pipe(5000);
        let (_server_read, client_write) = pipe(5000);
        let client = Client::new(
            Transport::new(client_read, client_write),
            &Config::default(),
        )
        .unwrap();
        let response = client.call("x").send().unwrap();
        server_write
            .write_all(b"HTTP/1.1 400 Bad Request\r\n")
            .unwrap();
        let error = response.read_bytes(9).unwrap_err().to_string();
        assert_eq!(error, "no answer to x: the peer speaks HTTP, not hgrpc");

        let (server_read, mut client_write) = pipe(5000);
        let (_client_read, server_write) = pipe(5000);
        client_write.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let transport = Transport::new(server_read, server_write);
        let error = hgrpc_std::blocking::serve(transport, &router(), &Config::default());
        assert!(matches!(error, Err(ConnectionError::NotHgrpc("HTTP"))));
    });
}

#[test]
fn a_slow_handler_is_given_up_after_a_stall() {
    in_time(|| {
        let mut config = Config::default();
        config.limits.stall = Some(Duration::from_millis(30));
        let (release, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let router = router().command("stuck", move |call, _| {
            gate.lock().unwrap().recv().unwrap();
            io::copy(call, &mut io::sink())?;
            Ok(())
        });
        let (client, _served) = over_pipes(20_000, router, &config);
        let stuck = client
            .call("stuck")
            .data(io::repeat(1).take(1 << 20))
            .send()
            .unwrap();
        // Everything on the way is full until the call is given up.
        thread::sleep(Duration::from_millis(500));
        echo(&client, b"neighbour");
        release.send(()).unwrap();
        let error = stuck.read_bytes(9).unwrap_err().to_string();
        assert!(error.contains("stalled"), "{error}");
    });
}

#[test]
fn closing_ends_calls() {
    in_time(|| {
        let (client, _served, _) = over_tcp(router(), &Config::default());
        let (_upload, response) = client.call("cat").open().unwrap();
        client.close();
        let error = response.read_bytes(9).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no answer to cat: this end closed the connection"
        );
    });
}

#[test]
fn an_upload_whose_source_never_ends_does_not_keep_the_connection() {
    in_time(|| {
        let (client, served, _) = over_tcp(router(), &Config::default());
        let (source, never) = pipe(10);
        let response = client.call("cat").data(source).send().unwrap();
        drop((client, response));
        served.join().unwrap().unwrap();
        drop(never);
    });
}

#[test]
fn a_server_that_says_nothing_may_be_of_another_revision() {
    in_time(|| {
        let (client_read, server_write) = pipe(5000);
        let (mut server_read, client_write) = pipe(5000);
        let client = Client::new(
            Transport::new(client_read, client_write),
            &Config::default(),
        )
        .unwrap();
        let response = client.call("x").send().unwrap();
        server_read.read_exact(&mut [0; 8]).unwrap();
        drop((server_read, server_write));
        let error = response.read_bytes(9).unwrap_err().to_string();
        assert!(error.contains("without a word"), "{error}");
    });
}
