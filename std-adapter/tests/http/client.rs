//! What a client makes of bad answers: every kind is told apart.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use hgrpc::ProtocolError;
use hgrpc_std::encoding::DecodeError;
use hgrpc_std::http::{Client, Command, Config, Credentials, Error};
use hgrpc_std::value::DecodeErrorKind;

use crate::canned::{Canned, answer};
use crate::support::{F, frame};

const OK: &[u8] = b"\xa1\x46status\x42ok";

fn settings(name: &str) -> Vec<u8> {
    let mut payload = vec![0x40 + u8::try_from(name.len()).unwrap()];
    payload.extend_from_slice(name.as_bytes());
    frame(1, 2, 1, 9, 2, &payload)
}

/// An answer of status and bytes, not encoded.
fn plain(values: &[u8]) -> Vec<u8> {
    let body = [OK, values].concat();
    [frame(1, 2, 1, 3, 1, &body), frame(1, 2, 0, 3, 2, b"")].concat()
}

/// The error that reading all of an answer's bytes gives, without holding them.
fn read(frames: &[u8]) -> Error {
    let mut response = Canned::frames(frames).call().unwrap();
    loop {
        match response.raw() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no error"),
            Err(error) => return error,
        }
    }
}

/// The same, read as values.
fn values(frames: &[u8]) -> Error {
    Canned::frames(frames).call().unwrap().values().unwrap_err()
}

fn zlib(bytes: &[u8], finish: bool) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    if finish {
        return encoder.finish().unwrap();
    }
    encoder.flush().unwrap();
    std::mem::take(encoder.get_mut())
}

/// A few bytes that would become gigabytes.
#[test]
fn a_decompression_bomb() {
    // One frame of zstd: a run of 128 KiB in each block of 4 bytes.
    let mut bomb = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    for _ in 0..16_000 {
        // Not the last, a run (1), 128 KiB.
        bomb.extend([0x02, 0x00, 0x10, 0x00]);
    }
    let body = [settings("zstd-8mb"), frame(1, 2, 4, 3, 1, &bomb)].concat();
    assert!(
        matches!(values(&body), Error::Protocol(ProtocolError::BadStatus)),
        "no status in it"
    );
    let mut opened = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    let status = [OK, b"\x5b\x00\x00\x00\xff\xff\xff\xff\xff"].concat();
    let raw = u32::try_from(status.len()).unwrap() << 3;
    opened.extend(&raw.to_le_bytes()[..3]);
    opened.extend(&status);
    opened.extend(&bomb[6..]);
    let body = [settings("zstd-8mb"), frame(1, 2, 4, 3, 1, &opened)].concat();
    assert!(matches!(values(&body), Error::ValueTooLarge));
    let error = read(&body);
    assert!(
        matches!(error, Error::Decode(DecodeError::RatioTooLarge)),
        "{error:?}"
    );
}

#[test]
fn a_window_over_8_mib() {
    // A window of 16 MiB.
    let body = [
        settings("zstd-8mb"),
        frame(1, 2, 4, 3, 1, b"\x28\xb5\x2f\xfd\x00\x70\x01\x00\x00"),
    ];
    assert!(matches!(
        read(&body.concat()),
        Error::Decode(DecodeError::WindowTooLarge)
    ));
}

#[test]
fn a_stream_used_after_its_compressed_end() {
    let end = zlib(&[OK, b"\x01"].concat(), true);
    let body = [
        settings("zlib"),
        frame(1, 2, 4, 3, 1, &end),
        frame(1, 2, 4, 3, 1, b"\x00"),
    ];
    assert!(matches!(
        read(&body.concat()),
        Error::Decode(DecodeError::Ended)
    ));
}

#[test]
fn what_is_not_of_the_encoding() {
    let body = [settings("zlib"), frame(1, 2, 4, 3, 1, b"\xff\xff\xff")];
    assert!(matches!(
        read(&body.concat()),
        Error::Decode(DecodeError::Malformed)
    ));
}

/// K-16: an integer as a chunk of a byte string.
#[test]
fn a_chunk_that_is_an_integer() {
    let error = values(&plain(b"\x5f\x1a\xff\xff\xff\xff\xff"));
    let is_bad_chunk = |error: &Error| {
        matches!(
            error,
            Error::Malformed {
                kind: DecodeErrorKind::BadChunk,
                ..
            }
        )
    };
    assert!(is_bad_chunk(&error), "{error:?}");
    let canned = Canned::frames(&plain(b"\x5f\x1a\xff\xff\xff\xff\xff"));
    let mut response = canned.call().unwrap();
    let error = response.bytes().unwrap().read_all(10).unwrap_err();
    assert!(is_bad_chunk(&error), "{error:?}");
    // It stays so.
    assert!(is_bad_chunk(&response.next_value().unwrap_err()));
}

