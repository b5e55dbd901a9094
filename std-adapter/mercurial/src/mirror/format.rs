//! What is written to the files of a mirror.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use hgrpc::KeyOrder;
use hgrpc_std::value::Value;

use super::MirrorError;
use super::block::{CHECKSUM, checksum};
use super::error::at;
use crate::Node;
use crate::values::{as_bytes, as_count, as_list, as_node, bytes, find};

/// The whole contents of the file `hgrpc-mirror`.
pub(super) const VERSION: &str = "hgrpc mirror 2\n";

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

/// Where the bytes of a revision are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of its own, in `large`.
    #[default]
    Large,
    /// In the block of `texts` that begins at `block`, from its byte `start` on.
    Block { block: u64, start: u32 },
}

/// A revision and where its text is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) node: Node,
    pub(super) parents: [Node; 2],
    /// The number of the first changeset that has it. Of a changeset: its own.
    pub(super) linked: u32,
    pub(super) place: Place,
    /// How many bytes are there, decompressed; of a large text, bytes of its file.
    pub(super) stored: u64,
    /// The length of the text.
    pub(super) len: u64,
    /// What the bytes are a delta to.
    pub(super) base: Option<Node>,
}

impl Stored {
    fn values(&self) -> [Value; 9] {
        let [p1, p2] = self.parents;
        let [block, start] = match self.place {
            Place::Large => [Value::Null, Value::Null],
            Place::Block { block, start } => [Value::from(block), Value::from(u64::from(start))],
        };
        [
            bytes(self.node.as_bytes()),
            bytes(p1.as_bytes()),
            bytes(p2.as_bytes()),
            Value::from(u64::from(self.linked)),
            block,
            start,
            Value::from(self.stored),
            Value::from(self.len),
            self.base.map_or(Value::Null, |base| bytes(base.as_bytes())),
        ]
    }

    fn parse(items: &[Value]) -> Option<Self> {
        let [node, p1, p2, linked, block, start, stored, len, base] = items else {
            return None;
        };
        Some(Self {
            node: as_node(node)?,
            parents: [as_node(p1)?, as_node(p2)?],
            linked: u32::try_from(as_count(linked)?).ok()?,
            place: match block {
                Value::Null => Place::Large,
                block => Place::Block {
                    block: as_count(block)?,
                    start: u32::try_from(as_count(start)?).ok()?,
                },
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

/// How many paths there are before the first record of a block of the index: so that a block can be
/// read without those before it.
pub(super) const INDEX_HEADER: usize = 4;

/// The records of a block of the index, and how many paths are before them.
pub(super) fn records(block: &[u8]) -> Option<(u32, Vec<Record>)> {
    let (head, mut rest) = block.split_first_chunk::<INDEX_HEADER>()?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, len) = Record::parse(rest)?;
        records.push(record);
        rest = rest.get(len..)?;
    }
    Some((u32::from_be_bytes(*head), records))
}

/// How much of a mirror's files counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Changesets.
    pub(super) changesets: u32,
    /// Bytes of `index`.
    pub(super) index: u64,
    /// Bytes of `texts`.
    pub(super) texts: u64,
}

impl Extent {
    fn to_value(self) -> Value {
        let changesets = Value::from(u64::from(self.changesets));
        Value::Array(vec![
            changesets,
            Value::from(self.index),
            Value::from(self.texts),
        ])
    }

    fn parse(value: &Value) -> Option<Self> {
        let [changesets, index, texts] = as_list(value)? else {
            return None;
        };
        Some(Self {
            changesets: u32::try_from(as_count(changesets)?).ok()?,
            index: as_count(index)?,
            texts: as_count(texts)?,
        })
    }
}

/// What the file `state` says: how much of the other files counts, and what may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The number at the end of the names of `index` and `texts`. A mirror that is repaired gets new
    /// ones.
    pub(super) generation: u32,
    /// What is whole: changesets with all that is theirs.
    pub(super) whole: Extent,
    /// What has come, of changesets that are not yet whole: a fetch that was ended goes on there.
    pub(super) pending: Extent,
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
        Value::object([
            ("generation", Value::from(u64::from(self.generation))),
            ("whole", self.whole.to_value()),
            ("pending", self.pending.to_value()),
            ("url", bytes(&self.url)),
            ("bookmarks", Value::Map(bookmarks.collect())),
            ("drafts", Value::Array(drafts.collect())),
            ("publishing", Value::Bool(self.is_publishing)),
        ])
    }

