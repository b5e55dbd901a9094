//! What is written to the files of a mirror.

use hgrpc::KeyOrder;

use super::MirrorError;
use super::error::at;
use crate::mercurial::Node;
use crate::mercurial::values::{as_bytes, as_count, as_list, as_node, bytes, find, map};
use crate::value::Value;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// The whole contents of the file `hgrpc-mirror`.
pub(super) const VERSION: &str = "hgrpc mirror 1\n";

/// A record of the file `index`: an array whose first item says what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// 0: a file's path. They are numbered from 0, as they come.
    Path(Vec<u8>),
    /// 1: a changeset. They are numbered from 0, as they come.
    Changeset(Stored),
    /// 2: a manifest, 3: a file's revision, with the number of its path.
    Revision(Option<u32>, Stored),
}

/// A revision and where its text is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) node: Node,
    pub(super) parents: [Node; 2],
    /// The number of the first changeset that has it. Of a changeset: its own.
    pub(super) linked: u32,
    /// Where its bytes are in the file `texts`; none if they are a file of their own.
    pub(super) offset: Option<u64>,
    /// How many bytes these are.
    pub(super) stored: u64,
    /// The length of the text.
    pub(super) len: u64,
    /// What the bytes are a delta to.
    pub(super) base: Option<Node>,
}

impl Stored {
    fn values(&self) -> [Value; 8] {
        let [p1, p2] = self.parents;
        let optional = |value: Option<Value>| value.unwrap_or(Value::Null);
        [
            bytes(self.node.as_bytes()),
            bytes(p1.as_bytes()),
            bytes(p2.as_bytes()),
            Value::from(u64::from(self.linked)),
            optional(self.offset.map(Value::from)),
            Value::from(self.stored),
            Value::from(self.len),
            optional(self.base.map(|base| bytes(base.as_bytes()))),
        ]
    }

    fn parse(items: &[Value]) -> Option<Self> {
        let [node, p1, p2, linked, offset, stored, len, base] = items else {
            return None;
        };
        Some(Self {
            node: as_node(node)?,
            parents: [as_node(p1)?, as_node(p2)?],
            linked: u32::try_from(as_count(linked)?).ok()?,
            offset: match offset {
                Value::Null => None,
                offset => Some(as_count(offset)?),
            },
            stored: as_count(stored)?,
            len: as_count(len)?,
            base: match base {
                Value::Null => None,
                base => Some(as_node(base)?),
            },
        })
    }
}

impl Record {
    /// Adds the record to what is to be written.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let number = |n: u32| Value::from(u64::from(n));
        let items = match self {
            Self::Path(path) => vec![number(0), bytes(path)],
            Self::Changeset(stored) => [number(1)].into_iter().chain(stored.values()).collect(),
            Self::Revision(None, stored) => {
                [number(2)].into_iter().chain(stored.values()).collect()
            }
            Self::Revision(Some(path), stored) => {
                let head = [number(3), number(*path)];
                head.into_iter().chain(stored.values()).collect()
            }
        };
        // Flat arrays of what has an encoding.
        out.extend(
            Value::Array(items)
                .encode(KeyOrder::Bytewise)
                .unwrap_or_default(),
        );
    }

    /// The first record of these bytes, and its length.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (value, len) = Value::decode_prefix(bytes).ok()?;
        let (kind, items) = as_list(&value)?.split_first()?;
        let record = match (as_count(kind)?, items) {
            (0, [path]) => Self::Path(as_bytes(path)?.to_vec()),
            (1, items) => Self::Changeset(Stored::parse(items)?),
            (2, items) => Self::Revision(None, Stored::parse(items)?),
            (3, [path, items @ ..]) => {
                let path = u32::try_from(as_count(path)?).ok()?;
                Self::Revision(Some(path), Stored::parse(items)?)
            }
            _ => return None,
        };
        Some((record, len))
    }
}

/// What the file `state` says: how much of the other files counts, and what may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Bytes of `index` that count.
    pub(super) index: u64,
    /// Bytes of `texts` that count.
    pub(super) texts: u64,
    /// Where it was fetched from.
    pub(super) url: String,
    pub(super) bookmarks: BTreeMap<Vec<u8>, Node>,
    /// Drafts whose parents are public.
    pub(super) drafts: Vec<Node>,
    /// Whether what was fetched is public because the server publishes all.
    pub(super) is_publishing: bool,
}

