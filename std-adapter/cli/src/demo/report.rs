//! What the demo shows: a line per check, bars while bytes flow, a table at the end.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use console::{Term, style};
use hgrpc_std::blocking::Traffic;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::Failure;

/// Most memory that the process may come to need, whatever is sent.
const MEMORY: u64 = 64 << 20;

pub(super) struct Report {
    start: Instant,
    rows: Vec<Row>,
    checks: u32,
    failed: u32,
    peak: Option<u64>,
}

/// A line of the table at the end.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) time: Option<Duration>,
}

/// Writes a line to the output. (Not `println!`, which panics where the output is closed.)
fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(Failure::output)
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            rows: Vec::new(),
            checks: 0,
            failed: 0,
            peak: None,
        }
    }

    pub(super) fn title(&self, text: &str) -> Result<(), Failure> {
        line(&format!("{}\n", style(text).bold()))
    }

    /// Something that must be as expected.
    pub(super) fn check(
        &mut self,
        is_right: bool,
        what: &str,
        detail: &str,
    ) -> Result<(), Failure> {
        self.checks += 1;
        let mark = if is_right {
            style("✓").green()
        } else {
            self.failed += 1;
            style("✗ not as expected:").red()
        };
        line(&format!("  {mark} {what}\n      {}", style(detail).dim()))
    }

    /// Something that came on the way.
    pub(super) fn aside(&self, text: &str) -> Result<(), Failure> {
        line(&format!("      {} {text}", style("│").cyan()))
    }

    /// Bars for an upload and a download; nothing is drawn where the output is no terminal.
    pub(super) fn bars(&self, size: u64) -> (MultiProgress, [ProgressBar; 2]) {
        let target = if Term::stdout().is_term() {
            ProgressDrawTarget::stdout()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bars = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template(
            "  {msg:9} {bar:36.cyan/dim} {percent:>3}%  {binary_bytes_per_sec:>12}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
        let both = ["upload", "download"].map(|name| {
            let bar = ProgressBar::new(size).with_style(style.clone());
            bars.add(bar.with_message(name))
        });
        (bars, both)
    }

    pub(super) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The process's largest memory so far, where the system tells.
    pub(super) fn memory(&mut self) -> Result<(), Failure> {
        self.peak = peak_memory();
        match self.peak {
            Some(peak) => self.check(
                peak < MEMORY,
                "constant memory for both ends together",
                &format!("at most {}", bytes(peak)),
            ),
            None => Ok(()),
        }
    }

    /// The table, and the verdict.
    pub(super) fn end(mut self, traffic: &Traffic) -> Result<(), Failure> {
        let time = self.start.elapsed();
        for (name, frames, bytes) in [
            ("client to server", traffic.frames_out, traffic.bytes_out),
            ("server to client", traffic.frames_in, traffic.bytes_in),
        ] {
            self.row(Row {
                name: name.to_owned(),
                frames,
                bytes,
                time: None,
            });
        }
        let header = format!(
            "  {:<18}{:>10}{:>14}{:>12}{:>14}",
            "", "frames", "bytes", "time", "rate"
        );
        line(&format!("\n{}", style(header).dim()))?;
        for row in &self.rows {
            let (time, rate) = match row.time {
                Some(time) => (seconds(time), rate(row.bytes, time)),
                None => (String::new(), String::new()),
            };
            let (frames, bytes) = (count(row.frames), count(row.bytes));
            let text = format!(
                "  {:<18}{frames:>10}{bytes:>14}{time:>12}{rate:>14}",
                row.name
            );
            line(text.trim_end())?;
        }
        let peak = self.peak.map_or_else(|| "not known here".to_owned(), bytes);
        line(&format!("  {:<18}{peak:>24}", "peak memory"))?;
        let passed = self.checks - self.failed;
        let verdict = format!(
            "{passed} of {} as expected, in {}",
            self.checks,
            seconds(time)
        );
        if self.failed == 0 {
            line(&format!("\n{}", style(verdict).green().bold()))
        } else {
            line(&format!("\n{}", style(verdict).red().bold()))?;
            Err(Failure::Io(format!(
                "{} of {} were not as expected",
                self.failed, self.checks
            )))
        }
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit that leaves a number of one to four digits.
pub(super) fn bytes(number: u64) -> String {
    let mut unit = 0u32;
    while number >> (10 * unit) >= 1024 && unit < 4 {
        unit += 1;
    }
    let name = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let name = name
        .get(usize::try_from(unit).unwrap_or_default())
        .unwrap_or(&"bytes");
    let whole = number >> (10 * unit);
    let tenths = ((number & ((1 << (10 * unit)) - 1)) * 10) >> (10 * unit);
    match tenths {
        0 => format!("{whole} {name}"),
        _ => format!("{whole}.{tenths} {name}"),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn rate(number: u64, time: Duration) -> String {
    let nanos = time.as_nanos().max(1);
    let per_second = u128::from(number) * 1_000_000_000 / nanos;
    format!("{}/s", bytes(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// The largest resident set of this process, in bytes (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(123), "123");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1 << 20), "1 MiB");
        assert_eq!(bytes((3 << 20) + (1 << 19)), "3.5 MiB");
        assert_eq!(rate(1 << 30, Duration::from_millis(500)), "2 GiB/s");
    }
}