    /// What the bytes of the file say; `None` if their checksum is another.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (encoded, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
        if checksum(&[b"state", encoded]) != *sum {
            return None;
        }
        let value = Value::decode(encoded).ok()?;
        let Value::Map(bookmarks) = find(&value, "bookmarks")? else {
            return None;
        };
        let bookmarks = bookmarks.iter();
        let bookmarks = bookmarks.map(|(k, v)| Some((as_bytes(k)?.to_vec(), as_node(v)?)));
        let drafts = as_list(find(&value, "drafts")?)?.iter().map(as_node);
        Some(Self {
            generation: u32::try_from(as_count(find(&value, "generation")?)?).ok()?,
            whole: Extent::parse(find(&value, "whole")?)?,
            pending: Extent::parse(find(&value, "pending")?)?,
            url: String::from_utf8_lossy(as_bytes(find(&value, "url")?)?).into_owned(),
            bookmarks: bookmarks.collect::<Option<_>>()?,
            drafts: drafts.collect::<Option<_>>()?,
            is_publishing: *find(&value, "publishing")? == Value::Bool(true),
        })
    }

    fn emit(&self) -> Vec<u8> {
        // Flat, of what has an encoding.
        let encoded = self.to_value().encode(KeyOrder::Bytewise);
        let mut bytes = encoded.unwrap_or_default();
        let sum = checksum(&[b"state", &bytes]);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// Replaces the file, at once and for good: whoever reads it sees the old one or the new one,
    /// also after the power went.
    pub(super) fn write(&self, directory: &Path) -> Result<(), MirrorError> {
        replace(directory, "state", &self.emit())
    }

    /// The file of this state that has the index, or the texts.
    pub(super) fn file(&self, directory: &Path, name: &str) -> PathBuf {
        numbered(directory, name, self.generation)
    }
}

/// A file of a generation.
pub(super) fn numbered(directory: &Path, name: &str, generation: u32) -> PathBuf {
    directory.join(format!("{name}.{generation}"))
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

    fn places() -> impl Strategy<Value = Place> {
        let block = any::<(u64, u32)>().prop_map(|(block, start)| Place::Block { block, start });
        prop_oneof![Just(Place::Large), block]
    }

    prop_compose! {
        fn stored()(
            node in nodes(), p1 in nodes(), p2 in nodes(), linked: u32, place in places(),
            stored: u64, len: u64, base in prop::option::of(nodes()),
        ) -> Stored {
            Stored { node, parents: [p1, p2], linked, place, stored, len, base }
        }
    }

    proptest! {
        #[test]
        fn records_are_read_as_written(stored in stored(), path: Vec<u8>, number: u32, rest: Vec<u8>) {
            let all = [
                Record::Path(path.clone()),
                Record::Changeset(stored.clone()),
                Record::Revision(None, stored.clone()),
                Record::Revision(Some(number), stored.clone()),
            ];
            let mut block = number.to_be_bytes().to_vec();
            for record in &all {
                let mut encoded = Vec::new();
                record.emit(&mut encoded);
                block.extend_from_slice(&encoded);
                let len = encoded.len();
                encoded.extend_from_slice(&rest);
                prop_assert_eq!(Record::parse(&encoded), Some((record.clone(), len)));
            }
            prop_assert_eq!(records(&block), Some((number, all.to_vec())));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = records(&bytes);
            let _ = State::parse(&bytes);
        }

        #[test]
        fn the_state_is_read_as_written(
            generation: u32, changesets: u32, index: u64, texts: u64, url: String,
            drafts in prop::collection::vec(nodes(), 0..3),
            bookmarks in prop::collection::btree_map(any::<Vec<u8>>(), nodes(), 0..3), is_publishing: bool,
        ) {
            let whole = Extent { changesets, index, texts };
            let pending = Extent { changesets, index: texts, texts: index };
            let state = State { generation, whole, pending, url, bookmarks, drafts, is_publishing };
            let directory = tempfile::tempdir().unwrap();
            state.write(directory.path()).unwrap();
            let mut bytes = fs::read(directory.path().join("state")).unwrap();
            prop_assert_eq!(State::parse(&bytes), Some(state));
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(State::parse(&bytes), None, "bit {}", bit);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}
