//! What comes beside a response, for people, on the error output: text and progress.
//!
//! All of it is the peer's: it is escaped before it is shown, and what is kept of it is bounded.

mod bars;
mod labels;
mod lines;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use hgrpc::cbor::{Atoms, Escaped, Progress};

use bars::Bars;
use lines::Lines;

/// Topics that are shown at a time; further ones are not.
const MAX_TOPICS: usize = 32;
/// Characters of a name that are shown.
const MAX_NAME: usize = 60;
/// Bytes of a line that has not ended, which are kept while there are bars below it.
const MAX_LINE: usize = 16 * 1024;

/// Shows text output and progress.
pub(crate) struct Side<W: Write> {
    out: W,
    is_colored: bool,
    progress: Shown,
    /// A line that has not ended, while there are bars: they would be drawn over it.
    line: String,
    /// The output has a line that has not ended.
    is_mid_line: bool,
}

enum Shown {
    Bars(Bars),
    Lines(Lines),
}

impl Side<io::Stderr> {
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
            out,
            is_colored: !matches!(choice, anstream::ColorChoice::Never),
            progress,
            line: String::new(),
            is_mid_line: false,
        }
    }
}

impl<W: Write> Side<W> {
    /// Shows text. With a tag, each piece has it in front: several calls speak at once.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn text(&mut self, tag: Option<&str>, atoms: &Atoms<'_>) -> io::Result<()> {
        let mut text = String::new();
        if let Some(tag) = tag {
            let _ = write!(text, "{}: ", name(tag));
        }
        for atom in atoms {
            let shown = atom.escaped().to_string();
            match labels::style(atom.labels()).filter(|_| self.is_colored) {
                Some(style) => {
                    // A line ends without colours: what follows may be another's.
                    let body = shown.trim_end_matches('\n');
                    let end = shown.get(body.len()..).unwrap_or_default();
                    let _ = write!(text, "{style}{body}{style:#}{end}");
                }
                None => text.push_str(&shown),
            }
        }
        if tag.is_some() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.write(&text)
    }

    /// Shows an update; its topics are those of its call's tag.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn progress(&mut self, tag: Option<&str>, update: &Progress<'_>) -> io::Result<()> {
        let update = Update::new(tag, update);
        match &mut self.progress {
            Shown::Bars(bars) => bars.update(&update),
            Shown::Lines(lines) => {
                if let Some(line) = lines.update(&update, std::time::Instant::now()) {
                    self.end_line()?;
                    return self.write(&line);
                }
            }
        }
        if self.has_no_bars() {
            return self.flush_line();
        }
        Ok(())
    }

    /// Shows a line of this end's own, above the bars.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn line(&mut self, line: impl std::fmt::Display) -> io::Result<()> {
        self.end_line()?;
        self.write(&format!("{line}\n"))
    }

    /// Ends the line of text that has not ended, if there is one.
    fn end_line(&mut self) -> io::Result<()> {
        if self.is_mid_line || !self.line.is_empty() {
            return self.write("\n");
        }
        Ok(())
    }

    /// The end of all: what is shown after it begins on a line of its own.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.end(None)?;
        self.end_line()
    }

    /// Ends the topics of a call, which may not have ended them.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn end(&mut self, tag: Option<&str>) -> io::Result<()> {
        let tag = tag.map(name);
        match &mut self.progress {
            Shown::Bars(bars) => bars.end(tag.as_deref()),
            Shown::Lines(lines) => lines.end(tag.as_deref()),
        }
        if self.has_no_bars() {
            return self.flush_line();
        }
        Ok(())
    }

    fn has_no_bars(&self) -> bool {
        match &self.progress {
            Shown::Bars(bars) => bars.is_empty(),
            Shown::Lines(_) => true,
        }
    }

    fn flush_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.write(&line)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let Shown::Bars(bars) = &self.progress else {
            self.is_mid_line = !text.ends_with('\n');
            self.out.write_all(text.as_bytes())?;
            return self.out.flush();
        };
        self.line.push_str(text);
        let end = match self.line.rfind('\n') {
            _ if bars.is_empty() => self.line.len(),
            Some(at) => at + 1,
            None => 0,
        };
        let rest = self.line.split_off(end);
        let mut whole = std::mem::replace(&mut self.line, rest);
        if self.line.len() > MAX_LINE {
            whole.push_str(&std::mem::take(&mut self.line));
            whole.push('\n');
        }
        if whole.is_empty() {
            return Ok(());
        }
        self.is_mid_line = !whole.ends_with('\n');
        let out = &mut self.out;
        bars.above(|| {
            out.write_all(whole.as_bytes())?;
            out.flush()
        })
    }
}

