//! The vectors in `tests/vectors`, and the runner's own manners.
//!
//! Every case is run in every configuration, in debug builds too. The self-test of all
//! expectations is a matter for a release build (`.ci/run`); here it runs over a few files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hgrpc_tests::conformance::{report, self_test};
use hgrpc_tests::vectors;
use serde_json::{Value, json};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(name)
}

/// Cases by counting them in the files, without the loader.
fn count(folder: &Path) -> usize {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                return 0;
            }
            let text = fs::read(path).unwrap();
            let file: Value = serde_json::from_slice(&text).unwrap();
            let cases = file.get("cases").or(file.get("exchanges"));
            cases.unwrap().as_array().unwrap().len()
        })
        .sum()
}

fn all_hold(name: &str) {
    let files = vectors::load(&folder(name)).unwrap();
    let report = report::run(&files, |_| true);
    let failed: Vec<_> = report.failed.iter().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(report.passed, count(&folder(name)));
}

#[test]
fn revision_0003() {
    all_hold("0003");
}

#[test]
fn revision_0005() {
    all_hold("0005");
}

#[test]
fn revision_0006() {
    all_hold("0006");
}

#[test]
fn captured_exchanges() {
    all_hold("captured");
}

#[test]
fn alterations_are_noticed() {
    let few = [
        "headers.json",
        "human.json",
        "client-directed.json",
        "server-directed.json",
    ];
    for name in ["0005", "0006"] {
        let mut files = vectors::load(&folder(name)).unwrap();
        files.retain(|file| few.iter().any(|few| file.path.ends_with(few)));
        assert_eq!(files.len(), few.len());
        let result = self_test::run(&files);
        assert!(result.alterations > 1_000 && result.broken == 0);
        let missed: Vec<_> = result.missed.iter().map(ToString::to_string).collect();
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }
}

#[test]
fn alterations_of_exchanges_are_noticed() {
    let few = ["errors.json", "handshake.json", "redirect.json"];
    let mut files = vectors::load(&folder("captured")).unwrap();
    files.retain(|file| few.iter().any(|few| file.path.ends_with(few)));
    assert_eq!(files.len(), few.len());
    let result = self_test::run(&files);
    assert!(result.alterations > 50 && result.broken == 0);
    let missed: Vec<_> = result.missed.iter().map(ToString::to_string).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, files: &[(&str, String)]) -> Output {
        for (name, text) in files {
            fs::write(self.0.join(name), text).unwrap();
        }
        Command::new(env!("CARGO_BIN_EXE_conformance"))
            .arg(&self.0)
            .output()
            .unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of one server case: one request, answered and ended.
fn server_case() -> Value {
    let after = |active: Value| json!({"state": "idle", "receiving": [], "active": active, "open_streams": [1]});
    json!({"schema": 1, "revision": "0005", "kind": "server", "cases": [{
    "name": "one", "defer_output": false, "steps": [
        {"op": "recv", "frame": "0a00000100010111a1446e616d6543666f6f",
         "expect": {"action": "run_command", "request_id": 1, "name": "666f6f", "args": "a0", "data": null},
         "after": after(json!([1]))},
        {"op": "respond", "request_id": 1, "data": "07",
         "expect": {"action": "send_frames", "frames": ["0c00000100020132a146737461747573426f6b07"]},
         "after": after(json!([]))},
        {"op": "input_eof", "expect": {"action": "noop"}},
    ]}]})
}

#[test]
fn a_case_that_holds() {
    let output = Scratch::new("holds").run(&[("a.json", server_case().to_string())]);
    assert_eq!(text(&output.stdout), "1 passed, 0 failed\n");
    assert!(output.status.success());
}

/// Whatever is not in the documented schema fails its case: it must never be passed over.
#[test]
fn what_is_unknown_fails_the_case() {
    let alterations: [(&str, &str, Value); 9] = [
        ("/cases/0", "more", json!(1)),
        ("/cases/0/steps/0", "more", json!(1)),
        ("/cases/0/steps/0/expect", "more", json!(1)),
        ("/cases/0/steps/0/after", "more", json!(1)),
        ("/cases/0/steps/0", "op", json!("receive")),
        ("/cases/0/steps/1", "op", json!("drain")),
        ("/cases/0/steps/0/expect", "action", json!("run")),
        ("/cases/0/steps/0", "frame", json!("0A")),
        ("/cases/0", "steps", json!([])),
    ];
    for (number, (place, name, value)) in alterations.into_iter().enumerate() {
        let mut file = server_case();
        file.pointer_mut(place).unwrap()[name] = value;
        let scratch = Scratch::new(&format!("unknown-{number}"));
        let output = scratch.run(&[("a.json", file.to_string())]);
        let stdout = text(&output.stdout);
        assert!(
            stdout.ends_with("0 passed, 1 failed\n"),
            "{place} {name}: {stdout}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
    // So does what is missing.
    for (place, name) in [
        ("/cases/0", "defer_output"),
        ("/cases/0/steps/0", "expect"),
        ("/cases/0/steps/0", "op"),
        ("/cases/0/steps/0/expect", "data"),
        ("/cases/0/steps/0/after", "active"),
    ] {
        let mut file = server_case();
        let object = file.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.remove(name).unwrap();
        let scratch = Scratch::new(&format!("missing-{name}"));
        let output = scratch.run(&[("a.json", file.to_string())]);
        let stdout = text(&output.stdout);
        assert!(
            stdout.ends_with("0 passed, 1 failed\n"),
            "{place} {name}: {stdout}"
        );
    }
}

#[test]
fn a_failure_says_where_and_what() {
    let mut file = server_case();
    file["cases"][0]["steps"][1]["expect"]["frames"][0] = json!("00");
    let output = Scratch::new("failure").run(&[("a.json", file.to_string())]);
    let stdout = text(&output.stdout);
    for part in [
        "a.json: case 0 (\"one\"), step 1 (respond)",
        "in 12 of 12 configurations, first: growable store, collecting, whole frames",
        "expected {\"action\":\"send_frames\",\"frames\":[\"00\"]}",
        "0c00000100020132a146737461747573426f6b07",
    ] {
        assert!(stdout.contains(part), "{part:?} is not in {stdout}");
    }
}

#[test]
fn what_cannot_be_read_fails_the_run() {
    let captured = r#"{"schema":"captured-exchange/1","group":"x","exchanges":{}}"#;
    let good = server_case().to_string();
    let with = |name: &str, value: Value| {
        let mut file = server_case();
        file[name] = value;
        file.to_string()
    };
    for (name, file, message) in [
        (
            "captured",
            captured.to_owned(),
            "`exchanges` is not an array",
        ),
        ("json", "{".to_owned(), "EOF"),
        ("array", "[]".to_owned(), "not an object"),
        ("schema", with("schema", json!(2)), "unknown schema"),
        (
            "revision",
            with("revision", json!("0004")),
            "unknown revision",
        ),
        ("kind", with("kind", json!("proxy")), "unknown kind"),
        ("field", with("more", json!(0)), "unknown field"),
        ("cases", with("cases", json!({})), "`cases`"),
    ] {
        let scratch = Scratch::new(&format!("unread-{name}"));
        let output = scratch.run(&[("a.json", good.clone()), ("b.json", file)]);
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("b.json") && stderr.contains(message),
            "{name}: {stderr}"
        );
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
    for (name, files) in [
        ("empty", vec![]),
        ("none", vec![("a.json", with("cases", json!([])))]),
    ] {
        let output = Scratch::new(name).run(&files);
        assert!(text(&output.stderr).contains("no cases"));
        assert_eq!(output.status.code(), Some(1));
    }
}
