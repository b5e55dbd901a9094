//! The server's side. Read `serve.rs` first: it has the tasks and the order of ends.
//!
//! ```text
//!   incoming.rs   frames ─▶ reactor ─▶ a task for each request; its data into a pipe
//!   reply.rs      what a handler says, compose.rs: as pieces ─▶ a lane
//!   jobs.rs       lanes ─▶ reactor ─▶ frames
//!   conn.rs       what these share; shared.rs: what all connections share
//!   clock.rs      when what happened, for limits of time
//! ```

mod call;
mod clock;
mod compose;
mod conn;
mod data;
mod extract;
mod gone;
mod handler;
mod incoming;
mod jobs;
mod listener;
mod reply;
mod router;
mod serve;
mod shared;
mod side;

pub use crate::gate::{Refusal, ServerLimits, Stats};
pub use crate::host::origin::Origin;
pub use crate::host::peer::{Credentials, Peer};
pub use call::Call;
pub use data::Data;
pub use extract::{Args, Collected, FromParts, Parts, State};
pub use gone::Gone;
pub use handler::{Cbor, Handler, IntoReply};
pub use listener::Listener;
pub use reply::Reply;
pub use router::Router;
pub use serve::{Cut, Server, ServerBuilder, Shutdown, serve};
pub use side::Side;
