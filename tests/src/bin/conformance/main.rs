//! Runs conformance vectors: `conformance [--self-test] DIR…`.
//!
//! Every case of every file in the folders is run in every configuration of the reactors. What
//! fails is printed; the last line is `N passed, N failed`. With `--self-test` every expectation is
//! altered in turn instead, and each alteration has to be noticed. The exit status is 1 if
//! anything is not as it should be.

use std::path::Path;
use std::process::ExitCode;

use hgrpc_tests::conformance::{report, self_test};
use hgrpc_tests::vectors::{self, VectorFile};

fn main() -> ExitCode {
    let mut is_self_test = false;
    let mut folders = Vec::new();
    for arg in std::env::args_os().skip(1) {
        match arg.to_str() {
            Some("--self-test") => is_self_test = true,
            Some(option) if option.starts_with('-') => return usage(),
            _ => folders.push(arg),
        }
    }
    if folders.is_empty() {
        return usage();
    }
    let mut files = Vec::new();
    for folder in folders {
        match vectors::load(Path::new(&folder)) {
            Ok(some) => files.extend(some),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let is_good = if is_self_test {
        self_test(&files)
    } else {
        conformance(&files)
    };
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: conformance [--self-test] DIR…");
    ExitCode::from(2)
}

fn conformance(files: &[VectorFile]) -> bool {
    let report = report::run(files, |_| true);
    for failed in &report.failed {
        println!("{failed}\n");
    }
    println!("{} passed, {} failed", report.passed, report.failed.len());
    report.failed.is_empty()
}

fn self_test(files: &[VectorFile]) -> bool {
    let result = self_test::run(files);
    for missed in &result.missed {
        println!("{missed}");
    }
    if result.broken > 0 {
        println!("{} cases do not hold as they are", result.broken);
    }
    println!(
        "{} alterations, {} missed",
        result.alterations,
        result.missed.len()
    );
    result.missed.is_empty() && result.broken == 0 && result.alterations > 0
}
