//! `hgrpc demo` as a user runs it.

use crate::tool::tool;

fn demo(args: &[&str]) -> (Option<i32>, String, String) {
    let output = assert_cmd::Command::new(tool())
        .arg("demo")
        .args(args)
        .timeout(std::time::Duration::from_secs(60))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn everything_is_as_expected_in_every_revision() {
    for revision in ["0003", "0005", "0006"] {
        for size in ["0", "1", "100001", "3M"] {
            let (code, out, err) = demo(&["--revision", revision, "--size", size]);
            assert_eq!(
                (code, err.as_str()),
                (Some(0), ""),
                "{revision} {size}\n{out}"
            );
            assert!(
                out.starts_with(&format!("hgrpc revision {revision}: ")),
                "{out}"
            );
            assert!(out.contains("answered 5 4 3 2 1"), "{out}");
            assert!(out.contains("│ control characters are harmless: \\x1b[31mred\\x07"));
            assert!(out.contains("cannot open no/such/file"), "{out}");
            assert!(out.contains("request-too-large, limit 65536"), "{out}");
            assert!(out.contains(" as expected, in "), "{out}");
            assert!(!out.contains('✗') && !out.contains('\x1b'), "{out}");
        }
    }
}

#[test]
fn both_transfers_have_the_same_hash() {
    let (_, out, _) = demo(&["--size", "1M"]);
    let hashes: Vec<&str> = out
        .lines()
        .filter(|line| line.contains("sha256 "))
        .collect();
    assert_eq!(hashes.len(), 2, "{out}");
    assert_eq!(hashes.first(), hashes.last());
}

#[test]
fn wrong_arguments_are_named() {
    for args in [
        ["--size", "many"],
        ["--size", "99999999999G"],
        ["--revision", "0004"],
    ] {
        let (code, _, err) = demo(&args);
        assert_eq!(code, Some(2));
        assert!(err.contains(args[1]), "{err}");
    }
}

#[test]
fn a_closed_output_is_no_panic() {
    use std::io::Read;
    use std::process::{Command, Stdio};
    let mut child = Command::new(tool())
        .args(["demo", "--size", "1M"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(err, "");
}
