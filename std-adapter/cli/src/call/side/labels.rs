//! Labels to colours.

use anstyle::{AnsiColor, Style};
use hgrpc::cbor::ByteStrings;

/// Labels of an atom that are looked at.
const MAX_LABELS: usize = 16;

const fn color(color: AnsiColor) -> Style {
    color.on_default()
}

/// Known labels and how they look.
const STYLES: [(&str, Style); 14] = [
    ("ui.debug", Style::new().dimmed()),
    ("ui.error", color(AnsiColor::Red).bold()),
    ("ui.note", color(AnsiColor::Cyan)),
    ("ui.prompt", color(AnsiColor::Yellow)),
    ("ui.status", color(AnsiColor::Green)),
    ("ui.warning", color(AnsiColor::Yellow)),
    ("diff.changed", color(AnsiColor::White)),
    ("diff.deleted", color(AnsiColor::Red)),
    ("diff.diffline", Style::new().bold()),
    ("diff.file_a", color(AnsiColor::Red).bold()),
    ("diff.file_b", color(AnsiColor::Green).bold()),
    ("diff.hunk", color(AnsiColor::Magenta)),
    ("diff.inserted", color(AnsiColor::Green)),
    (
        "diff.trailingwhitespace",
        AnsiColor::Red
            .on_default()
            .bg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))),
    ),
];

/// How text with these labels looks: as the last that is known.
pub(super) fn style(labels: ByteStrings<'_>) -> Option<Style> {
    labels
        .take(MAX_LABELS)
        .filter_map(|label| STYLES.iter().find(|(known, _)| label == **known))
        .last()
        .map(|(_, style)| *style)
}
