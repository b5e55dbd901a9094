//! More data than CI has time for:
//! `cargo test -p hgrpc-tests --test firmware -- --ignored --nocapture`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use object::{Object, ObjectSymbol};

use crate::board::{Pattern, ask, call, connect, stat};
use crate::emulator::{Emulator, Line, build, is_possible};

/// Bytes of hgrpc's statics in a program: its buffers, the reactor, and the connection.
pub(crate) fn statics(elf: &Path) -> u64 {
    let bytes = fs::read(elf).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let size = |name: &str| {
        let mut found = file
            .symbols()
            .filter(|symbol| symbol.name().is_ok_and(|full| full.contains(name)));
        let symbol = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        symbol.size()
    };
    size("6MEMORY") + size("3END") + size("10CONNECTION")
}

#[test]
#[ignore = "minutes"]
fn sixteen_mebibytes_go_through_two_kibibytes() {
    if !is_possible() {
        return;
    }
    let board = "microbit";
    let elf = build(board, &[]);
    let emulator = Emulator::run(board, &elf, Line::Tcp);
    let client = connect(&emulator);
    let data = Pattern::new(16 << 20);
    let expected = data.clone().digest();
    let began = Instant::now();
    let request = client.call("digest").data(data);
    let answer = ask(request).unwrap();
    println!("{board}: 16 MiB in {:.0?}", began.elapsed());
    println!("digest {answer}, expected {expected}");
    println!("stats {}", ask(call(&client, "stats")).unwrap());
    println!("hgrpc's statics in the ELF: {} bytes", statics(&elf));
    assert_eq!(answer, expected);
    assert!(statics(&elf) < 2048);
    assert_eq!(stat(&client, "hgrpc-ram"), statics(&elf));
}
