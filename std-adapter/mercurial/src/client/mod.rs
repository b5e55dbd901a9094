//! Typed calls of a Mercurial server's commands (http-v2.md, 5 and 9).
//!
//! ```no_run
//! use hgrpc_std::http::Config;
//! use hgrpc_mercurial::client::{ChangesetFields, RevisionFields};
//! use hgrpc_mercurial::{Changeset, Client, Specifier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://localhost:8000/repo", Config::default())?;
//! let range = Specifier::Range { roots: vec![], heads: client.heads(false)? };
//! for data in client.changesets(&[range], ChangesetFields::ALL)? {
//!     let data = data?;
//!     let changeset = Changeset::parse(&data.text.unwrap_or_default())?;
//!     println!("{} {}", data.node, String::from_utf8_lossy(changeset.summary()));
//! }
//! // A file of any size, verified as it streams.
//! let node = "2b4eb07319bfa077a40a2f04913659aef0da42da".parse()?;
//! let mut revisions = client.file(b"disk.img", &[node], RevisionFields::TEXT)?;
//! if let Some(incoming) = revisions.next()? {
//!     incoming.write_to(|_| Ok(None), &mut std::io::stdout())?;
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod changesets;
mod error;
pub(super) mod revisions;

use std::collections::BTreeMap;

pub use changesets::{ChangesetData, ChangesetFields, Changesets};
pub use error::Error;
pub use revisions::{
    Files, Form, Incoming, RawFile, RawFiles, RevisionFields, RevisionInfo, Revisions, Texts,
};

use hgrpc_std::http;
use hgrpc_std::value::Value;

use super::values::{as_bytes, as_count, as_list, as_node, bytes, nodes};
use super::{Node, PathFilter, Specifier};
use answer::Answer;

/// A Mercurial server over HTTP. Cheap to clone.
///
/// Every text that is received is checked against the hash that names it.
#[derive(Clone, Debug)]
pub struct Client(http::Client);

/// How many nodes of an unknown limit go into one request.
const BATCH: usize = 10_000;

/// Keys and values of a namespace.
type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

/// What one has to know before fetching; see [`Client::discover`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discovery {
    /// Changesets without children.
    pub heads: Vec<Node>,
    /// Which of the nodes that were asked for the server has.
    pub known: Vec<bool>,
    /// Bookmarks and where they are.
    pub bookmarks: BTreeMap<Vec<u8>, Node>,
    /// Whether all that is pulled is public.
    pub is_publishing: bool,
    /// Drafts whose parents are public.
    pub draft_roots: Vec<Node>,
}

type Result<T> = std::result::Result<T, Error>;

impl Client {
    /// Asks the server at this address what it can do.
    ///
    /// # Errors
    /// The transport's.
    pub fn connect(url: &str, config: http::Config) -> Result<Self> {
        Ok(Self(http::Client::connect(url, config)?))
    }

    /// The transport, for what it can do beside these commands.
    pub const fn http(&self) -> &http::Client {
        &self.0
    }

    /// How many revisions or changesets are best asked for at once with this command.
    pub fn batch_size(&self, command: &str) -> usize {
        let info = self.0.capabilities().commands.get(command);
        let size = info.and_then(|info| info.extra.get("recommendedbatchsize"));
        let size = size
            .and_then(as_count)
            .and_then(|n| usize::try_from(n).ok());
        size.unwrap_or(BATCH).max(1)
    }

    fn one(&self, name: &'static str, command: &http::Command) -> Result<Value> {
        one_value(name, self.0.call(command)?)
    }

    /// The one value that each of these commands, of these names, gives, in one request.
    fn values<const N: usize>(
        &self,
        names: [&'static str; N],
        commands: &[http::Command; N],
    ) -> Result<[Value; N]> {
        let mut values = [const { Value::Null }; N];
        let responses = self.0.batch(commands)?;
        for ((value, name), response) in values.iter_mut().zip(names).zip(responses) {
            *value = one_value(name, response)?;
        }
        Ok(values)
    }

    fn many(&self, name: &'static str, command: &http::Command) -> Result<Answer> {
        Ok(Answer::new(self.0.call(command)?, name))
    }

    /// Changesets without children; with `public_only` of the public ones. Of an empty repository
    /// there are none (the server says one null node).
    ///
    /// # Errors
    /// See [`Error`], also for the other commands.
    pub fn heads(&self, public_only: bool) -> Result<Vec<Node>> {
        let mut command = http::Command::new("heads");
        if public_only {
            command = command.arg("publiconly", true);
        }
        heads(&self.one("heads", &command)?)
    }

    /// Which of these changesets the server has.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn known(&self, nodes: &[Node]) -> Result<Vec<bool>> {
        known(&self.one("known", &known_command(nodes))?, nodes.len())
    }

