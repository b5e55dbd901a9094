//! `hgrpc completions` and `hgrpc man` as a user runs them.

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::tool::tool;

fn hgrpc(args: &[&str]) -> Output {
    assert_cmd::Command::new(tool())
        .args(args)
        .output()
        .unwrap()
}

fn done(args: &[&str]) -> String {
    let output = hgrpc(args);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = done(&["completions", shell]);
        for word in [
            "hgrpc",
            "decode",
            "encode",
            "max-frame",
            "completions",
            "man",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(hgrpc(&["completions", "tcsh"]).status.code(), Some(2));
}

/// Bash takes the script, and completes with it.
#[test]
fn bash_completes() {
    let script = done(&["completions", "bash"]);
    let test = format!(
        "{script}\nCOMP_WORDS=(hgrpc decode --m) COMP_CWORD=2; _hgrpc hgrpc --m decode; echo \"${{COMPREPLY[@]}}\""
    );
    let run = Command::new("bash")
        .arg("-c")
        .arg(test)
        .stdin(Stdio::null())
        .output();
    // Not every machine has it.
    let output = match run {
        Err(_) if std::env::var_os("HGRPC_CI").is_none() => return,
        run => run.unwrap(),
    };
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--max-frame\n");
}

#[test]
fn manual_pages_are_printed() {
    let page = done(&["man"]);
    assert!(page.contains(".TH hgrpc 1"), "{page}");
    assert!(page.contains("hgrpc\\-decode(1)"), "{page}");
    let page = done(&["man", "decode"]);
    assert!(page.contains(".TH hgrpc-decode 1"), "{page}");
    assert!(page.contains("\\fBhgrpc decode\\fR"), "{page}");
    assert!(page.contains("\\-\\-max\\-frame"), "{page}");
    assert!(page.contains(".SH NOTES\n.nf\nExamples:\n"), "{page}");
    assert_eq!(hgrpc(&["man", "no"]).status.code(), Some(2));
}

#[test]
fn manual_pages_are_written_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/b");
    assert_eq!(done(&["man", "--dir", dir.to_str().unwrap()]), "");
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in ["hgrpc.1", "hgrpc-decode.1", "hgrpc-encode.1", "hgrpc-man.1"] {
        assert!(names.iter().any(|n| n == name), "{names:?}");
    }
    assert!(!names.iter().any(|n| n.contains("help")), "{names:?}");
    fs::write(folder.path().join("file"), "").unwrap();
    let output = hgrpc(&["man", "--dir", folder.path().join("file").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("hgrpc: cannot write "));
}
