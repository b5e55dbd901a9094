//! A client of services whose server is in the same memory.

use std::cell::RefCell;
use std::time::Duration;

use hgrpc::Revision;
use hgrpc::cbor::{ArgsWriter, CborReader, CborWriter, FromValue, Status, ToValue, Value};
use hgrpc::client::{self, ClientConfig, Event as Answer};
use hgrpc::connection::{
    Buffers, ClientConnection, Direct, Drive, Frames, Sender, ServerConnection,
};
use hgrpc::server::{Command, Event, Server, ServerConfig};
use hgrpc::service::{self, Single};
use hgrpc::store::FixedRequests;
use hgrpc::wire::RequestId;

type Requests = FixedRequests<4>;

/// The half that answers.
pub struct Replies<'r> {
    sender: &'r mut Sender<'static, Server<Revision, Requests>, Direct>,
    sent: &'r mut Vec<u8>,
}

impl Replies<'_> {
    pub fn send(&mut self, mut frames: impl Frames<Server<Revision, Requests>>) {
        let write = |bytes: &[u8]| self.sent.extend_from_slice(bytes);
        self.sender.make_all(&mut frames, write).unwrap();
    }
}

/// What a server does about commands and their data.
pub trait Serve {
    fn command(&mut self, command: Command<'_>, replies: &mut Replies<'_>);

    fn data(&mut self, _id: RequestId, _bytes: &[u8], _is_last: bool, _replies: &mut Replies<'_>) {}
}

impl<F: FnMut(Command<'_>, &mut Replies<'_>)> Serve for F {
    fn command(&mut self, command: Command<'_>, replies: &mut Replies<'_>) {
        self(command, replies);
    }
}

/// A client with its server. Each call has connections of its own.
pub struct Looped<S> {
    revision: Revision,
    /// Bytes of the server's output.
    pub output: usize,
    serve: RefCell<S>,
}

impl<S: Serve> Looped<S> {
    pub fn new(revision: Revision, serve: S) -> Self {
        let serve = RefCell::new(serve);
        Self {
            revision,
            output: 128,
            serve,
        }
    }

    pub fn server(&self) -> std::cell::RefMut<'_, S> {
        self.serve.borrow_mut()
    }
}

fn buffers(output: usize) -> Buffers<'static> {
    Buffers {
        input: &mut [],
        memory: Vec::leak(vec![0; 4096]),
        output: Vec::leak(vec![0; output]),
    }
}

impl<S: Serve> service::Client for Looped<S> {
    type Request<'c>
        = Request<'c, S>
    where
        Self: 'c;

    fn request(&self, command: &'static str) -> Request<'_, S> {
        Request {
            looped: self,
            command,
            args: Vec::new(),
            data: None,
        }
    }
}

pub struct Request<'c, S> {
    looped: &'c Looped<S>,
    command: &'static str,
    args: Vec<(&'static str, Vec<u8>)>,
    data: Option<Vec<u8>>,
}

impl<S: Serve> Request<'_, S> {
    /// The body of the response, or what was said instead.
    pub fn run(self) -> Result<Vec<u8>, String> {
        let revision = self.looped.revision;
        let config = ClientConfig::FULL_DUPLEX;
        let client = Box::leak(Box::new(client::Client::new(
            revision,
            config,
            Requests::new(),
        )));
        let mut client = ClientConnection::new(client, buffers(4096));
        let mut memory = vec![0; 4096];
        let mut args = ArgsWriter::new(&mut memory, revision.key_order());
        for (key, value) in &self.args {
            let value = Value::from_cbor(value).unwrap();
            args.encoded(key.as_bytes(), value).unwrap();
        }
        let name = self.command.as_bytes();
        let request = client::Request::new(name, args.finish().unwrap());
        let calls = client.sender();
        let mut call = calls.request(request, self.data.is_some()).unwrap();
        let mut sent = Vec::new();
        let mut write = |bytes: &[u8]| sent.extend_from_slice(bytes);
        calls.make_all(&mut call, &mut write).unwrap();
        if let Some(data) = &self.data {
            calls
                .make_all(&mut call.data(data, true), &mut write)
                .unwrap();
        }
        calls.write_all(&mut write);

        let answered = self.looped.answer(&sent);
        let mut bytes = answered.as_slice();
        let (mut body, mut failed, mut has_ended) = (Vec::new(), None, false);
        while let Some((event, _)) = client.take(&mut bytes).unwrap() {
            match event {
                Answer::Response {
                    status,
                    data,
                    is_last,
                    ..
                } => {
                    has_ended |= is_last;
                    if let Some(Status::Error(error)) = status {
                        failed = Some(error.to_string());
                    }
                    body.extend_from_slice(data);
                }
                Answer::Failed { message, .. } => failed = Some(message.to_string()),
                _ => {}
            }
        }
        assert!(has_ended || failed.is_some(), "it is answered");
        failed.map_or(Ok(body), Err)
    }
}

impl<S: Serve> Looped<S> {
    /// What a server answers to these bytes.
    pub fn answer(&self, mut bytes: &[u8]) -> Vec<u8> {
        let config = ServerConfig::STREAMING.with_always_side_frames(true);
        let server = Server::new(self.revision, config, Requests::new());
        let mut device = ServerConnection::new(Box::leak(Box::new(server)), buffers(self.output));
        let mut sent = Vec::new();
        while let Some((event, sender)) = device.take(&mut bytes).unwrap() {
            let mut replies = Replies {
                sender,
                sent: &mut sent,
            };
            let mut serve = self.serve.borrow_mut();
            match event {
                Event::Command(command) => serve.command(command, &mut replies),
                Event::Data {
                    request_id,
                    bytes,
                    is_last,
                } => serve.data(request_id, bytes, is_last, &mut replies),
                _ => {}
            }
            sender.write_all(|bytes| sent.extend_from_slice(bytes));
        }
        sent
    }
}

impl<S: Serve> service::Request for Request<'_, S> {
    type One<T: Single> = Result<T::Owned, String>;
    type Many<T: Single> = Result<Vec<T::Owned>, String>;
    type Bytes = Result<Vec<u8>, String>;

    fn arg<T: ToValue + ?Sized>(mut self, key: &'static str, value: &T) -> Self {
        let mut memory = [0; 1024];
        let mut writer = CborWriter::new(&mut memory);
        value.write(&mut writer).unwrap();
        self.args.push((key, writer.finish().to_vec()));
        self
    }

    fn timeout(self, _: Duration) -> Self {
        self
    }

    fn one<T: Single>(self) -> Self::One<T> {
        let mut values = self.many::<T>()?;
        assert_eq!(values.len(), 1);
        Ok(values.remove(0))
    }

    fn many<T: Single>(self) -> Self::Many<T> {
        let body = self.run()?;
        let mut reader = CborReader::new(&body);
        let mut values = Vec::new();
        while !reader.is_empty() {
            let value = reader.next_value().unwrap();
            values.push(T::Owned::from_value(value).expect("of the declared type"));
        }
        Ok(values)
    }

    fn bytes(self) -> Self::Bytes {
        self.run()
    }
}

impl<S: Serve> service::Upload<&[u8]> for Request<'_, S> {
    fn data(mut self, source: &[u8]) -> Self {
        self.data = Some(source.to_vec());
        self
    }
}
