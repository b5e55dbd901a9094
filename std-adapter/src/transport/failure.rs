//! Errors that name the address and what failed.

use std::fmt;
use std::io::{self, ErrorKind};

use super::Address;

/// What was tried when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Connect,
    Listen,
}

/// The error with the address before it and, where it is known, the likely reason after it. Its kind
/// stays.
pub(crate) fn named(address: &Address, attempt: Attempt, error: &io::Error) -> io::Error {
    let (kind, reason) = (error.kind(), reason(error));
    let hint = match (address, attempt, kind) {
        (Address::Exec { program, .. }, _, ErrorKind::NotFound) => {
            return message(
                address,
                kind,
                format_args!("there is no program {program:?}"),
            );
        }
        (Address::Exec { program, .. }, _, ErrorKind::PermissionDenied) => {
            return message(
                address,
                kind,
                format_args!("{program:?} may not be run: {reason}"),
            );
        }
        (address, Attempt::Connect, ErrorKind::NotFound) if is_serial(address) => {
            ": is it plugged in?"
        }
        (_, Attempt::Connect, ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
            ": is a server running there?"
        }
        (_, Attempt::Listen, ErrorKind::AddrInUse) => ": is a server running there already?",
        (Address::Tcp { .. }, Attempt::Listen, ErrorKind::AddrNotAvailable) => {
            ": it is not an address of this machine"
        }
        (Address::Unix(_), Attempt::Listen, ErrorKind::NotFound) => ": is its directory there?",
        _ => "",
    };
    message(address, kind, format_args!("{reason}{hint}"))
}

/// Whether the line is a serial port, with a link or without.
fn is_serial(address: &Address) -> bool {
    match address {
        Address::Linked { line, .. } => is_serial(line),
        address => matches!(address, Address::Serial { .. }),
    }
}

/// An error about an address.
pub(crate) fn message(address: &Address, kind: ErrorKind, what: fmt::Arguments<'_>) -> io::Error {
    io::Error::new(
        kind,
        match address.to_string() {
            // `stdio:` has its colon.
            address if address.ends_with(':') => format!("{address} {what}"),
            address => format!("{address}: {what}"),
        },
    )
}

/// The error in words; one of the operating system without its number, where its kind has words.
fn reason(error: &io::Error) -> String {
    let kind = error.kind();
    let words = kind.to_string();
    match error.raw_os_error() {
        // Its own words are for more than files.
        Some(_) if kind == ErrorKind::NotFound => "no such file".to_owned(),
        Some(_) if words != "uncategorized error" => words,
        _ => error.to_string(),
    }
}
