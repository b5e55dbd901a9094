//! Connections over anything that carries bytes, by address.
//!
//! | address | what it is | connect | listen |
//! | --- | --- | --- | --- |
//! | `tcp://host:port` | TCP; a name, an IPv4 address, or an IPv6 address in brackets | yes | yes |
//! | `unix:///path` | a Unix socket | yes | yes |
//! | `stdio:` | this process's standard input and output | once | once |
//! | `exec:PROGRAM ARGS` | a child's standard input and output | yes | no |
//! | `serial:///dev/ttyUSB0` | a serial port, with a link | yes | yes |
//! | `pty:` | a new pseudo-terminal, with a link; its other end is a serial port | no | yes |
//!
//! Parameters follow a question mark and are joined by `&`: of a serial port `baud` (115200) and
//! `flow` (`none` or `hardware`); of a link `packet` (256, 128, 64 or 32 bytes) and `patience` (10
//! seconds of silence). `?link=none` leaves the link away from a serial port, `?link=cobs` puts one
//! over TCP and Unix sockets, for emulators and serial servers.
//!
//! # Links
//! A raw line loses bytes, and its ends restart. With a link over it ([`hgrpc::link`]) each
//! [`Connection`] is whole, or ends at both ends with an error that holds a
//! [`LinkError`](hgrpc::link::LinkError). A client connects again; a listener gives the next
//! connection on the same line. (Without a link nothing tells a new client from the last one: a
//! serial port with `link=none` is for one client in a server's life.) What else is on the line, boot messages for example, goes to
//! [`Options::console`].
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
mod arrivals;
pub(crate) mod connect;
mod connection;
pub(crate) mod exec;
pub(crate) mod failure;
mod family;
mod hint;
pub(crate) mod keepalive;
mod line;
mod linked;
pub(crate) mod listener;
mod options;
#[cfg(feature = "serial")]
mod port;
mod raw;
#[cfg(feature = "serial")]
mod serial;
mod session;
mod signal;
pub(crate) mod socket;
mod stdio;
pub(crate) mod unix;
mod wake;

pub use address::{Address, AddressError, AddressErrorKind, Flow, LinkSettings, SerialSettings};
pub use connection::{Connection, Handle, Reader, Writer};
pub use family::Family;
pub use listener::{Listener, ListenerHandle};
pub use options::{Console, Options, Stray};

/// What builds without them say.
#[cfg(not(feature = "serial"))]
const NO_SERIAL: &str = "this build has no serial ports (feature `serial`)";

/// There is no link over standard input and output, a program, or another link.
fn no_link() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "a link is put over TCP, a Unix socket or a serial port",
    )
}
