//! One declaration at both ends on hosts: functions that serve it, clients with tasks and with threads.
#![cfg(feature = "tokio")]
#![allow(missing_docs, reason = "declarations of a test")]

use std::io::Cursor;
use std::os::unix::net::UnixStream as Blocking;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use hgrpc::Revision;
use hgrpc_std::blocking::{self, Transport};
use hgrpc_std::tokio::{
    AnswerError, CallError, Client, Config, Data, Exchange, Failure, Peer, Router, Sequence, Server,
};
use hgrpc_std::value::Value;
use tokio::io::{AsyncBufRead, AsyncReadExt};
use tokio::net::UnixStream;

hgrpc::types! {
    /// What the sensor says.
    pub struct Reading {
        pub temperature: i16,
        pub humidity: Option<u8>,
    }

    pub enum Colour {
        Red,
        WarmWhite as "warm-white",
    }
}

hgrpc::service! {
    /// A board.
    pub service board<'a> {
        /// Switches the lamp.
        fn led(on: bool, level: u8 [unit("%"), range(0..=100)] = 100, colour: Colour = Colour::Red) -> bool
            where write, idempotent;
        fn greet(name: &'a str, title: Option<&'a str> = None) -> &'a str where read;
        fn sum() <- Stream -> u64 where read;
        fn sample(channel: u8, count: u16 = 3) -> Values<u16> where read;
        fn cat() <- Stream -> Stream;
        fn measure() -> Option<Reading> where read;
        fn wait();
        fn fly() -> u8;
    }
}

struct Board;

impl board::Serve<Exchange> for Board {
    async fn led(&self, on: bool, level: u8, colour: Colour) -> Result<bool, Failure> {
        Ok(on && level > 0 && colour == Colour::WarmWhite)
    }

    async fn greet(&self, name: &str, title: Option<&str>) -> Result<String, Failure> {
        tokio::task::yield_now().await;
        Ok(format!("hello {}{name}", title.unwrap_or_default()))
    }

    async fn sum(&self, mut data: Data) -> Result<u64, Failure> {
        let mut sum = 0;
        while let Some(bytes) = data.try_next().await? {
            sum += bytes.iter().copied().map(u64::from).sum::<u64>();
        }
        Ok(sum)
    }

    async fn sample(&self, channel: u8, count: u16) -> Result<Sequence<u16>, Failure> {
        if channel == 9 {
            let values = futures_util::stream::iter([Ok(1), Err(Failure::command("it broke"))]);
            return Ok(Sequence::new(values));
        }
        Ok((0..count).map(|n| n + u16::from(channel)).collect())
    }

    async fn cat(
        &self,
        data: Data,
    ) -> Result<std::pin::Pin<Box<dyn AsyncBufRead + Send>>, Failure> {
        Ok(Box::pin(data))
    }

    async fn measure(&self) -> Result<Option<Reading>, Failure> {
        Ok(Some(Reading {
            temperature: -3,
            humidity: None,
        }))
    }

    async fn wait(&self) -> Result<(), Failure> {
        std::future::pending().await
    }

    async fn fly(&self) -> Result<u8, Failure> {
        Err(Failure::command("it has no wings"))
    }
}

fn served(router: Router, revision: Revision) -> std::os::unix::net::UnixStream {
    let (here, there) = Blocking::pair().unwrap();
    there.set_nonblocking(true).unwrap();
    let server = Server::builder(router).revision(revision).build();
    let there = UnixStream::from_std(there).unwrap();
    tokio::spawn(async move { server.serve_connection(there, Peer::UNKNOWN).await });
    here
}

fn config(revision: Revision) -> Config {
    let mut config = Config::default();
    config.revision = revision;
    config
}

fn client(router: Router, revision: Revision) -> Client {
    let stream = served(router, revision);
    stream.set_nonblocking(true).unwrap();
    Client::spawn(UnixStream::from_std(stream).unwrap(), &config(revision))
}

fn router() -> Router {
    Router::new()
        .service(board::Server(Board))
        .command("plain", || async { "plain" })
}

#[tokio::test]
async fn a_client_with_tasks_calls_what_functions_serve() {
    for revision in hgrpc::REVISIONS {
        let client = client(router(), revision);
        let board = board::Client::new(&client);
        assert!(!board.led(true).await.unwrap());
        let lit = board.led(true).level(50).colour(Colour::WarmWhite);
        assert!(lit.await.unwrap());
        assert_eq!(board.greet("world").await.unwrap(), "hello world");
        let greeting = board.greet("who").title(Some("Dr. ")).send().await.unwrap();
        assert_eq!(greeting, "hello Dr. who");
        let data = vec![1; 100_000];
        assert_eq!(board.sum().data(Cursor::new(data)).await.unwrap(), 100_000);
        let mut samples = board.sample(2).await.unwrap();
        let mut all = Vec::new();
        while let Some(sample) = samples.next().await.unwrap() {
            all.push(sample);
        }
        assert_eq!(all, [2, 3, 4]);
        let stream = board.sample(0).count(1000).await.unwrap();
        let all: Vec<u16> = stream.map(Result::unwrap).collect().await;
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        let upload = tokio::io::repeat(7).take(1 << 20);
        let mut copy = board.cat().data(upload).await.unwrap();
        let copied = tokio::io::copy(&mut copy, &mut tokio::io::sink()).await;
        assert_eq!(copied.unwrap(), 1 << 20);
        let reading = board.measure().await.unwrap().unwrap();
        assert_eq!((reading.temperature, reading.humidity), (-3, None));
        let late = board.wait().timeout(Duration::from_millis(20)).await;
        assert!(matches!(late, Err(CallError::TimedOut)));
        let plain = client.call("plain").send().await.unwrap();
        assert_eq!(plain.read_text(10).await.unwrap(), "plain");
    }
}

