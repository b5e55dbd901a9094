//! The identity of a revision (http-v2.md, 5.9).

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use sha1::{Digest, Sha1};

/// The hash that names a changeset, a manifest or a file's revision: 20 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node([u8; Self::LEN]);

/// What is no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeError {
    /// It has so many bytes, not 20.
    Length(usize),
    /// It is not 40 hexadecimal digits.
    NotHex,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(f, "node len {len} != expected node len {}", Node::LEN),
            Self::NotHex => f.write_str("a node in hex is 40 digits 0 to 9 and a to f"),
        }
    }
}

impl std::error::Error for NodeError {}

impl Node {
    /// Bytes of a node.
    pub const LEN: usize = 20;
    /// The null node: no parent, or the revision before the first.
    pub const NULL: Self = Self([0; Self::LEN]);

    /// The node of these bytes.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The node's bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Whether it is the null node.
    pub fn is_null(&self) -> bool {
        *self == Self::NULL
    }

    /// The node of 40 hexadecimal digits.
    ///
    /// # Errors
    /// Anything else.
    pub fn from_hex(digits: &[u8]) -> Result<Self, NodeError> {
        let mut bytes = [0; Self::LEN];
        match base16ct::mixed::decode(digits, &mut bytes) {
            Ok(decoded) if decoded.len() == Self::LEN => Ok(Self(bytes)),
            _ => Err(NodeError::NotHex),
        }
    }

    /// The node as 40 hexadecimal digits, lower case.
    pub fn to_hex(self) -> String {
        base16ct::lower::encode_string(&self.0)
    }

    /// The hash of a revision: of its parents, the smaller first, and its text.
    pub fn of_revision(parents: [Self; 2], text: &[u8]) -> Self {
        let mut hasher = NodeHasher::new(parents);
        hasher.update(text);
        hasher.finish()
    }
}

impl TryFrom<&[u8]> for Node {
    type Error = NodeError;

    fn try_from(bytes: &[u8]) -> Result<Self, NodeError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| NodeError::Length(bytes.len()))
    }
}

impl FromStr for Node {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        Self::from_hex(text.as_bytes())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes a revision whose text comes in parts, of any length, in constant memory.
#[derive(Clone)]
pub struct NodeHasher(Sha1);

impl NodeHasher {
    /// The hash of a revision with these parents, before any text.
    pub fn new(parents: [Node; 2]) -> Self {
        let [p1, p2] = parents;
        let mut hash = Sha1::new();
        hash.update(p1.min(p2).0);
        hash.update(p1.max(p2).0);
        Self(hash)
    }

    /// The next part of the text.
    pub fn update(&mut self, text: &[u8]) {
        self.0.update(text);
    }

    /// The revision's node.
    pub fn finish(self) -> Node {
        Node(self.0.finalize().into())
    }
}

impl Write for NodeHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for NodeHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeHasher")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_captured_revision_hashes_to_its_node() {
        // From captured/debugwireproto, dw-filedata-identity-01-filedata.
        let parent: Node = "5e5dd682715037a944e12f3e1bdbaeb5486c5d10".parse().unwrap();
        let node = Node::of_revision([parent, Node::NULL], b"a0\na1\na2\n");
        assert_eq!(node.to_hex(), "ea11fad4d6a28ad45fad63223f8ba29df8ddc100");
        assert_eq!(
            node,
            Node::of_revision([Node::NULL, parent], b"a0\na1\na2\n")
        );
    }

    #[test]
    fn what_is_no_node_is_refused() {
        assert_eq!(Node::try_from(&b"abc"[..]), Err(NodeError::Length(3)));
        for text in ["", "00", &"0".repeat(39), &"0".repeat(41), &"g".repeat(40)] {
            assert_eq!(text.parse::<Node>(), Err(NodeError::NotHex), "{text}");
        }
    }

    proptest! {
        #[test]
        fn hex_goes_both_ways(bytes: [u8; 20]) {
            let node = Node::new(bytes);
            prop_assert_eq!(node.to_string().parse(), Ok(node));
            prop_assert_eq!(node.to_string().to_uppercase().parse(), Ok(node));
        }

        #[test]
        fn parts_hash_like_the_whole(parents: [[u8; 20]; 2], text: Vec<u8>, cut: prop::sample::Index) {
            let parents = parents.map(Node::new);
            let (front, back) = text.split_at(cut.index(text.len() + 1));
            let mut hasher = NodeHasher::new(parents);
            hasher.write_all(front).unwrap();
            hasher.write_all(back).unwrap();
            prop_assert_eq!(hasher.finish(), Node::of_revision(parents, &text));
        }
    }
}
