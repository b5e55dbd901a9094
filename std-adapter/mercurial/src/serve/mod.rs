//! The commands of a Mercurial server (http-v2.md, 5).
//!
//! ```text
//!   table.rs        what there is, and with which arguments
//!   args.rs         arguments checked
//!   select.rs       which changesets a request is about
//!   keys.rs         heads, known, branchmap, listkeys, lookup, pushkey, rawstorefiledata
//!   lookup.rs       what a name stands for
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

use std::io::{self, Read};
use std::sync::Arc;

use hgrpc::KeyOrder;
use hgrpc_std::blocking::{Call, Failure, Reply, Router};
use hgrpc_std::http::{Capabilities, CommandInfo};
use hgrpc_std::value::Value;

use super::{Repository, Source};
use args::Checked;

/// The commands of a repository: what runs them, and what is told of them.
#[derive(Clone, Debug)]
pub struct Commands {
    /// What runs them. It checks arguments; permissions are for the transport.
    pub router: Router,
    /// What is told of them: the answer of `capabilities`, and part of the handshake over HTTP.
    pub capabilities: Capabilities,
}

type Run = fn(&dyn Repository, &Checked, &mut Reply) -> Result<(), Failure>;

const HANDLERS: &[(&str, Run)] = &[
    ("branchmap", keys::branchmap),
    ("changesetdata", changesets::changesetdata),
    ("filedata", revisions::filedata),
    ("filesdata", revisions::filesdata),
    ("heads", keys::heads),
    ("known", keys::known),
    ("listkeys", keys::listkeys),
    ("lookup", keys::lookup),
    ("manifestdata", revisions::manifestdata),
    ("pushkey", keys::pushkey),
    ("rawstorefiledata", keys::rawstorefiledata),
];

impl Commands {
    /// The commands of this repository.
    pub fn new(source: impl Source) -> Self {
        let source = Arc::new(source);
        let capabilities = table::capabilities();
        let mut router = Router::new();
        for (name, run) in HANDLERS {
            let (source, info) = (
                Arc::clone(&source),
                capabilities.commands.get(*name).cloned(),
            );
            let info = info.unwrap_or_default();
            router = router.command(name, move |call: &mut Call, reply: &mut Reply| {
                let args = args::check(&info, call)?;
                run(&*source.repository()?, &args, reply)
            });
        }
        let descriptor = capabilities.to_value().encode(KeyOrder::Bytewise);
        let (descriptor, info) = (descriptor.unwrap_or_default(), CommandInfo::pull());
        router = router.command("capabilities", move |call: &mut Call, reply: &mut Reply| {
            args::check(&info, call)?;
            Ok(reply.cbor(&descriptor)?)
        });
        Self {
            router,
            capabilities,
        }
    }
}

/// Adds a value to the response.
fn send(reply: &mut Reply, value: &Value) -> Result<(), Failure> {
    let encoded = value.encode(KeyOrder::Bytewise).map_err(io::Error::other)?;
    Ok(reply.cbor(&encoded)?)
}

/// Adds a text as one byte string, without holding it. One that is shorter than was said makes the
/// response fail at its end.
fn send_text(reply: &mut Reply, len: u64, text: impl Read) -> Result<(), Failure> {
    io::copy(&mut text.take(len), &mut reply.byte_string(len)?)?;
    Ok(())
}
