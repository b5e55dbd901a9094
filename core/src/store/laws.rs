//! Checks a store against the [laws](super). For the tests of whoever writes one.
//!
//! Nothing here is linked into a program that does not call it.

use super::{Arena, Entry, Key, Phase, Table};
use crate::wire::RequestId;

/// A law that a store breaks, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LawBroken(pub &'static str);

impl core::fmt::Display for LawBroken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for LawBroken {}

fn law(holds: bool, text: &'static str) -> Result<(), LawBroken> {
    if holds { Ok(()) } else { Err(LawBroken(text)) }
}

fn entry(order: u32, phase: Phase) -> Entry {
    Entry {
        order,
        request_len: 0,
        frames: 0,
        phase,
        has_data: false,
    }
}

/// Checks an empty table; leaves it empty. At most 1,000 entries are inserted.
///
/// # Errors
/// The first law that is broken.
pub fn check_table<T: Table + ?Sized>(table: &mut T) -> Result<(), LawBroken> {
    let count = u16::try_from(table.capacity().min(1_000)).unwrap_or(1_000);
    law(
        table.next_after(None).is_none(),
        "an empty table lists nothing",
    )?;
    for n in 0..count {
        let id = RequestId::new(n);
        // Orders descend, so that listing in insertion order is not enough.
        let order = u32::from(count).saturating_sub(u32::from(n));
        law(
            table.insert(id, entry(order, Phase::Receiving)).is_ok(),
            "there is room up to the capacity",
        )?;
        law(
            table.find(id).map(Entry::order) == Some(order),
            "what was inserted is found",
        )?;
    }
    if usize::from(count) == table.capacity() {
        let one_more = RequestId::new(count);
        law(
            table.insert(one_more, entry(0, Phase::Active)).is_err(),
            "a full table refuses",
        )?;
        law(
            table.find(one_more).is_none(),
            "a refused insert changes nothing",
        )?;
        law(
            table.insert(one_more, entry(0, Phase::Refused)).is_ok(),
            "refused entries have room of their own",
        )?;
        law(
            table.find(one_more).is_some_and(Entry::is_refused),
            "a refused entry is found",
        )?;
        table.remove(one_more);
        law(table.find(one_more).is_none(), "a removed entry is gone")?;
    }
    let mut listed = 0u16;
    let mut last = None;
    while let Some((id, found)) = table.next_after(last) {
        law(
            last.is_none_or(|l| found.order() > l),
            "entries are listed in opening order",
        )?;
        law(
            table.find(id) == Some(&found),
            "what is listed can be found",
        )?;
        last = Some(found.order());
        listed = listed.saturating_add(1);
        law(listed <= count, "every entry is listed once")?;
    }
    law(listed == count, "every entry is listed")?;
    if let Some(first) = table.find_mut(RequestId::new(0)) {
        first.phase = Phase::Active;
    }
    law(
        count == 0
            || table
                .find(RequestId::new(0))
                .is_some_and(|e| e.phase == Phase::Active),
        "a change is kept",
    )?;
    for n in 0..count {
        table.remove(RequestId::new(n));
        law(
            table.find(RequestId::new(n)).is_none(),
            "a removed entry is gone",
        )?;
    }
    law(
        table.next_after(None).is_none(),
        "an emptied table lists nothing",
    )
}

/// Checks an empty arena of at least 16 bytes; leaves it empty.
///
/// # Errors
/// The first law that is broken.
pub fn check_arena<A: Arena + ?Sized>(arena: &mut A) -> Result<(), LawBroken> {
    let [a, b] = [
        Key::request(RequestId::new(1)),
        Key::request(RequestId::new(3)),
    ];
    let whole = arena.room(a);
    law(
        whole <= arena.capacity() && whole >= 16,
        "an empty arena has its capacity free",
    )?;
    law(
        arena.find(a).is_none(),
        "nothing is found before it was appended",
    )?;
    law(arena.append(a, b"ab").is_ok(), "there is room")?;
    let shares = arena.room(b) > 0;
    if shares {
        law(arena.append(b, b"").is_ok(), "nothing can be appended")?;
        law(arena.find(b) == Some(&[]), "an empty append begins a key")?;
        law(arena.append(b, b"xyz").is_ok(), "keys share the room")?;
    }
    law(
        arena.append(a, b"cd").is_ok(),
        "a key in the middle can grow",
    )?;
    law(arena.find(a) == Some(b"abcd"), "bytes are kept in order")?;
    law(
        !shares || arena.find(b) == Some(b"xyz"),
        "growing one key leaves the others as they are",
    )?;
    let room = arena.room(a);
    law(room <= whole, "room shrinks")?;
    if room < 1_024 {
        let big = [b'z'; 1_024];
        let over = big.get(..room.saturating_add(1)).unwrap_or(&big);
        law(
            arena.append(a, over).is_err(),
            "what does not fit is refused",
        )?;
        law(
            arena.find(a) == Some(b"abcd"),
            "a refused append changes nothing",
        )?;
        let exact = big.get(..room).unwrap_or(&big);
        law(arena.append(a, exact).is_ok(), "room is what fits")?;
        law(arena.room(a) == 0, "a full arena has no room")?;
        law(
            arena.find(a).is_some_and(|f| f.starts_with(b"abcdz")),
            "bytes are kept in order",
        )?;
        law(
            !shares || arena.find(b) == Some(b"xyz"),
            "filling one key leaves the others as they are",
        )?;
    }
    let len = arena.find(a).map_or(0, <[u8]>::len);
    law(arena.take(a).len() == len, "taking lends all bytes")?;
    law(arena.find(a).is_none(), "a taken key is gone")?;
    law(
        !shares || arena.find(b) == Some(b"xyz"),
        "taking one key leaves the others as they are",
    )?;
    law(
        !shares || arena.room(b) == whole.saturating_sub(3),
        "what was taken is free again",
    )?;
    arena.remove(b);
    law(arena.find(b).is_none(), "a removed key is gone")?;
    law(
        arena.take(b).is_empty(),
        "nothing is taken where nothing is",
    )?;
    law(
        arena.room(a) == whole,
        "an emptied arena has its capacity free",
    )
}