impl State {
    fn to_value(&self) -> Value {
        let bookmarks = self.bookmarks.iter();
        let bookmarks = bookmarks.map(|(name, node)| (bytes(name), bytes(node.as_bytes())));
        let drafts = self.drafts.iter().map(|node| bytes(node.as_bytes()));
        map([
            ("index", Value::from(self.index)),
            ("texts", Value::from(self.texts)),
            ("url", bytes(&self.url)),
            ("bookmarks", Value::Map(bookmarks.collect())),
            ("drafts", Value::Array(drafts.collect())),
            ("publishing", Value::Bool(self.is_publishing)),
        ])
    }

    /// What the bytes of the file say.
    pub(super) fn parse(encoded: &[u8]) -> Option<Self> {
        let value = Value::decode(encoded).ok()?;
        let Value::Map(bookmarks) = find(&value, "bookmarks")? else {
            return None;
        };
        let bookmarks = bookmarks.iter();
        let bookmarks = bookmarks.map(|(k, v)| Some((as_bytes(k)?.to_vec(), as_node(v)?)));
        let drafts = as_list(find(&value, "drafts")?)?.iter().map(as_node);
        Some(Self {
            index: as_count(find(&value, "index")?)?,
            texts: as_count(find(&value, "texts")?)?,
            url: String::from_utf8_lossy(as_bytes(find(&value, "url")?)?).into_owned(),
            bookmarks: bookmarks.collect::<Option<_>>()?,
            drafts: drafts.collect::<Option<_>>()?,
            is_publishing: *find(&value, "publishing")? == Value::Bool(true),
        })
    }

    /// Replaces the file, at once and for good: whoever reads it sees the old one or the new one,
    /// also after the power went.
    pub(super) fn write(&self, directory: &Path) -> Result<(), MirrorError> {
        // Flat, of what has an encoding.
        let encoded = self
            .to_value()
            .encode(KeyOrder::Bytewise)
            .unwrap_or_default();
        replace(directory, "state", &encoded)
    }
}

/// Writes a file under another name, and renames it when it is safe on the disk.
pub(super) fn replace(directory: &Path, name: &str, contents: &[u8]) -> Result<(), MirrorError> {
    let (path, new) = (directory.join(name), directory.join(format!("{name}.new")));
    let mut file = File::create(&new).map_err(at(&new))?;
    file.write_all(contents).map_err(at(&new))?;
    file.sync_all().map_err(at(&new))?;
    fs::rename(&new, &path).map_err(at(&path))?;
    sync_directory(directory)
}

/// Makes names of new files safe on the disk.
pub(super) fn sync_directory(directory: &Path) -> Result<(), MirrorError> {
    // Only Unix opens directories, and only there it is needed.
    if cfg!(unix) {
        let opened = File::open(directory).map_err(at(directory))?;
        opened.sync_all().map_err(at(directory))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes() -> impl Strategy<Value = Node> {
        any::<[u8; 20]>().prop_map(Node::new)
    }

    prop_compose! {
        fn stored()(
            node in nodes(), p1 in nodes(), p2 in nodes(), linked: u32, offset: Option<u64>,
            stored: u64, len: u64, base in prop::option::of(nodes()),
        ) -> Stored {
            Stored { node, parents: [p1, p2], linked, offset, stored, len, base }
        }
    }

    proptest! {
        #[test]
        fn records_are_read_as_written(stored in stored(), path: Vec<u8>, number: u32, rest: Vec<u8>) {
            for record in [
                Record::Path(path.clone()),
                Record::Changeset(stored.clone()),
                Record::Revision(None, stored.clone()),
                Record::Revision(Some(number), stored.clone()),
            ] {
                let mut encoded = Vec::new();
                record.emit(&mut encoded);
                let len = encoded.len();
                encoded.extend_from_slice(&rest);
                prop_assert_eq!(Record::parse(&encoded), Some((record, len)));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Record::parse(&bytes);
            let _ = State::parse(&bytes);
        }

        #[test]
        fn the_state_is_read_as_written(
            index: u64, texts: u64, url: String, drafts in prop::collection::vec(nodes(), 0..3),
            bookmarks in prop::collection::btree_map(any::<Vec<u8>>(), nodes(), 0..3), is_publishing: bool,
        ) {
            let state = State { index, texts, url, bookmarks, drafts, is_publishing };
            let directory = tempfile::tempdir().unwrap();
            state.write(directory.path()).unwrap();
            let bytes = fs::read(directory.path().join("state")).unwrap();
            prop_assert_eq!(State::parse(&bytes), Some(state));
        }
    }
}
