//! Connections over anything that carries bytes, by address.
//!
//! | address | what it is | connect | listen |
//! | --- | --- | --- | --- |
//! | `tcp://host:port` | TCP; a name, an IPv4 address, or an IPv6 address in brackets | yes | yes |
//! | `unix:///path` | a Unix socket | yes | yes |
//! | `stdio:` | this process's standard input and output | once | once |
//! | `exec:PROGRAM ARGS` | a child's standard input and output | yes | no |
//!
//! An [`Address`] parses and prints itself, [connects](Address::connect) and
//! [listens](Address::listen). A [`Connection`] has a reading and a writing half, for two threads,
//! and a [`Handle`] that closes it from anywhere.
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use hgrpc_std::transport::Address;
//!
//! let address: Address = "tcp://127.0.0.1:7070".parse()?;
//! let connection = address.connect(None)?;
//! let (mut reader, mut writer, handle) = connection.into_parts();
//! let answers = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::stdout()));
//! writer.write_all(b"...")?;
//! drop(writer); // the peer reads the end
//! handle.close(); // ends the thread's read, too
//! # drop(answers);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every error of connecting and listening names the address and what failed. For a library user
//! this is plain bytes: which revision of the protocol they carry is agreed on elsewhere.

mod address;
pub(crate) mod connect;
mod connection;
pub(crate) mod exec;
pub(crate) mod failure;
mod hint;
pub(crate) mod listener;
pub(crate) mod socket;
mod stdio;
pub(crate) mod unix;
mod wake;

pub use address::{Address, AddressError, AddressErrorKind};
pub use connection::{Connection, Handle, Reader, Writer};
pub use listener::{Listener, ListenerHandle};
