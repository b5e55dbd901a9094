//! `hgrpc hg` with our own server: what it prints, and how it fails.

use std::fs;

use hgrpc_mercurial::{Changeset, Commit, FileKind, MemoryRepository, Node};
use tempfile::TempDir;

use super::hg::{run_tool, tool};
use super::served::Served;

/// Two changesets, the second of which has a bookmark and is a draft.
fn small() -> (MemoryRepository, [Node; 2]) {
    let repository = MemoryRepository::new();
    let commit = |parent, name: &str, text: &str| {
        let about = Changeset {
            user: b"Somebody\x1b[1m".to_vec(),
            seconds: 1_538_138_096,
            description: name.into(),
            ..Changeset::default()
        };
        let change = Some((text.into(), FileKind::Plain));
        let changes = [(name.into(), change)].into_iter().collect();
        let parents = [parent, Node::NULL];
        repository
            .commit(Commit {
                parents,
                about,
                changes,
            })
            .unwrap()
    };
    let first = commit(Node::NULL, "first", "1\n");
    let second = commit(first, "second", "\u{1}\n\u{1}\n\u{1}\nescaped\n");
    repository.set_bookmark("mark", second);
    repository.set_draft([second]);
    (repository, [first, second])
}

#[test]
fn results_are_lines() {
    let (repository, [first, second]) = small();
    let served = Served::memory(repository);
    let url = served.url.as_str();
    let run = |args: &[&str]| run_tool(&[&["hg"], args].concat());
    assert_eq!(run(&["heads", url]), format!("{second}\n"));
    assert_eq!(
        run(&["heads", url, "--public", "--json"]),
        format!("{{\"node\":\"{first}\"}}\n")
    );
    let unknown = "a".repeat(40);
    let known = run(&["known", url, &first.to_hex(), &unknown]);
    assert_eq!(known, format!("{first} yes\n{unknown} no\n"));
    assert_eq!(run(&["branches", url]), format!("default {second}\n"));
    assert_eq!(run(&["bookmarks", url]), format!("mark {second}\n"));
    // What comes from others does not reach the terminal as it is.
    let line = "2018-09-28T12:34:56Z Somebody\\x1b[1m";
    let log = run(&["log", url]);
    assert_eq!(
        log,
        format!("{first} {line} first\n{second} {line} second\n")
    );
    assert_eq!(
        run(&["log", url, "--limit", "1"]),
        format!("{second} {line} second\n")
    );
    assert_eq!(
        run(&["log", url, "-r", "0"]),
        format!("{first} {line} first\n")
    );
    let json = run(&["log", url, "--json", "-r", "mark", "--limit", "1"]);
    for field in [
        "\"bookmarks\":[\"mark\"]",
        "\"phase\":\"draft\"",
        "\"branch\":\"default\"",
        "\"files\":[\"second\"]",
    ] {
        assert!(json.contains(field), "{field}: {json}");
    }
    assert_eq!(run(&["files", url]), "first\nsecond\n");
    assert_eq!(run(&["files", url, "-r", &first.to_hex()[..12]]), "first\n");
    assert_eq!(run(&["cat", url, "first"]), "1\n");
    assert_eq!(run(&["cat", url, "second"]), "\u{1}\nescaped\n");
    assert_eq!(run(&["call", url, "known", "nodes:=[]"]), "b''\n");
    let keys = run(&["call", url, "listkeys", "namespace=bookmarks", "--json"]);
    assert_eq!(keys, format!("{{\"mark\":\"{second}\"}}\n"));
}

/// The exit code and the one line that says why.
fn fails(args: &[&str]) -> (i32, String) {
    let output = tool(&[&["hg"], args].concat()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    (output.status.code().unwrap(), error)
}

#[test]
fn failures_are_one_line_and_a_code() {
    let (repository, _) = small();
    let served = Served::memory(repository);
    let url = served.url.as_str();
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("letter"), "dear").unwrap();
    let taken = directory.path().to_str().unwrap();
    for (args, code, expected) in [
        (
            &["heads", "ftp://127.0.0.1/"][..],
            2,
            "not an address of HTTP",
        ),
        (
            &["heads", "http://127.0.0.1:1/"],
            3,
            "hgrpc: cannot speak with http://127.0.0.1:1/: Connection refused",
        ),
        // Who is on this machine sees what is on a command line.
        (
            &["heads", "http://me:secret@127.0.0.1:1/"],
            2,
            "hgrpc: http://…@127.0.0.1:1/ has a password",
        ),
        (
            &["heads", "http://127.0.0.1:1/", "--password-file", taken],
            2,
            "--password-file needs --user",
        ),
        // Not another port without a word.
        (
            &["heads", "http://127.0.0.1:99999"],
            2,
            "the port is not a number from 1 to 65535: http://127.0.0.1:99999",
        ),
        (
            &["heads", "http://me@[::1]:8o/"],
            2,
            "not an address of HTTP",
        ),
        (&["known", url, "abc"], 2, "a node in hex is 40 digits"),
        (
            &["log", url, "-r", "nosuch"],
            1,
            "unknown revision 'nosuch'",
        ),
        (
            &["cat", url, "nosuch"],
            1,
            "no file nosuch in this changeset",
        ),
        (
            &["call", url, "nosuch"],
            2,
            "the server has no command nosuch",
        ),
        (&["call", url, "lookup"], 2, "needs the argument key"),
        (
            &["call", url, "lookup", "key=x", "y=z"],
            2,
            "has no argument y",
        ),
        (&["mirror", url, taken], 1, "is not a mirror"),
        (&["verify", taken], 1, "is not a mirror"),
        (&["serve", taken], 1, "is not a mirror"),
        (&["bundle", taken, "/nosuch/x.hg"], 1, "is not a mirror"),
    ] {
        let (found, error) = fails(args);
        assert_eq!(found, code, "{args:?}: {error}");
        assert!(
            error.starts_with("hgrpc: ") && error.contains(expected),
            "{args:?}: {error}"
        );
    }
}
