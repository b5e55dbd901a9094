//! Adds a revision to a mirror, whatever it comes from, after its hash was found right.

use std::io::Read;

use super::format::{Record, Stored};
use super::write::LARGE;
use super::{FetchError, MirrorError, MirrorWriter};
use crate::client::Error;
use crate::client::revisions::{Verified, find_base, local_or_remote};
use crate::client::{Form, Incoming};
use crate::{Manifest, Node};

type Result<T> = std::result::Result<T, FetchError>;

/// A revision of a manifest or a file that is coming.
pub(super) struct Arriving<'a> {
    pub(super) node: Node,
    pub(super) parents: [Node; 2],
    pub(super) form: Form,
    /// The text, or a delta.
    pub(super) bytes: &'a mut dyn Read,
}

impl MirrorWriter {
    /// Stores a revision that a server sends.
    pub(super) fn receive(
        &mut self,
        incoming: Incoming<'_>,
        key: Option<u32>,
        linked: u32,
    ) -> Result<()> {
        let info = incoming.info;
        let wrong = |expected| Error::Answer {
            command: match key {
                Some(_) => "filesdata",
                None => "manifestdata",
            },
            expected,
        };
        if info.form == Form::None {
            return Err(wrong("revision").into());
        }
        let parents = info.parents.ok_or_else(|| wrong("parents"))?;
        let mut bytes = incoming.into_bytes()?;
        let arriving = Arriving {
            node: info.node,
            parents,
            form: info.form,
            bytes: &mut bytes,
        };
        self.store(arriving, key, linked)
    }

    /// Stores a manifest or a file's revision, if it is not there: as a small delta if it came as one,
    /// or if it is a manifest; otherwise as a whole text.
    pub(super) fn store(
        &mut self,
        arriving: Arriving<'_>,
        key: Option<u32>,
        linked: u32,
    ) -> Result<()> {
        let Arriving {
            node,
            parents,
            form,
            bytes,
        } = arriving;
        if self.index.revision(key, &node).is_some() {
            return Ok(());
        }
        let base = |base: &Node| Ok(self.text(key, base)?);
        let mut spool = self.spool(key.is_some());
        let mut verified = Verified::new(parents, &mut spool);
        let mut delta = None;
        let came = match form {
            Form::Delta(base_node, len) => {
                let text = find_base(base, node, base_node)?;
                if usize::try_from(len).is_ok_and(|len| len <= LARGE) {
                    let bytes = read_delta(bytes, node, len)?;
                    verified.apply(text, &bytes[..], node)?;
                    delta = Some((base_node, bytes));
                } else {
                    verified.apply(text, bytes.take(len), node)?;
                }
                len
            }
            Form::Text(_) | Form::None => {
                std::io::copy(bytes, &mut verified).map_err(local_or_remote)?
            }
        };
        if let Form::Text(announced) = form
            && announced != came
        {
            return Err(Error::Length { node }.into());
        }
        verified.finish(node)?;
        if let (None, None, Some(text)) = (&delta, key, spool.memory()) {
            let [base, _] = parents;
            if let Some(old) = self.text(None, &base)? {
                let old = old.read_all().map_err(Error::Storage)?;
                delta = Some((base, Manifest::delta(&old, text)));
            }
        }
        let mut stored = Stored {
            node,
            parents,
            linked,
            len: spool.len,
            ..Stored::default()
        };
        let delta = delta.filter(|(base, delta)| {
            let len = length(delta);
            let is_small = spool.memory().is_some() && len < spool.len;
            is_small && self.index.takes_delta(key, base, len, spool.len)
        });
        match delta {
            Some((base, delta)) => {
                stored.stored = length(&delta);
                stored.base = Some(base);
                stored.place = self.append(&delta)?;
            }
            None => self.keep(spool, &mut stored)?,
        }
        self.add(Record::Revision(key, stored))?;
        Ok(self.count(came)?)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn read_delta(bytes: &mut dyn Read, node: Node, len: u64) -> Result<Vec<u8>> {
    let mut delta = Vec::new();
    let read = bytes.take(len + 1).read_to_end(&mut delta);
    read.map_err(local_or_remote)?;
    match length(&delta) == len {
        true => Ok(delta),
        false => Err(Error::Length { node }.into()),
    }
}

impl From<MirrorError> for Error {
    fn from(error: MirrorError) -> Self {
        Self::Storage(error.into())
    }
}
