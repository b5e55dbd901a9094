//! The text of a manifest: which revision of which files a changeset has (http-v2.md, 5.9).

use std::cmp::Ordering;
use std::fmt;
use std::iter::Peekable;

use super::{Delta, Node};

/// What kind of file an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// An ordinary file.
    #[default]
    Plain,
    /// One that can be run.
    Executable,
    /// A symbolic link, whose text is where it leads.
    Symlink,
}

impl FileKind {
    /// The flag in the manifest.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Executable => "x",
            Self::Symlink => "l",
        }
    }
}

/// One file of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestEntry<'a> {
    /// The file's path, in bytes, with `/` between its parts.
    pub path: &'a [u8],
    /// The file's revision.
    pub node: Node,
    /// What kind of file it is.
    pub kind: FileKind,
}

/// What is wrong with a manifest's text, and in which line, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The line.
    pub line: usize,
    /// What is wrong with it.
    pub kind: ManifestErrorKind,
}

/// What is wrong with a line of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestErrorKind {
    /// It has no end.
    Unfinished,
    /// It has no path, or no NUL behind the path.
    Path,
    /// Behind the path there are not 40 hexadecimal digits.
    Node,
    /// It ends in something else than nothing, `x` or `l`.
    Flag,
    /// Its path is not after the one before.
    Order,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ManifestErrorKind::Unfinished => "has no end",
            ManifestErrorKind::Path => "has no path",
            ManifestErrorKind::Node => "has no node",
            ManifestErrorKind::Flag => "has an unknown flag",
            ManifestErrorKind::Order => "is not in order",
        };
        write!(f, "line {} of the manifest {what}", self.line)
    }
}

impl std::error::Error for ManifestError {}

/// A manifest's text. A view: nothing is looked at before it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest<'a>(&'a [u8]);

impl<'a> Manifest<'a> {
    /// The manifest of this text.
    pub const fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// The entries, in order of their paths.
    pub const fn entries(&self) -> ManifestEntries<'a> {
        ManifestEntries {
            rest: self.0,
            line: 0,
            last: None,
        }
    }

    /// The entry of a path. Looks at about as many lines as their number has bits.
    ///
    /// # Errors
    /// A malformed line among those that it looks at.
    pub fn find(&self, path: &[u8]) -> Result<Option<ManifestEntry<'a>>, ManifestError> {
        let (mut low, mut high) = (0, self.0.len());
        while low < high {
            // The line that the middle lies in.
            let middle = low + (high - low) / 2;
            let front = self.0.get(low..middle).unwrap_or_default();
            let start = front
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(low, |i| low + i + 1);
            let mut entries = Self(self.0.get(start..high).unwrap_or_default()).entries();
            let entry = match entries.parse() {
                Ok(entry) => entry,
                Err(kind) => {
                    let before = self.0.get(..start).unwrap_or_default();
                    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
                    return Err(ManifestError { line, kind });
                }
            };
            match entry.path.cmp(path) {
                Ordering::Equal => return Ok(Some(entry)),
                Ordering::Less => low = high - entries.rest.len(),
                Ordering::Greater => high = start,
            }
        }
        Ok(None)
    }

    /// The entries that `base` does not have, or has with another node or flag. What both begin and
    /// end with is not looked at.
    ///
    /// # Errors
    /// Of the iterator: a malformed line of either. Lines are counted from the first that differs.
    pub fn added_to(&self, base: Manifest<'a>) -> Added<'a> {
        let (_, old, new) = differing(base.0, self.0);
        Added {
            base: Manifest(old).entries().peekable(),
            entries: Manifest(new).entries(),
        }
    }

    /// The text of these entries, which must come in order of their paths.
    pub fn emit<'e>(entries: impl IntoIterator<Item = ManifestEntry<'e>>) -> Vec<u8> {
        let mut text = Vec::new();
        for entry in entries {
            text.extend_from_slice(entry.path);
            text.push(0);
            text.extend_from_slice(entry.node.to_hex().as_bytes());
            text.extend_from_slice(entry.kind.flag().as_bytes());
            text.push(b'\n');
        }
        text
    }

    /// A delta from the text `base` to the text `to` that replaces whole lines. If either is no
    /// manifest it is a delta all the same, but not a good one.
    pub fn delta(base: &[u8], to: &[u8]) -> Vec<u8> {
        let mut delta = Vec::new();
        let (same, old, to) = differing(base, to);
        let (mut old, mut new) = (Lines::new(old), Lines::new(to));
        loop {
            // Equal lines are passed over, then a run of lines that differ is one record.
            while let (Some(a), Some(b)) = (old.front(), new.front()) {
                if a != b {
                    break;
                }
                old.skip(a);
                new.skip(b);
            }
            let (start, from) = (old.offset, new.offset);
            loop {
                let (a, b) = (old.front(), new.front());
                match (a, b) {
                    (None, None) => break,
                    (Some(a), Some(b)) if a == b => break,
                    (Some(a), Some(b)) if path(a) == path(b) => {
                        old.skip(a);
                        new.skip(b);
                    }
                    (Some(a), Some(b)) if path(a) < path(b) => old.skip(a),
                    (Some(a), None) => old.skip(a),
                    (_, Some(b)) => new.skip(b),
                }
            }
            if start == old.offset && from == new.offset {
                return delta;
            }
            let inserted = to.get(from..new.offset).unwrap_or_default();
            Delta::push(&mut delta, same + start, same + old.offset, inserted);
        }
    }
}

