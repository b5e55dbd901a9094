//! What a server makes of bad requests: the checks of http-v2.md, 2 in their order, each with its
//! status; and that it goes on.

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hgrpc_std::blocking::Router;
use hgrpc_std::http::server::{
    ConnectionLimit, Peer, Refusal, Server, ServerConfig, Shutdown as Stopped,
};
use hgrpc_std::http::{Capabilities, CommandInfo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{F, Served, connect, exchange, frame, good_post, post, read_answer, request};

const API: &str = "/api/exp-http-v2-0003";

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes()
}

#[test]
fn checks_come_in_their_order() {
    let served = Served::new(ServerConfig::default());
    let status = |request: &[u8]| exchange(served.address, request).status;
    let heads = request(1, true, "echo");
    let length = heads.len().to_string();
    let all = [
        ("Accept", F),
        ("Content-Type", F),
        ("Content-Length", length.as_str()),
    ];
    let without = |index: usize| {
        let mut headers = all.to_vec();
        headers.remove(index);
        headers
    };
    // Rows 2 to 8.
    let apis = exchange(served.address, &get("/api"));
    assert_eq!(apis.status, 200);
    assert!(
        apis.text().contains("\n\nexp-http-v2-0003\n"),
        "{}",
        apis.text()
    );
    assert_eq!(status(&get("/api/other")), 404);
    assert_eq!(status(&get(API)), 200);
    assert_eq!(status(&get(&format!("{API}/ro"))), 404);
    assert_eq!(status(&get(&format!("{API}/xx/echo"))), 404);
    let wrong = exchange(served.address, &get(&format!("{API}/ro/nosuch")));
    assert_eq!(wrong.status, 405);
    assert!(wrong.head.contains("allow: post"), "{}", wrong.head);
    // Row 9, before the command is looked up.
    assert_eq!(status(&good_post(&format!("{API}/rw/nosuch"), &heads)), 403);
    // Rows 11 to 13.
    let target = format!("{API}/ro/echo");
    assert_eq!(status(&post(&format!("{API}/ro/nosuch"), &[], b"")), 404);
    assert_eq!(status(&post(&target, &without(0), &heads)), 406);
    let mut list = all;
    list[0].1 = "*/*";
    assert_eq!(status(&post(&target, &list, &heads)), 406);
    assert_eq!(status(&post(&target, &without(1), &heads)), 415);
    assert_eq!(status(&post(&target, &[("Content-Length", "0")], b"")), 406);
    // No length.
    let chunked = [all[0], all[1], ("Transfer-Encoding", "chunked")];
    assert_eq!(status(&post(&target, &chunked, b"0\r\n\r\n")), 411);
    // All is well, with what may follow.
    let parameter = format!("{F}; charset=x");
    let mut with_parameter = all;
    with_parameter[1].1 = &parameter;
    assert_eq!(status(&post(&target, &with_parameter, &heads)), 200);
    assert_eq!(status(&good_post(&format!("{target}/more"), &heads)), 200);
    assert_eq!(status(&get("/")), 404);
    assert_eq!(status(&get("/other")), 404);
    assert!(served.is_alive());
}

