//! An HTTP server whose connections come from nowhere.

use std::net::SocketAddr;

use hgrpc_std::http::server::{Peer, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: String,
    pub(crate) body: Vec<u8>,
    /// The body came to its end.
    pub(crate) is_whole: bool,
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing");
}

/// Sends a request, in pieces of at most `piece` bytes, and reads the answer. The request has to
/// ask for the connection's end.
pub(crate) fn exchange(server: &Server, request: &[u8], piece: usize) -> Answer {
    send(server, request, piece, false).expect("a whole request is answered")
}

/// Sends a request that does not come whole; the connection may end without an answer.
pub(crate) fn exchange_cut(server: &Server, request: &[u8]) -> Option<Answer> {
    send(server, request, usize::MAX, true)
}

fn send(server: &Server, request: &[u8], piece: usize, is_cut: bool) -> Option<Answer> {
    let all = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            // Room for all of the request, so that it does not matter when it is read.
            let (mut near, far) = tokio::io::duplex(request.len().max(1 << 16));
            let server = server.clone();
            let peer = SocketAddr::from(([192, 0, 2, 1], 1));
            let served = tokio::spawn(async move {
                server.serve_connection(far, Peer::tcp(peer)).await;
            });
            for bytes in request.chunks(piece.max(1)) {
                if near.write_all(bytes).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if is_cut {
                near.shutdown().await.expect("it is memory");
            }
            let mut all = Vec::new();
            near.read_to_end(&mut all).await.expect("it is memory");
            served.await.expect("the server does not panic");
            all
        })
    });
    parse(&all)
}

fn parse(all: &[u8]) -> Option<Answer> {
    let end = all.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&all[..end]).expect("heads are ASCII");
    let mut body = &all[end + 4..];
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    let (mut whole, mut is_whole) = (Vec::new(), true);
    if header("transfer-encoding").is_some() {
        loop {
            let Some(end) = body.windows(2).position(|w| w == b"\r\n") else {
                is_whole = false;
                break;
            };
            let size = std::str::from_utf8(&body[..end]).expect("a chunk's size is ASCII");
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            if size == 0 {
                break;
            }
            whole.extend_from_slice(&body[end + 2..end + 2 + size]);
            body = &body[end + 2 + size + 2..];
        }
    } else {
        whole.extend_from_slice(body);
        is_whole = header("content-length") == Some(body.len().to_string().as_str());
    }
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        media_type: header("content-type").unwrap_or_default().to_owned(),
        body: whole,
        is_whole,
    })
}
