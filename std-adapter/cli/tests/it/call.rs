//! `hgrpc call` as a user runs it, where all goes well.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hgrpc::Revision;
use hgrpc_std::blocking::{Call, Config, Failure, Reply, Router, Transport, serve};
use hgrpc_std::encoding::SUPPORTED;

use crate::server::{REVISIONS, call, call_with, peer, server, server_of, unix_server};

use crate::tool::tool;

/// A guard against hanging.
const LONG: Duration = Duration::from_secs(60);

/// Bytes of several frames, of which no two parts are the same.
fn bytes(len: u32) -> Vec<u8> {
    (0..len)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes())
        .collect()
}

#[test]
fn results_have_three_forms_in_every_revision() {
    for revision in REVISIONS {
        let address = server_of(revision);
        let result = |form: &str, words: &[&str]| {
            let mut args = vec![&address[..], "--revision", revision.name()];
            args.extend(Some(form).filter(|form| !form.is_empty()));
            args.extend(words);
            call(&args).done().to_owned()
        };
        // In 0006 bytes are a byte string; before, they are bytes, and text is shown as that.
        let hello = if revision == Revision::R0006 {
            "b'hello'\n"
        } else {
            "hello\n"
        };
        assert_eq!(result("", &["echo", "msg=hello"]), hello);
        assert_eq!(result("--json", &["echo", "msg=hello"]), "\"hello\"\n");
        assert_eq!(result("--raw", &["echo", "msg=hello"]), "hello");
        assert_eq!(
            result("", &["echo", "msg:=[1, {'a': 2.5}, null]"]),
            "[1, {b'a': 2.5}, null]\n"
        );
        assert_eq!(result("--json", &["echo", "msg:=[1, true]"]), "[1,true]\n");
        assert_eq!(result("--raw", &["echo", "msg:=\"hello\""]), "ehello");
        assert_eq!(result("", &["values"]), "1\n[2, b'a']\n{b'k': null}\n");
        assert_eq!(
            result("--json", &["values"]),
            "1\n[2,\"a\"]\n{\"k\":null}\n"
        );
        assert_eq!(result("", &["cat"]), "");
        assert_eq!(result("--raw", &["cat"]), "");
        assert_eq!(result("", &["length"]), "0\n");
        assert_eq!(
            result("", &["args", "b:=1", "aa=x", "c:=[]"]),
            if revision == Revision::R0006 {
                "{b'aa': b'x', b'b': 1, b'c': []}\n"
            } else {
                "{b'b': 1, b'c': [], b'aa': b'x'}\n"
            }
        );
    }
}

#[test]
fn data_comes_from_a_file_and_from_standard_input_and_goes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let content = bytes(500_000);
    fs::write(&from, &content).unwrap();
    for revision in REVISIONS {
        let address = server_of(revision);
        let common = [&address[..], "--revision", revision.name(), "cat"];
        let [from, to_name] = [&from, &to].map(|path| path.to_str().unwrap());
        let run = call(&[&common[..], &["--data", from, "--raw"]].concat());
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        assert!(run.out == content, "{revision}");
        let run = call_with(
            &[&common[..], &["--data", "-", "-o", to_name]].concat(),
            content.clone(),
        );
        assert_eq!(run.done(), "");
        assert!(fs::read(&to).unwrap() == content, "{revision}");
        let run = call_with(
            &[&common[..], &["--data", "-", "--json", "-o", to_name]].concat(),
            "x",
        );
        assert_eq!(run.done(), "");
        assert_eq!(fs::read(&to).unwrap(), b"\"x\"\n");
        let argument = format!("msg@={to_name}");
        let run = call(&[&common[..3], &["echo", "--raw", &argument]].concat());
        assert_eq!(run.done(), "\"x\"\n");
    }
}

