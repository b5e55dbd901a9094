//! Answers from values, in every revision and through buffers of any size; failures, refusals, and
//! what is held back.

use embedded_io::{ErrorType, Write};
use hgrpc::Error;
use hgrpc::cbor::{ArgError, ArgsError, EncodedArgs, Minicbor, ToValue};
use hgrpc::client::{Event as Answer, Request};
use hgrpc::connection::{Drive, HeldBack, Outgoing};
use hgrpc::drive::blocking::Driver;
use hgrpc::server::{Command, Event, Failure, Reply};
use hgrpc::{ApiMisuse, REVISIONS, RefusalReason, Revision};

use crate::memory::{self, buffers};

/// What a client hears of one request.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    body: Vec<u8>,
    failure: Option<String>,
    frames: u32,
    is_over: bool,
}

struct Sink(Vec<u8>);

impl ErrorType for Sink {
    type Error = core::convert::Infallible;
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

type Replies<'r> = hgrpc::drive::Sending<
    'r,
    <memory::Server<Revision> as Drive>::Sender,
    hgrpc::drive::blocking::Halves<&'static [u8], Sink>,
>;

type Sent = Result<(), Error>;

/// Calls a command, and gives what the client hears of the answer.
fn ask(
    revision: Revision,
    args: &[u8],
    output: usize,
    answer: impl Fn(Command<'_>, &mut Replies<'_>) -> Sent,
) -> (Heard, Sent) {
    let mut client = memory::client(revision, buffers(0, 2048, 64));
    let request = Request::new(b"led", EncodedArgs::from_cbor(args).unwrap());
    let mut input = Vec::new();
    let calls = client.sender();
    let mut call = calls.request(request, false).unwrap();
    calls
        .make_all(&mut call, |bytes| input.extend_from_slice(bytes))
        .unwrap();
    calls.write_all(|bytes| input.extend_from_slice(bytes));

    let input: &'static [u8] = input.leak();
    let connection = memory::server(revision, buffers(64, 2048, output));
    let mut server = Driver::new(connection, input, Sink(Vec::new()));
    let mut sent = Ok(());
    while let Some((event, mut replies)) = server.step().unwrap() {
        if let Event::Command(command) = event {
            sent = answer(command, &mut replies);
        }
    }
    let (_, Sink(bytes)) = server.into_halves();
    let mut heard = Heard::default();
    let mut bytes = bytes.as_slice();
    while let Some((event, _)) = client.take(&mut bytes).unwrap() {
        match event {
            Answer::Response {
                status,
                data,
                is_last,
                ..
            } => {
                if let Some(hgrpc::cbor::Status::Error(error)) = status {
                    heard.failure = Some(error.to_string());
                }
                heard.body.extend_from_slice(data);
                heard.is_over |= is_last;
            }
            Answer::Failed { message, .. } => {
                heard.failure = Some(message.to_string());
                heard.is_over = true;
            }
            Answer::SetDecoder { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    heard.frames = client.end().frames();
    (heard, sent)
}

fn said(revision: Revision, output: usize, value: impl ToValue + Copy) -> Vec<u8> {
    let (heard, sent) = ask(revision, b"\xa0", output, |command, replies| {
        replies.send(command.reply.ok(value))
    });
    assert_eq!(sent, Ok(()));
    assert!(heard.is_over && heard.failure.is_none(), "{heard:?}");
    heard.body
}

#[test]
fn values_are_answers() {
    for revision in REVISIONS {
        for output in [30, 64, 200] {
            assert_eq!(said(revision, output, true), b"\xf5");
            assert_eq!(said(revision, output, 300u16), b"\x19\x01\x2c");
            assert_eq!(said(revision, output, -1i32), b"\x20");
            assert_eq!(said(revision, output, 1.5f64), b"\xf9\x3e\x00");
            assert_eq!(said(revision, output, "text"), b"\x64text");
            assert_eq!(said(revision, output, b"bytes"), b"\x45bytes");
            assert_eq!(said(revision, output, None::<u8>), b"\xf6");
            assert_eq!(
                said(revision, output, Minicbor((1u8, "x"))),
                b"\x82\x01\x61x"
            );
        }
    }
}

#[test]
fn one_value_is_one_frame_before_0006() {
    for (revision, frames) in [
        (Revision::R0003, 1),
        (Revision::R0005, 1),
        (Revision::R0006, 4),
    ] {
        let (heard, _) = ask(revision, b"\xa0", 64, |command, replies| {
            replies.send(command.reply.ok(true))
        });
        assert_eq!(heard.frames, frames, "{revision}");
    }
}

#[test]
fn a_value_that_does_not_fit_a_frame_is_the_callers_error_and_changes_nothing() {
    for revision in REVISIONS {
        let (heard, sent) = ask(revision, b"\xa0", 64, |command, replies| {
            let text = "x".repeat(60);
            let too_large = replies.send(command.reply.item(text.as_str()));
            assert_eq!(too_large, Err(Error::Misuse(ApiMisuse::TooLarge)));
            replies.send(command.reply.ok("short"))
        });
        assert_eq!(sent, Ok(()));
        assert_eq!(
            (heard.body.as_slice(), heard.is_over),
            (&b"\x65short"[..], true)
        );
    }
}

#[test]
fn responses_in_pieces_of_values_and_of_bytes() {
    for revision in REVISIONS {
        for output in [32, 64, 200] {
            let (heard, sent) = ask(revision, b"\xa0", output, |command, replies| {
                let reply = command.reply;
                replies.send(reply.piece(&[]))?;
                for number in 0..30u8 {
                    replies.send(reply.item(number))?;
                    if number == 7 {
                        replies.flush()?;
                    }
                    replies.send(reply.piece(&[0x41, number]))?;
                }
                replies.send(reply.body(&[0x18; 100]))
            });
            assert_eq!(sent, Ok(()));
            let mut expected = Vec::new();
            for number in 0..30u8 {
                EXPECTED(number, &mut expected);
            }
            expected.extend([0x18; 100]);
            assert_eq!(heard.body, expected);
            assert!(heard.is_over);
        }
    }
}

const EXPECTED: fn(u8, &mut Vec<u8>) = |number, to| {
    if number > 23 {
        to.push(0x18);
    }
    to.extend([number, 0x41, number]);
};

#[test]
fn small_pieces_are_joined_in_0006_until_they_are_flushed() {
    let frames = |flushes: bool| {
        let (heard, _) = ask(Revision::R0006, b"\xa0", 64, |command, replies| {
            let reply = command.reply;
            for number in 0..20u8 {
                replies.send(reply.item(number))?;
                if flushes {
                    replies.flush()?;
                }
            }
            replies.send(reply.end())
        });
        assert_eq!(heard.body, (0..20).collect::<Vec<u8>>());
        heard.frames
    };
    // Settings, status, the pieces, the end.
    assert_eq!((frames(false), frames(true)), (4, 23));
}

hgrpc::args! {
    struct Led {
        on: bool,
        level: u8 = 100,
    }
}

#[test]
fn arguments_that_are_wrong_are_told() {
    let run = |revision, args: &[u8], output| {
        let (heard, sent) = ask(revision, args, output, |command, replies| {
            replies.send(command.run(|Led { on, level }| (u16::from(on)) * 1000 + u16::from(level)))
        });
        assert_eq!(sent, Ok(()));
        assert!(heard.is_over);
        heard.failure.ok_or(heard.body)
    };
    for revision in REVISIONS {
        assert_eq!(
            run(revision, b"\xa1Bon\xf5", 200),
            Err(b"\x19\x04\x4c".to_vec())
        );
        for (args, expected) in [
            (&b"\xa0"[..], "argument `on` is missing"),
            (b"\xa1Bon\x01", "argument `on` is of the wrong type"),
            (
                b"\xa2Bon\xf5Elevel\x19\x01\0",
                "argument `level` is out of range",
            ),
            (b"\xa2Bon\xf5Elevel\x20", "argument `level` is out of range"),
        ] {
            let failure = run(revision, args, 200).unwrap();
            match revision {
                // Its messages are raw text.
                Revision::R0003 => assert_eq!(failure, "wrong arguments"),
                _ => assert_eq!(failure, expected),
            }
        }
        // The smallest output that is documented.
        run(revision, b"\xa0", 64).unwrap();
    }
    let (heard, _) = ask(Revision::R0006, b"\xa0", 200, |command, replies| {
        let error = ArgsError {
            key: "level",
            why: ArgError::WrongType,
        };
        replies.send(command.reply.wrong(error))
    });
    let failure = heard.failure.unwrap();
    assert_eq!(failure, "argument `level` is of the wrong type");
}

#[test]
fn commands_that_there_are_not_are_told() {
    for revision in REVISIONS {
        for output in [64, 200] {
            let (heard, sent) = ask(revision, b"\xa0", output, |command, replies| {
                assert!(command.is("led") && !command.is("le") && !command.is("ledx"));
                replies.send(command.unknown())
            });
            assert_eq!(sent, Ok(()));
            let failure = heard.failure.unwrap();
            if revision == Revision::R0003 || output == 64 && revision == Revision::R0005 {
                assert_eq!(failure, "unknown command");
            } else if output == 200 {
                assert_eq!(failure, "unknown command: led");
            }
        }
    }
    // A long name is cut.
    let name = [b'n'; 100];
    let (heard, _) = ask(Revision::R0006, b"\xa0", 200, |command, replies| {
        replies.send(command.reply.unknown(&name))
    });
    assert_eq!(heard.failure.unwrap().len(), "unknown command: ".len() + 48);
}

#[test]
fn a_failure_behind_pieces_breaks_the_response_off() {
    for revision in REVISIONS {
        let (heard, sent) = ask(revision, b"\xa0", 64, |command, replies| {
            replies.send(command.reply.item(42u8))?;
            replies.send(command.reply.fail(Failure::command(b"late")))
        });
        assert_eq!(sent, Ok(()));
        assert_eq!(
            (heard.body.as_slice(), heard.is_over),
            (&b"\x18\x2a"[..], true)
        );
        assert_eq!(heard.failure.as_deref(), Some("late"));
    }
}

/// A request that does not fit 16 bytes of memory, and one behind it.
fn refused(leaves: bool, revision: Revision) -> (Vec<u8>, Option<hgrpc::server::Refusal>) {
    let long = b"\x20\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Aax\x0e..............DnameAc";
    let input = [&long[..], b"\x08\0\0\x03\0\x01\0\x11\xa1DnameAc"].concat();
    let mut server = memory::server(revision, buffers(0, 16, 64));
    if leaves {
        server.sender().leave_refusals();
    }
    let mut out = Vec::new();
    let mut left = None;
    for byte in &input {
        let mut rest = std::slice::from_ref(byte);
        while let Some((event, replies)) = server.take(&mut rest).unwrap() {
            match event {
                Event::Refused(refusal) => {
                    assert_eq!(refusal.reason(), RefusalReason::RequestTooLarge);
                    left = Some(refusal);
                }
                Event::Command(command) => replies
                    .make_all(&mut command.reply.ok(1u8), |bytes| {
                        out.extend_from_slice(bytes)
                    })
                    .unwrap(),
                other => panic!("{other:?}"),
            }
            replies.write_all(|bytes| out.extend_from_slice(bytes));
        }
    }
    (out, left)
}

#[test]
fn refusals_are_answered_unless_the_owner_asks_to() {
    for revision in REVISIONS {
        let (mut answered, refusal) = refused(false, revision);
        assert!(refusal.is_some());
        let needle = b"request-too-large, limit 16";
        let has = |bytes: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
        assert!(has(&answered), "{}", answered.escape_ascii());
        let (left, refusal) = refused(true, revision);
        assert!(!has(&left));
        // What the owner makes of it is the same.
        let mut server = memory::server(revision, buffers(0, 16, 64));
        let mut refusal = refusal.unwrap();
        let mut made = Vec::new();
        let sender = server.sender();
        sender
            .make_all(&mut refusal, |bytes| made.extend_from_slice(bytes))
            .unwrap();
        sender.write_all(|bytes| made.extend_from_slice(bytes));
        answered.truncate(made.len());
        assert_eq!(answered, made);
    }
}

#[test]
fn half_duplex_answers_wait_for_the_end_of_input() {
    let body = [7; 100];
    for revision in REVISIONS {
        let request = |id| [b"\x08\0\0", &[id, 0, 1, 1, 0x11][..], b"\xa1DnameAc"].concat();
        let input = [request(1), request(3), request(5), request(7)].concat();
        let connection = memory::server(revision, buffers(64, 64, 64));
        let mut server = Driver::new(connection, input.as_slice(), Sink(Vec::new()));
        let mut held = HeldBack::<3>::new();
        let mut full = None;
        while let Some((event, replies)) = server.step().unwrap() {
            if let Event::Command(command) = event {
                let reply: Reply = command.reply;
                let result = if reply.request_id().value() == 3 {
                    held.fail(reply, Failure::command(b"no"))
                } else {
                    held.body(reply, &body)
                };
                full = result.err();
            }
            // They stay active.
            assert!(replies.end().active().count() >= usize::from(!held.is_empty()));
        }
        assert_eq!(full.unwrap().request_id().value(), 7);
        assert!(server.halves().1.0.is_empty());
        assert_eq!(server.connection().end().active().count(), 4);
        // One of them is not active any more: the others go out.
        let gone = server
            .sender()
            .end_mut()
            .take_over(hgrpc::wire::RequestId::new(5));
        assert!(gone.is_some());
        let sent = server.sender().send(&mut held);
        assert_eq!(sent, Err(Error::Misuse(ApiMisuse::RequestNotActive)));
        assert_eq!(server.sender().send(&mut held), Ok(()));
        assert!(held.is_empty());
        server.sender().flush().unwrap();
        assert_eq!(server.connection().end().active().count(), 2);
        let expected = if revision == Revision::R0003 { 2 } else { 3 };
        assert!(server.halves().1.0.len() > 100 * (expected - 1) / 2);
    }
}

#[test]
fn nothing_is_taken_while_something_is_pending() {
    let mut server = memory::server(Revision::R0005, buffers(0, 64, 64));
    let mut input = crate::blocking::HELLO;
    let Some((Event::Command(command), replies)) = server.take(&mut input).unwrap() else {
        panic!();
    };
    assert!(replies.make(&mut command.reply.ok(1u8)).unwrap());
    let early = server.take(&mut input).map(|_| ());
    assert_eq!(early, Err(Error::Misuse(ApiMisuse::OutOfOrder)));
    assert_eq!(server.sender().pending(true).len(), 20);
}

hgrpc::results! {
    /// What an answer says, in the order of the revision.
    struct Temperature<'a> {
        celsius: i16,
        at: u32,
        sensor: &'a str,
    }
}

#[test]
fn results_are_answers() {
    for revision in REVISIONS {
        let (heard, sent) = ask(revision, b"\xa0", 64, |command, replies| {
            replies.send(command.reply.ok(Temperature {
                celsius: -3,
                at: 7,
                sensor: "soil",
            }))
        });
        assert_eq!(sent, Ok(()));
        let body: &[u8] = match revision {
            Revision::R0006 => b"\xa3\x42at\x07\x47celsius\x22\x46sensor\x64soil",
            _ => b"\xa3\x42at\x07\x46sensor\x64soil\x47celsius\x22",
        };
        assert_eq!(heard.body, body);
    }
}
