//! Whatever size of frames is asked for, frames are as large as that and as a header can say, and
//! everything arrives.

use hgrpc::cbor::EncodedArgs;
use hgrpc::client::{CallData, Client, ClientConfig, Request};
use hgrpc::server::{Body, Server, ServerAction, ServerConfig};
use hgrpc::store::FixedStore;
use hgrpc::wire::{FrameHeader, FrameReader, MAX_LENGTH};
use hgrpc::{Limits, R0003};

/// What is asked for, and what the largest frame is then.
const SIZES: [(u32, u32); 6] = [
    (0, 1),
    (1, 1),
    (MAX_LENGTH - 1, MAX_LENGTH - 1),
    (MAX_LENGTH, MAX_LENGTH),
    (MAX_LENGTH + 1, MAX_LENGTH),
    (u32::MAX, MAX_LENGTH),
];

/// `{"name": "c"}`, in revision 0003.
const REQUEST: &[u8] = b"\x08\0\0\x01\0\x01\x01\x11\xa1DnameAc";
/// The numbers of data and of responses in revision 0003.
const DATA: u8 = 3;
const RESPONSE: u8 = 4;

/// Somewhat more than the largest frame holds.
fn data(most: u32) -> Vec<u8> {
    vec![b'x'; most as usize + 2]
}

/// The frames that were written, but for their payload.
struct Headers {
    reader: FrameReader,
    headers: Vec<FrameHeader>,
}

impl Headers {
    fn new() -> Self {
        Self {
            reader: FrameReader::new(u32::MAX),
            headers: Vec::new(),
        }
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while let Some(part) = self.reader.next(&mut bytes).unwrap() {
            if part.is_first {
                self.headers.push(part.header);
            }
        }
    }

    /// The frames of this kind are full, but for the last, and hold so many bytes together.
    fn check(&self, kind: u8, most: u32) {
        assert_eq!(self.reader.finish(), Ok(()));
        let of_kind = self.headers.iter().filter(|h| h.kind_number() == kind);
        let lengths: Vec<u32> = of_kind.map(FrameHeader::length).collect();
        let (last, full) = lengths.split_last().unwrap();
        assert!(full.iter().all(|length| *length == most), "{lengths:?}");
        assert!(*last <= most, "{lengths:?}");
        assert_eq!(lengths.iter().sum::<u32>(), most + 2);
        assert!(self.headers.iter().all(|header| header.length() <= most));
    }
}

fn server_config(size: u32) -> ServerConfig {
    let mut config = ServerConfig::DEFAULT;
    config.send_frame_size = size;
    config
}

fn client_config(size: u32) -> ClientConfig {
    let mut config = ClientConfig::FULL_DUPLEX;
    config.send_frame_size = size;
    config
}

#[test]
fn of_the_server() {
    for (size, most) in SIZES {
        let (data, mut written) = (data(most), Headers::new());
        let mut server = Server::new(R0003, server_config(size));
        let mut store = FixedStore::<1, 64>::new();
        let (table, arena) = store.split();
        let mut stream = server.open_stream(&[]).unwrap();
        let mut reader = FrameReader::new(Limits::DEFAULT.max_frame_size);
        let part = reader.next(&mut &*REQUEST).unwrap().unwrap();
        let Ok(ServerAction::RunCommand(command)) = server.handle(part, table, arena) else {
            panic!()
        };
        let mut answer = server
            .respond(table, command.responder, Body::Bytes(&data))
            .unwrap();
        let mut out = server.output(table, &mut stream);
        while let Some(frame) = answer.next_frame(&mut out, &mut []).unwrap() {
            frame
                .as_slices()
                .iter()
                .for_each(|slice| written.put(slice));
        }
        written.check(RESPONSE, most);
    }
}

#[test]
fn of_the_client() {
    for (size, most) in SIZES {
        let (data, mut written) = (data(most), Headers::new());
        let mut client = Client::new(R0003, client_config(size));
        assert_eq!(client.config().send_frame_size, most);
        let mut store = FixedStore::<1, 64>::new();
        let (table, _) = store.split();
        let request = Request::new(b"c", EncodedArgs::EMPTY).with_data(CallData::Bytes(&data));
        let (mut call, _) = client.call(table, request).unwrap();
        let mut out = client.output(table);
        while let Some(frame) = call.next_frame(&mut out) {
            frame
                .as_slices()
                .iter()
                .for_each(|slice| written.put(slice));
        }
        written.check(DATA, most);
    }
}

/// A write half that is looked at later.
#[cfg(feature = "embedded-io-v0_7")]
struct Written<'a>(&'a mut Headers);

