//! The text of a changeset (http-v2.md, 5.9).

use std::fmt;

use super::Node;

/// What a changeset's text says. Strings are bytes, mostly UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changeset {
    /// The manifest; null where no file is tracked.
    pub manifest: Node,
    /// Who made it.
    pub user: Vec<u8>,
    /// When: seconds since 1970, UTC.
    pub seconds: i64,
    /// Seconds that local time was behind UTC.
    pub offset: i32,
    /// Further keys and values; `branch` is one, and `close`.
    pub extras: Vec<(Vec<u8>, Vec<u8>)>,
    /// Paths that it touches (adds, changes, removes), sorted.
    pub files: Vec<Vec<u8>>,
    /// What people say of it.
    pub description: Vec<u8>,
}

/// What is wrong with a changeset's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangesetError {
    /// The first line is not 40 hexadecimal digits.
    Manifest,
    /// There is no line for the user.
    User,
    /// The third line does not begin with seconds and an offset, two decimal numbers.
    Date,
    /// An extra has no colon.
    Extra,
    /// There is no empty line before the description.
    Description,
}

impl fmt::Display for ChangesetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "the changeset's first line is not a manifest's node",
            Self::User => "the changeset has no user",
            Self::Date => "the changeset's third line is not a date",
            Self::Extra => "an extra of the changeset has no key",
            Self::Description => "the changeset has no empty line before its description",
        })
    }
}

impl std::error::Error for ChangesetError {}

/// Takes a line, without its end.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..)?;
    Some(line)
}

fn number<T: std::str::FromStr>(text: Option<&[u8]>) -> Result<T, ChangesetError> {
    text.and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| text.parse().ok())
        .ok_or(ChangesetError::Date)
}

impl Changeset {
    /// Reads a changeset's text.
    ///
    /// # Errors
    /// What is missing or malformed.
    pub fn parse(text: &[u8]) -> Result<Self, ChangesetError> {
        let mut rest = text;
        let manifest = line(&mut rest)
            .and_then(|hex| Node::from_hex(hex).ok())
            .ok_or(ChangesetError::Manifest)?;
        let user = line(&mut rest).ok_or(ChangesetError::User)?.to_vec();
        let mut date = line(&mut rest)
            .ok_or(ChangesetError::Date)?
            .splitn(3, |&byte| byte == b' ');
        let (seconds, offset) = (number(date.next())?, number(date.next())?);
        let extras = date.next().map(parse_extras).transpose()?;
        let mut files = Vec::new();
        loop {
            match line(&mut rest).ok_or(ChangesetError::Description)? {
                b"" => break,
                path => files.push(path.to_vec()),
            }
        }
        Ok(Self {
            manifest,
            user,
            seconds,
            offset,
            extras: extras.unwrap_or_default(),
            files,
            description: rest.to_vec(),
        })
    }

    /// The manifest of a changeset's text, without looking at the rest.
    ///
    /// # Errors
    /// [`ChangesetError::Manifest`].
    pub fn parse_manifest(mut text: &[u8]) -> Result<Node, ChangesetError> {
        line(&mut text)
            .and_then(|hex| Node::from_hex(hex).ok())
            .ok_or(ChangesetError::Manifest)
    }

