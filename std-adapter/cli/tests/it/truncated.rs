//! Responses of 0006 that end inside a value (revision-0006.md, 8): `truncated-response` for every
//! client, however the response comes and however it is read.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use hgrpc::ProtocolError;
use hgrpc::cbor::{ContentEncoding, STATUS_OK};
use hgrpc_std::encoding::encoder;
use hgrpc_std::{blocking, tokio as asynch};
use tokio::io::AsyncReadExt as _;

/// What a response holds behind its status, and how many values of it are whole.
const HALVES: [(&[u8], usize); 14] = [
    (b"\x45hel", 0),
    (b"\x65hel", 0),
    (b"\x5f\x43abc", 0),
    (b"\x5f", 0),
    (b"\x7f\x63abc", 0),
    (b"\x58", 0),
    (b"\x19\x01", 0),
    (b"\x82\x01", 0),
    (b"\x9f\x01\x02", 0),
    (b"\xa1\x41k", 0),
    (b"\xd9\x01\x02", 0),
    (b"\x01\x82", 1),
    (b"\x43abc\x42d", 1),
    (b"\x82\x01\x02\xf6\x1a\x00", 2),
];

const WHOLE: [&[u8]; 4] = [b"", b"\x43abc", b"\x5f\x41a\x41b\xff", b"\x82\x01\x02"];

const BEGIN: u8 = 1;
const ENCODED: u8 = 4;
const CONTINUATION: u8 = 1;
const EOS: u8 = 2;

/// A frame of request 1 on stream 2.
fn frame(stream_flags: u8, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [
        &[a, b, c, 1, 0, 2, stream_flags, kind << 4 | flags][..],
        payload,
    ]
    .concat()
}

/// How a response is put into frames.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One frame, which is the last.
    One,
    /// A byte a frame, then an empty last one.
    Bytes,
    /// Compressed, then an empty last frame that is not.
    Zlib,
}

const SHAPES: [Shape; 3] = [Shape::One, Shape::Bytes, Shape::Zlib];

fn response(shape: Shape, values: &[u8]) -> Vec<u8> {
    let all = [STATUS_OK, values].concat();
    match shape {
        Shape::One => frame(BEGIN, 3, EOS, &all),
        Shape::Bytes => {
            let pieces = all.iter().map(|&b| frame(BEGIN, 3, CONTINUATION, &[b]));
            let end = frame(0, 3, EOS, b"");
            pieces.chain([end]).flatten().collect()
        }
        Shape::Zlib => {
            let encoding = ContentEncoding::Zlib;
            let mut encoder = encoder(encoding).unwrap();
            let mut encoded = Vec::new();
            encoder.encode(&all, &mut encoded).unwrap();
            encoder.flush(&mut encoded).unwrap();
            [
                frame(BEGIN, 9, EOS, encoding.stream_settings()),
                frame(ENCODED, 3, CONTINUATION, &encoded),
                frame(0, 3, EOS, b""),
            ]
            .concat()
        }
    }
}

/// A server that answers the first request of each connection so, and waits for its client to go.
fn answering(shape: Shape, values: &[u8]) -> String {
    let answer = response(shape, values);
    crate::server::peer(move |mut stream| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(&answer);
        while let Ok(1..) = stream.read(&mut buffer) {}
    })
}

fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap()
}

fn all_halves() -> impl Iterator<Item = (String, String, usize)> {
    SHAPES.into_iter().flat_map(|shape| {
        HALVES.into_iter().map(move |(values, whole)| {
            let about = format!("{values:02x?}, {shape:?}");
            (answering(shape, values), about, whole)
        })
    })
}

#[test]
fn the_blocking_client_tells_half_a_value_from_a_whole_one() {
    #[track_caller]
    fn is_truncated<T: std::fmt::Debug>(result: Result<T, blocking::CallError>, about: &str) {
        use blocking::{AnswerError::Protocol, CallError::Answer};
        assert!(
            matches!(
                result,
                Err(Answer(Protocol(ProtocolError::TruncatedResponse)))
            ),
            "{about}: {result:?}"
        );
    }
    for (address, about, whole) in all_halves() {
        let send = || {
            let transport = blocking::Transport::tcp(connect(&address)).unwrap();
            let client = blocking::Client::new(transport, &blocking::Config::default()).unwrap();
            let response = client.call("x").send().unwrap();
            (client, response)
        };
        let (_client, mut response) = send();
        for _ in 0..whole {
            assert!(response.next_value().unwrap().is_some(), "{about}");
        }
        is_truncated(response.next_value(), &about);
        let (_client, mut response) = send();
        let error = response.raw_body().read_to_end(&mut Vec::new());
        let error = error.map_err(|error| blocking::CallError::from_io(error).unwrap());
        is_truncated(error, &about);
        if whole == 0 {
            let (_client, response) = send();
            is_truncated(response.read_bytes(1000), &about);
        }
    }
    for shape in SHAPES {
        for values in WHOLE {
            let transport = blocking::Transport::tcp(connect(&answering(shape, values))).unwrap();
            let client = blocking::Client::new(transport, &blocking::Config::default()).unwrap();
            let mut response = client.call("x").send().unwrap();
            let mut all = Vec::new();
            response.raw_body().read_to_end(&mut all).unwrap();
            assert_eq!(all, values);
        }
    }
}