#[cfg(feature = "embedded-io-v0_7")]
impl embedded_io::ErrorType for Written<'_> {
    type Error = std::convert::Infallible;
}

#[cfg(feature = "embedded-io-v0_7")]
mod blocking {
    use std::convert::Infallible;

    use embedded_io::Write;
    use hgrpc::io::blocking::{ClientConnection, ServerConnection};

    use super::*;

    impl Write for Written<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            self.0.put(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[test]
    fn of_the_servers_driver() {
        for (size, most) in SIZES {
            let (data, mut written) = (data(most), Headers::new());
            let mut connection: ServerConnection<_, _, 1, 64, 64, 64, R0003> =
                ServerConnection::new(REQUEST, Written(&mut written), R0003, server_config(size));
            let action = connection.next_action();
            let Ok(Some((ServerAction::RunCommand(command), replies))) = action else {
                panic!()
            };
            replies
                .respond(command.responder, Body::Bytes(&data))
                .unwrap();
            replies.flush().unwrap();
            written.check(RESPONSE, most);
        }
    }

    #[test]
    fn of_the_clients_driver() {
        for (size, most) in SIZES {
            for is_whole in [true, false] {
                let (data, mut written) = (data(most), Headers::new());
                let mut connection: ClientConnection<&[u8], _, 1, 64, 64, 64, R0003> =
                    ClientConnection::new(&[], Written(&mut written), R0003, client_config(size));
                let request = Request::new(b"c", EncodedArgs::EMPTY);
                let calls = connection.calls();
                if is_whole {
                    calls
                        .call(request.with_data(CallData::Bytes(&data)))
                        .unwrap();
                } else {
                    let mut call = calls.open(request.with_data(CallData::Stream)).unwrap();
                    assert_eq!(calls.send_data(&mut call, &data, true), Ok(false));
                }
                calls.flush().unwrap();
                written.check(DATA, most);
            }
        }
    }
}

#[cfg(feature = "embedded-io-async-v0_7")]
mod asynch {
    use std::convert::Infallible;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use embedded_io_async::Write;
    use hgrpc::io::asynch::{ClientConnection, Sender, ServerConnection};

    use super::*;

    /// Bytes of the output buffer: what frames have to fit.
    const OUT: usize = 128;

    impl Write for Written<'_> {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            self.0.put(bytes);
            Ok(bytes.len())
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    /// Memory is always ready.
    fn run(future: impl Future<Output = ()>) {
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(pin!(future).poll(&mut context), Poll::Ready(()));
    }

    /// Frames are no larger than what the output buffer holds.
    fn sizes() -> impl Iterator<Item = (u32, u32)> {
        let room = u32::try_from(Sender::<(), OUT>::PAYLOAD).unwrap();
        SIZES
            .into_iter()
            .map(move |(size, most)| (size, most.min(room)))
    }

    #[test]
    fn of_the_servers_driver() {
        for (size, most) in sizes() {
            let (data, mut written) = (data(most), Headers::new());
            let mut connection: ServerConnection<_, _, 1, 64, 64, OUT, R0003> =
                ServerConnection::new(REQUEST, Written(&mut written), R0003, server_config(size));
            run(async {
                let action = connection.next_action().await;
                let Ok(Some((ServerAction::RunCommand(command), replies))) = action else {
                    panic!()
                };
                let body = Body::Bytes(&data);
                replies.respond(command.responder, body).await.unwrap();
                replies.flush().await.unwrap();
            });
            written.check(RESPONSE, most);
        }
    }

    #[test]
    fn of_the_clients_driver() {
        for (size, most) in sizes() {
            for is_whole in [true, false] {
                let (data, mut written) = (data(most), Headers::new());
                let mut connection: ClientConnection<&[u8], _, 1, 64, 64, OUT, R0003> =
                    ClientConnection::new(&[], Written(&mut written), R0003, client_config(size));
                run(async {
                    let request = Request::new(b"c", EncodedArgs::EMPTY);
                    let calls = connection.calls();
                    if is_whole {
                        let request = request.with_data(CallData::Bytes(&data));
                        calls.call(request).await.unwrap();
                    } else {
                        let request = request.with_data(CallData::Stream);
                        let mut call = calls.begin(request).unwrap();
                        calls.send(&mut call).await.unwrap();
                        let mut rest = data.as_slice();
                        let is_open = calls.send_data(&mut call, &mut rest, true).await;
                        assert_eq!(is_open, Ok(false));
                    }
                    calls.flush().await.unwrap();
                });
                written.check(DATA, most);
            }
        }
    }
}
