//! Tables for people, in Markdown.

use crate::figures::{FIGURES, Figure};
use crate::measure::Measured;
use crate::{SURFACES, is_ours};

const FLOOR: &str = "floor";

/// The versions of everything that was built.
const LOCK: &str = include_str!("../Cargo.lock");

/// What somebody's row costs, in instructions or nanoseconds, and in allocations.
fn cost(measured: &[Measured], figure: &Figure, who: &str) -> Option<(f64, f64)> {
    let find = |row: &str| {
        let name = format!("{who}/{row}");
        measured
            .iter()
            .find(|m| m.name == name)
            .map(|m| (m.cost, m.allocations))
    };
    let (cost, allocations) = find(figure.row)?;
    let (less, fewer) = match figure.less {
        Some(row) => find(row)?,
        None => (0.0, 0.0),
    };
    Some((cost - less, allocations - fewer))
}

/// Who has rows besides hgrpc and the floor, in order.
fn peers(measured: &[Measured]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for who in measured.iter().map(Measured::who) {
        if who != FLOOR && !is_ours(who) && !names.contains(&who) {
            names.push(who);
        }
    }
    names
}

/// Instructions and allocations of each figure.
pub(crate) fn counts(measured: &[Measured]) -> String {
    let mut head = vec!["instructions an iteration".to_owned()];
    head.extend(SURFACES.iter().map(|(name, _)| (*name).to_owned()));
    head.extend(
        [
            "floor",
            "goal",
            "to the floor",
            "allocations",
            "peers (allocations)",
        ]
        .map(String::from),
    );
    let mut lines = vec![head];
    for figure in FIGURES {
        let costs: Vec<_> = SURFACES
            .iter()
            .map(|(who, _)| cost(measured, figure, who))
            .collect();
        if costs.iter().all(Option::is_none) {
            continue;
        }
        let floor = cost(measured, figure, FLOOR).map(|(cost, _)| cost);
        let mut line = vec![figure.title.to_owned()];
        line.extend(
            costs
                .iter()
                .map(|cost| shown(cost.map(|(cost, _)| cost), "")),
        );
        line.push(shown(floor, ""));
        line.push(shown(figure.goal.map(f64::from), ""));
        line.push(joined(&costs, |(cost, _)| {
            floor.map(|floor| format!("{:.1}", cost / floor))
        }));
        line.push(joined(&costs, |(_, allocations)| {
            Some(format!("{allocations:.0}"))
        }));
        line.push(of_peers(measured, figure, |(cost, allocations)| {
            format!("{} ({allocations:.0})", thousands(cost))
        }));
        lines.push(line);
    }
    markdown(&lines)
}

/// Wall time of each figure, as a ratio to its floor.
pub(crate) fn times(measured: &[Measured]) -> String {
    let mut head = vec!["wall time, as a ratio to the floor".to_owned()];
    head.extend(SURFACES.iter().map(|(name, _)| (*name).to_owned()));
    head.extend(["floor", "peers"].map(String::from));
    let mut lines = vec![head];
    for figure in FIGURES.iter().filter(|figure| figure.less.is_none()) {
        let Some((floor, _)) = cost(measured, figure, FLOOR) else {
            continue;
        };
        let ratio = |cost: f64| format!("{:.1}", cost / floor);
        let mut line = vec![figure.title.to_owned()];
        line.extend(SURFACES.iter().map(|(who, _)| {
            cost(measured, figure, who).map_or("–".into(), |(cost, _)| ratio(cost))
        }));
        line.push(format!("{floor:.1} ns"));
        line.push(of_peers(measured, figure, |(cost, _)| ratio(cost)));
        lines.push(line);
    }
    markdown(&lines)
}

/// The versions of the peers.
pub(crate) fn versions(measured: &[Measured]) -> String {
    let versions = peers(measured).into_iter().filter_map(|peer| {
        let (_, rest) = LOCK.split_once(&format!("name = \"{peer}\"\nversion = \""))?;
        Some(format!("{peer} {}", rest.split('"').next()?))
    });
    format!("Peers: {}.", versions.collect::<Vec<_>>().join(", "))
}

fn of_peers(measured: &[Measured], figure: &Figure, show: impl Fn((f64, f64)) -> String) -> String {
    let found = peers(measured).into_iter().filter_map(|peer| {
        let cost = cost(measured, figure, peer)?;
        Some(format!("{peer} {}", show(cost)))
    });
    found.collect::<Vec<_>>().join(", ")
}

/// One value for each of hgrpc's columns, in one cell.
fn joined(costs: &[Option<(f64, f64)>], show: impl Fn((f64, f64)) -> Option<String>) -> String {
    let values = costs
        .iter()
        .map(|cost| cost.and_then(&show).unwrap_or("–".into()));
    values.collect::<Vec<_>>().join(" / ")
}

fn shown(value: Option<f64>, unit: &str) -> String {
    value.map_or("–".into(), |value| thousands(value) + unit)
}

/// A whole number with its thousands set apart.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 {
        format!("-{text}")
    } else {
        text
    }
}

/// The first line is the head; all columns between the first and the last are numbers.
fn markdown(lines: &[Vec<String>]) -> String {
    let columns = lines[0].len();
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_number = |column: usize| column > 0 && column + 1 < columns;
    let row = |line: &[String]| {
        let cells = line.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if is_number(column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(column, width)| {
            if is_number(column) {
                format!("{}:", "-".repeat(width - 1))
            } else {
                "-".repeat(*width)
            }
        })
        .collect();
    let mut text = row(&lines[0]) + &row(&rule);
    lines[1..].iter().for_each(|line| text += &row(line));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!(
            [0.4, 999.0, 1000.0, 12_345_678.0, -1234.0].map(thousands),
            ["0", "999", "1,000", "12,345,678", "-1,234"]
        );
    }
}
