//! Reads the answers that are maps with byte strings behind them (http-v2.md, 5.4 to 5.8).

use hgrpc_std::http::{Bytes, Item, Response};
use hgrpc_std::value::Value;

use super::Error;
use crate::Node;
use crate::values::{as_bytes, as_count, as_list, as_node, find};

/// An answer, and the command for what is wrong with it.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response,
    pub(super) command: &'static str,
    /// Byte strings that come before the next map, and that nobody has begun to read.
    unread: usize,
}

impl Answer {
    pub(super) fn new(response: Response, command: &'static str) -> Self {
        Self {
            response,
            command,
            unread: 0,
        }
    }

    pub(super) fn wrong(&self, expected: &'static str) -> Error {
        Error::Answer {
            command: self.command,
            expected,
        }
    }

    /// The next map; `None` at the end.
    pub(super) fn next_map(&mut self) -> Result<Option<Value>, Error> {
        while self.unread > 0 {
            self.bytes()?;
        }
        match self.response.next_value()? {
            Some(map @ Value::Map(_)) => Ok(Some(map)),
            Some(_) => Err(self.wrong("map")),
            None => Ok(None),
        }
    }

    /// The next map, which has to be there.
    pub(super) fn map(&mut self) -> Result<Value, Error> {
        self.next_map()?.ok_or_else(|| self.wrong("map"))
    }

    /// The next byte string, to be read as it comes.
    pub(super) fn bytes(&mut self) -> Result<Bytes<'_>, Error> {
        let error = self.wrong("byte string");
        self.unread = self.unread.saturating_sub(1);
        match self.response.next_item()? {
            Some(Item::Bytes(bytes)) => Ok(bytes),
            _ => Err(error),
        }
    }

    /// A number of a map, such as `totalitems`.
    pub(super) fn count(&self, map: &Value, key: &'static str) -> Result<u64, Error> {
        find(map, key)
            .and_then(as_count)
            .ok_or_else(|| self.wrong(key))
    }

    pub(super) fn node(&self, map: &Value, key: &'static str) -> Result<Node, Error> {
        find(map, key)
            .and_then(as_node)
            .ok_or_else(|| self.wrong(key))
    }

    /// A node that need not be there.
    pub(super) fn optional_node(
        &self,
        map: &Value,
        key: &'static str,
    ) -> Result<Option<Node>, Error> {
        find(map, key).map(|_| self.node(map, key)).transpose()
    }

    pub(super) fn parents(&self, map: &Value) -> Result<Option<[Node; 2]>, Error> {
        let Some(parents) = find(map, "parents") else {
            return Ok(None);
        };
        match as_list(parents).unwrap_or_default() {
            [p1, p2] => as_node(p1).zip(as_node(p2)),
            _ => None,
        }
        .map(|(p1, p2)| Some([p1, p2]))
        .ok_or_else(|| self.wrong("parents"))
    }

    /// Returns which of the byte strings that follow a map is wanted: its name and its length. Those
    /// before it are passed over here; it and those behind it are, unless they are read, with the next
    /// map.
    pub(super) fn following(
        &mut self,
        map: &Value,
        wanted: &[&'static str],
    ) -> Result<Option<(&'static str, u64)>, Error> {
        let Some(entries) = find(map, "fieldsfollowing") else {
            return Ok(None);
        };
        let mut found = None;
        for entry in as_list(entries).unwrap_or_default() {
            let [name, len] = as_list(entry).unwrap_or_default() else {
                return Err(self.wrong("fieldsfollowing"));
            };
            let name = as_bytes(name).unwrap_or_default();
            let name = wanted.iter().find(|wanted| wanted.as_bytes() == name);
            let len = as_count(len).ok_or_else(|| self.wrong("fieldsfollowing"))?;
            match (&found, name) {
                (None, None) => {
                    self.bytes()?;
                }
                (None, Some(name)) => {
                    found = Some((*name, len));
                    self.unread += 1;
                }
                (Some(_), _) => self.unread += 1,
            }
        }
        Ok(found)
    }
}
