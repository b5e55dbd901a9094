//! What an archivist meets: rewritten histories, odd names, proxies, slow and silent servers, private
//! certificates, passwords.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hgrpc_mercurial::mirror::{Mirror, verify};
use hgrpc_mercurial::{Changeset, Commit, FileKind, MemoryRepository, Node, Phase, Repository};
use tempfile::TempDir;

use super::hg::{self, run_tool, tool};
use super::served::Served;

fn commit(repository: &MemoryRepository, parent: Node, path: &[u8], text: &str) -> Node {
    let change = Some((text.into(), FileKind::Plain));
    repository
        .commit(Commit {
            parents: [parent, Node::NULL],
            about: Changeset {
                user: b"somebody".to_vec(),
                description: text.into(),
                ..Changeset::default()
            },
            changes: [(path.to_vec(), change)].into(),
        })
        .unwrap()
}

/// The exit code, the output, and the error output.
fn output(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn rewritten_history_is_reported_kept_and_dropped() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mirror");
    let mirror = path.to_str().unwrap();
    let (before, after) = (MemoryRepository::new(), MemoryRepository::new());
    let mut parents = [Node::NULL; 2];
    // Three that stay, then those that are rewritten, of which drafts.
    for text in ["1\n", "2\n", "3\n"] {
        parents[0] = commit(&before, parents[0], b"a", text);
        parents[1] = commit(&after, parents[1], b"a", text);
    }
    let kept = parents[0];
    let first = commit(&before, kept, b"old", "4\n");
    let second = commit(&before, first, b"old", "5\n");
    before.set_draft([second]);
    before.set_bookmark("work", second);
    let rewritten = commit(&after, kept, b"new", "4\n");
    after.set_bookmark("work", rewritten);
    let [before, after] = [before, after].map(Served::memory);

    run_tool(&["hg", "mirror", &before.url, mirror]);
    let told = run_tool(&["hg", "mirror", &after.url, mirror]);
    assert!(told.starts_with("1 new changesets"), "{told}");
    let line = format!(
        "2 changesets kept that the server does not have any more, {first} the first \
         (--drop-missing drops them)"
    );
    assert!(told.contains(&line), "{told}");
    let read = Mirror::open(&path).unwrap();
    assert_eq!(read.len(), 6);
    assert_eq!(read.bookmarks()[&b"work"[..]], rewritten);
    assert_eq!(read.phase(read.number(&second).unwrap()), Phase::Draft);
    assert_eq!(read.phase(read.number(&first).unwrap()), Phase::Public);
    let json = run_tool(&["hg", "mirror", &after.url, mirror, "--json"]);
    assert!(
        json.contains(&format!("\"gone\":[\"{first}\",\"{second}\"]")),
        "{json}"
    );

    // Dropped with all that was theirs alone.
    let told = run_tool(&["hg", "mirror", &after.url, mirror, "--drop-missing"]);
    assert!(told.contains("2 changesets dropped"), "{told}");
    let read = Mirror::open(&path).unwrap();
    assert_eq!((read.len(), read.number(&first)), (4, None));
    assert!(verify(&path, &mut |_| {}).unwrap().damage.is_empty());
    let fresh = directory.path().join("fresh");
    run_tool(&["hg", "mirror", &after.url, fresh.to_str().unwrap()]);
    assert_eq!(Mirror::open(&fresh).unwrap().revisions(), read.revisions());

    // Another repository is not mixed in.
    let other = MemoryRepository::new();
    commit(&other, Node::NULL, b"other", "other\n");
    let other = Served::memory(other);
    let (code, _, error) = output(&mut tool(&["hg", "mirror", &other.url, mirror]));
    assert_eq!(code, 1);
    assert!(error.contains("another repository"), "{error}");
}

