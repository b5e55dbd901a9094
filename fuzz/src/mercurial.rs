//! Mercurial's data formats, and what a server may say of them.

use std::io::{self, Read, Write};

use hgrpc_mercurial::{
    Changeset, Contents, Delta, DeltaError, DeltaErrorKind, FileText, Manifest, ManifestEntry,
    PathFilter, PathPattern, apply,
};

use crate::input::Input;

mod answers;

/// Every format is read as a naive reader reads it, and is written as it was read.
pub fn mercurial(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 8 {
        0 => changeset(input.rest()),
        1 => manifests(&mut input),
        2 => file(&mut input),
        3 => delta(&mut input),
        4 => records(&mut input),
        5 => filter(&mut input),
        _ => answers::answers(&mut input),
    }
}

fn changeset(text: &[u8]) {
    let manifest = Changeset::parse_manifest(text);
    let Ok(changeset) = Changeset::parse(text) else {
        return;
    };
    assert_eq!(manifest, Ok(changeset.manifest));
    let again = changeset.emit();
    assert_eq!(Changeset::parse(&again).as_ref(), Ok(&changeset));
    assert!(text.ends_with(&changeset.description));
    assert!(changeset.description.starts_with(changeset.summary()));
    assert!(changeset.files.iter().all(|path| !path.is_empty()));
    if changeset.extras.is_empty() {
        assert_eq!(changeset.branch(), b"default");
    }
}

/// A text, and what is read of it.
fn entries(text: &[u8]) -> Option<Vec<ManifestEntry<'_>>> {
    let entries: Result<Vec<_>, _> = Manifest::new(text).entries().collect();
    let entries = entries.ok()?;
    let again = Manifest::emit(entries.iter().copied());
    // Digits may have come in upper case.
    assert!(again.eq_ignore_ascii_case(text));
    assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path));
    for entry in entries.iter().take(8) {
        assert_eq!(Manifest::new(text).find(entry.path), Ok(Some(*entry)));
        let longer = [entry.path, b"\x01"].concat();
        if entries.iter().all(|other| other.path != longer) {
            assert_eq!(Manifest::new(text).find(&longer), Ok(None));
        }
    }
    Some(entries)
}

fn manifests(input: &mut Input<'_>) {
    let len = usize::from(input.byte()) << 3;
    let (base, text) = (input.bytes(len), input.rest());
    let delta = Manifest::delta(base, text);
    assert_eq!(Delta::new(&delta).apply(base).as_deref(), Ok(text));
    let (old, new) = (entries(base), entries(text));
    let added = Manifest::new(text).added_to(Manifest::new(base));
    let added: Result<Vec<_>, _> = added.collect();
    // Of others a fault is found as far as lines have to be looked at.
    if let (Some(old), Some(new)) = (old, new) {
        let expected = new.into_iter().filter(|entry| !old.contains(entry));
        assert_eq!(added, Ok(expected.collect()));
    }
}

fn file(input: &mut Input<'_>) {
    let drop = 1 + usize::from(input.byte());
    let text = input.rest();
    let parsed = FileText::parse(text);
    let mut streamed = Contents::new(Vec::new());
    let written = text
        .chunks(drop)
        .try_for_each(|part| streamed.write_all(part));
    let streamed = written.and_then(|()| streamed.finish());
    let Ok(file) = parsed else {
        assert!(streamed.is_err());
        return;
    };
    assert!(streamed.is_ok_and(|streamed| streamed == file.contents));
    let metadata: Vec<_> = file.metadata().collect();
    let Ok(again) = FileText::emit(metadata.iter().copied(), file.contents) else {
        // Only of a last line that does not end is such a value read.
        assert!(
            metadata
                .last()
                .is_some_and(|(_, value)| value.ends_with(b"\x01"))
        );
        return;
    };
    let again = FileText::parse(&again).expect("what is written is read");
    assert_eq!(again.contents, file.contents);
    assert_eq!(again.metadata().collect::<Vec<_>>(), metadata);
    assert_eq!(again.copied_from(), file.copied_from());
}

type Record<'a> = (usize, usize, &'a [u8]);