#[test]
fn bodies_that_end_too_early() {
    let whole = plain(b"\x01");
    let cut = whole.len() - 10;
    assert!(matches!(
        read(&whole[..cut]),
        Error::Truncated {
            missing: Some(2),
            ..
        }
    ));
    let without_end = &whole[..whole.len() - 8];
    assert!(matches!(read(without_end), Error::NoEnd));
    assert!(matches!(read(&[]), Error::NoEnd));
    assert!(
        matches!(read(&whole[..3]), Error::Truncated { missing: None, tail } if tail == whole[..3])
    );
    // The same where the length promised more.
    let mut promised = answer("200 OK", F, &whole);
    promised.truncate(promised.len() - 10);
    let error = Canned::posts(promised)
        .call()
        .unwrap()
        .values()
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Truncated {
                missing: Some(2),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(matches!(
        values(&plain(b"\x43ab")),
        Error::TruncatedResponse
    ));
    assert!(matches!(
        values(&plain(b"\x82\x01")),
        Error::TruncatedResponse
    ));
}

/// A response that ends inside a value is told from a whole one, also by who reads only its bytes
/// (revision-0006.md, 8).
#[test]
fn half_a_value_is_no_response() {
    let compressed = |values: &[u8]| {
        [
            settings("zlib"),
            frame(1, 2, 4, 3, 1, &zlib(&[OK, values].concat(), false)),
            frame(1, 2, 0, 3, 2, b""),
        ]
        .concat()
    };
    for half in [
        &b"\x45hel"[..],
        b"\x65hel",
        b"\x5f\x43abc",
        b"\x82\x01",
        b"\x01\xa1\x41k",
        b"\x9f",
        b"\x19\x01",
    ] {
        for frames in [plain(half), compressed(half)] {
            let error = read(&frames);
            assert!(matches!(error, Error::TruncatedResponse), "{error:?}");
            let error = values(&frames);
            assert!(matches!(error, Error::TruncatedResponse), "{error:?}");
        }
    }
    for whole in [&b"\x43abc"[..], b"\x5f\x41a\xff\x01", b""] {
        for frames in [plain(whole), compressed(whole)] {
            let mut response = Canned::frames(&frames).call().unwrap();
            let mut all = Vec::new();
            while let Some(bytes) = response.raw().unwrap() {
                all.extend_from_slice(bytes);
            }
            assert_eq!(all, whole);
        }
    }
}

/// K-13: what a server says of its failure follows the last frame.
#[test]
fn a_text_after_the_frames() {
    let status = frame(1, 2, 1, 3, 1, OK);
    let text = b"Internal Server Error";
    let error = read(&[&status[..], text].concat());
    assert!(matches!(error, Error::Truncated { missing: None, tail } if tail == text));
    // A frame that is too large is another thing.
    let large = [&b"\xff\xff\xff\x01\x00\x02\x00\x31"[..], &[0; 5000]].concat();
    let error = read(&[&status[..], &large].concat());
    assert!(
        matches!(error, Error::Protocol(ProtocolError::FrameTooLarge)),
        "{error:?}"
    );
}

/// How the reference reports a failure after output has begun, where that can be told from data.
#[test]
fn an_error_status_behind_compressed_output() {
    let map = b"\xa2\x45error\xa1\x47message\x44oops\x46status\x45error";
    let body = [
        settings("zlib"),
        frame(1, 2, 4, 3, 1, &zlib(&[OK, b"\x01"].concat(), false)),
        frame(1, 2, 0, 3, 2, map),
    ];
    let mut response = Canned::frames(&body.concat()).call().unwrap();
    assert!(response.next_value().unwrap().is_some());
    let error = response.next_value().unwrap_err();
    assert!(matches!(error, Error::Command(failure) if failure.message == "oops"));
}

#[test]
fn errors_in_frames() {
    let error = read(&frame(
        1,
        2,
        1,
        5,
        0,
        b"\xa2\x44type\x46server\x47message\x81\xa1\x43msg\x43bad",
    ));
    assert!(matches!(error, Error::Server(failure) if failure.message == "bad"));
    assert!(matches!(
        read(&frame(1, 3, 1, 3, 2, OK)),
        Error::Protocol(ProtocolError::StreamParity)
    ));
    assert!(matches!(
        read(&frame(3, 2, 1, 3, 2, OK)),
        Error::Protocol(ProtocolError::RequestNotActive)
    ));
    assert!(matches!(
        read(&frame(1, 2, 1, 3, 2, b"\xa1\x46status\x44good")),
        Error::Protocol(ProtocolError::BadStatus)
    ));
    assert!(matches!(
        values(&plain(b"\x1c")),
        Error::Malformed { offset: 0, .. }
    ));
    assert!(matches!(
        values(&plain(b"\x01\x1c")),
        Error::Malformed { offset: 1, .. }
    ));
}

#[test]
fn statuses_and_media_types() {
    for code in [400, 401, 403, 404, 405, 406, 411, 413, 415, 500, 503] {
        let canned = Canned::posts(answer(&format!("{code} x"), "text/plain", b"because"));
        let error = canned.call().unwrap_err();
        assert!(
            matches!(&error, Error::Status(s) if s.code == code && s.text == "because"),
            "{error:?}"
        );
    }
    let error = Canned::posts(answer("302 x", "", b"")).call().unwrap_err();
    assert!(matches!(error, Error::Status(status) if status.code == 302));
    let error = Canned::posts(answer("200 OK", "text/plain", b"no\n"))
        .call()
        .unwrap_err();
    assert!(matches!(error, Error::Text(text) if text == "no\n"));
    let error = Canned::posts(answer("200 OK", "text/html", b"<p>"))
        .call()
        .unwrap_err();
    assert!(matches!(error, Error::MediaType { media_type, .. } if media_type == "text/html"));
    let good = Canned::posts(answer("200 OK", &format!("{F}; x=y"), &plain(b"\x01")));
    assert!(good.call().unwrap().one_value().is_ok());
}

#[test]
fn handshakes() {
    let connect =
        |get: Vec<u8>| Client::connect(&Canned::new(get, vec![]).url(), Config::default());
    let cbor = |body: &[u8]| connect(answer("200 OK", "application/mercurial-cbor", body));
    let error = connect(answer(
        "200 x",
        "application/mercurial-0.1",
        b"lookup known",
    ))
    .unwrap_err();
    assert!(
        matches!(error, Error::OnlyVersion1 { capabilities } if capabilities == "lookup known")
    );
    let error = cbor(b"\xa2\x47apibase\x44api/\x44apis\xa1\x41x\xa0").unwrap_err();
    assert!(matches!(error, Error::NoApi(names) if names == ["x"]));
    assert!(matches!(cbor(b"\xa1").unwrap_err(), Error::Handshake(_)));
    assert!(matches!(cbor(b"\x01").unwrap_err(), Error::Unexpected(_)));
    let body = b"\xa2\x47apibase\x44api/\x44apis\xa1\x50exp-http-v2-0003\xa0";
    assert!(matches!(cbor(body).unwrap_err(), Error::Capabilities(_)));
    let page = b"<html><title>hello</title><p>you";
    let error = connect(answer("200 OK", "text/html", page)).unwrap_err();
    assert!(matches!(error, Error::MediaType { text, .. } if text == "hello"));
    let error = connect(answer("404 x", "text/plain", b"no")).unwrap_err();
    assert!(matches!(error, Error::Status(status) if status.code == 404));
    let error = connect(b"SSH-2.0-x\r\n".to_vec()).unwrap_err();
    assert!(matches!(error, Error::Transport(_)), "{error:?}");
    let error = Client::connect("http://127.0.0.1:9/", Config::default()).unwrap_err();
    assert!(matches!(error, Error::Transport(_)), "{error:?}");
    assert!(matches!(
        Client::connect("ftp://x/", Config::default()),
        Err(Error::Url(_))
    ));
}

/// http-v2.md, 1: redirects are followed, and what they lose is asked again.
#[test]
fn redirected_handshakes() {
    let there = Canned::frames(&plain(b"\x01"));
    for query in ["?cmd=capabilities", ""] {
        let location = format!("{}{query}", there.url());
        let moved = format!(
            "HTTP/1.1 301 x\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let here = Canned::new(moved.into_bytes(), vec![]);
        let client = here.client();
        assert_eq!(format!("{}/", client.url()), there.url());
        let response = client.call(&Command::new("heads")).unwrap();
        assert!(response.one_value().is_ok());
    }
}

/// Who asks is told to the server that was named and to no other: one on another port of the same
/// host is another.
#[test]
fn credentials_stay_with_their_server() {
    let moved = |location: &str| {
        let head = format!("HTTP/1.1 301 x\r\nLocation: {location}\r\n");
        (head + "Content-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
    };
    let mut config = Config::default();
    config.credentials = Some(Credentials {
        user: "user".into(),
        password: "secret".into(),
    });
    let there = Canned::frames(&plain(b"\x01"));
    let here = Canned::new(moved(&format!("{}?cmd=capabilities", there.url())), vec![]);
    let client = Client::connect(&here.url(), config).unwrap();
    let response = client.call(&Command::new("heads")).unwrap();
    assert!(response.one_value().is_ok());
    assert!(
        here.seen()
            .iter()
            .all(|head| head.contains("\r\nauthorization: basic "))
    );
    assert!(
        there
            .seen()
            .iter()
            .all(|head| !head.contains("\r\nauthorization:"))
    );
}

/// An answer to the handshake that is announced to be larger than it may be is not waited for.
#[test]
fn a_handshake_of_an_exabyte_is_refused_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\
                    Content-Type: application/mercurial-cbor\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        // Nothing of it comes, until the client has gone.
        let _ = stream.read(&mut [0; 1]);
    });
    let mut config = Config::default();
    config.timeouts.read = Some(Duration::from_secs(10));
    let error = Client::connect(&format!("http://{address}/"), config).unwrap_err();
    assert!(matches!(error, Error::ValueTooLarge), "{error:?}");
    server.join().unwrap();
}