/// Whole lines that two texts begin and end with are taken off: how many bytes at the beginning, and
/// what is left of both.
fn differing<'a>(a: &'a [u8], b: &'a [u8]) -> (usize, &'a [u8], &'a [u8]) {
    /// Compared at once, which is faster than byte by byte.
    const BLOCK: usize = 4096;
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let same = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    let rest = |text: &'a [u8]| text.get(same..).unwrap_or_default();
    let bytes = rest(a).iter().zip(rest(b));
    let same = same + bytes.take_while(|(a, b)| a == b).count();
    let front = a.get(..same).unwrap_or_default();
    let same = front
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    let (a, b) = (
        a.get(same..).unwrap_or_default(),
        b.get(same..).unwrap_or_default(),
    );
    let blocks = a.rchunks_exact(BLOCK).zip(b.rchunks_exact(BLOCK));
    let tail = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    let rest = |text: &'a [u8]| text.get(..text.len() - tail).unwrap_or_default();
    let bytes = rest(a).iter().rev().zip(rest(b).iter().rev());
    let tail = tail + bytes.take_while(|(a, b)| a == b).count();
    // The first line of the tail may have begun before it.
    let end = a.get(a.len() - tail..).unwrap_or_default();
    let begun = end
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(tail, |end| end + 1);
    let tail = tail - begun;
    let cut = |text: &'a [u8]| text.get(..text.len() - tail).unwrap_or_default();
    (same, cut(a), cut(b))
}

fn path(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == 0).next().unwrap_or(line)
}

/// Lines with their ends, and where the next begins.
struct Lines<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Lines<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            offset: 0,
        }
    }

    fn front(&self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let len = end.map_or(self.rest.len(), |end| end + 1);
        self.rest.get(..len).filter(|line| !line.is_empty())
    }

    fn skip(&mut self, line: &[u8]) {
        self.rest = self.rest.get(line.len()..).unwrap_or_default();
        self.offset += line.len();
    }
}

/// The entries of a manifest, in order; ends after the first error.
#[derive(Clone, Debug)]
pub struct ManifestEntries<'a> {
    rest: &'a [u8],
    line: usize,
    last: Option<&'a [u8]>,
}

impl<'a> ManifestEntries<'a> {
    fn parse(&mut self) -> Result<ManifestEntry<'a>, ManifestErrorKind> {
        use ManifestErrorKind as Kind;
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let (line, rest) = self.rest.split_at(end.ok_or(Kind::Unfinished)?);
        let nul = line.iter().position(|&byte| byte == 0).ok_or(Kind::Path)?;
        let (path, value) = line.split_at(nul);
        if path.is_empty() {
            return Err(Kind::Path);
        }
        let (hex, flag) = value
            .get(1..)
            .and_then(|value| value.split_at_checked(2 * Node::LEN))
            .ok_or(Kind::Node)?;
        let node = Node::from_hex(hex).map_err(|_| Kind::Node)?;
        let kind = match flag {
            b"" => FileKind::Plain,
            b"x" => FileKind::Executable,
            b"l" => FileKind::Symlink,
            _ => return Err(Kind::Flag),
        };
        if self.last.is_some_and(|last| last >= path) {
            return Err(Kind::Order);
        }
        self.last = Some(path);
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(ManifestEntry { path, node, kind })
    }
}

impl<'a> Iterator for ManifestEntries<'a> {
    type Item = Result<ManifestEntry<'a>, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let line = self.line;
        Some(self.parse().map_err(|kind| {
            self.rest = &[];
            ManifestError { line, kind }
        }))
    }
}

