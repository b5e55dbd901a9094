//! What tokens of requests are made of.

use crate::wire::RequestId;

/// A request, and the half of its order that tells it from others of the same ID: 65,536 requests
/// later it is taken for another.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Token {
    request_id: RequestId,
    generation: u16,
}

impl Token {
    pub(crate) const fn new(request_id: RequestId, order: u32) -> Self {
        Self {
            request_id,
            generation: generation(order),
        }
    }

    pub(crate) const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Whether it is of the request that was opened as this one.
    pub(crate) const fn is_of(&self, order: u32) -> bool {
        self.generation == generation(order)
    }
}

/// The lower half of a request's order.
const fn generation(order: u32) -> u16 {
    let [low, high, ..] = order.to_le_bytes();
    u16::from_le_bytes([low, high])
}
