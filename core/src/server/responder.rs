//! Tokens that allow one answer each.

use crate::RefusalReason;
use crate::wire::RequestId;

/// Allows one answer to one request. A few bytes, not copied; may be kept, sent to another task,
/// and used while the request's arguments are still borrowed.
///
/// Dropping one leaves its request open for ever: [`Server::active`](super::Server::active) lists
/// such requests and [`Server::take_over`](super::Server::take_over) gives a new token.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a request whose responder is dropped is never answered"]
pub struct Responder {
    request_id: RequestId,
    order: u32,
}

impl Responder {
    pub(super) const fn new(request_id: RequestId, order: u32) -> Self {
        Self { request_id, order }
    }

    /// The request that it answers.
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    pub(super) const fn order(&self) -> u32 {
        self.order
    }
}

/// A refused request, to be answered with [`Server::reject`](super::Server::reject).
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a refused request must be answered, or its caller waits for ever"]
pub struct Rejection {
    pub(super) request_id: RequestId,
    pub(super) reason: RefusalReason,
    pub(super) limit: u32,
}

impl Rejection {
    /// The request that is refused.
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Why.
    pub const fn reason(&self) -> RefusalReason {
        self.reason
    }

    /// The limit's value: requests, bytes, levels or frames.
    pub const fn limit(&self) -> u32 {
        self.limit
    }
}
