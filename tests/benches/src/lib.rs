//! A row is a piece of work that is repeated; a program with rows counts or times them when it is
//! asked to by [`child`]. The peers are a program of their own, so that they change nothing of ours.

pub mod messages;

use std::alloc::System;
use std::process::ExitCode;
use std::time::Instant;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Work to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Who does it, and the key of the figure: `floor/parse-frame`.
    pub name: &'static str,
    /// Sets up, then does the work so many times. What is set up must not depend on the number.
    pub run: fn(u32),
}

impl Row {
    /// A row.
    pub const fn new(name: &'static str, run: fn(u32)) -> Self {
        Self { name, run }
    }

    /// Allocations of one iteration, reallocations included.
    fn allocations(&self, iterations: u32) -> f64 {
        let count = |iterations| {
            let region = Region::new(ALLOCATOR);
            (self.run)(iterations);
            let stats = region.change();
            (stats.allocations + stats.reallocations) as f64
        };
        (count(2 * iterations) - count(iterations)) / f64::from(iterations)
    }

    /// Nanoseconds of one iteration: the least of some rounds.
    fn time(&self, iterations: u32, rounds: u32) -> f64 {
        let time = |iterations| {
            let start = Instant::now();
            (self.run)(iterations);
            start.elapsed().as_nanos() as f64
        };
        let least = |iterations| {
            (0..rounds)
                .map(|_| time(iterations))
                .fold(f64::MAX, f64::min)
        };
        (least(2 * iterations) - least(iterations)) / f64::from(iterations)
    }
}

/// Does what a measuring program asks of this one:
///
/// ```text
/// list                        prints the names of all rows
/// run NAME ITERATIONS         runs one; its instructions are counted from outside
/// allocations NAME ITERATIONS prints the allocations of an iteration
/// time NAME ITERATIONS ROUNDS prints the nanoseconds of an iteration
/// ```
///
/// `None`: the arguments are none of these.
pub fn child(arguments: &[String], rows: &[Row]) -> Option<ExitCode> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let find = |name: &str| rows.iter().find(|row| row.name == name);
    match arguments[..] {
        ["list"] => rows.iter().for_each(|row| println!("{}", row.name)),
        ["run", name, iterations] => (find(name)?.run)(iterations.parse().ok()?),
        ["allocations", name, iterations] => {
            println!("{}", find(name)?.allocations(iterations.parse().ok()?));
        }
        ["time", name, iterations, rounds] => {
            let (iterations, rounds) = (iterations.parse().ok()?, rounds.parse().ok()?);
            println!("{}", find(name)?.time(iterations, rounds));
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}