fn told(error: CallError) -> String {
    error.to_string().replace("server error: ", "")
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    for revision in hgrpc::REVISIONS {
        let client = client(router(), revision);
        let board = board::Client::new(&client);
        assert_eq!(told(board.fly().await.unwrap_err()), "it has no wings");
        let error = board.led(true).level(101).await.unwrap_err();
        assert_eq!(told(error), "argument `level` is out of range");
        let misspelt = board.led(true).with(|request| request.arg("levle", "1"));
        assert_eq!(told(misspelt.await.unwrap_err()), "unknown argument: levle");
        let error = client.call("greet").send().await.unwrap();
        let error = error.read_text(10).await.unwrap_err();
        assert_eq!(told(error), "argument `name` is missing");
        let error = board.sum().await.unwrap_err();
        assert_eq!(told(error), "the command takes data");
        let error = board.fly().with(|request| request.bytes("data"));
        assert_eq!(told(error.await.unwrap_err()), "the command takes no data");
        let mut broken = board.sample(9).await.unwrap();
        let error = loop {
            match broken.next().await {
                Ok(value) => assert_eq!(value, Some(1)),
                Err(error) => break error,
            }
        };
        assert_eq!(told(error), "it broke");
    }
}

/// A server whose answer is of another type than the client's declaration says.
#[tokio::test]
async fn an_answer_of_another_type_is_an_error() {
    let other = Router::new().command("led", || async { hgrpc_std::tokio::Cbor(7u8) });
    let client = client(other, Revision::R0006);
    let error = board::Client::new(&client).led(true).await.unwrap_err();
    assert!(matches!(
        error,
        CallError::Answer(AnswerError::NotThisValue)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_threads_calls_the_same() {
    for revision in hgrpc::REVISIONS {
        let stream = served(router(), revision);
        let calls = move || {
            let transport = Transport::unix(stream).unwrap();
            let client = blocking::Client::new(transport, &config(revision)).unwrap();
            let board = board::Client::new(client);
            assert!(!board.led(false).level(3).send().unwrap());
            assert_eq!(board.greet("you").send().unwrap(), "hello you");
            let data = Cursor::new(vec![2; 10]);
            assert_eq!(board.sum().data(data).send().unwrap(), 20);
            let samples: Result<Vec<u16>, _> = board.sample(1).send().unwrap().collect();
            assert_eq!(samples.unwrap(), [1, 2, 3]);
            let mut copy = board.cat().data(Cursor::new(b"abc")).send().unwrap();
            assert_eq!(std::io::read_to_string(&mut copy).unwrap(), "abc");
            assert!(board.fly().send().is_err());
        };
        tokio::task::spawn_blocking(calls).await.unwrap();
    }
}

async fn capabilities(router: Router) -> Value {
    let client = client(router, Revision::R0006);
    let response = client.call("capabilities").send().await.unwrap();
    let mut response = response;
    let value = response.next_value().await.unwrap().unwrap();
    Value::decode(&value).unwrap()
}

fn get<'v>(map: &'v Value, key: &str) -> Option<&'v Value> {
    let Value::Map(entries) = map else {
        return None;
    };
    let key = Value::Bytes(key.into());
    entries.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
}

#[tokio::test]
async fn services_say_what_they_are_together() {
    hgrpc::service! { pub service lamp { fn blink(times: u8) -> u8; } }
    struct Lamp;
    impl lamp::Serve<Exchange> for Lamp {
        async fn blink(&self, times: u8) -> Result<u8, Failure> {
            Ok(times)
        }
    }
    let one = capabilities(router()).await;
    assert_eq!(get(&one, "service"), Some(&Value::Bytes(b"board".into())));
    assert_eq!(get(&one, "doc"), Some(&Value::Bytes(b"A board.".into())));
    let led = get(&one, "commands").and_then(|c| get(c, "led")).unwrap();
    let doc = Value::Bytes(b"Switches the lamp.".into());
    assert_eq!(get(led, "doc"), Some(&doc));

    for two in [
        router().service(lamp::Server(Lamp)),
        router().merge(Router::new().service(lamp::Server(Lamp))),
    ] {
        let two = capabilities(two).await;
        let commands = get(&two, "commands").unwrap();
        for name in ["led", "greet", "blink", "capabilities"] {
            assert!(get(commands, name).is_some(), "{name}");
        }
        let Some(Value::Array(services)) = get(&two, "services") else {
            panic!("{two:?}");
        };
        let names: Vec<_> = services.iter().map(|s| get(s, "service")).collect();
        let expected = [b"board".to_vec(), b"lamp".to_vec()].map(Value::Bytes);
        assert_eq!(names, expected.iter().map(Some).collect::<Vec<_>>());
    }
}
