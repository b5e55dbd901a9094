//! The command-line tool calls a board.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::emulator::{Emulator, is_possible};

/// The tool; built by whoever tests the whole workspace, and otherwise now.
fn tool() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let tool = test.ancestors().nth(2).unwrap().join("hgrpc");
    if !tool.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--package",
            "hgrpc-std",
            "--all-features",
            "--bin",
            "hgrpc",
        ]);
        assert!(build.status().unwrap().success());
    }
    tool
}

#[test]
fn the_tool_calls_a_board() {
    if is_possible() {
        switch_the_led_of(&Emulator::start("lm3s6965evb"));
    }
}

/// Calls `led` with the tool.
pub(crate) fn switch_the_led_of(emulator: &Emulator) {
    // One process after another, each with a connection of its own.
    for (argument, expected) in [("on:=true", "true\n"), ("on:=false", "false\n")] {
        let output = Command::new(tool())
            .args(["call", &emulator.linked(), "led", argument])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
