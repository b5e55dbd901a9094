//! Runs all cases of some files on all processors.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{panic, thread};

use serde_json::Value;

use super::{Config, Failure, check_in, configs, name};
use crate::fields::Fault;
use crate::vectors::VectorFile;

/// Bytes of stack for each thread: stores in fixed memory are made on it.
const STACK: usize = 16 << 20;

/// What became of all cases.
#[derive(Debug, Default)]
pub struct Report {
    /// How many cases hold in every configuration.
    pub passed: usize,
    /// The others, in the order of the files.
    pub failed: Vec<Failed>,
}

/// A case that does not hold.
#[derive(Debug)]
pub struct Failed {
    /// Its file.
    pub path: PathBuf,
    /// Its number in the file, from 0.
    pub number: usize,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The op of the step that failed.
    pub op: Option<String>,
    /// What is wrong, in the first configuration in which it does not hold.
    pub failure: Failure,
    /// In how many configurations it does not hold, and in how many it was run.
    pub configs: (usize, usize),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAILED {}: case {}", self.path.display(), self.number)?;
        if let Some(name) = &self.name {
            write!(f, " ({name:?})")?;
        }
        if let Some(step) = self.failure.step {
            write!(f, ", step {step}")?;
        }
        if let Some(op) = &self.op {
            write!(f, " ({op})")?;
        }
        let (failed, all) = self.configs;
        let Failure { config, fault, .. } = &self.failure;
        write!(
            f,
            "\n    in {failed} of {all} configurations, first: {config}\n{fault}"
        )
    }
}

/// Runs every case of every file in every configuration that `wanted` asks for.
pub fn run(files: &[VectorFile], wanted: impl Fn(&Config) -> bool + Sync) -> Report {
    let cases: Vec<_> = files
        .iter()
        .flat_map(|file| file.cases.iter().enumerate().map(move |case| (file, case)))
        .collect();
    let results = parallel(cases.len(), |index| {
        let (file, (number, case)) = cases[index];
        run_case(file, number, case, &wanted)
    });
    let mut report = Report::default();
    for failed in results {
        match failed {
            Some(failed) => report.failed.push(failed),
            None => report.passed += 1,
        }
    }
    report
}

fn run_case(
    file: &VectorFile,
    number: usize,
    case: &Value,
    wanted: impl Fn(&Config) -> bool,
) -> Option<Failed> {
    let configs: Vec<_> = configs(file.kind).into_iter().filter(wanted).collect();
    let mut failures: Vec<_> = configs
        .iter()
        .filter_map(|config| check_caught(file, case, *config).err())
        .collect();
    let count = failures.len();
    let failure = failures.drain(..).next()?;
    let op = match failure.step {
        Some(step) => &case["steps"][step]["op"],
        None => &case["op"],
    };
    Some(Failed {
        path: file.path.clone(),
        number,
        name: name(case).map(str::to_owned),
        op: op.as_str().map(str::to_owned),
        failure,
        configs: (count, configs.len()),
    })
}

/// Like [`check_in`]; a panic fails the case, not the run.
pub(super) fn check_caught(file: &VectorFile, case: &Value, config: Config) -> Result<(), Failure> {
    let checked = panic::catch_unwind(|| check_in(file.revision, file.kind, case, config));
    checked.unwrap_or_else(|_| {
        Err(Failure {
            config,
            step: None,
            fault: Fault::new("a result".into(), "a panic, see above".into()),
        })
    })
}

/// Does something for every index below `count`, on all processors; the results are in order.
pub(super) fn parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return results;
            }
            results.push((index, work(index)));
        }
    };
    let mut results = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .filter_map(|_| {
                let builder = thread::Builder::new().stack_size(STACK);
                builder.spawn_scoped(scope, worker).ok()
            })
            .collect();
        let mut results = Vec::with_capacity(count);
        for handle in handles {
            match handle.join() {
                Ok(some) => results.extend(some),
                Err(panic) => panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
