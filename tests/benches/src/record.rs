//! Counts in a file, and what is more than they were.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::measure::Measured;

/// How much more than was recorded is let through.
const TOLERANCE: f64 = 0.03;

/// The compiler, which counts depend on.
fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "rustc".into(),
        |o| String::from_utf8_lossy(&o.stdout).trim().into(),
    )
}

pub(crate) fn write(path: &Path, rows: &[&Measured]) -> Result<(), String> {
    let mut text = format!(
        "# Row, instructions, allocations of one iteration. {}\n",
        compiler()
    );
    for row in rows {
        text += &format!("{} {:.0} {:.2}\n", row.name, row.cost, row.allocations);
    }
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

pub(crate) fn compare(path: &Path, rows: &[&Measured]) -> Result<(), String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let found = differences(&text, rows)?;
    if found.is_empty() {
        println!("\nno row needs more than is recorded in {}", path.display());
        return Ok(());
    }
    let compilers = match text.lines().next() {
        Some(first) if first.ends_with(&compiler()) => String::new(),
        Some(first) => format!(
            "\nrecorded with another compiler than {}: {first}",
            compiler()
        ),
        None => String::new(),
    };
    Err(format!(
        "{}{compilers}\nif this is meant to be so: cargo counts --record {}",
        found.join("\n"),
        path.display()
    ))
}

/// What needs more than was recorded, or is in one of the two alone.
fn differences(recorded: &str, rows: &[&Measured]) -> Result<Vec<String>, String> {
    let mut before = Vec::new();
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let parsed = match fields[..] {
            [name, cost, allocations] => cost
                .parse::<f64>()
                .ok()
                .zip(allocations.parse::<f64>().ok())
                .map(|n| (name, n)),
            _ => None,
        };
        before.push(parsed.ok_or(format!("not a row that was recorded: {line}"))?);
    }
    let mut found = Vec::new();
    for row in rows {
        let name = &row.name;
        let Some((_, (cost, allocations))) = before.iter().find(|(other, _)| other == name) else {
            found.push(format!("{name}: not recorded"));
            continue;
        };
        if row.cost > cost * (1.0 + TOLERANCE) {
            let more = 100.0 * (row.cost / cost - 1.0);
            found.push(format!(
                "{name}: {:.0} instructions, {more:.1} % more than {cost:.0}",
                row.cost
            ));
        }
        if row.allocations > allocations + 0.005 {
            found.push(format!(
                "{name}: {:.2} allocations, {allocations:.2} were recorded",
                row.allocations
            ));
        }
    }
    for (name, _) in before {
        if !rows.iter().any(|row| row.name == name) {
            found.push(format!("{name}: recorded, but there is no such row"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, cost: f64, allocations: f64) -> Measured {
        Measured {
            name: name.into(),
            cost,
            allocations,
        }
    }

    #[test]
    fn more_than_three_percent_is_named_and_less_is_not() {
        let recorded = "# a comment\ntoday/a 100 0.00\ntoday/b 1000 1.00\n";
        let same = [row("today/a", 103.0, 0.0), row("today/b", 500.0, 0.0)];
        assert!(differences(recorded, &same.each_ref()).unwrap().is_empty());
        let more = [row("today/a", 103.5, 0.0), row("today/b", 1000.0, 2.0)];
        assert_eq!(
            differences(recorded, &more.each_ref()).unwrap(),
            [
                "today/a: 104 instructions, 3.5 % more than 100",
                "today/b: 2.00 allocations, 1.00 were recorded"
            ]
        );
    }

    #[test]
    fn a_row_that_is_missing_on_one_side_is_named() {
        let rows = [row("today/new", 1.0, 0.0)];
        assert_eq!(
            differences("today/old 1 0.00\n", &rows.each_ref()).unwrap(),
            [
                "today/new: not recorded",
                "today/old: recorded, but there is no such row"
            ]
        );
        assert!(differences("today/old one\n", &[]).is_err());
    }
}