    /// [`heads`](Self::heads) and [`known`](Self::known) in one request, at one time.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn heads_and_known(&self, nodes: &[Node]) -> Result<(Vec<Node>, Vec<bool>)> {
        let commands = [http::Command::new("heads"), known_command(nodes)];
        let [heads_value, known_value] = self.values(["heads", "known"], &commands)?;
        Ok((heads(&heads_value)?, known(&known_value, nodes.len())?))
    }

    /// What one has to know before fetching, in one request, at one time.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn discover(&self, nodes: &[Node]) -> Result<Discovery> {
        let listkeys = |name| http::Command::new("listkeys").bytes("namespace", name);
        let commands = [
            http::Command::new("heads"),
            known_command(nodes),
            listkeys("bookmarks"),
            listkeys("phases"),
        ];
        let names = ["heads", "known", "listkeys", "listkeys"];
        let [heads_value, known_value, bookmarks_value, phases] = self.values(names, &commands)?;
        let phases = keys(&phases)?;
        Ok(Discovery {
            heads: heads(&heads_value)?,
            known: known(&known_value, nodes.len())?,
            bookmarks: bookmarks(keys(&bookmarks_value)?)?,
            is_publishing: phases.get(&b"publishing"[..]).is_some_and(|v| v == b"True"),
            draft_roots: phases
                .keys()
                .filter_map(|key| Node::from_hex(key).ok())
                .collect(),
        })
    }

    /// The heads of each branch.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn branchmap(&self) -> Result<BTreeMap<Vec<u8>, Vec<Node>>> {
        let value = self.one("branchmap", &http::Command::new("branchmap"))?;
        let Value::Map(entries) = value else {
            return Err(wrong("branchmap", "map"));
        };
        let entries = entries.iter().map(|(name, heads)| {
            let heads = as_list(heads)?.iter().map(as_node).collect::<Option<_>>();
            Some((as_bytes(name)?.to_vec(), heads?))
        });
        let branches: Option<_> = entries.collect();
        branches.ok_or_else(|| wrong("branchmap", "nodes"))
    }

    /// The keys of a namespace: `bookmarks`, `phases` or `namespaces`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn listkeys(&self, namespace: &str) -> Result<Keys> {
        let command = http::Command::new("listkeys").bytes("namespace", namespace);
        keys(&self.one("listkeys", &command)?)
    }

    /// Bookmarks and where they are.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn bookmarks(&self) -> Result<BTreeMap<Vec<u8>, Node>> {
        bookmarks(self.listkeys("bookmarks")?)
    }

    /// The changeset that a name stands for: a node or its beginning, a bookmark, tag, branch,
    /// number, `tip`.
    ///
    /// # Errors
    /// See [`Error`]. An unknown name is an error of the server's.
    pub fn lookup(&self, key: impl AsRef<[u8]>) -> Result<Node> {
        let value = self.one("lookup", &http::Command::new("lookup").bytes("key", key))?;
        as_node(&value).ok_or_else(|| wrong("lookup", "node"))
    }

    /// Sets a key of a namespace from its old value to a new one, an empty one standing for none;
    /// whether the server did.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn pushkey(&self, namespace: &str, key: &[u8], old: &[u8], new: &[u8]) -> Result<bool> {
        let command = http::Command::new("pushkey")
            .bytes("namespace", namespace)
            .bytes("key", key)
            .bytes("old", old)
            .bytes("new", new);
        match self.one("pushkey", &command)? {
            Value::Bool(is_done) => Ok(is_done),
            _ => Err(wrong("pushkey", "boolean")),
        }
    }

    /// Changesets.
    ///
    /// # Errors
    /// See [`Error`]. Mercurial's server refuses a [`Specifier::Range`] without heads.
    pub fn changesets(
        &self,
        specifiers: &[Specifier],
        fields: ChangesetFields,
    ) -> Result<Changesets> {
        let command = http::Command::new("changesetdata")
            .arg("revisions", specifiers_value(specifiers))
            .arg("fields", fields.to_value());
        Changesets::new(self.many("changesetdata", &command)?)
    }

    /// Manifests. At most [`batch_size`](Self::batch_size) at once.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn manifests(&self, nodes: &[Node], fields: RevisionFields) -> Result<Revisions> {
        let fields = RevisionFields {
            linknode: false,
            ..fields
        };
        let command = http::Command::new("manifestdata").bytes("tree", "");
        Revisions::new(self.many("manifestdata", &with_nodes(command, nodes, fields))?)
    }

    /// Revisions of one file.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn file(&self, path: &[u8], nodes: &[Node], fields: RevisionFields) -> Result<Revisions> {
        let command = http::Command::new("filedata").bytes("path", path);
        Revisions::new(self.many("filedata", &with_nodes(command, nodes, fields))?)
    }

    /// Revisions of many files, each named, in one request: the answers are in the order of the files,
    /// and have to be read in it.
    pub(super) fn many_files<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a [u8], &'a [Node])>,
        fields: RevisionFields,
    ) -> Result<impl Iterator<Item = Result<Revisions>>> {
        let commands: Vec<_> = files
            .into_iter()
            .map(|(path, nodes)| {
                let command = http::Command::new("filedata").bytes("path", path);
                with_nodes(command, nodes, fields)
            })
            .collect();
        let responses = self.0.batch(&commands)?.into_iter();
        Ok(responses.map(|response| Revisions::new(Answer::new(response, "filedata"))))
    }

    /// The revisions of files that changesets have. At most [`batch_size`](Self::batch_size)
    /// changesets at once.
    ///
    /// With [`RevisionFields::have_parents`] only of those that the changesets touch. But Mercurial's
    /// server fails at a changeset that removes a file (H-06): ask for these without.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn files(
        &self,
        specifiers: &[Specifier],
        fields: RevisionFields,
        filter: &PathFilter,
    ) -> Result<Files> {
        let mut command = http::Command::new("filesdata")
            .arg("revisions", specifiers_value(specifiers))
            .arg("fields", fields.to_value());
        if fields.have_parents {
            command = command.arg("haveparents", true);
        }
        if *filter != PathFilter::default() {
            command = command.arg("pathfilter", filter.to_value());
        }
        Files::new(self.many("filesdata", &command)?)
    }

    /// Files of the server's storage: of the kinds `changelog` and `manifestlog`. Not all servers
    /// have this command.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn raw_store_files(&self, kinds: &[&str]) -> Result<RawFiles> {
        let kinds = Value::Array(kinds.iter().map(bytes).collect());
        let command = http::Command::new("rawstorefiledata").arg("files", kinds);
        RawFiles::new(self.many("rawstorefiledata", &command)?)
    }
}

