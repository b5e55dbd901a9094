//! Our client and our server.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hgrpc_std::encoding::ContentEncoding::{self, Identity, Zlib, Zstd8Mb};
use hgrpc_std::http::server::{Denial, Permission, ServerConfig};
use hgrpc_std::http::{Client, Command, Config, Error, Item, Redirects};
use hgrpc_std::value::Value;

use crate::support::{Pattern, Served};

fn client(served: &Served, encodings: &[ContentEncoding]) -> Client {
    let mut config = Config::default();
    config.encodings = encodings.to_vec();
    Client::connect(&served.url(), config).unwrap()
}

const OFFERS: [&[ContentEncoding]; 4] = [&[], &[Identity], &[Zlib], &[Zstd8Mb]];

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

#[test]
fn arguments_arrive_with_their_defaults() {
    let served = Served::read_write();
    for offer in OFFERS {
        let client = client(&served, offer);
        let command = Command::new("echo").bytes("x", "y");
        let expected = Value::Map(vec![
            (bytes("fields"), Value::Set(vec![])),
            (bytes("x"), bytes("y")),
        ]);
        assert_eq!(
            client.call(&command).unwrap().one_value().unwrap(),
            expected
        );
    }
}

#[test]
fn several_commands_are_answered_in_their_order() {
    let served = Served::read_write();
    for offer in OFFERS {
        let client = client(&served, offer);
        let commands = [
            Command::new("echo").arg("x", Value::from(1u64)),
            Command::new("fail"),
            Command::new("crash"),
            Command::new("pattern").arg("len", Value::from(200_000u64)),
            Command::new("fail").arg("late", true),
            Command::new("set"),
        ];
        let [echo, fail, crash, mut pattern, mut late, set] =
            <[_; 6]>::try_from(client.batch(&commands).unwrap()).unwrap();
        assert!(matches!(echo.one_value(), Ok(Value::Map(_))));
        let Err(Error::Command(failure)) = fail.one_value() else {
            panic!("it fails");
        };
        assert_eq!(failure.message, "cannot do this because that");
        assert_eq!(failure.args, [b"this", b"that"]);
        assert!(matches!(crash.one_value(), Err(Error::Server(f)) if f.message == "boom"));
        let mut all = Vec::new();
        pattern.bytes().unwrap().read_to_end(&mut all).unwrap();
        let mut expected = Vec::new();
        Pattern::new(200_000).read_to_end(&mut expected).unwrap();
        assert!(all == expected);
        assert!(matches!(late.next_value(), Ok(Some(Value::Integer(_)))));
        assert!(matches!(late.next_value(), Err(Error::Command(_))));
        assert_eq!(set.one_value().unwrap(), Value::Bool(true));
    }
    assert_eq!(served.pushes.load(Ordering::SeqCst), OFFERS.len());
}

/// What is not read waits, up to a limit.
#[test]
fn responses_out_of_order_wait_within_limits() {
    let served = Served::read_write();
    let mut config = Config::default();
    config.limits.buffered = 100_000;
    let client = Client::connect(&served.url(), config).unwrap();
    let pattern = |len: u64| Command::new("pattern").arg("len", Value::from(len));
    let commands = [pattern(50_000), pattern(300_000), pattern(10)];
    let [mut small, mut large, mut last] =
        <[_; 3]>::try_from(client.batch(&commands).unwrap()).unwrap();
    assert_eq!(last.bytes().unwrap().read_all(100).unwrap().len(), 10);
    assert_eq!(
        small.bytes().unwrap().read_all(100_000).unwrap().len(),
        50_000
    );
    assert!(matches!(large.next_value(), Err(Error::NotReadInOrder)));
}