#[test]
fn an_output_file_is_replaced_at_the_end_or_stays() {
    let address = server_of(Revision::R0006);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b");
    let name = path.to_str().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    fs::write(&path, "before").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    for command in [
        &["fail"][..],
        &["fail-late"],
        &["cut", "after:=70000"],
        &["bytes-then-value"],
    ] {
        let run = call(&[&[&address[..], "--output", name], command].concat());
        assert_ne!(run.code, Some(0));
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
        assert_eq!(fs::read(&path).unwrap(), b"before");
    }
    call(&[
        &address,
        "echo",
        "msg=after",
        "--output",
        link.to_str().unwrap(),
    ])
    .done();
    assert_eq!(fs::read(&path).unwrap(), b"after");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    // Nothing else is left, and what is no file is not replaced.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    call(&[&address, "echo", "msg=x", "--output", "/dev/null"]).done();
    let fresh = folder.path().join("fresh");
    call(&[
        &address,
        "echo",
        "msg=x",
        "--output",
        fresh.to_str().unwrap(),
    ])
    .done();
    assert_eq!(fs::read(&fresh).unwrap(), b"x");
}

#[test]
fn text_and_progress_are_on_the_error_output() {
    for revision in REVISIONS {
        let address = server_of(revision);
        let run = call(&[&address, "--revision", revision.name(), "say", "--raw"]);
        assert_eq!((run.code, run.text()), (Some(0), "said"));
        let lines: Vec<&str> = run.err.lines().collect();
        assert_eq!(
            lines.first(),
            Some(&"remote: careful: \\x1b[31m"),
            "{}",
            run.err
        );
        assert_eq!(lines.last(), Some(&"remote: bye"), "{}", run.err);
        assert!(run.err.contains("remote: files: 1/2\n"), "{}", run.err);
    }
}

#[test]
fn frames_are_shown_as_they_go_by() {
    let address = server_of(Revision::R0005);
    let run = call(&[&address, "--revision", "0005", "-v", "echo", "msg=x"]);
    assert_eq!((run.code, run.text()), (Some(0), "x\n"));
    assert_eq!(
        run.err,
        "-> frame(size=23; request=1; stream=1; streamflags=stream-begin; type=command-request; flags=new)\n\
         <- frame(size=12; request=1; stream=2; streamflags=stream-begin; type=command-response; flags=eos)\n"
    );
}

#[test]
fn frames_have_the_size_that_was_asked_for() {
    let mut config = Config::new(Revision::R0006);
    config.limits.frame_size = 256;
    config.limits.send_frame_size = 256;
    let address = server(&config);
    let run = call_with(
        &[
            &address[..],
            "--max-frame",
            "256",
            "cat",
            "--data",
            "-",
            "--raw",
            "--accept-encoding",
            "identity",
        ],
        bytes(1000),
    );
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(run.out == bytes(1000));
    config.limits.frame_size = 1 << 20;
    config.limits.send_frame_size = 1 << 20;
    let address = server(&config);
    let args = [
        &address[..],
        "--max-frame",
        "2000000",
        "--raw",
        "big",
        "size:=900000",
    ];
    assert_eq!(call(&args).done().len(), 900_000);
}

#[test]
fn encodings_can_be_chosen() {
    let mut config = Config::new(Revision::R0006);
    config.encodes = SUPPORTED.to_vec();
    let address = server(&config);
    for (names, is_compressed) in [
        ("zstd-8mb", true),
        ("zlib,identity", true),
        ("identity", false),
    ] {
        let args = [
            &address[..],
            "big",
            "size:=100000",
            "--raw",
            "-v",
            "--accept-encoding",
            names,
        ];
        let run = call(&args);
        assert_eq!((run.code, run.out.len()), (Some(0), 100_000));
        assert_eq!(
            !run.err.contains("size=32755"),
            is_compressed,
            "{}",
            run.err
        );
    }
}

#[test]
fn unix_sockets_and_programs_are_servers_too() {
    let folder = tempfile::tempdir().unwrap();
    let address = unix_server(&folder.path().join("socket"));
    assert_eq!(call(&[&address, "echo", "msg=x"]).done(), "b'x'\n");
    // A program that passes bytes on: its end comes with that of the connection.
    let target = server_of(Revision::R0006);
    let (host, port) = target.trim_start_matches("tcp://").split_once(':').unwrap();
    let bash = format!("exec:bash -c 'exec 3<>/dev/tcp/{host}/{port}; cat <&3 & cat >&3; kill $!'");
    if Command::new("bash").arg("-c").arg("true").status().is_ok() {
        assert_eq!(call(&[&bash, "echo", "msg=x"]).done(), "b'x'\n");
    }
}