#[test]
fn bodies_are_refused_with_their_status() {
    let served = Served::new(ServerConfig::default());
    let body = |target: &str, body: &[u8]| {
        let answer = exchange(served.address, &good_post(&format!("{API}/{target}"), body));
        assert!(answer.head.contains("text/plain"), "{}", answer.head);
        (answer.status, answer.text().trim().to_owned())
    };
    let echo = request(1, true, "echo");
    let named = |status, name: &str| (status, name.to_owned());
    // The reader, and what the reference fails at.
    assert_eq!(body("ro/echo", &echo[..5]), named(400, "short-header"));
    assert_eq!(body("ro/echo", &echo[..12]), named(400, "short-payload"));
    assert_eq!(
        body("ro/echo", b"\xff\xff\xff\x01\x00\x01\x01\x11"),
        named(400, "frame-too-large")
    );
    assert_eq!(
        body("ro/echo", &frame(1, 1, 5, 1, 1, b"\xa0")),
        named(400, "encoding-unsupported")
    );
    assert_eq!(
        body("ro/echo", &frame(1, 1, 1, 1, 1, b"\xff")),
        named(400, "malformed-request")
    );
    // H-03.
    for nothing in [
        &b""[..],
        &frame(1, 1, 1, 1, 5, b"\xa1"),
        &frame(1, 1, 1, 8, 2, b"\xa0"),
    ] {
        assert_eq!(body("ro/echo", nothing).0, 400);
    }
    // What the reference reports with 200.
    assert_eq!(
        body("ro/echo", &frame(1, 2, 1, 1, 1, b"\xa0")),
        named(200, "stream-parity")
    );
    assert_eq!(
        body("ro/echo", &frame(1, 1, 1, 1, 1, b"\xa0")),
        named(200, "missing-name")
    );
    let two = [request(1, true, "echo"), request(3, false, "echo")].concat();
    assert_eq!(body("ro/echo", &two).0, 200);
    assert_eq!(body("ro/fail", &echo).0, 200);
    let unknown = [request(1, true, "echo"), request(3, false, "nosuch")].concat();
    assert_eq!(body("ro/multirequest", &unknown).0, 200);
    assert!(served.is_alive());
}

#[test]
fn a_push_command_under_ro_is_refused_on_every_address() {
    let served = Served::read_write();
    let set = request(1, true, "set");
    let late = [request(1, true, "echo"), request(3, false, "set")].concat();
    for (target, body, status) in [
        ("ro/set", &set, 403),
        ("ro/multirequest", &set, 403),
        ("ro/multirequest", &late, 403),
        // Not the command of the address.
        ("ro/echo", &set, 200),
    ] {
        let answer = exchange(served.address, &good_post(&format!("{API}/{target}"), body));
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.head.contains("text/plain"));
    }
    assert_eq!(served.pushes.load(Ordering::SeqCst), 0);
    let answer = exchange(
        served.address,
        &good_post(&format!("{API}/rw/multirequest"), &late),
    );
    assert_eq!(
        (answer.status, served.pushes.load(Ordering::SeqCst)),
        (200, 1)
    );
}

/// Accepted 4: the client, who only closes its sending half, is told; each such body is counted.
#[test]
fn a_body_that_stops_half_way() {
    let served = Served::new(ServerConfig::default());
    let whole = good_post(&format!("{API}/ro/echo"), &request(1, true, "echo"));
    let head = whole.len() - request(1, true, "echo").len();
    for (number, end) in (1..).zip([head, head + 1, whole.len() - 5, whole.len() - 1]) {
        let mut stream = connect(served.address);
        stream.write_all(&whole[..end]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = read_answer(&mut stream);
        assert_eq!(answer.status, 400);
        assert!(answer.head.contains("text/plain"), "{}", answer.head);
        assert_eq!(answer.text(), "the request was cut short\n");
        assert_eq!(served.stats().refused_for(Refusal::CutShort), number);
    }
    assert_eq!(served.stats().answered_with(400), 4);
    assert!(served.is_alive());
}

/// The same where both halves go: nobody is told, and it is counted all the same.
#[test]
fn a_connection_that_breaks_inside_a_body() {
    let served = Served::new(ServerConfig::default());
    let whole = good_post(&format!("{API}/ro/echo"), &request(1, true, "echo"));
    let mut stream = connect(served.address);
    stream.write_all(&whole[..whole.len() - 5]).unwrap();
    drop(stream);
    served.wait_for(|stats| stats.refused_for(Refusal::CutShort) == 1);
    assert!(served.is_alive());
}

#[test]
fn a_body_that_never_comes() {
    let mut config = ServerConfig::default();
    config.limits.slow_frame = Some(Duration::from_millis(200));
    let served = Served::new(config);
    let whole = good_post(&format!("{API}/ro/echo"), &request(1, true, "echo"));
    let mut stream = connect(served.address);
    stream.write_all(&whole[..whole.len() - 5]).unwrap();
    assert_eq!(read_answer(&mut stream).status, 408);
    assert_eq!(served.stats().refused_for(Refusal::Slow), 1);
    assert!(served.is_alive());
}

#[test]
fn expectations_are_met_before_the_body() {
    let served = Served::new(ServerConfig::default());
    let body = request(1, true, "echo");
    let length = body.len().to_string();
    let headers = [
        ("Accept", F),
        ("Content-Type", F),
        ("Content-Length", length.as_str()),
        ("Expect", "100-continue"),
    ];
    let mut stream = connect(served.address);
    stream
        .write_all(&post(&format!("{API}/ro/echo"), &headers, b""))
        .unwrap();
    let mut interim = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body).unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    // A refusal comes without.
    let mut stream = connect(served.address);
    stream
        .write_all(&post(&format!("{API}/ro/nosuch"), &headers, b""))
        .unwrap();
    assert_eq!(read_answer(&mut stream).status, 404);
}