#[test]
fn strings_are_read_in_pieces_passed_over_or_gathered() {
    let served = Served::read_write();
    for definite in [false, true] {
        let client = served.client();
        let command = Command::new("pattern")
            .arg("len", Value::from(100_000u64))
            .arg("definite", definite);
        let mut response = client.call(&command).unwrap();
        let mut string = response.bytes().unwrap();
        assert_eq!(string.length(), definite.then_some(100_000));
        let mut front = [0; 10];
        string.read_exact(&mut front).unwrap();
        // The rest is passed over.
        assert!(response.next_item().unwrap().is_none());
        let value = client.call(&command).unwrap().one_value().unwrap();
        assert!(matches!(value, Value::Bytes(bytes) if bytes.starts_with(&front)));
        let mut response = client.call(&command).unwrap();
        let Some(Item::Bytes(string)) = response.next_item().unwrap() else {
            panic!("a string");
        };
        assert!(matches!(string.read_all(99_999), Err(Error::ValueTooLarge)));
        let mut config = Config::default();
        config.limits.value_size = 99_999;
        let client = Client::connect(&served.url(), config).unwrap();
        let value = client.call(&command).unwrap().one_value();
        assert!(matches!(value, Err(Error::ValueTooLarge)));
    }
}

/// What a command announced and did not write is an error, not other bytes.
#[test]
fn a_byte_string_is_as_long_as_announced() {
    let served = Served::read_write();
    for offer in OFFERS {
        let client = client(&served, offer);
        let commands = [Command::new("short"), Command::new("echo")];
        let [mut short, echo] = <[_; 2]>::try_from(client.batch(&commands).unwrap()).unwrap();
        let result = short.bytes().and_then(|string| string.read_all(100));
        assert!(matches!(result, Err(Error::Server(_))), "{result:?}");
        assert!(echo.one_value().is_ok());
    }
}

#[test]
fn a_request_has_data() {
    let served = Served::read_write();
    let data = vec![7; 100_000];
    let command = Command::new("data").data(data.clone());
    let mut response = served.client().call(&command).unwrap();
    assert!(response.bytes().unwrap().read_all(1 << 20).unwrap() == data);
}

#[test]
fn a_push_command_goes_to_rw_and_needs_permission() {
    let served = Served::new(ServerConfig::default());
    let result = served.client().call(&Command::new("set"));
    assert!(
        matches!(&result, Err(Error::Status(status)) if status.code == 403),
        "{result:?}"
    );
    assert!(served.is_alive());
    assert_eq!(served.pushes.load(Ordering::SeqCst), 0);
}

#[test]
fn who_may_what_is_asked_for_every_command() {
    let mut config = ServerConfig::default();
    config.authorize = Arc::new(|access: &hgrpc_std::http::server::Access<'_>| {
        let who = access.basic_credentials();
        let may = match (who, access.permission(), access.command()) {
            (Some((user, password)), _, "crash") => user == "root" && password == "p:w",
            (Some(_), _, _) | (None, Permission::Pull, "capabilities") => true,
            _ => false,
        };
        let denial = || Denial::unauthorized("who are you", "Basic realm=\"x\"");
        may.then_some(()).ok_or_else(denial)
    });
    let served = Served::new(config);
    let with = |userinfo: &str| {
        let url = format!("http://{userinfo}{}/", served.address);
        Client::connect(&url, Config::default()).unwrap()
    };
    let code = |result: Result<hgrpc_std::http::Response, Error>| match result {
        Ok(_) => 200,
        Err(Error::Status(status)) => status.code,
        Err(other) => panic!("{other}"),
    };
    let [echo, crash, set] = ["echo", "crash", "set"].map(Command::new);
    assert_eq!(code(with("").call(&echo)), 401);
    assert_eq!(code(with("me:x@").call(&echo)), 200);
    assert_eq!(code(with("me:x@").call(&set)), 200);
    assert_eq!(code(with("me:x@").call(&crash)), 401);
    assert_eq!(code(with("root:p%3Aw@").call(&crash)), 200);
    // Also where it stands among others.
    let batch = |client: Client| {
        client
            .batch(&[echo.clone(), crash.clone()])
            .map(|mut r| r.remove(0))
    };
    assert_eq!(code(batch(with("me:x@"))), 401);
    assert_eq!(code(batch(with("root:p%3Aw@"))), 200);
    assert!(!with("me:secret@").url().contains("secret"));
}

