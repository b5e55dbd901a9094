//! The example of a DMA buffer (`tests/firmware/examples`), with the DMA simulated: frames are
//! handled right out of a ring, however the bytes fall into it.

#![allow(unreachable_pub, reason = "they are of a library there")]

#[path = "../firmware/examples/src/device.rs"]
mod device;
#[path = "../firmware/examples/src/ring.rs"]
mod ring;

use device::{Device, Memory};
use hgrpc::R0005;
use hgrpc::cbor::{EncodedArgs, Head};
use hgrpc::client::{Client, ClientConfig, Request};
use hgrpc::connection::{Buffers, ClientConnection, Drive};
use hgrpc::store::FixedRequests;
use proptest::prelude::*;
use ring::Ring;

const LEN: usize = 128;

/// A DMA controller that writes in a circle, and a processor that it must not overtake.
struct Dma {
    buffer: [u8; LEN],
    end: usize,
    ring: Ring<LEN>,
}

impl Dma {
    /// Some bytes come.
    fn receive(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.buffer[self.end] = *byte;
            self.end = (self.end + 1) % LEN;
        }
    }

    /// The main loop is woken: it handles all that has come.
    fn handle(&mut self, device: &mut Device<'_>, output: &mut Vec<u8>) {
        while let Some(piece) = self.ring.next(self.end) {
            assert!(!piece.is_empty() && piece.end <= LEN);
            let send = |bytes: &[u8]| output.extend_from_slice(bytes);
            device.take(&self.buffer[piece], send).unwrap();
        }
        assert!(self.ring.is_read(self.end));
    }
}

/// The bytes of calls.
fn calls(uploads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let buffers = Buffers {
        input: &mut [],
        memory: &mut [0; 256],
        output: &mut [0; 64],
    };
    let requests = FixedRequests::<4>::new();
    let mut client = Client::new(R0005, ClientConfig::FULL_DUPLEX, requests);
    let mut connection = ClientConnection::new(&mut client, buffers);
    let calls = connection.sender();
    let mut write = |some: &[u8]| bytes.extend_from_slice(some);
    for upload in uploads {
        let request = Request::new(b"sum", EncodedArgs::EMPTY);
        let mut call = calls.request(request, true).unwrap();
        calls.make_all(&mut call, &mut write).unwrap();
        calls
            .make_all(&mut call.data(upload, true), &mut write)
            .unwrap();
        let args =
            EncodedArgs::from_cbor(b"\xa1Cmsg\x58\x28abcdefghijklmnopqrstuvwxyz0123456789ABCD");
        let request = Request::new(b"echo", args.unwrap());
        let mut call = calls.request(request, false).unwrap();
        calls.make_all(&mut call, &mut write).unwrap();
    }
    calls.write_all(&mut write);
    bytes
}

proptest! {
    #[test]
    fn frames_are_handled_where_the_dma_puts_them(
        uploads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 1..3),
        pieces in prop::collection::vec(1..LEN, 1..40),
        first in 0..LEN,
        broken_off in 0usize..400,
    ) {
        let input = calls(&uploads);
        let mut memory = Memory::new();
        let (mut device, mut output) = (Device::new(&mut memory), Vec::new());
        let mut dma = Dma { buffer: [0xff; LEN], end: 0, ring: Ring::new() };
        // It is somewhere in its circle.
        dma.end = first;
        while dma.ring.next(first).is_some() {}
        // A connection that breaks off, anywhere, leaves nothing behind.
        for piece in input[..broken_off.min(input.len())].chunks(LEN - 1) {
            dma.receive(piece);
            dma.handle(&mut device, &mut output);
        }
        device.restart();
        output.clear();
        let (mut rest, mut pieces) = (input.as_slice(), pieces.iter().cycle());
        while !rest.is_empty() {
            // At most what an interrupt at the half, at the end or of an idle line leaves.
            let (piece, later) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
            dma.receive(piece);
            dma.handle(&mut device, &mut output);
            rest = later;
        }
        let expected: Vec<Vec<u8>> = uploads.iter().map(|upload| sum(upload)).collect();
        prop_assert_eq!(sums(&output), expected);
    }
}

/// The sum of bytes, as CBOR.
fn sum(bytes: &[u8]) -> Vec<u8> {
    let sum = bytes.iter().map(|byte| u64::from(*byte)).sum();
    Head::new(0, sum).as_slice().to_vec()
}

/// The sums that were answered; everything else was echoed.
fn sums(output: &[u8]) -> Vec<Vec<u8>> {
    let mut sums = Vec::new();
    let mut frames = hgrpc::wire::FrameReader::new(1000);
    let mut input = output;
    while let Some(part) = frames.next(&mut input).unwrap() {
        assert!(part.is_first && part.is_last);
        let body = part.bytes.strip_prefix(b"\xa1FstatusBok").unwrap();
        if body.ends_with(b"ABCD") {
            continue;
        }
        sums.push(body.to_vec());
    }
    sums
}
