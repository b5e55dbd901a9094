//! Who may do what (http-v2.md, 2, row 9 and H-02).

use std::fmt;

use base64ct::{Base64, Encoding};
use hyper::http::request::Parts;

use super::Peer;

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Read: addresses under `ro`, commands with the permission `pull`, the handshake.
    Pull,
    /// Write: addresses under `rw`, commands with the permission `push`.
    Push,
}

/// What is asked for, and by whom.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    head: &'a Parts,
    peer: &'a Peer,
    permission: Permission,
    command: &'a str,
}

/// Decides who may do what. It is asked for each request's address and for each command in it, in
/// the server's own threads: it must not block for long.
///
/// Closures are one; [`Permissions`] are simple ones.
pub trait Authorize: Send + Sync + 'static {
    /// Whether this may be done.
    ///
    /// # Errors
    /// What the client is told instead.
    fn authorize(&self, access: &Access<'_>) -> Result<(), Denial>;
}

impl<F> Authorize for F
where
    F: Fn(&Access<'_>) -> Result<(), Denial> + Send + Sync + 'static,
{
    fn authorize(&self, access: &Access<'_>) -> Result<(), Denial> {
        self(access)
    }
}

/// The same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Everybody may pull, nobody may push.
    ReadOnly,
    /// Everybody may do everything.
    ReadWrite,
}

impl Authorize for Permissions {
    fn authorize(&self, access: &Access<'_>) -> Result<(), Denial> {
        match (self, access.permission()) {
            (Self::ReadOnly, Permission::Push) => Err(Denial::forbidden("push not authorized")),
            _ => Ok(()),
        }
    }
}

/// What a client is told that may not do what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) challenge: Option<String>,
}

impl Denial {
    /// Status 403: not for anybody, or not for this one. The reason is for people.
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self {
            status: 403,
            reason: reason.into(),
            challenge: None,
        }
    }

    /// Status 401: say who you are, and how, such as `Basic realm="hg"`. The reason is for people.
    pub fn unauthorized(reason: impl Into<String>, challenge: impl Into<String>) -> Self {
        Self {
            status: 401,
            reason: reason.into(),
            challenge: Some(challenge.into()),
        }
    }
}

impl<'a> Access<'a> {
    pub(super) fn new(
        head: &'a Parts,
        peer: &'a Peer,
        permission: Permission,
        command: &'a str,
    ) -> Self {
        Self {
            head,
            peer,
            permission,
            command,
        }
    }

    /// The permission that is needed: the address's, or the command's own.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// The command; `multirequest` where only the address is known, `capabilities` for the
    /// handshake.
    pub fn command(&self) -> &'a str {
        self.command
    }

    /// The HTTP method.
    pub fn method(&self) -> &'a str {
        self.head.method.as_str()
    }

    /// The address's path.
    pub fn path(&self) -> &'a str {
        self.head.uri.path()
    }

    /// A header's value, the first of that name in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.head.headers.get(name).map(|value| value.as_bytes())
    }

    /// The name and the password of basic authentication.
    pub fn basic_credentials(&self) -> Option<(String, String)> {
        let value = std::str::from_utf8(self.header("authorization")?).ok()?;
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(Base64::decode_vec(encoded.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// Who is at the other end of the connection: its address, behind a proxy the proxy's; on a Unix
    /// socket whose process it is, where [`Peer::unix`] was given to
    /// [`Server::serve_connection`](super::Server::serve_connection).
    pub fn peer(&self) -> &'a Peer {
        self.peer
    }
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold passwords.
        f.debug_struct("Access")
            .field("permission", &self.permission)
            .field("command", &self.command)
            .field("path", &self.path())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