#[test]
fn local_checks_send_nothing() {
    let served = Served::read_write();
    let client = served.client();
    let result = client.call(&Command::new("nosuch"));
    assert!(matches!(result, Err(Error::UnknownCommand(_))));
    let result = client.call(&Command::new("echo").bytes("y", ""));
    assert!(matches!(result, Err(Error::UnknownArguments { .. })));
    let result = client.call(&Command::new("pattern"));
    assert!(matches!(result, Err(Error::MissingArguments { .. })));
    assert!(client.batch(&[]).unwrap().is_empty());
}

#[test]
fn a_dropped_response_leaves_the_client_usable() {
    let served = Served::read_write();
    let client = served.client();
    let large = Command::new("pattern").arg("len", Value::from(10_000_000u64));
    drop(client.call(&large).unwrap());
    let mut responses = client.batch(&[large, Command::new("echo")]).unwrap();
    let echo = responses.remove(1);
    drop(responses);
    assert!(echo.one_value().is_ok());
}

#[test]
fn a_redirect_is_surfaced_or_followed() {
    use hgrpc::cbor::Location;
    use hgrpc_std::blocking::Router;
    use hgrpc_std::http::server::Server;
    use hgrpc_std::http::{Capabilities, CommandInfo, RedirectInfo, RedirectTarget};
    use sha2::{Digest, Sha256};

    let elsewhere = crate::canned::Canned::cbor(b"\x01\x43abc");
    let url = elsewhere.url();
    let hash = |right: bool| {
        let body: &[u8] = if right {
            b"\x01\x43abc"
        } else {
            b"\x01\x43abd"
        };
        [b"\x81\x82\x46sha256\x58\x20", &Sha256::digest(body)[..]].concat()
    };
    let handler = move |right: bool| {
        let (url, hash) = (url.clone(), hash(right));
        move |call: hgrpc_std::blocking::Call, reply: hgrpc_std::blocking::Reply| {
            if call.redirect_targets().is_none() {
                return reply.fail("not redirected").unwrap();
            }
            let hashes = hgrpc::cbor::Value::from_cbor(&hash).unwrap();
            let location = Location::new(url.as_bytes(), b"application/mercurial-cbor")
                .with_size(5)
                .with_fullhashes(hashes);
            reply.redirect(&location).unwrap();
        }
    };
    let router = Router::new()
        .handler("right", handler(true))
        .handler("wrong", handler(false));
    let mut capabilities = Capabilities::new([
        ("right", CommandInfo::pull()),
        ("wrong", CommandInfo::pull()),
    ]);
    let mut target = RedirectTarget::default();
    target.name = "here".into();
    target.protocol = "http".into();
    let mut info = RedirectInfo::default();
    info.targets.push(target);
    info.hashes.push("sha256".into());
    capabilities.redirect = Some(info);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let running = Server::new(router, capabilities, ServerConfig::default())
        .start(listener)
        .unwrap();
    let url = format!("http://{}/", running.address());
    for offer in OFFERS {
        let client = |redirects| {
            let mut config = Config::default();
            config.encodings = offer.to_vec();
            config.redirects = redirects;
            Client::connect(&url, config).unwrap()
        };
        let [right, wrong] = ["right", "wrong"].map(Command::new);
        let result = client(Redirects::Decline).call(&right).unwrap().values();
        assert!(matches!(result, Err(Error::Command(_))), "{result:?}");
        let mut surfaced = client(Redirects::Surface).call(&right).unwrap();
        let redirect = surfaced.wait().unwrap().unwrap();
        assert_eq!((&redirect.url, redirect.size), (&elsewhere.url(), Some(5)));
        assert_eq!(redirect.full_hashes.len(), 1);
        assert!(matches!(surfaced.next_value(), Err(Error::Redirected(_))));
        let values = client(Redirects::Follow).call(&right).unwrap().values();
        assert_eq!(values.unwrap(), [Value::from(1u64), bytes("abc")]);
        let values = client(Redirects::Follow).call(&wrong).unwrap().values();
        assert!(matches!(values, Err(Error::HashMismatch { .. })));
    }
    running.stop();
}