#[tokio::test]
async fn the_tokio_client_tells_half_a_value_from_a_whole_one() {
    #[track_caller]
    fn is_truncated<T: std::fmt::Debug>(result: Result<T, asynch::CallError>, about: &str) {
        use asynch::{AnswerError::Protocol, CallError::Answer};
        assert!(
            matches!(
                result,
                Err(Answer(Protocol(ProtocolError::TruncatedResponse)))
            ),
            "{about}: {result:?}"
        );
    }
    async fn send(address: &str) -> asynch::Response {
        let stream = connect(address);
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let client = asynch::Client::spawn(stream, &asynch::Config::default());
        client.call("x").send().await.unwrap()
    }
    for (address, about, whole) in all_halves() {
        let mut response = send(&address).await;
        for _ in 0..whole {
            assert!(response.next_value().await.unwrap().is_some(), "{about}");
        }
        is_truncated(response.next_value().await, &about);
        let mut response = send(&address).await;
        let error = response.raw_body().read_to_end(&mut Vec::new()).await;
        let error = error.map_err(|error| asynch::CallError::from_io(error).unwrap());
        is_truncated(error, &about);
        if whole == 0 {
            let response = send(&address).await;
            is_truncated(response.read_bytes(1000).await, &about);
        }
    }
    for shape in SHAPES {
        for values in WHOLE {
            let mut response = send(&answering(shape, values)).await;
            let mut all = Vec::new();
            response.raw_body().read_to_end(&mut all).await.unwrap();
            assert_eq!(all, values);
        }
    }
}

/// Every form of the tool's output; the last ones go to a file.
const FORMS: [&[&str]; 6] = [
    &[],
    &["--json"],
    &["--raw"],
    &["-o", "FILE"],
    &["--raw", "-o", "FILE"],
    &["--json", "-o", "FILE"],
];

#[test]
fn the_tool_fails_with_half_a_value_and_keeps_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let name = path.to_str().unwrap();
    let run = |address: &str, form: &[&str]| {
        let form = form.iter().map(|word| match *word {
            "FILE" => name,
            word => word,
        });
        let mut args = vec![address, "x"];
        args.extend(form);
        crate::server::call(&args)
    };
    for (address, about, _) in all_halves() {
        for form in FORMS {
            fs::write(&path, "before").unwrap();
            let run = run(&address, form);
            let about = format!("{about}, {form:?}: {run:?}");
            assert_eq!(run.code, Some(3), "{about}");
            assert_eq!(run.err.lines().count(), 1, "{about}");
            assert!(run.err.contains("truncated-response"), "{about}");
            assert_eq!(fs::read(&path).unwrap(), b"before", "{about}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{about}");
        }
    }
    for shape in SHAPES {
        for values in WHOLE {
            let address = answering(shape, values);
            for form in FORMS {
                let run = run(&address, form);
                assert_eq!((run.code, &*run.err), (Some(0), ""), "{form:?}");
            }
        }
    }
}

/// What comes in 0006 are values, whatever else the bytes could be.
#[test]
fn the_tool_does_not_take_values_for_text() {
    // As text: `42` and a line feed, `Ehello`.
    let address = answering(Shape::One, b"42\nEhello");
    assert_eq!(
        crate::server::call(&[&address, "x"]).done(),
        "-21\n-19\n10\nb'hello'\n"
    );
    assert_eq!(
        crate::server::call(&[&address, "x", "--json"]).done(),
        "-21\n-19\n10\n\"hello\"\n"
    );
    // More values than the tool holds back where it has to guess.
    let address = answering(Shape::Bytes, &[b'0'; 5000]);
    assert_eq!(
        crate::server::call(&[&address, "x"]).done(),
        "-17\n".repeat(5000)
    );
    // It is not text either, but an error.
    let address = answering(Shape::One, b"plain \xff text");
    for form in &FORMS[..3] {
        let run = crate::server::call(&[&[&*address, "x"], *form].concat());
        assert_eq!(run.code, Some(3), "{form:?} {run:?}");
    }
}
