//! minicbor's derive alone: a message to a struct, and an answer to bytes. No frames, no requests
//! that are remembered, and keys that are small numbers.

use std::hint::black_box;

use minicbor::bytes::ByteSlice;
use minicbor::encode::write::Cursor;
use minicbor::{Decode, Encode};

#[derive(Encode, Decode)]
#[cbor(map)]
struct Request<'a> {
    #[b(0)]
    args: Args<'a>,
    #[b(1)]
    name: &'a ByteSlice,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Args<'a> {
    #[b(0)]
    value: &'a ByteSlice,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Answer<'a> {
    #[b(0)]
    status: &'a ByteSlice,
    #[b(1)]
    body: &'a ByteSlice,
}

fn bytes(bytes: &[u8]) -> &ByteSlice {
    bytes.into()
}

pub(crate) fn request(count: u32) {
    let sent = Request {
        args: Args {
            value: bytes(b"8 bytes."),
        },
        name: bytes(b"echo"),
    };
    let (mut input, mut output) = ([0; 128], [0; 128]);
    let mut cursor = Cursor::new(&mut input[..]);
    minicbor::encode(&sent, &mut cursor).unwrap();
    let len = cursor.position();
    let sent = &input[..len];
    for _ in 0..count {
        let request: Request<'_> = minicbor::decode(black_box(sent)).unwrap();
        assert!(**request.name == *b"echo");
        black_box(request.args.value);
        let answer = Answer {
            status: bytes(b"ok"),
            body: bytes(black_box(b"twenty bytes of body")),
        };
        let mut cursor = Cursor::new(&mut output[..]);
        minicbor::encode(&answer, &mut cursor).unwrap();
        let len = cursor.position();
        assert!(black_box(&output[..len]).len() > 20);
    }
}
