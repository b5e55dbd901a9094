//! Services: commands that are declared once, typed at both ends, and described by the server.
//!
//! [`service!`](crate::service!) makes a module of a declaration. A server on a device gets an enum to
//! `match` on, whose variants hold the arguments and a typed [`Reply`]; a client gets functions whose
//! parameters are the required arguments, with a method for each optional one. Anybody may ask the
//! server: it answers `capabilities` with a description of what was declared.
//!
//! ```
//! use hgrpc::connection::Outgoing;
//! # use hgrpc::R0005;
//! # use hgrpc::connection::{Buffers, ServerConnection};
//! # use hgrpc::server::{Event, Server, ServerConfig};
//! # use hgrpc::store::FixedRequests;
//!
//! hgrpc::types! {
//!     /// What the lamp shines in.
//!     pub enum Colour {
//!         Red,
//!         WarmWhite as "warm-white",
//!     }
//! }
//!
//! hgrpc::service! {
//!     /// A board with a lamp and a hash.
//!     pub service board {
//!         /// Switches the lamp.
//!         ///
//!         /// Answers whether it is lit now.
//!         fn led(
//!             /// Whether to light it.
//!             on: bool,
//!             /// Brightness.
//!             level: u8 [unit("%"), range(0..=100)] = 100,
//!             colour: Colour = Colour::WarmWhite,
//!         ) -> bool where write, idempotent;
//!
//!         /// Adds up the data.
//!         fn sum() <- Stream -> u32 where read;
//!     }
//! }
//!
//! # fn main() -> Result<(), hgrpc::Error> {
//! # let (mut memory, mut output) = ([0; 256], [0; 64]);
//! # let buffers = Buffers { input: &mut [], memory: &mut memory, output: &mut output };
//! # let mut server = Server::new(R0005, ServerConfig::STREAMING, FixedRequests::<4>::new());
//! # let mut device = ServerConnection::new(&mut server, buffers);
//! # let mut input = &b"\x1c\0\0\x01\0\x01\x01\x11\xa2Dargs\xa2Bon\xf5Elevel\x18\x32DnameCled"[..];
//! # let mut sent = Vec::new();
//! # let mut uploading = None;
//! # while let Some((event, replies)) = device.take(&mut input)? {
//! match event {
//!     Event::Command(command) => match board::Command::read(command) {
//!         Ok(board::Command::led { on, level, colour, reply }) => {
//!             let is_lit = on && level > 0;
//!             replies.make_all(&mut reply.ok(is_lit), |bytes| sent.extend_from_slice(bytes))?;
//!         }
//!         // Its data comes as `Event::Data` of this request.
//!         Ok(board::Command::sum { reply }) => uploading = Some(reply),
//!         // `capabilities`, and what cannot be run.
//!         Err(mut answer) => replies.make_all(&mut answer, |bytes| sent.extend_from_slice(bytes))?,
//!     },
//!     _ => {}
//! }
//! # replies.write_all(|bytes| sent.extend_from_slice(bytes));
//! # }
//! # assert_eq!(sent, b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\xf5");
//! # Ok(())
//! # }
//! ```
//!
//! # What does not compile
//! A command that is forgotten, an answer of another type, a second answer:
//!
//! ```compile_fail,E0004
#![doc = include_str!("wrong/head.md")]
//! match lamp::Command::read(command)? {
//!     lamp::Command::on { reply } => drop(reply.ok(true)),
//! }
#![doc = include_str!("wrong/tail.md")]
//! ```
//! ```compile_fail,E0308
#![doc = include_str!("wrong/head.md")]
//! match lamp::Command::read(command)? {
//!     lamp::Command::on { reply } => drop(reply.ok("lit")),
//!     lamp::Command::off { reply } => drop(reply.ok(())),
//! }
#![doc = include_str!("wrong/tail.md")]
//! ```
//! ```compile_fail,E0382
#![doc = include_str!("wrong/head.md")]
//! match lamp::Command::read(command)? {
//!     lamp::Command::on { reply } => {
//!         drop(reply.ok(true));
//!         drop(reply.ok(false));
//!     }
//!     lamp::Command::off { reply } => drop(reply.ok(())),
//! }
#![doc = include_str!("wrong/tail.md")]
//! ```
//! (The same with both commands answered once compiles:)
//! ```
#![doc = include_str!("wrong/head.md")]
//! match lamp::Command::read(command)? {
//!     lamp::Command::on { reply } => drop(reply.ok(true)),
//!     lamp::Command::off { reply } => drop(reply.ok(())),
//! }
#![doc = include_str!("wrong/tail.md")]
//! ```
//! Notes and bounds that there are not, and defaults of another type or out of their range:
//!
//! ```compile_fail,E0425
//! hgrpc::service! { service lamp { fn on() where idempotant; } }
//! ```
//! ```compile_fail,E0425
//! hgrpc::service! { service lamp { fn on(level: u8 [units("%")] = 1); } }
//! ```
//! ```compile_fail,E0308
//! hgrpc::service! { service lamp { fn on(level: u8 = "full"); } }
//! ```
//! ```compile_fail,E0080
//! hgrpc::service! { service lamp { fn on(level: u8 [range(0..=100)] = 101); } }
//! ```
//! ```
//! hgrpc::service! { service lamp { fn on(level: u8 [range(0..=100)] = 100) where idempotent; } }
//! ```

pub mod bounds;
mod client;
mod command;
mod constant;
mod declare;
mod describe;
mod host;
mod macros;
pub mod notes;
mod reply;
mod typed;

pub use client::{Client, Request, Upload};
#[doc(hidden)]
pub use command::{Declared, Lookup, most_arguments};
pub use command::{Problem, Why};
#[doc(hidden)]
pub use constant::{Constant, Scalar, ToScalar};
#[doc(hidden)]
pub use declare::{index_of_name, read_field};
#[doc(hidden)]
pub use describe::{ArgInfo, BoundInfo, CommandInfo, ServiceInfo, compose, composed_len, schema};
pub use describe::{Description, Field, Type};
pub use host::{Host, Routes, Run, Service};
pub use notes::Note;
pub use reply::{AutoReply, Reply};
#[doc(hidden)]
pub use typed::AnswerOf;
pub use typed::{Answer, Single, Stream, Typed, Values};