    /// The changeset's text. A user with a line's end in it, and such like, give a text that says
    /// something else.
    pub fn emit(&self) -> Vec<u8> {
        let mut text = format!("{}\n", self.manifest).into_bytes();
        text.extend_from_slice(&self.user);
        text.extend_from_slice(format!("\n{} {}", self.seconds, self.offset).as_bytes());
        for (i, (key, value)) in self.extras.iter().enumerate() {
            text.push(if i == 0 { b' ' } else { 0 });
            escape(key, &mut text);
            text.push(b':');
            escape(value, &mut text);
        }
        text.push(b'\n');
        for path in &self.files {
            text.extend_from_slice(path);
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(&self.description);
        text
    }

    /// An extra's value.
    pub fn extra(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.extras
            .iter()
            .find(|(k, _)| k == key.as_ref())
            .map(|(_, value)| value.as_slice())
    }

    /// The branch that it is on.
    pub fn branch(&self) -> &[u8] {
        self.extra("branch").unwrap_or(b"default")
    }

    /// The first line of the description.
    pub fn summary(&self) -> &[u8] {
        let mut lines = self.description.split(|&byte| byte == b'\n');
        lines.next().unwrap_or_default()
    }
}

/// Keys and values.
type Extras = Vec<(Vec<u8>, Vec<u8>)>;

fn parse_extras(text: &[u8]) -> Result<Extras, ChangesetError> {
    text.split(|&byte| byte == 0)
        .filter(|extra| !extra.is_empty())
        .map(|extra| {
            let extra = unescape(extra);
            let colon = extra.iter().position(|&byte| byte == b':');
            let (key, value) = extra.split_at(colon.ok_or(ChangesetError::Extra)?);
            Ok((key.to_vec(), value.get(1..).unwrap_or_default().to_vec()))
        })
        .collect()
}

/// What would end an extra or a line is escaped.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            0 => out.extend(b"\\0"),
            _ => out.push(byte),
        }
    }
}

fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        match (byte, rest.as_slice().first()) {
            (b'\\', Some(b'\\')) => out.push(b'\\'),
            (b'\\', Some(b'n')) => out.push(b'\n'),
            (b'\\', Some(b'r')) => out.push(b'\r'),
            (b'\\', Some(b'0')) => out.push(0),
            _ => {
                out.push(byte);
                continue;
            }
        }
        rest.next();
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_captured_changeset_is_read() {
        let text =
            b"3dccbe2f7f1e9b51c582e6aba44d92fc194a0481\ntest <t@example.com>\n6 0\n\nmerge stable";
        let changeset = Changeset::parse(text).unwrap();
        assert_eq!(changeset.user, b"test <t@example.com>");
        assert_eq!((changeset.seconds, changeset.offset), (6, 0));
        assert_eq!(changeset.files, Vec::<Vec<u8>>::new());
        assert_eq!(changeset.branch(), b"default");
        assert_eq!(changeset.summary(), b"merge stable");
        assert_eq!(changeset.emit(), text);
    }

    #[test]
    fn each_fault_has_its_name() {
        let hex = "0".repeat(40);
        for (text, error) in [
            (String::new(), ChangesetError::Manifest),
            ("00\nuser".into(), ChangesetError::Manifest),
            (format!("{hex}\nuser"), ChangesetError::User),
            (format!("{hex}\nuser\n1 0"), ChangesetError::Date),
            (format!("{hex}\nuser\n1\n\n"), ChangesetError::Date),
            (format!("{hex}\nuser\n1 x\n\n"), ChangesetError::Date),
            (format!("{hex}\nuser\n1 0 x\n\n"), ChangesetError::Extra),
            (
                format!("{hex}\nuser\n1 0\na\nb\n"),
                ChangesetError::Description,
            ),
        ] {
            assert_eq!(Changeset::parse(text.as_bytes()), Err(error), "{text:?}");
        }
    }

    fn strings() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>().prop_filter("a line", |&b| b != b'\n'), 1..20)
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read(
            manifest: [u8; 20], user in strings(), seconds: i64, offset: i32,
            extras in prop::collection::vec(("[a-z]{1,5}", any::<Vec<u8>>()), 0..3),
            files in prop::collection::vec(strings(), 0..4), description: Vec<u8>,
        ) {
            let extras = extras.into_iter().map(|(k, v)| (k.into_bytes(), v)).collect();
            let changeset = Changeset {
                manifest: Node::new(manifest), user, seconds, offset, extras, files, description,
            };
            prop_assert_eq!(Changeset::parse(&changeset.emit()), Ok(changeset));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text: Vec<u8>) {
            let _ = Changeset::parse(&text);
        }
    }
}
