//! How long the compiler takes for a service of 200 commands with 600 arguments, without a higher
//! `recursion_limit`:
//!
//! `cargo test -p hgrpc-tests --test large_service -- --ignored --nocapture`

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const COMMANDS: usize = 200;

/// A program with a large service, and a `match` over its commands.
fn program() -> String {
    let mut program = String::from("hgrpc::service! {\n    pub service many<'a> {\n");
    let answers = ["bool", "u32", "&'a str", "Values<u16>", "Stream", "()"];
    let notes = ["read", "write, idempotent", "destructive, since(1, 2)"];
    for number in 0..COMMANDS {
        let width = [8, 16, 32, 64][number % 4];
        let answer = answers[number % answers.len()];
        let notes = notes[number % notes.len()];
        writeln!(
            program,
            "/// Command {number}.\nfn command_{number}(
                /// How much.
                level: u{width} [unit(\"%\"), range(0..=100)] = {level},
                on: bool,
                name: Option<&'a str> = None,
            ) -> {answer} where {notes};",
            level = number % 101,
        )
        .unwrap();
    }
    program.push_str("}\n}\n\nfn main() {}\n\n/// Runs it.\n");
    program.push_str("pub fn run(command: hgrpc::server::Command<'_>) {\n");
    program.push_str("match many::Command::read(command) {\n");
    for number in 0..COMMANDS {
        writeln!(
            program,
            "Ok(many::Command::command_{number} {{ level, on, name, reply }}) => {{
                std::hint::black_box((u64::from(level), on, name));
                drop(reply);
            }}"
        )
        .unwrap();
    }
    program.push_str("Err(answer) => drop(answer),\n}\n}\n");
    program
}

#[test]
#[ignore = "it compiles for half a minute"]
fn two_hundred_commands_compile_in_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let core = tests.join("../core").canonicalize().unwrap();
    let manifest = format!(
        "[package]\nname = \"large\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         hgrpc = {{ path = {core:?}, features = [\"alloc\", \"service-docs\"] }}\n"
    );
    let main = folder.path().join("src/main.rs");
    fs::create_dir_all(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::copy(
        tests.join("../Cargo.lock"),
        folder.path().join("Cargo.lock"),
    )
    .unwrap();
    let build = |program: &str| {
        fs::write(&main, program).unwrap();
        let start = Instant::now();
        let mut cargo = Command::new(env!("CARGO"));
        let status = cargo
            .args(["build", "--quiet", "--offline"])
            .current_dir(folder.path())
            .status();
        assert!(status.unwrap().success(), "it does not compile");
        start.elapsed()
    };
    // The core, and what linking takes.
    build("fn main() { println!(); }");
    let nothing = build("fn main() {}");
    let large = build(&program());
    println!("{nothing:.1?} without the service, {large:.1?} with it");
    assert!(large < Duration::from_secs(10) + nothing);
}
