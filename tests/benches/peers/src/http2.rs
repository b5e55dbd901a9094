//! h2's server, which reads what a client would send from memory: DATA frames of one request.

use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::task::noop_waker_ref;
use hgrpc_bench::messages::DATA_LEN;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Frames that arrive together; fewer than the 65,535 bytes that a client may send unasked.
const BATCH: u32 = 16;

/// A peer in memory: its bytes can be read up to a limit, and what is written is dropped.
struct Peer {
    /// What is being read, again and again.
    next: Vec<u8>,
    position: usize,
    /// What comes in its place when it was read once.
    frame: Option<Vec<u8>>,
    /// How often it may still be read.
    frames: Rc<Cell<u32>>,
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.frames.get() == 0 {
            return Poll::Pending;
        }
        while into.remaining() > 0 && self.frames.get() > 0 {
            let rest = &self.next[self.position..];
            let taken = rest.len().min(into.remaining());
            into.put_slice(&rest[..taken]);
            self.position += taken;
            if self.position == self.next.len() {
                self.position = 0;
                self.frames.set(self.frames.get() - 1);
                if let Some(frame) = self.frame.take() {
                    self.next = frame;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(crate) fn data(count: u32) {
    let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    start.extend(frame(4, 0, 0, &[])); // SETTINGS
    start.extend(frame(4, 1, 0, &[])); // its acknowledgement
    start.extend(frame(1, 4, 1, b"\x83\x86\x84\x41\x01a")); // HEADERS: POST http://a/
    let frames = Rc::new(Cell::new(1));
    let peer = Peer {
        next: start,
        position: 0,
        frame: Some(frame(0, 0, 1, &[0x5a; DATA_LEN])),
        frames: Rc::clone(&frames),
    };
    let mut handshake = pin!(h2::server::handshake(peer));
    let mut connection = handshake
        .as_mut()
        .now_or_never()
        .expect("all is there")
        .unwrap();
    let (request, respond) = connection
        .accept()
        .now_or_never()
        .expect("all is there")
        .unwrap()
        .unwrap();
    let mut body = request.into_body();
    let mut context = Context::from_waker(noop_waker_ref());
    let mut received = 0u64;
    let mut left = count;
    while left > 0 {
        let batch = left.min(BATCH);
        left -= batch;
        frames.set(batch);
        assert!(connection.poll_accept(&mut context).is_pending());
        for _ in 0..batch {
            let Poll::Ready(Some(Ok(data))) = body.poll_data(&mut context) else {
                panic!("no data");
            };
            body.flow_control().release_capacity(data.len()).unwrap();
            received += black_box(&data).len() as u64;
        }
    }
    assert_eq!(received, u64::from(count) * DATA_LEN as u64);
    drop(respond);
}