/// An update, safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Update {
    tag: Option<String>,
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
            topic: name(update.topic),
            pos: (!update.is_finished()).then(|| u64::try_from(update.pos).unwrap_or(0)),
            total: Some(update.total).filter(|&total| total > 0),
            unit: update.label.map(name).unwrap_or_default(),
            item: update.item.map(name).unwrap_or_default(),
        }
    }

    fn key(&self) -> Key {
        (self.tag.clone(), self.topic.clone())
    }

    /// The topic, with its call's tag.
    fn title(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{tag}: {}", self.topic),
            None => self.topic.clone(),
        }
    }
}

/// A call's tag and a topic.
type Key = (Option<String>, String);

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

    fn side(is_colored: bool, progress: Shown) -> Side<Vec<u8>> {
        Side {
            out: Vec::new(),
            is_colored,
            progress,
            line: String::new(),
            is_mid_line: false,
        }
    }

    fn text(side: &mut Side<Vec<u8>>, tag: Option<&str>, atoms: &[Atom<'_>]) -> String {
        let mut buffer = [0; 500];
        let len = encode_atoms(atoms, KeyOrder::Bytewise, &mut buffer).unwrap();
        side.out.clear();
        side.text(tag, &Atoms::decode(&buffer[..len]).unwrap())
            .unwrap();
        String::from_utf8(side.out.clone()).unwrap()
    }

    fn warning<'a>(args: &'a [&'a [u8]]) -> Atom<'a> {
        Atom {
            msg: b"%s!",
            args,
            labels: &[b"ui.warning"],
        }
    }

    #[test]
    fn text_is_escaped_and_coloured() {
        let args: &[&[u8]] = &[b"a\x1b[2Jb\n"];
        let atoms = [warning(args), Atom::new("plain")];
        let lines = || Shown::Lines(Lines::new());
        let plain = text(&mut side(false, lines()), None, &atoms);
        assert_eq!(plain, "a\\x1b[2Jb\n!plain");
        let colored = text(&mut side(true, lines()), None, &atoms);
        assert_eq!(colored, "\x1b[33ma\\x1b[2Jb\n!\x1b[0mplain");
        let atoms = [Atom {
            labels: &[b"ui.warning"],
            ..Atom::new("a\n")
        }];
        let colored = text(&mut side(true, lines()), None, &atoms);
        assert_eq!(colored, "\x1b[33ma\x1b[0m\n");
        let atoms = [warning(args), Atom::new("plain")];
        let tagged = text(&mut side(false, lines()), Some("1\n"), &atoms);
        assert_eq!(tagged, "1 : a\\x1b[2Jb\n!plain\n");
    }

    #[test]
    fn a_line_that_has_not_ended_waits_while_there_are_bars() {
        let mut side = side(false, Shown::Bars(Bars::hidden()));
        assert_eq!(text(&mut side, None, &[Atom::new("a")]), "a");
        side.progress(None, &Progress::new("t", 1, 2)).unwrap();
        assert_eq!(text(&mut side, None, &[Atom::new("b")]), "");
        assert_eq!(text(&mut side, None, &[Atom::new("c\nd")]), "bc\n");
        side.out.clear();
        side.progress(None, &Progress::new("t", -1, 2)).unwrap();
        assert_eq!(side.out, b"d");
        side.progress(Some("x"), &Progress::new("t", 1, 2)).unwrap();
        assert_eq!(text(&mut side, None, &[Atom::new("e")]), "");
        side.end(None).unwrap();
        assert_eq!(side.out, b"");
        side.end(Some("x")).unwrap();
        assert_eq!(side.out, b"e");
        side.progress(None, &Progress::new("t", 1, 2)).unwrap();
        let long = "x".repeat(400);
        for _ in 0..=MAX_LINE / 400 {
            text(&mut side, None, &[Atom::new(&long)]);
        }
        assert!(side.out.len() > MAX_LINE && side.line.is_empty());
    }

    #[test]
    fn names_are_short_and_on_one_line() {
        assert_eq!(name("a\tb\nc\x07\u{202e}"), "a b c\\x07\\u{202e}");
        assert_eq!(name("é".repeat(60)).chars().count(), 60);
        let cut = name("é".repeat(61));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (60, true));
    }
}