#[test]
fn limits_have_statuses() {
    let mut config = ServerConfig::default();
    config.limits.per_connection.gathered = 100;
    let served = Served::new(config);
    let answer = exchange(
        served.address,
        &good_post(&format!("{API}/ro/echo"), &[0; 101]),
    );
    assert_eq!(answer.status, 413);
    assert_eq!(served.stats().refused_for(Refusal::RequestTooLarge), 1);
    let mut config = ServerConfig::default();
    config.limits.requests = 0;
    let served = Served::new(config);
    let body = request(1, true, "echo");
    let answer = exchange(served.address, &good_post(&format!("{API}/ro/echo"), &body));
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    assert_eq!(served.stats().refused_for(Refusal::TooManyRequests), 1);
    // One request over its limits is refused in its frames, and its neighbour goes on.
    let mut config = ServerConfig::default();
    config.limits.per_connection.calls = 1;
    let served = Served::new(config);
    let two = [request(1, true, "echo"), request(3, false, "echo")].concat();
    let answer = exchange(
        served.address,
        &good_post(&format!("{API}/ro/multirequest"), &two),
    );
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().contains("too-many-requests"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("fields"), "{}", answer.text());
}

#[test]
fn strict_statuses() {
    let mut config = ServerConfig::default();
    config.strict_status = true;
    let served = Served::new(config);
    let parity = frame(1, 2, 1, 1, 1, b"\xa0");
    let answer = exchange(
        served.address,
        &good_post(&format!("{API}/ro/echo"), &parity),
    );
    assert_eq!(answer.status, 400);
}

#[test]
fn handshakes() {
    let mut config = ServerConfig::default();
    config.version_1 = "known".into();
    config.path = "/repo".into();
    let served = Served::new(config);
    let ask = |headers: &str| {
        let target = "GET /repo?cmd=capabilities HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        exchange(served.address, format!("{target}{headers}\r\n").as_bytes())
    };
    let upgrade =
        ask("X-HgUpgrade-1: x exp-http-\r\nX-HgUpgrade-2: v2-0003\r\nX-HgProto-1: cbor\r\n");
    assert!(
        upgrade.head.contains("application/mercurial-cbor"),
        "{}",
        upgrade.head
    );
    assert!(upgrade.head.contains("content-length"));
    assert!(upgrade.text().contains("commands"));
    for headers in [
        "",
        "X-HgUpgrade-1: exp-http-v2-0003\r\n",
        "X-HgProto-1: cbor\r\n",
        "X-HgUpgrade-1: exp-http-v2-0003\r\nX-HgProto-1: cborg\r\n",
        "X-HgUpgrade: exp-http-v2-0003\r\nX-HgProto: cbor\r\n",
    ] {
        let version_1 = ask(headers);
        assert!(
            version_1.head.contains("application/mercurial-0.1"),
            "{}",
            version_1.head
        );
        assert_eq!(version_1.text(), "known");
    }
    let other = ask("X-HgUpgrade-1: other\r\nX-HgProto-1: cbor\r\n");
    assert_eq!(
        other.body,
        b"\xa3\x47apibase\x44api/\x44apis\xa0\x4ev1capabilities\x45known"
    );
    let posted = b"POST /repo?cmd=capabilities HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(exchange(served.address, posted).status, 405);
    let version_1 = exchange(served.address, &get("/repo?cmd=heads"));
    assert!(
        version_1.head.contains("application/hg-error"),
        "{}",
        version_1.head
    );
    assert!(version_1.text().contains("advertise-v2"));
}

