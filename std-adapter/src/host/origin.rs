//! Whose connections count together.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Whose connections count together, where limits are for each peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    not(feature = "tokio"),
    allow(
        unreachable_pub,
        reason = "a tokio server shows it, lines only count with it"
    )
)]
#[non_exhaustive]
pub enum Origin {
    /// An IPv4 address, or an IPv6 network of 64 bits, by its first address.
    Address(IpAddr),
    /// A user of this machine, over a Unix socket.
    User(u32),
    /// All of which nothing is known.
    Unknown,
}

impl Origin {
    /// The origin of connections from this address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                // One customer has a network of so many addresses.
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address @ IpAddr::V4(_)) => write!(f, "{address}"),
            Self::Address(network) => write!(f, "{network}/64"),
            Self::User(id) => write!(f, "user {id}"),
            Self::Unknown => f.write_str("an unknown peer"),
        }
    }
}
