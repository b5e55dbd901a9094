//! The firmware of `tests/firmware/boards`, in QEMU.

mod emulator;
mod host;
mod probe;

use emulator::{BOARDS, Emulator};

#[test]
fn smoke() {
    if !emulator::is_possible() {
        return;
    }
    for board in BOARDS {
        let emulator = Emulator::start(board);
        let line = host::line(&emulator.address);
        let mut connection = host::connect(&line);
        let began = std::time::Instant::now();
        for n in 0..100 {
            let answer = host::echo(&mut connection, n).unwrap();
            assert_eq!(&answer[..7], b"\xa1Evalue");
        }
        println!("{board}: {:?}", began.elapsed());
    }
}
