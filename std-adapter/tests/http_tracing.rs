//! Spans of HTTP connections and requests, and what is said of refusals and panics.
#![cfg(all(feature = "http", feature = "http-server"))]
#![allow(missing_docs, reason = "a test")]

mod recorder;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc_std::blocking::Router;
use hgrpc_std::http::server::{Server, ServerConfig};
use hgrpc_std::http::{Capabilities, Client, Command, CommandInfo, Config};
use recorder::Recorder;

#[test]
fn connections_and_requests_have_spans() {
    let recorder = Recorder::global();
    let router = Router::new().command("panic", |_, _| panic!("on purpose"));
    let capabilities = Capabilities::new([("panic", CommandInfo::pull())]);
    let server = Server::new(router, capabilities, ServerConfig::default());
    let running = server
        .start(TcpListener::bind("127.0.0.1:0").unwrap())
        .unwrap();
    let address = running.address();
    let client = Client::connect(&format!("http://{address}/"), Config::default()).unwrap();
    let answer = client.call(&Command::new("panic")).unwrap().one_value();
    assert!(answer.is_err());
    drop(client);
    let mut stream = TcpStream::connect(address).unwrap();
    let nothing = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(nothing).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    // The client knows of the panic before its span ends.
    let began = Instant::now();
    while running.server().stats().running > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "it ends");
        thread::sleep(Duration::from_millis(1));
    }
    running.stop();
    let path = "/api/exp-http-v2-0003/ro/panic";
    let span = "connection peer=127.0.0.1:";
    recorder.assert_has(span, &format!("request method=POST path=\"{path}\""));
    recorder.assert_has(span, "ERROR message=the command panicked command=\"panic\"");
    recorder.assert_has(span, "request method=GET path=\"/nothing\"");
    let refused = "DEBUG message=the request was refused refusal=not-found status=404";
    recorder.assert_has(span, refused);
    recorder.assert_has(span, "message=closed");
}
