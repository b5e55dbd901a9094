//! The server's side. Read `serve.rs` first: it has the tasks and the order of ends.
//!
//! ```text
//!   driver.rs   socket ◀─▶ engine; each handler is polled once where its request was read
//!   conn.rs     the engine behind a lock, and those who wait for it
//!   reply.rs, notes.rs, data.rs   what a handler has; shared.rs: what all connections share
//! ```

mod call;
mod conn;
mod data;
mod driver;
mod extract;
mod gone;
mod handler;
mod listener;
mod notes;
mod reply;
mod router;
mod serve;
mod service;
mod shared;

pub use crate::gate::{Refusal, ServerLimits, Stats};
pub use crate::host::origin::Origin;
pub use crate::host::peer::{Credentials, Peer};
pub use call::Call;
pub use data::Data;
pub use extract::{Args, Collected, FromParts, Parts, State};
pub use gone::Gone;
pub use handler::{Handler, IntoEnd, Returns, Writes};
pub use listener::Listener;
pub use notes::Notes;
pub use reply::Reply;
pub use router::Router;
pub use serve::{Cut, Server, ServerBuilder, Shutdown, serve};
pub use service::{Exchange, Sequence};