#[test]
fn running_requests_end_before_the_server_does() {
    use hgrpc_std::blocking::Router;
    use hgrpc_std::http::server::Server;
    use hgrpc_std::http::{Capabilities, Client, Command, CommandInfo, Config};
    use std::sync::mpsc::channel;

    let (entered, enters) = channel();
    let (leave, leaves) = channel::<()>();
    let leaves = std::sync::Mutex::new(leaves);
    let router = Router::new().command("wait", move |_, reply| {
        entered.send(()).unwrap();
        leaves.lock().unwrap().recv().unwrap();
        reply.value(&7)?;
        Ok(())
    });
    let capabilities = Capabilities::new([("wait", CommandInfo::pull())]);
    let server = Server::new(router, capabilities, ServerConfig::default());
    let running = server
        .start(std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .unwrap();
    let url = format!("http://{}/", running.address());
    let client = Client::connect(&url, Config::default()).unwrap();
    let waiting =
        std::thread::spawn(move || client.call(&Command::new("wait")).unwrap().one_value());
    enters.recv().unwrap();
    let stopping = std::thread::spawn(move || running.stop());
    leave.send(()).unwrap();
    assert!(waiting.join().unwrap().is_ok());
    assert_eq!(stopping.join().unwrap(), Stopped::default());
    assert!(Client::connect(&url, Config::default()).is_err());
}

/// Serves one command, `wait`, that waits for its client to go and then says whether it has.
fn waiting(config: ServerConfig) -> (hgrpc_std::http::server::Running, Said, Said) {
    use hgrpc_std::blocking::Router;
    use hgrpc_std::http::server::Server;
    use hgrpc_std::http::{Capabilities, CommandInfo};

    let (entered, enters) = std::sync::mpsc::channel();
    let (said, says) = std::sync::mpsc::channel();
    let router = Router::new().command("wait", move |call, _| {
        entered.send(true).unwrap();
        said.send(call.gone().wait_timeout(crate::support::PATIENCE))
            .unwrap();
        Ok(())
    });
    let capabilities = Capabilities::new([("wait", CommandInfo::pull())]);
    let server = Server::new(router, capabilities, config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    (server.start(listener).unwrap(), enters, says)
}

type Said = std::sync::mpsc::Receiver<bool>;

#[test]
fn a_command_is_told_that_its_client_has_gone() {
    let (running, enters, says) = waiting(ServerConfig::default());
    let mut stream = connect(running.address());
    let wait = good_post(&format!("{API}/ro/wait"), &request(1, true, "wait"));
    stream.write_all(&wait).unwrap();
    assert!(enters.recv().unwrap());
    drop(stream);
    assert!(says.recv().unwrap());
    running.stop();
}

#[test]
fn stopping_waits_for_commands_only_so_long() {
    let mut config = ServerConfig::default();
    config.shutdown = std::time::Duration::from_millis(100);
    let (running, enters, says) = waiting(config);
    let mut stream = connect(running.address());
    let wait = good_post(&format!("{API}/ro/wait"), &request(1, true, "wait"));
    stream.write_all(&wait).unwrap();
    assert!(enters.recv().unwrap());
    let server = running.server().clone();
    let stopped = running.stop();
    assert!(says.recv().unwrap());
    let [cut] = &stopped.cut[..] else {
        panic!("one connection: {stopped:?}");
    };
    assert_eq!(cut.peer.address, Some(stream.local_addr().unwrap()));
    assert_eq!(cut.request, format!("POST {API}/ro/wait"));
    assert_eq!(server.stats().closed_for(ConnectionLimit::Deadline), 1);
}

#[test]
fn what_was_done_is_counted() {
    let served = Served::new(ServerConfig::default());
    let echo = good_post(&format!("{API}/ro/echo"), &request(1, true, "echo"));
    assert_eq!(exchange(served.address, &echo).status, 200);
    assert_eq!(exchange(served.address, &get("/nothing")).status, 404);
    let set = good_post(&format!("{API}/rw/set"), &request(1, true, "set"));
    assert_eq!(exchange(served.address, &set).status, 403);
    let panic = good_post(&format!("{API}/ro/panic"), &request(1, true, "panic"));
    let answer = exchange(served.address, &panic);
    assert!(answer.text().contains("the command panicked"));
    let mut stream = connect(served.address);
    stream.write_all(b"what is this\r\n\r\n").unwrap();
    let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    let stats = served.wait_for(|stats| stats.connections == 0 && stats.running == 0);
    let requests = [&echo, &get("/nothing"), &set, &panic];
    let sent: usize = requests.iter().map(|request| request.len()).sum();
    assert_eq!((stats.accepted, stats.requests), (5, 4));
    assert_eq!((stats.commands, stats.panicked), (2, 1));
    assert_eq!([200, 403, 404].map(|s| stats.answered_with(s)), [2, 1, 1]);
    assert_eq!(stats.refused_for(Refusal::NotFound), 1);
    assert_eq!(stats.refused_for(Refusal::Forbidden), 1);
    assert_eq!((stats.protocol_errors, stats.broken), (1, 0));
    assert_eq!(stats.bytes_in, sent as u64 + 16);
    assert!(stats.bytes_out > 400, "{stats:?}");
    assert_eq!((stats.most_running, stats.held_bytes), (1, 0));
    assert!(stats.most_bytes > 0);
}

/// Over a byte stream of the caller's, whose peer the owner knows.
#[cfg(unix)]
#[test]
fn who_is_on_a_unix_socket_is_known() {
    use hgrpc_std::blocking::Router;
    use hgrpc_std::http::server::{Access, Denial, Peer, Server};
    use hgrpc_std::http::{Capabilities, CommandInfo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let router = Router::new().command("who", |_, _| Ok(()));
    let mut config = ServerConfig::default();
    config.authorize = std::sync::Arc::new(|access: &Access<'_>| {
        let credentials = access.peer().credentials;
        let uid = credentials.map(|c| c.uid.to_string());
        Err(Denial::forbidden(uid.unwrap_or_default()))
    });
    let capabilities = Capabilities::new([("who", CommandInfo::pull())]);
    let server = Server::new(router, capabilities, config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answer = runtime.block_on(async {
        let (mut near, far) = tokio::net::UnixStream::pair().unwrap();
        let peer = Peer::unix(&far);
        let serving = tokio::spawn(async move { server.serve_connection(far, peer).await });
        let who = good_post(&format!("{API}/ro/who"), &request(1, true, "who"));
        near.write_all(&who).await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        serving.await.unwrap();
        answer
    });
    let uid = rustix::process::getuid().as_raw();
    assert!(
        answer.starts_with(&format!("HTTP/1.1 403 {uid}\r\n")),
        "{answer}"
    );
}

/// A request that can never be taken is answered before anything of its body comes. Time stands still
/// here but where everything waits for it.
#[tokio::test(start_paused = true)]
async fn a_request_of_an_exabyte_is_refused_at_once() {
    let capabilities = Capabilities::new([("echo", CommandInfo::pull())]);
    let server = Server::new(Router::new(), capabilities, ServerConfig::default());
    for length in ["1000000000000000000", "5000000"] {
        let (mut client, stream) = tokio::io::duplex(4096);
        let server = server.clone();
        tokio::spawn(async move { server.serve_connection(stream, Peer::UNKNOWN).await });
        let head = format!(
            "POST {API}/ro/echo HTTP/1.1\r\nHost: x\r\nAccept: {F}\r\nContent-Type: {F}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        let began = tokio::time::Instant::now();
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
        assert_eq!(began.elapsed(), Duration::ZERO, "{length}");
    }
}
