//! Every storage that reactors can use.

use hgrpc::store::{Arena, FixedArena, FixedStore, FixedTable, Table};
use hgrpc_std::store::{GrowableArena, GrowableStore, GrowableTable};

/// A table and an arena together.
pub trait Store {
    /// The table.
    type Table: Table;
    /// The arena.
    type Arena: Arena;

    /// An empty store.
    fn new() -> Self;

    /// Both halves.
    fn split(&mut self) -> (&mut Self::Table, &mut Self::Arena);

    /// The table.
    fn table(&mut self) -> &mut Self::Table {
        self.split().0
    }
}

/// Requests that the fixed store holds: 16 being received and 16 active at once.
pub const REQUESTS: usize = 32;

/// Bytes that the fixed store holds: room for the vectors' requests and their data.
pub const BYTES: usize = 256 * 1024;

/// Storage in fixed memory, boxed because it is large.
#[derive(Debug)]
pub struct Fixed(Box<FixedStore<REQUESTS, BYTES>>);

impl Store for Fixed {
    type Table = FixedTable<REQUESTS>;
    type Arena = FixedArena<REQUESTS, BYTES>;

    fn new() -> Self {
        Self(Box::new(FixedStore::new()))
    }

    fn split(&mut self) -> (&mut Self::Table, &mut Self::Arena) {
        self.0.split()
    }
}

impl Store for GrowableStore {
    type Table = GrowableTable;
    type Arena = GrowableArena;

    fn new() -> Self {
        Self::default()
    }

    fn split(&mut self) -> (&mut Self::Table, &mut Self::Arena) {
        Self::split(self)
    }
}