#[test]
fn a_batch_makes_calls_at_once_and_tags_their_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (data, output) = (folder.path().join("data"), folder.path().join("a b"));
    fs::write(&data, "some data").unwrap();
    let (data, output) = (data.to_str().unwrap(), output.to_str().unwrap());
    let lines = format!(
        "# comment\n\necho msg='two words'\nvalues # three\nlength --data {data}\n\
         echo msg=x -o '{output}'\r\nmeet as:=800\nmeet as:=801"
    );
    for revision in REVISIONS {
        let address = server_of(revision);
        let args = [&address[..], "--revision", revision.name(), "--batch", "-"];
        let run = call_with(&args, lines.clone());
        let mut shown: Vec<&str> = run.done().lines().collect();
        shown.sort_unstable();
        let words = if revision == Revision::R0006 {
            "3: b'two words'"
        } else {
            "3: two words"
        };
        let expected = [
            words,
            "4: 1",
            "4: [2, b'a']",
            "4: {b'k': null}",
            "5: 9",
            "7: 800",
            "8: 801",
        ];
        assert_eq!(shown, expected);
        assert_eq!(fs::read(output).unwrap(), b"x");
        let run = call_with(&[&args[..], &["--json"]].concat(), lines.clone());
        let mut shown: Vec<&str> = run.done().lines().collect();
        shown.sort_unstable();
        assert_eq!(shown[0], r#"{"line":3,"value":"two words"}"#);
        assert_eq!(shown[2], r#"{"line":4,"value":[2,"a"]}"#);
        assert_eq!(fs::read(output).unwrap(), b"\"x\"\n");
    }
}

#[test]
fn calls_that_fail_do_not_stop_a_batch() {
    let address = server_of(Revision::R0006);
    let lines = "fail\necho msg=1\nnope\necho 'x\necho msg:=tru\nsay\necho --data /no/such\n\
                 cat --data -\n--json x\necho --help\necho msg=2\n";
    let run = call_with(
        &[&address[..], "--batch", "-", "--json", "--jobs", "3"],
        lines,
    );
    assert_eq!(run.code, Some(2));
    let mut failed = Vec::new();
    for line in run.text().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = value["line"].as_u64().unwrap();
        match value["exit"].as_u64() {
            Some(code) => {
                assert!(!value["error"].as_str().unwrap().is_empty());
                failed.push((number, code));
            }
            None => assert!([2, 6, 11].contains(&number), "{line}"),
        }
    }
    failed.sort_unstable();
    assert_eq!(
        failed,
        [
            (1, 1),
            (3, 2),
            (4, 2),
            (5, 2),
            (7, 1),
            (8, 2),
            (9, 2),
            (10, 2)
        ]
    );
    for (number, _) in failed {
        let of = format!("hgrpc: line {number}: ");
        assert_eq!(
            run.err.lines().filter(|line| line.starts_with(&of)).count(),
            1,
            "{}",
            run.err
        );
    }
    assert!(
        run.err.contains("remote: 6: careful: \\x1b[31m\n"),
        "{}",
        run.err
    );
    let run = call_with(&[&address[..], "--batch", "-"], "fail\necho msg=1");
    assert_eq!((run.code, run.text()), (Some(1), "2: b'1'\n"));
}

