//! Compares the first server with the reworked one over random connections:
//! `differential [--seed N] [COUNT [FIRST_SEED]]`.
//!
//! Every event, refusal, error, state and byte of output must be the same. What came up is counted;
//! the first connection on which they differ is printed, and `--seed` replays it with every step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hgrpc_tests::differential::{Counts, run};

/// Connections of one thread's turn.
const TURN: u64 = 1_000;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut numbers = Vec::new();
    let mut seed = None;
    while let Some(arg) = args.next() {
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        if arg == "--seed" {
            seed = number(args.next().as_deref());
        } else if let Some(number) = number(Some(&arg)) {
            numbers.push(number);
        } else {
            eprintln!("usage: differential [--seed N] [COUNT [FIRST_SEED]]");
            return ExitCode::from(2);
        }
    }
    if let Some(seed) = seed {
        return match run(seed, true, &mut Counts::default()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(difference) => {
                println!("{difference}");
                ExitCode::FAILURE
            }
        };
    }
    let count = numbers.first().copied().unwrap_or(100_000);
    let start = numbers.get(1).copied().unwrap_or(1);
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Counts::default());
    let differences = Mutex::new(Vec::new());
    let work = || {
        let mut counts = Counts::default();
        loop {
            let turn = next.fetch_add(TURN, Ordering::Relaxed);
            if turn >= count {
                break;
            }
            for seed in turn..count.min(turn + TURN) {
                let seed = start + seed;
                let result = catch_unwind(AssertUnwindSafe(|| run(seed, false, &mut counts)));
                let result = result.unwrap_or_else(|_| Err("a panic".into()));
                if let (Err(difference), Ok(mut all)) = (result, differences.lock()) {
                    next.store(count, Ordering::Relaxed);
                    all.push((seed, difference));
                    break;
                }
            }
        }
        if let Ok(mut sum) = sum.lock() {
            sum.merge(counts);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    if let Ok(sum) = sum.lock() {
        for (what, count) in sum.iter() {
            println!("{count:>12} {what}");
        }
    }
    let mut is_good = true;
    for (seed, difference) in differences.lock().iter().flat_map(|all| all.iter()) {
        println!("seed {seed}: {difference}");
        is_good = false;
    }
    if is_good {
        println!("{count} connections agree");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