fn wrong(command: &'static str, expected: &'static str) -> Error {
    Error::Answer { command, expected }
}

/// The one value of an answer.
fn one_value(command: &'static str, response: http::Response) -> Result<Value> {
    response.one_value().map_err(|error| match error {
        http::Error::Unexpected(expected) => wrong(command, expected),
        error => Error::Http(error),
    })
}

fn heads(value: &Value) -> Result<Vec<Node>> {
    let heads: Option<Vec<Node>> =
        as_list(value).and_then(|heads| heads.iter().map(as_node).collect());
    let mut heads = heads.ok_or_else(|| wrong("heads", "nodes"))?;
    heads.retain(|head| !head.is_null());
    Ok(heads)
}

fn known_command(list: &[Node]) -> http::Command {
    http::Command::new("known").arg("nodes", nodes(list))
}

fn known(value: &Value, len: usize) -> Result<Vec<bool>> {
    let digits = as_bytes(value).unwrap_or_default().iter();
    let known: Vec<bool> = digits.map(|digit| *digit == b'1').collect();
    match known.len() == len {
        true => Ok(known),
        false => Err(wrong("known", "digit for each node")),
    }
}

fn keys(value: &Value) -> Result<Keys> {
    let Value::Map(entries) = value else {
        return Err(wrong("listkeys", "map"));
    };
    let entries = entries.iter();
    let entries = entries.map(|(key, v)| Some((as_bytes(key)?.to_vec(), as_bytes(v)?.to_vec())));
    let keys: Option<_> = entries.collect();
    keys.ok_or_else(|| wrong("listkeys", "byte strings"))
}

fn bookmarks(keys: Keys) -> Result<BTreeMap<Vec<u8>, Node>> {
    let keys = keys.into_iter();
    let keys = keys.map(|(name, hex)| Node::from_hex(&hex).ok().map(|node| (name, node)));
    let bookmarks: Option<_> = keys.collect();
    bookmarks.ok_or_else(|| wrong("listkeys", "nodes"))
}

fn specifiers_value(specifiers: &[Specifier]) -> Value {
    Value::Array(specifiers.iter().map(Specifier::to_value).collect())
}

fn with_nodes(command: http::Command, list: &[Node], fields: RevisionFields) -> http::Command {
    let command = command
        .arg("nodes", nodes(list))
        .arg("fields", fields.to_value());
    match fields.have_parents {
        true => command.arg("haveparents", true),
        false => command,
    }
}

impl From<http::Client> for Client {
    /// The server that this one is connected to.
    fn from(client: http::Client) -> Self {
        Self(client)
    }
}

/// A whole text of this length.
fn read_text(bytes: http::Bytes<'_>, node: Node, len: u64, limit: usize) -> Result<Vec<u8>> {
    let text = bytes.read_all(limit).map_err(|error| match error {
        http::Error::ValueTooLarge => Error::TooLarge { node, limit },
        error => Error::Http(error),
    })?;
    match u64::try_from(text.len()) {
        Ok(found) if found == len => Ok(text),
        _ => Err(Error::Length { node }),
    }
}