#[test]
fn names_need_not_be_text() {
    let repository = MemoryRepository::new();
    let node = commit(&repository, Node::NULL, b"caf\xe9 \xff\x07", "x");
    let node = commit(&repository, node, b"caf\xe9 \xff/\x80", "contents\n");
    repository.set_bookmark(b"m\xe4rk".to_vec(), node);
    let served = Served::memory(repository);
    let url = served.url.as_str();
    let files = run_tool(&["hg", "files", url]);
    assert_eq!(files, "caf\\xe9 \\xff\\x07\ncaf\\xe9 \\xff/\\x80\n");
    let raw = tool(&["hg", "files", url, "-0"]).output().unwrap().stdout;
    assert_eq!(raw, b"caf\xe9 \xff\x07\0caf\xe9 \xff/\x80\0");
    let name = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let mut cat = tool(&["hg", "cat", url]);
    cat.arg(name(b"caf\xe9 \xff/\x80"))
        .arg("-r")
        .arg(name(b"m\xe4rk"));
    assert_eq!(
        output(&mut cat),
        (0, "contents\n".to_owned(), String::new())
    );
    let mut cat = tool(&["hg", "cat", url]);
    let (code, _, error) = output(cat.arg(name(b"\xe9")));
    assert_eq!(
        (code, error.as_str()),
        (1, "hgrpc: no file \\xe9 in this changeset\n")
    );
    let marks = run_tool(&["hg", "bookmarks", url]);
    assert_eq!(marks, format!("m\\xe4rk {node}\n"));
}

/// Answers every connection with the same bytes, each after a pause, and keeps what was asked.
struct Fake {
    port: u16,
    asked: Arc<Mutex<Vec<u8>>>,
}

