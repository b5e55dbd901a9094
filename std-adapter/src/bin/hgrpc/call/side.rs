//! What comes beside a response, for people, on the error output: text and progress.
//!
//! All of it is the peer's: it is escaped, each of its lines is marked as the peer's, and what is
//! kept of it is bounded. It goes through the queue of [`stderr`](crate::stderr), so that nothing
//! here waits for whoever reads it.

mod bars;
mod labels;
mod lines;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use hgrpc::cbor::{Atoms, Escaped, Progress};

use crate::stderr::{Queue, REMOTE, queue};
use bars::Bars;
use lines::Lines;

/// Topics that are shown at a time; further ones are not.
const MAX_TOPICS: usize = 32;
/// Characters of a name that are shown.
const MAX_NAME: usize = 60;
/// Bytes of a line that has not ended, which are kept while there are bars below it.
const MAX_LINE: usize = 16 * 1024;

/// Shows text output and progress.
pub(crate) struct Side {
    out: Arc<Queue>,
    is_colored: bool,
    progress: Shown,
    /// A line that has not ended, while there are bars: they would be drawn over it.
    line: String,
}

enum Shown {
    Bars(Bars),
    Lines(Lines),
    /// Neither progress nor text.
    Nothing,
}

impl Side {
    /// Shows on the error output: in colours and with bars if it is a terminal (and `NO_COLOR` and
    /// the like do not object), otherwise in plain lines.
    pub(crate) fn stderr() -> Self {
        let out = io::stderr();
        let choice = anstream::AutoStream::choice(&out);
        let progress = if out.is_terminal() {
            Shown::Bars(Bars::stderr())
        } else {
            Shown::Lines(Lines::new())
        };
        Self {
            out: Arc::clone(queue()),
            is_colored: !matches!(choice, anstream::ColorChoice::Never),
            progress,
            line: String::new(),
        }
    }

    /// Shows lines of this end's own only.
    pub(crate) fn quiet() -> Self {
        Self {
            out: Arc::clone(queue()),
            is_colored: false,
            progress: Shown::Nothing,
            line: String::new(),
        }
    }

    fn is_quiet(&self) -> bool {
        matches!(self.progress, Shown::Nothing)
    }

    /// Shows text. With a tag, each line has it in front: several calls speak at once.
    pub(crate) fn text(&mut self, tag: Option<&str>, atoms: &Atoms<'_>) {
        if self.is_quiet() {
            return;
        }
        let mut text = String::new();
        for atom in atoms {
            let shown = atom.escaped().to_string();
            let style = labels::style(atom.labels()).filter(|_| self.is_colored);
            // A line begins and ends without colours: its mark has none, and what follows may be
            // another's.
            for line in shown.split_inclusive('\n') {
                let body = line.trim_end_matches('\n');
                let end = line.get(body.len()..).unwrap_or_default();
                let _ = match style {
                    Some(style) if !body.is_empty() => {
                        write!(text, "{style}{body}{style:#}{end}")
                    }
                    _ => write!(text, "{line}"),
                };
            }
        }
        match tag {
            None => self.write(&text),
            Some(tag) => {
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                let mark = mark(Some(&name(tag)));
                self.above(|out| out.text(&mark, &text, true));
            }
        }
    }

    /// Shows an update; its topics are those of its call's tag.
    pub(crate) fn progress(&mut self, tag: Option<&str>, update: &Progress<'_>) {
        let update = Update::new(tag, update);
        match &mut self.progress {
            Shown::Bars(bars) => {
                if bars.is_empty() {
                    self.out.end_line();
                }
                bars.update(&update);
            }
            Shown::Lines(lines) => {
                if let Some(line) = lines.update(&update, std::time::Instant::now()) {
                    self.out.text(&mark(update.tag.as_deref()), &line, true);
                }
            }
            Shown::Nothing => {}
        }
        if self.has_no_bars() {
            self.flush_line();
        }
    }

    /// Shows a line of this end's own, above the bars.
    pub(crate) fn line(&mut self, line: impl std::fmt::Display) {
        self.end_line();
        self.above(|out| out.line(&line.to_string()));
    }

    /// Shows a line that the peer's device printed, above the bars.
    pub(crate) fn device(&mut self, line: &str) {
        if self.is_quiet() {
            return;
        }
        self.end_line();
        self.above(|out| out.text(REMOTE, &format!("{line}\n"), true));
    }

