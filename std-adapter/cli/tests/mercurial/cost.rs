//! What a mirror costs its client, beside a clone of Mercurial's.
//!
//! ```sh
//! cargo test --release -p hgrpc-cli --test mercurial cost -- --ignored --nocapture
//! ```

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::hg;
use super::repository::made_of;
use super::served::Served;

/// Runs a program, and prints the seconds of CPU and the KiB of memory that it took.
const MEASURE: &str = "\
import resource, subprocess, sys
subprocess.check_call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
";

fn measured(directory: &Path, program: &str, args: &[&str]) -> (f64, f64) {
    let python = hg::hg().unwrap().with_file_name("python3");
    // With the configuration that Mercurial gets in these tests.
    let hg = hg::command(directory);
    let output = Command::new(python)
        .current_dir(directory)
        .envs(hg.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .args(["-c", MEASURE, program])
        .args(args)
        .output()
        .unwrap();
    let out = hg::done(program, &output);
    let (seconds, kib) = out.trim().split_once(' ').unwrap();
    (seconds.parse().unwrap(), kib.parse().unwrap())
}

/// Bytes of all files in a directory.
fn size(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            match entry.metadata().unwrap() {
                metadata if metadata.is_dir() => size(&entry.path()),
                metadata => metadata.len(),
            }
        })
        .sum()
}

#[test]
#[ignore = "means something in a release build only"]
fn cost_of_three_thousand_changesets() {
    let Some(hg) = hg::hg() else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let served = Served::memory(made_of(3000));
    let url = served.url.as_str();
    let clone = ["clone", "-U", url, "clone"];
    let theirs = measured(directory.path(), hg.to_str().unwrap(), &clone);
    let mirror = ["hg", "mirror", url, "mirror"];
    let ours = measured(directory.path(), env!("CARGO_BIN_EXE_hgrpc"), &mirror);
    let store = size(&directory.path().join("clone/.hg/store"));
    let kept = size(&directory.path().join("mirror"));
    println!(
        "hg clone:        {:.2} s of CPU, {} KiB; {store} bytes",
        theirs.0, theirs.1
    );
    println!(
        "hgrpc hg mirror: {:.2} s of CPU, {} KiB; {kept} bytes",
        ours.0, ours.1
    );
    assert!(kept < store, "the mirror is larger than Mercurial's store");
    if cfg!(debug_assertions) {
        println!("not compared: this is no release build");
        return;
    }
    assert!(ours.0 < theirs.0 / 2.0);
    assert!(ours.1 < theirs.1 / 2.0);
}