impl Fake {
    fn new(answer: &[u8], pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (all, answer) = (Arc::clone(&asked), answer.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, all, answer) = (stream.unwrap(), Arc::clone(&all), answer.clone());
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    let len = stream.read(&mut buffer).unwrap_or(0);
                    all.lock().unwrap().extend(&buffer[..len]);
                    if pause.is_zero() {
                        let _ = stream.write_all(&answer);
                        return;
                    }
                    for byte in answer.iter().chain(std::iter::repeat(&b'x')) {
                        thread::sleep(pause);
                        if stream.write_all(&[*byte]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { port, asked }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// What was asked, in lower case but for what is not text.
    fn asked(&self) -> String {
        String::from_utf8_lossy(&self.asked.lock().unwrap()).into_owned()
    }
}

fn fails(args: &[&str]) -> (i32, String) {
    let (code, _, error) = output(&mut tool(&[&["hg"], args].concat()));
    assert_eq!(error.lines().count(), 1, "{error}");
    (code, error)
}

#[test]
fn slow_and_silent_servers_are_given_up() {
    // Nothing at all; a head that never ends; an answer that never ends.
    let silent = Fake::new(b"", Duration::from_secs(600));
    let head = Fake::new(b"HTTP/1.1 200 OK\r\nX: ", Duration::from_millis(20));
    let body = b"HTTP/1.1 200 OK\r\nContent-Type: application/mercurial-cbor\r\n\
                 Content-Length: 100000\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dripping = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(body);
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    for (url, expected) in [
        (silent.url(), "the server sent nothing in time"),
        (head.url(), "the server sent nothing in time"),
        (dripping, "bytes in 1s"),
    ] {
        let (code, error) = fails(&["heads", &url, "--timeout", "1s"]);
        assert_eq!(code, 3, "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let help = run_tool(&["hg", "heads", "--help"]);
    assert!(help.contains("[default: 2m]"), "{help}");
}

#[test]
fn messages_say_what_happened_in_plain_words() {
    let page = "<html><head><title>404 Not\n Found</title><style>x</style></head><body>\
                <h1>No</h1><p>such place</body></html>";
    let answer = format!(
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    let fake = Fake::new(answer.as_bytes(), Duration::ZERO);
    let (code, error) = fails(&["heads", &fake.url()]);
    assert_eq!(code, 3);
    let expected = "HTTP status 404: no such repository, API or command (404 Not Found)\n";
    assert!(error.ends_with(expected), "{error}");
    // Plain HTTP where TLS is spoken.
    let (code, error) = fails(&["heads", &fake.url().replace("http:", "https:")]);
    assert_eq!(code, 3);
    assert!(
        error.contains("does not speak TLS: is it http://"),
        "{error}"
    );
}

#[test]
fn a_proxy_for_http_is_asked_as_one() {
    let repository = MemoryRepository::new();
    let node = commit(&repository, Node::NULL, b"a", "1\n");
    let served = Served::memory(repository);
    // Passes everything on, as what it gets names the server; and keeps it.
    let to = served.url.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://me:pass@{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, all) = (client.unwrap(), Arc::clone(&all));
            let mut server = TcpStream::connect(&to).unwrap();
            let mut back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = client.read(&mut buffer) {
                    all.lock().unwrap().extend(&buffer[..len]);
                    server.write_all(&buffer[..len]).unwrap();
                }
            });
        }
    });
    // A name that only the proxy would know.
    let mut command = tool(&["hg", "heads", "http://repository.invalid"]);
    let (code, out, error) = output(command.env("http_proxy", &proxy));
    let asked = String::from_utf8_lossy(&asked.lock().unwrap()).into_owned();
    assert_eq!((code, out), (0, format!("{node}\n")), "{error}{asked}");
    let line = "GET http://repository.invalid/?cmd=capabilities HTTP/1.1\r\n\
                Proxy-Authorization: Basic bWU6cGFzcw==\r\n";
    assert!(asked.starts_with(line), "{asked}");
    let line = "POST http://repository.invalid/api/exp-http-v2-0003/ro/heads HTTP/1.1\r\n";
    assert!(asked.contains(line), "{asked}");
    assert!(!asked.contains("CONNECT"), "{asked}");
    // Not for those that are excepted.
    let mut command = tool(&["hg", "heads", &served.url]);
    let command = command.env("http_proxy", "http://127.0.0.1:1");
    assert_eq!(output(command.env("no_proxy", "x,127.0.0.1")).0, 0);
}

#[test]
fn passwords_are_not_on_the_command_line() {
    let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, "se:cret\nanything\n").unwrap();
    let sent = |change: &dyn Fn(&mut Command)| {
        let fake = Fake::new(answer, Duration::ZERO);
        let mut command = tool(&["hg", "heads"]);
        change(command.arg(fake.url()));
        let (code, _, error) = output(&mut command);
        assert_eq!(code, 3, "{error}");
        assert!(error.contains("authorization failed"), "{error}");
        fake.asked().to_lowercase()
    };
    // me:se:cret
    let expected = "authorization: basic bwu6c2u6y3jldA==".to_lowercase();
    let asked = sent(&|command| {
        command.args(["--user", "me", "--password-file"]).arg(&file);
    });
    assert!(asked.contains(&expected), "{asked}");
    let asked = sent(&|command| {
        command
            .args(["--user", "me"])
            .env("HGRPC_PASSWORD", "se:cret");
    });
    assert!(asked.contains(&expected), "{asked}");
    let asked = sent(&|_| {});
    assert!(!asked.contains("authorization"), "{asked}");
}

/// Certificates for 127.0.0.1 and localhost, of an authority that nobody else knows; valid till 2126.
fn certificate(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mercurial/certificates");
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn private_certificates_are_trusted_where_they_are_named() {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let original = directory.path().join("original");
    hg::run(directory.path(), &["init", "original"]);
    fs::write(original.join("a"), "a\n").unwrap();
    hg::run(&original, &["commit", "-A", "-m", "first"]);
    let node = hg::run(&original, &["log", "-T", "{node}\n"]);
    let serve = hg::Serve::with(&original, &["--certificate", &certificate("server.pem")]);
    let url = serve.url.replace("http:", "https:");
    let authority = certificate("authority.pem");
    assert_eq!(
        run_tool(&["hg", "heads", &url, "--cacert", &authority]),
        node
    );
    let (code, error) = fails(&["heads", &url]);
    assert_eq!(code, 3);
    assert!(error.contains("UnknownIssuer"), "{error}");
    let letter = directory.path().join("letter");
    fs::write(&letter, "dear").unwrap();
    let (code, error) = fails(&["heads", &url, "--cacert", letter.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(
        error.contains("the trusted certificates: there is none"),
        "{error}"
    );
}
