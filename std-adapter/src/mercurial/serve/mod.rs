//! The commands of a Mercurial server (http-v2.md, 5).
//!
//! ```text
//!   table.rs        what there is, and with which arguments
//!   args.rs         arguments checked
//!   select.rs       which changesets a request is about
//!   keys.rs         heads, known, branchmap, listkeys, lookup, pushkey
//!   changesets.rs   changesetdata
//!   revisions.rs    manifestdata, filedata, filesdata
//! ```

mod args;
mod changesets;
mod keys;
mod lookup;
mod revisions;
mod select;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use hgrpc::KeyOrder;

use super::{Repository, Source};
use crate::blocking::{Call, Failure, Reply, Router};
use crate::value::Value;
use args::{Checked, Command};

/// The commands of a repository: what runs them, and what is told of them.
#[derive(Clone, Debug)]
pub struct Commands {
    /// What runs them. It checks arguments; permissions are for the transport.
    pub router: Router,
    /// The map that describes them (http-v2.md, 5.2): the answer of `capabilities`, and part of
    /// the handshake over HTTP.
    pub descriptor: Value,
}

type Run = fn(&dyn Repository, &Checked, &mut Reply) -> Result<(), Failure>;

fn handler(name: &str) -> Option<Run> {
    Some(match name {
        "branchmap" => keys::branchmap,
        "changesetdata" => changesets::changesetdata,
        "filedata" => revisions::filedata,
        "filesdata" => revisions::filesdata,
        "heads" => keys::heads,
        "known" => keys::known,
        "listkeys" => keys::listkeys,
        "lookup" => keys::lookup,
        "manifestdata" => revisions::manifestdata,
        "pushkey" => keys::pushkey,
        "rawstorefiledata" => keys::rawstorefiledata,
        _ => return None,
    })
}

impl Commands {
    /// The commands of this repository.
    pub fn new(source: impl Source) -> Self {
        let source = Arc::new(source);
        let commands = table::commands();
        let descriptor = table::descriptor(&commands);
        let mut router = Router::new();
        for command in commands {
            let (source, descriptor) = (Arc::clone(&source), descriptor.clone());
            let name = command.name;
            router = router.command(name, move |call: &mut Call, reply: &mut Reply| {
                run(&*source, &command, &descriptor, call, reply)
            });
        }
        Self { router, descriptor }
    }
}

fn run(
    source: &dyn Source,
    command: &Command,
    descriptor: &Value,
    call: &Call,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let args = command.check(call)?;
    match handler(command.name) {
        Some(run) => run(&*source.repository()?, &args, reply),
        None => send(reply, descriptor),
    }
}

/// Adds a value to the response.
fn send(reply: &mut Reply, value: &Value) -> Result<(), Failure> {
    let encoded = value.encode(KeyOrder::Bytewise).map_err(io::Error::other)?;
    Ok(reply.cbor(&encoded)?)
}
