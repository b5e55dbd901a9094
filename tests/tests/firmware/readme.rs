//! The device that the guide has a new user write (`core/guide/board.md`), from its text alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The blocks of the guide, in its order, each with its kind.
fn blocks(guide: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = guide;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (block, after) = after.split_once("\n```\n").expect("it ends");
        blocks.push(block.split_once('\n').expect("it has a kind"));
        rest = after;
    }
    blocks
}

/// Writes the project to a folder, builds it as a user does, and gives the program's path.
pub(crate) fn build(folder: &Path) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(tests.join("../core/guide/board.md")).unwrap();
    let blocks = blocks(&guide);
    let block = |kind, number| {
        let mut found = blocks.iter().filter(|(k, _)| *k == kind);
        let block = found.nth(number).map(|(_, text)| format!("{text}\n"));
        block.unwrap_or_else(|| panic!("the guide has no block {number} of {kind}"))
    };
    let core = tests.join("../core").canonicalize().unwrap();
    let dependencies = block("toml", 0);
    let here = dependencies.replace("../hgrpc/core", core.to_str().unwrap());
    assert_ne!(dependencies, here, "it names the core");
    // What `cargo new` writes; and here nobody would see a warning.
    let package = "[package]\nname = \"device\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n";
    let lints = "\n[lints.rust]\nwarnings = \"deny\"\n";
    let write = |name, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.toml", &[package, &here, lints].concat());
    write(".cargo/config.toml", &block("toml", 1));
    // The first text is what is typed.
    write("memory.x", &block("text", 1));
    write("src/main.rs", &block("rust,ignore", 0));
    write("src/uart.rs", &block("rust,ignore", 1));
    // The versions that everything here is tested with.
    fs::copy(tests.join("firmware/Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let target = tests.join("../target/firmware/readme");
    let script = "eval \"$(\"$1\" thumbv7m-none-eabi)\"
        exec env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS RUSTC=\"$RUSTC\" \
            cargo build --quiet --release --target-dir \"$2\"";
    let status = Command::new("bash")
        .args(["-euc", script, "build"])
        .args([&tests.join("firmware/toolchain"), &target])
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(status.success(), "the guide's device does not build");
    target.join("thumbv7m-none-eabi/release/device")
}