    /// Ends the line of text that waits while there are bars.
    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.write("\n");
        }
    }

    /// The end of all: what is shown after it begins on a line of its own.
    pub(crate) fn finish(&mut self) {
        self.end(None);
        self.end_line();
        self.out.end_line();
    }

    /// Ends the topics of a call, which may not have ended them.
    pub(crate) fn end(&mut self, tag: Option<&str>) {
        let tag = tag.map(name);
        match &mut self.progress {
            Shown::Bars(bars) => bars.end(tag.as_deref()),
            Shown::Lines(lines) => lines.end(tag.as_deref()),
            Shown::Nothing => {}
        }
        if self.has_no_bars() {
            self.flush_line();
        }
    }

    fn has_no_bars(&self) -> bool {
        match &self.progress {
            Shown::Bars(bars) => bars.is_empty(),
            Shown::Lines(_) | Shown::Nothing => true,
        }
    }

    fn flush_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.out.text(REMOTE, &line, false);
    }

    /// Shows text that goes on where the last one ended.
    fn write(&mut self, text: &str) {
        if self.has_no_bars() {
            self.flush_line();
            return self.out.text(REMOTE, text, false);
        }
        self.line.push_str(text);
        let end = self.line.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.line.split_off(end);
        let mut whole = std::mem::replace(&mut self.line, rest);
        if self.line.len() > MAX_LINE {
            whole.push_str(&std::mem::take(&mut self.line));
            whole.push('\n');
        }
        if !whole.is_empty() {
            self.above(|out| out.text(REMOTE, &whole, true));
        }
    }

    /// Shows whole lines above the bars, if there are any.
    fn above(&self, show: impl FnOnce(&Queue)) {
        match &self.progress {
            Shown::Bars(bars) => bars.above(|| show(&self.out)),
            Shown::Lines(_) | Shown::Nothing => show(&self.out),
        }
    }

    /// Writes to the standard output where that is the terminal with the bars: above them, once what
    /// was said before is there.
    pub(crate) fn beside<T>(&self, write: impl FnOnce() -> T) -> T {
        let write = || {
            crate::stderr::settle();
            write()
        };
        match &self.progress {
            Shown::Bars(bars) => bars.above(write),
            Shown::Lines(_) | Shown::Nothing => write(),
        }
    }

    /// Takes all bars away, until the next update.
    pub(crate) fn end_bars(&mut self) {
        if let Shown::Bars(bars) = &mut self.progress {
            bars.end_all();
            self.flush_line();
        }
    }

    /// Shows how much of a call's data has been sent, as a bar of this end's own; lines are for what
    /// the peer says. `None`: all has.
    pub(crate) fn sent(&mut self, tag: Option<&str>, sent: Option<u64>, total: Option<u64>) {
        if let Shown::Bars(bars) = &mut self.progress {
            if bars.is_empty() && sent.is_some() {
                self.out.end_line();
            }
            bars.update(&Update::sent(tag, sent, total));
            if self.has_no_bars() {
                self.flush_line();
            }
        }
    }
}

/// What a line of the peer's begins with; in a batch, with the number of its call.
fn mark(tag: Option<&str>) -> Cow<'static, str> {
    match tag {
        Some(tag) => format!("{REMOTE}{tag}: ").into(),
        None => REMOTE.into(),
    }
}

/// An update, safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Update {
    tag: Option<String>,
    /// It is this end's own.
    is_own: bool,
    topic: String,
    /// `None`: finished.
    pos: Option<u64>,
    /// `None`: not known.
    total: Option<u64>,
    unit: String,
    item: String,
}

impl Update {
    fn new(tag: Option<&str>, update: &Progress<'_>) -> Self {
        Self {
            tag: tag.map(name),
            is_own: false,
            topic: name(update.topic),
            pos: (!update.is_finished()).then(|| u64::try_from(update.pos).unwrap_or(0)),
            total: Some(update.total).filter(|&total| total > 0),
            unit: update.label.map(name).unwrap_or_default(),
            item: update.item.map(name).unwrap_or_default(),
        }
    }

    /// An update of data that this end sends.
    fn sent(tag: Option<&str>, sent: Option<u64>, total: Option<u64>) -> Self {
        Self {
            tag: tag.map(name),
            is_own: true,
            topic: "sending".to_owned(),
            pos: sent,
            total,
            unit: "bytes".to_owned(),
            item: String::new(),
        }
    }

    fn key(&self) -> Key {
        (self.tag.clone(), self.is_own, self.topic.clone())
    }

    /// The topic, marked as the peer's if it is.
    fn title(&self) -> String {
        match (self.is_own, &self.tag) {
            (false, tag) => format!("{}{}", mark(tag.as_deref()), self.topic),
            (true, Some(tag)) => format!("{tag}: {}", self.topic),
            (true, None) => self.topic.clone(),
        }
    }
}

