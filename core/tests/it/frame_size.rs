//! Whatever size of frames is asked for, frames are as large as that and as a header can say, and
//! everything arrives.

use hgrpc::R0003;
use hgrpc::cbor::EncodedArgs;
use hgrpc::client::{Client, ClientConfig, Request};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{Event, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use hgrpc::wire::{FrameHeader, FrameReader, HEADER_LEN, MAX_LENGTH};

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

/// A buffer that holds the largest frame.
fn buffer(most: u32) -> Vec<u8> {
    vec![0; HEADER_LEN + most as usize]
}

#[test]
fn of_the_server() {
    for (size, most) in SIZES {
        let (data, mut written) = (data(most), Headers::new());
        let requests = FixedRequests::<1>::new();
        let mut server = Server::new(R0003, server_config(size), requests);
        let mut buffer = buffer(most);
        let mut out = Output::new(server.open_stream(&[]).unwrap(), &mut buffer);
        let mut memory = [0; 64];
        let Some(Event::Command(command)) = server.next(&mut &*REQUEST, &mut memory) else {
            panic!()
        };
        let mut rest = data.as_slice();
        while !server
            .respond(&command.reply, &mut rest, true, &mut out)
            .unwrap()
        {
            written.put(out.frame());
        }
        written.put(out.frame());
        written.check(RESPONSE, most);
    }
}

#[test]
fn of_the_client() {
    for (size, most) in SIZES {
        let (data, mut written) = (data(most), Headers::new());
        let mut client = Client::new(R0003, client_config(size), FixedRequests::<1>::new());
        let (upload, _) = client.request(true).unwrap();
        let request = Request::new(b"c", EncodedArgs::EMPTY);
        let mut buffer = buffer(most);
        let mut out = Output::new(Stream::CLIENT, &mut buffer);
        while !client.send(&upload, &request, &mut out).unwrap() {
            written.put(out.frame());
        }
        written.put(out.frame());
        let mut rest = data.as_slice();
        while !client
            .send_data(&upload, &mut rest, true, &mut out)
            .unwrap()
        {
            written.put(out.frame());
        }
        written.put(out.frame());
        written.check(DATA, most);
    }
}

#[cfg(feature = "embedded-io-v0_7")]
mod blocking {
    use std::convert::Infallible;

    use embedded_io::Write;
    use hgrpc::connection::{Buffers, ClientConnection, ServerConnection};
    use hgrpc::drive::blocking::Driver;

    use super::*;

    /// A write half that is looked at later.
    struct Written<'a>(&'a mut Headers);

    impl embedded_io::ErrorType for Written<'_> {
        type Error = Infallible;
    }

    impl Write for Written<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            self.0.put(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    /// What is asked for, the buffer's size, and what the largest frame is then.
    fn sizes() -> impl Iterator<Item = (u32, u32, u32)> {
        SIZES
            .into_iter()
            .flat_map(|(size, most)| [(size, most, most), (size, 120, most.min(120))])
    }

    #[test]
    fn of_the_servers_driver() {
        for (size, room, most) in sizes() {
            let (data, mut written) = (data(most), Headers::new());
            let buffers = Buffers {
                input: &mut [0; 64],
                memory: &mut [0; 64],
                output: &mut buffer(room),
            };
            let requests = FixedRequests::<1>::new();
            let mut server = Server::new(R0003, server_config(size), requests);
            let connection = ServerConnection::new(&mut server, buffers);
            let mut driver = Driver::new(connection, REQUEST, Written(&mut written));
            let Ok(Some((Event::Command(command), mut replies))) = driver.step() else {
                panic!()
            };
            replies.send(command.reply.body(&data)).unwrap();
            replies.flush().unwrap();
            written.check(RESPONSE, most);
        }
    }

    #[test]
    fn of_the_clients_driver() {
        for (size, room, most) in sizes() {
            let (data, mut written) = (data(most), Headers::new());
            let buffers = Buffers {
                input: &mut [0; 64],
                memory: &mut [0; 64],
                output: &mut buffer(room),
            };
            let mut client = Client::new(R0003, client_config(size), FixedRequests::<1>::new());
            let connection = ClientConnection::new(&mut client, buffers);
            let mut driver = Driver::new(connection, &[][..], Written(&mut written));
            let mut calls = driver.sender();
            let request = Request::new(b"c", EncodedArgs::EMPTY);
            let mut call = calls.request(request, true).unwrap();
            calls.send(&mut call).unwrap();
            calls.send(call.data(&data, true)).unwrap();
            calls.flush().unwrap();
            written.check(DATA, most);
        }
    }
}