/// The obvious way to apply a delta, and its records.
fn naive<'d>(base: &[u8], delta: &'d [u8]) -> Result<(Vec<u8>, Vec<Record<'d>>), DeltaError> {
    let (mut out, mut records) = (Vec::new(), Vec::new());
    let (mut at, mut offset) = (0, 0);
    let number = |at: usize| -> Option<usize> {
        let bytes = delta.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    while offset < delta.len() {
        let wrong = |kind| DeltaError {
            offset: u64::try_from(offset).unwrap(),
            kind,
        };
        let (Some(start), Some(end), Some(len)) =
            (number(offset), number(offset + 4), number(offset + 8))
        else {
            return Err(wrong(DeltaErrorKind::Truncated));
        };
        if start < at {
            return Err(wrong(DeltaErrorKind::Overlap));
        }
        if end < start {
            return Err(wrong(DeltaErrorKind::Reversed));
        }
        if end > base.len() {
            return Err(wrong(DeltaErrorKind::OutOfBase));
        }
        let Some(bytes) = delta.get(offset + 12..offset + 12 + len) else {
            return Err(wrong(DeltaErrorKind::Truncated));
        };
        out.extend_from_slice(&base[at..start]);
        out.extend_from_slice(bytes);
        records.push((start, end, bytes));
        at = end;
        offset += 12 + len;
    }
    out.extend_from_slice(&base[at..]);
    Ok((out, records))
}

/// Gives so many bytes at a time.
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.1);
        self.0.read(&mut buffer[..len])
    }
}

fn compare(base: &[u8], delta: &[u8], drop: usize) {
    let expected = naive(base, delta);
    let applied = Delta::new(delta).apply(base);
    let mut streamed = Vec::new();
    let result = apply(
        &mut Drops(base, drop),
        &mut Drops(delta, drop),
        &mut streamed,
    );
    match expected {
        Ok((text, records)) => {
            assert_eq!(applied.as_ref(), Ok(&text));
            let len = result.expect("it applies from memory");
            assert_eq!(len, u64::try_from(text.len()).unwrap());
            assert_eq!(streamed, text);
            let mut again = Vec::new();
            for (start, end, bytes) in records {
                Delta::push(&mut again, start, end, bytes);
            }
            assert_eq!(again, delta);
        }
        Err(error) => {
            assert_eq!(applied, Err(error));
            assert_eq!(result.unwrap_err().to_string(), error.to_string());
        }
    }
}

/// Any bytes as a base and a delta.
fn delta(input: &mut Input<'_>) {
    let drop = 1 + usize::from(input.byte());
    let len = usize::from(input.byte());
    let base = input.bytes(len);
    compare(base, input.rest(), drop);
}

/// Records that nearly make sense.
fn records(input: &mut Input<'_>) {
    let drop = 1 + usize::from(input.byte() % 16);
    let len = usize::from(input.byte() % 64);
    let base = input.bytes(len);
    let mut delta = Vec::new();
    let mut at = 0;
    for _ in 0..input.byte() % 8 {
        let start = at + usize::from(input.byte() % 8);
        let end = start + usize::from(input.byte() % 8);
        let len = usize::from(input.byte() % 8);
        Delta::push(&mut delta, start, end, input.bytes(len));
        // Now and then a step back.
        at = end.saturating_sub(usize::from(input.byte() == 0));
    }
    compare(base, &delta, drop);
}

fn filter(input: &mut Input<'_>) {
    let mut filter = PathFilter::default();
    let is_in = |pattern: &PathPattern, path: &[u8]| match pattern {
        PathPattern::Path(p) => {
            p.is_empty() || path == p.as_slice() || path.starts_with(&[p, &b"/"[..]].concat())
        }
        PathPattern::RootFilesIn(p) => {
            let mut parts: Vec<_> = path.split(|byte| *byte == b'/').collect();
            parts.pop();
            parts.join(&b'/') == *p
        }
        _ => panic!("a pattern without a rule: {pattern:?}"),
    };
    for _ in 0..input.byte() % 4 {
        let which = input.byte();
        let prefix: &[u8] = match which % 3 {
            0 => b"path:",
            1 => b"rootfilesin:",
            _ => b"",
        };
        let text = [prefix, input.bytes(usize::from(which >> 4))].concat();
        let Some(pattern) = PathPattern::parse(&text) else {
            continue;
        };
        let again = PathPattern::parse(&pattern.emit());
        assert_eq!(again.as_ref(), Some(&pattern), "{text:?}");
        if which & 8 == 0 {
            filter.include.push(pattern);
        } else {
            filter.exclude.push(pattern);
        }
    }
    let path = input.rest();
    // Paths in manifests are relative, and have no empty parts.
    if path.split(|byte| *byte == b'/').any(<[u8]>::is_empty) {
        return;
    }
    let any = |patterns: &[PathPattern]| patterns.iter().any(|pattern| is_in(pattern, path));
    let expected = (filter.include.is_empty() || any(&filter.include)) && !any(&filter.exclude);
    assert_eq!(filter.matches(path), expected, "{filter:?} {path:?}");
    assert!(filter.to_value().encode(hgrpc::KeyOrder::Bytewise).is_ok());
}