/// A call's tag, whether it is this end's own, and a topic.
type Key = (Option<String>, bool, String);

/// A peer's text on one line, not too long.
fn name(text: impl std::fmt::Display) -> String {
    let shown = Escaped(text).to_string().replace(['\n', '\t'], " ");
    if shown.chars().nth(MAX_NAME).is_none() {
        return shown;
    }
    shown.chars().take(MAX_NAME - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use hgrpc::KeyOrder;
    use hgrpc::cbor::{Atom, encode_atoms};

    use super::*;

    fn side(is_colored: bool, progress: Shown) -> Side {
        Side {
            out: Arc::default(),
            is_colored,
            progress,
            line: String::new(),
        }
    }

    fn text(side: &mut Side, tag: Option<&str>, atoms: &[Atom<'_>]) -> String {
        let mut buffer = [0; 500];
        let len = encode_atoms(atoms, KeyOrder::Bytewise, &mut buffer).unwrap();
        side.text(tag, &Atoms::decode(&buffer[..len]).unwrap());
        side.out.taken()
    }

    fn warning<'a>(args: &'a [&'a [u8]]) -> Atom<'a> {
        Atom {
            msg: b"%s!",
            args,
            labels: &[b"ui.warning"],
        }
    }

    #[test]
    fn text_is_escaped_marked_and_coloured() {
        let args: &[&[u8]] = &[b"a\x1b[2Jb\n"];
        let atoms = [warning(args), Atom::new("plain")];
        let lines = || Shown::Lines(Lines::new());
        let plain = text(&mut side(false, lines()), None, &atoms);
        assert_eq!(plain, "remote: a\\x1b[2Jb\nremote: !plain");
        let colored = text(&mut side(true, lines()), None, &atoms);
        assert_eq!(
            colored,
            "remote: \x1b[33ma\\x1b[2Jb\x1b[0m\nremote: \x1b[33m!\x1b[0mplain"
        );
        let atoms = [Atom {
            labels: &[b"ui.warning"],
            ..Atom::new("a\n")
        }];
        let colored = text(&mut side(true, lines()), None, &atoms);
        assert_eq!(colored, "remote: \x1b[33ma\x1b[0m\n");
        let atoms = [warning(args), Atom::new("plain")];
        let tagged = text(&mut side(false, lines()), Some("1\n"), &atoms);
        assert_eq!(tagged, "remote: 1 : a\\x1b[2Jb\nremote: 1 : !plain\n");
    }

    #[test]
    fn a_line_that_has_not_ended_waits_while_there_are_bars() {
        let mut side = side(false, Shown::Bars(Bars::hidden()));
        assert_eq!(text(&mut side, None, &[Atom::new("a")]), "remote: a");
        side.progress(None, &Progress::new("t", 1, 2));
        // It would be drawn over.
        assert_eq!(text(&mut side, None, &[Atom::new("b")]), "\n");
        assert_eq!(text(&mut side, None, &[Atom::new("c\nd")]), "remote: bc\n");
        side.progress(None, &Progress::new("t", -1, 2));
        assert_eq!(side.out.taken(), "remote: d");
        side.progress(Some("x"), &Progress::new("t", 1, 2));
        assert_eq!(text(&mut side, None, &[Atom::new("e")]), "\n");
        side.end(None);
        assert_eq!(side.out.taken(), "");
        side.end(Some("x"));
        assert_eq!(side.out.taken(), "remote: e");
        side.progress(None, &Progress::new("t", 1, 2));
        let long = "x".repeat(400);
        let mut shown = 0;
        for _ in 0..=MAX_LINE / 400 {
            shown += text(&mut side, None, &[Atom::new(&long)]).len();
        }
        assert!(shown > MAX_LINE && side.line.is_empty());
    }

    #[test]
    fn lines_of_this_end_are_apart_from_the_peers() {
        let mut side = side(false, Shown::Lines(Lines::new()));
        text(&mut side, None, &[Atom::new("a")]);
        side.line("-> frame");
        side.progress(Some("7"), &Progress::new("t", 1, 2));
        side.device("tty: hgrpc: boot");
        side.finish();
        assert_eq!(
            side.out.taken(),
            "\n-> frame\nremote: 7: t: 1/2\nremote: tty: hgrpc: boot\n"
        );
    }

    #[test]
    fn names_are_short_and_on_one_line() {
        assert_eq!(name("a\tb\nc\x07\u{202e}"), "a b c\\x07\\u{202e}");
        assert_eq!(name("é".repeat(60)).chars().count(), 60);
        let cut = name("é".repeat(61));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (60, true));
    }
}
