//! Every storage that reactors can use.

use core::borrow::BorrowMut;

use hgrpc::store::{FixedRequests, Requests};
use hgrpc_std::requests::Budgets;
use hgrpc_std::requests::{GatheredBytes, GrowableRequests};

/// Requests, and the memory beside them.
pub trait Store: Requests + Sized {
    /// The memory, as its owner holds it.
    type Held: BorrowMut<Self::Memory>;

    /// No requests, and memory with nothing in it.
    fn empty() -> (Self, Self::Held);
}

/// Requests that the fixed store holds: 16 being received and 16 active at once.
pub const REQUESTS: usize = 32;

/// Bytes that the fixed store holds: room for the vectors' requests and their data.
pub const BYTES: usize = 256 * 1024;

/// Storage in fixed memory.
pub type Fixed = FixedRequests<REQUESTS>;

impl Store for Fixed {
    type Held = Vec<u8>;

    fn empty() -> (Self, Vec<u8>) {
        (Self::new(), vec![0; BYTES])
    }
}

impl Store for GrowableRequests {
    type Held = GatheredBytes;

    fn empty() -> (Self, GatheredBytes) {
        let budgets = Budgets::DEFAULT;
        (Self::new(budgets), GatheredBytes::new(budgets.bytes))
    }
}
