//! How far a fetch is, where its size is known: a bar on the error output, if that is a terminal.

use std::io::{IsTerminal, stdout};

use indicatif::{ProgressBar, ProgressStyle};

use crate::stderr::draw_target;

const COUNT: &str = "{prefix} [{bar:30}] {human_pos}/{human_len} {wide_msg}";
const BYTES: &str = "[{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}";

/// A bar of things that are counted, with a message; 80 columns are enough for it.
pub(super) fn counting(of: &'static str) -> ProgressBar {
    styled(COUNT).with_prefix(of)
}

/// A bar of bytes.
pub(super) fn bytes() -> ProgressBar {
    styled(BYTES)
}

/// The bar, unless what comes is printed meanwhile on the same terminal.
pub(super) fn unless_printed(bar: ProgressBar, is_printed: bool) -> ProgressBar {
    if is_printed && stdout().is_terminal() {
        ProgressBar::hidden()
    } else {
        bar
    }
}

fn styled(template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), draw_target());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_one() {
        for bar in [counting("changesets"), bytes()] {
            bar.set_length(10);
            bar.inc(3);
            assert_eq!((bar.position(), bar.length()), (3, Some(10)));
        }
        for template in [COUNT, BYTES] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