#[test]
fn large_results_of_a_batch_do_not_hold_up_each_other() {
    let address = server_of(Revision::R0006);
    let lines = "big size:=1500000\n".repeat(4);
    let run = call_with(&[&address[..], "--batch", "-"], lines);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let mut numbers: Vec<&str> = run
        .text()
        .lines()
        .map(|line| {
            let (number, value) = line.split_once(": ").unwrap();
            assert!(value.len() > 1_500_000);
            number
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["1", "2", "3", "4"]);
}

/// Answers come while the batch is still being written, and its end is the end of its input.
#[test]
fn a_batch_is_made_as_it_comes() {
    use std::io::{BufRead, BufReader, Write};
    let address = server_of(Revision::R0006);
    let mut child = Command::new(tool())
        .args(["call", &address, "--batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for number in 1..4 {
        writeln!(input, "echo msg:={number}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{number}: {number}\n"));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn whoever_has_read_enough_is_no_error() {
    let address = server_of(Revision::R0006);
    for form in ["--raw", "--json"] {
        let mut child = Command::new(tool())
            .args(["call", &address, form, "big", "size:=50000000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 10]).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(output.status.success());
    }
}

#[test]
fn a_signal_ends_the_call() {
    let (begun, running) = mpsc::channel();
    let address = peer(move |stream| {
        let begun = begun.clone();
        let wait = move |call: &mut Call, reply: &mut Reply| {
            reply.flush()?;
            begun.send(()).unwrap();
            call.gone().wait_timeout(LONG);
            Ok::<_, Failure>(())
        };
        let half = wait.clone();
        let router = Router::new()
            .command("never", wait)
            .command("half", move |call, reply| {
                reply.write_all(&[b'x'; 70_000])?;
                half(call, reply)
            });
        drop(serve(
            Transport::tcp(stream).unwrap(),
            &router,
            &Config::default(),
        ));
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    let batch = folder.path().join("batch");
    fs::write(&batch, "never\nnever\nnever\n").unwrap();
    let (file, batch) = (file.to_str().unwrap(), batch.to_str().unwrap());
    for (signal, code, args) in [
        ("-INT", 130, &["half", "-o", file][..]),
        ("-TERM", 143, &["never"]),
        ("-INT", 130, &["--batch", batch]),
    ] {
        let child = Command::new(tool())
            .args(["call", &address])
            .args(args)
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        running.recv_timeout(LONG).unwrap();
        let killed = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        let began = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(began.elapsed() < LONG);
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "hgrpc: interrupted\n"
        );
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// `hgrpc` itself at the other end.
fn served(args: &[&str]) -> (std::process::Child, String) {
    let mut child = Command::new(tool())
        .args(["serve", "tcp://127.0.0.1:0"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    (child, address.to_owned())
}

#[test]
fn a_program_is_a_server() {
    let hgrpc = tool();
    let address = format!("exec:{} serve stdio: --command cat=cat", hgrpc.display());
    assert_eq!(call(&[&address, "echo", "msg=hello"]).done(), "b'hello'\n");
    let content = bytes(300_000);
    let run = call_with(
        &[&address[..], "cat", "--data", "-", "--raw"],
        content.clone(),
    );
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(run.out == content);
    let run = call(&[&address, "nope"]);
    assert_eq!(run.code, Some(2), "{}", run.err);
}

/// Standard input and output are the connection; what there is to print goes to the error output.
#[test]
fn the_standard_streams_are_a_connection() {
    use hgrpc_std::blocking::{Router, Transport, serve};
    let mut child = Command::new(tool())
        .args(["call", "stdio:", "greet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (input, output) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let router = Router::new().command("greet", |_, reply| Ok(reply.value("hello")?));
    serve(Transport::new(input, output), &router, &Config::default()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "\"hello\"\n");
    assert!(output.status.success());
}

#[test]
fn what_a_program_writes_arrives_byte_for_byte() {
    for revision in REVISIONS {
        let args = ["--revision", revision.name(), "--command", "cat=cat"];
        let (mut child, address) = served(&args);
        for len in [0, 1, 8191, 8192, 16_384, 250_000] {
            let content = bytes(len);
            let args = [
                &address[..],
                "--revision",
                revision.name(),
                "cat",
                "--data",
                "-",
                "--raw",
            ];
            let run = call_with(&args, content.clone());
            assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
            assert!(run.out == content, "{revision} {len}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_server_that_is_killed_is_lost() {
    for (args, expected) in [
        (
            ["cat", "--data", "/dev/zero"],
            "hgrpc: the response to cat was lost after ",
        ),
        (
            ["count", "to:=1000000", "delay-ms:=1000"],
            "hgrpc: no answer to count: ",
        ),
    ] {
        let (mut server, address) = served(&["--command", "cat=cat"]);
        let mut client = Command::new(tool())
            .args(["call", &address, "--raw"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = client.stdout.take().unwrap();
        let mut err = BufReader::new(client.stderr.take().unwrap());
        // Something has come of it.
        if args[0] == "cat" {
            out.read_exact(&mut [0]).unwrap();
        } else {
            err.read_line(&mut String::new()).unwrap();
        }
        let reading = std::thread::spawn(move || io::copy(&mut out, &mut io::sink()));
        server.kill().unwrap();
        let err = io::read_to_string(err).unwrap();
        reading.join().unwrap().unwrap();
        assert_eq!(client.wait().unwrap().code(), Some(3), "{err}");
        assert!(err.starts_with(expected), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        server.wait().unwrap();
    }
}
