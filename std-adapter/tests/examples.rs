//! The example of a host: what it prints, and how long it is.
#![cfg(feature = "tokio")]
#![allow(missing_docs, reason = "a test")]

use std::process::Command;

#[test]
fn the_host_answers_and_shuts_down() {
    // Built by whoever runs all tests, and otherwise now.
    let test = std::env::current_exe().unwrap();
    let example = test.ancestors().nth(2).unwrap().join("examples/host");
    if !example.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "hgrpc-std", "--all-features"]);
        assert!(
            build
                .args(["--example", "host"])
                .status()
                .unwrap()
                .success()
        );
    }
    let output = Command::new(example).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "put a: 1048576 bytes\n\
         put b: 3 bytes\n\
         list: a has 1048576 bytes\n\
         list: b has 3 bytes\n\
         remove c: there is no file c\n\
         shut down, 0 connections cut\n"
    );
}

/// At most 80 lines of code, its client among them.
#[test]
fn the_host_is_short() {
    let program = include_str!("../examples/host.rs");
    let (_, program) = program.split_once("/// What all handlers share").unwrap();
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines = program.lines().skip(1).filter(is_code).count();
    assert!(lines <= 80, "{lines} lines");
}