/// The entries of a manifest that another does not have; see [`Manifest::added_to`].
#[derive(Clone, Debug)]
pub struct Added<'a> {
    base: Peekable<ManifestEntries<'a>>,
    entries: ManifestEntries<'a>,
}

impl<'a> Iterator for Added<'a> {
    type Item = Result<ManifestEntry<'a>, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            while self
                .base
                .next_if(|base| matches!(base, Ok(base) if base.path < entry.path))
                .is_some()
            {}
            match self.base.peek() {
                Some(Err(error)) => return Some(Err(*error)),
                Some(Ok(base)) if *base == entry => {}
                _ => return Some(Ok(entry)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Files = BTreeMap<Vec<u8>, (Node, FileKind)>;

    fn files() -> impl Strategy<Value = Files> {
        let kind = prop_oneof![
            Just(FileKind::Plain),
            Just(FileKind::Executable),
            Just(FileKind::Symlink)
        ];
        let node = (0u8..3).prop_map(|n| Node::new([n; 20]));
        prop::collection::btree_map(
            "[a-d]{1,2}".prop_map(String::into_bytes),
            (node, kind),
            0..12,
        )
    }

    fn emit(files: &Files) -> Vec<u8> {
        Manifest::emit(
            files
                .iter()
                .map(|(path, &(node, kind))| ManifestEntry { path, node, kind }),
        )
    }

    fn parse(text: &[u8]) -> Result<Files, ManifestError> {
        Manifest::new(text)
            .entries()
            .map(|entry| entry.map(|entry| (entry.path.to_vec(), (entry.node, entry.kind))))
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read(files in files()) {
            let text = emit(&files);
            prop_assert_eq!(parse(&text), Ok(files.clone()));
            for (path, &(node, kind)) in &files {
                let entry = ManifestEntry { path, node, kind };
                prop_assert_eq!(Manifest::new(&text).find(path), Ok(Some(entry)));
            }
            prop_assert_eq!(Manifest::new(&text).find(b"zz"), Ok(None));
        }

        #[test]
        fn added_entries_are_those_of_the_naive_comparison(old in files(), new in files()) {
            let (old_text, new_text) = (emit(&old), emit(&new));
            let added: Result<Vec<_>, _> = Manifest::new(&new_text)
                .added_to(Manifest::new(&old_text))
                .map(|entry| entry.map(|entry| entry.path.to_vec()))
                .collect();
            let expected = new.iter().filter(|(path, value)| old.get(*path) != Some(value));
            prop_assert_eq!(added, Ok(expected.map(|(path, _)| path.clone()).collect::<Vec<_>>()));
        }

        #[test]
        fn deltas_lead_to_the_new_text(old in files(), new in files()) {
            let (old, new) = (emit(&old), emit(&new));
            let delta = Manifest::delta(&old, &new);
            prop_assert_eq!(Delta::new(&delta).apply(&old), Ok(new));
        }

        #[test]
        fn deltas_of_any_bytes_lead_to_the_new_text(old: Vec<u8>, new: Vec<u8>) {
            let delta = Manifest::delta(&old, &new);
            prop_assert_eq!(Delta::new(&delta).apply(&old), Ok(new));
        }

        // Shaped like a fuzz test: damage to good texts, and any bytes.
        #[test]
        fn damaged_texts_are_read_or_refused(files in files(), at: prop::sample::Index, byte: u8, any: Vec<u8>) {
            let mut text = emit(&files);
            if !text.is_empty() {
                let at = at.index(text.len());
                text[at] = byte;
            }
            if let Ok(files) = parse(&text) {
                prop_assert_eq!(emit(&files).to_ascii_lowercase(), text.to_ascii_lowercase());
            }
            let _ = parse(&any);
        }
    }

    #[test]
    fn each_fault_has_its_name() {
        use ManifestErrorKind as Kind;
        let hex = "0".repeat(40);
        for (text, line, kind) in [
            (format!("a\0{hex}"), 1, Kind::Unfinished),
            (format!("a\0{hex}\n\n"), 2, Kind::Path),
            (format!("\0{hex}\n"), 1, Kind::Path),
            ("a\x00000\n".into(), 1, Kind::Node),
            (format!("a\0{}\n", "g".repeat(40)), 1, Kind::Node),
            (format!("a\0{hex}y\n"), 1, Kind::Flag),
            (format!("b\0{hex}\na\0{hex}\n"), 2, Kind::Order),
            (format!("b\0{hex}\nb\0{hex}x\n"), 2, Kind::Order),
        ] {
            assert_eq!(
                parse(text.as_bytes()),
                Err(ManifestError { line, kind }),
                "{text:?}"
            );
        }
    }
}
