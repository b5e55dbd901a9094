//! Checks a store against the [laws](super). For the tests of whoever writes one.
//!
//! Nothing here is linked into a program that does not call it.

use super::{Key, Requests, bits};
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

fn key(id: u16) -> Key {
    Key::request(RequestId::new(id))
}

/// Checks an empty store with at least 16 bytes of memory; leaves it empty. At most 1,000 requests
/// are opened.
///
/// # Errors
/// The first law that is broken.
pub fn check<T: Requests>(requests: &mut T, memory: &mut T::Memory) -> Result<(), LawBroken> {
    check_requests(requests)?;
    check_bytes(requests, memory)
}

fn check_requests<T: Requests>(requests: &mut T) -> Result<(), LawBroken> {
    let count = u16::try_from(requests.capacity().min(1_000)).unwrap_or(1_000);
    let is_empty = |requests: &T| requests.next_after(None).is_none();
    law(is_empty(requests), "an empty store lists nothing")?;
    for n in 0..count {
        // Orders descend, so that listing in the order of insertion is not enough.
        let order = u32::from(count).saturating_sub(u32::from(n));
        let is_open = if n & 1 == 0 {
            requests.open(key(n), order, bits::RECEIVING)
        } else {
            requests
                .open_new(key(n), order, bits::RECEIVING)
                .is_some_and(|slot| slot.order() == order)
        };
        law(is_open, "there is room up to the capacity")?;
        let found = requests.find(key(n)).map(|slot| slot.order());
        law(found == Some(order), "what was opened is found")?;
    }
    if usize::from(count) == requests.capacity() {
        let one_more = key(count);
        law(
            !requests.open(one_more, 0, bits::ACTIVE)
                && requests.open_new(one_more, 0, bits::ACTIVE).is_none(),
            "a full store refuses",
        )?;
        law(
            requests.find(one_more).is_none(),
            "a refused request changes nothing",
        )?;
        law(
            requests.open(key(0), u32::from(count), bits::RECEIVING),
            "opening again replaces",
        )?;
        law(
            requests.open(one_more, 0, bits::ASIDE),
            "what stands aside has room of its own",
        )?;
        law(
            requests.find(one_more).is_some_and(|slot| slot.is_aside()),
            "what stands aside is found",
        )?;
        requests.remove(one_more);
        law(
            requests.find(one_more).is_none(),
            "a removed request is gone",
        )?;
    }
    let mut listed = 0u16;
    let mut last = None;
    while let Some((id, found)) = requests.next_after(last) {
        law(
            last.is_none_or(|last| found.order() > last),
            "requests are listed in opening order",
        )?;
        let same = requests.find(Key::request(id)).copied();
        law(same == Some(found), "what is listed is found")?;
        last = Some(found.order());
        listed = listed.saturating_add(1);
        law(listed <= count, "every request is listed once")?;
    }
    law(listed == count, "every request is listed")?;
    if let Some(first) = requests.find(key(0)) {
        first.bits = bits::ACTIVE;
    }
    let is_kept = requests
        .find(key(0))
        .is_some_and(|slot| slot.bits == bits::ACTIVE);
    law(count == 0 || is_kept, "a change is kept")?;
    law(
        count == 0 || requests.open_new(key(0), 0, 0).is_none(),
        "a key that has a slot gets no new one",
    )?;
    for n in 0..count {
        requests.remove(key(n));
        law(requests.find(key(n)).is_none(), "a removed request is gone")?;
    }
    law(is_empty(requests), "an emptied store lists nothing")
}

fn check_bytes<T: Requests>(requests: &mut T, memory: &mut T::Memory) -> Result<(), LawBroken> {
    let [a, b] = [key(1), key(3)];
    let whole = requests.room(memory);
    law(whole >= 16, "an empty store has its memory free")?;
    law(
        requests.open(a, 1, 0) && requests.open(b, 2, bits::ASIDE),
        "there is room",
    )?;
    law(
        requests.append(b, b"", memory),
        "nothing can be appended, too",
    )?;
    law(
        requests.find(b).is_some_and(|slot| slot.is_held()),
        "an empty append begins a key's bytes",
    )?;
    law(requests.append(a, b"ab", memory), "there is room")?;
    law(requests.append(b, b"xyz", memory), "keys share the room")?;
    law(
        requests.append(a, b"cd", memory),
        "a key in the middle can grow",
    )?;
    law(
        requests.gathered(a, memory) == b"abcd",
        "bytes are kept in order",
    )?;
    let is_kept = |requests: &T, memory: &T::Memory| requests.gathered(b, memory) == b"xyz";
    law(
        is_kept(requests, memory),
        "growing one key leaves the others as they are",
    )?;
    law(
        requests.find(a).is_some_and(|slot| slot.len() == 4),
        "bytes are counted",
    )?;
    let room = requests.room(memory);
    law(room <= whole, "room shrinks")?;
    if room < 1_024 {
        let big = [b'z'; 1_024];
        let over = big.get(..room.saturating_add(1)).unwrap_or(&big);
        law(
            !requests.append(a, over, memory),
            "what does not fit is refused",
        )?;
        law(
            requests.gathered(a, memory) == b"abcd",
            "a refused append changes nothing",
        )?;
        let exact = big.get(..room).unwrap_or(&big);
        law(requests.append(a, exact, memory), "room is what fits")?;
        law(requests.room(memory) == 0, "a full memory has no room")?;
        law(
            requests.gathered(a, memory).starts_with(b"abcdz"),
            "bytes are kept in order",
        )?;
        law(
            is_kept(requests, memory),
            "filling one key leaves the others as they are",
        )?;
    }
    let len = requests.gathered(a, memory).len();
    requests.take(a, memory);
    law(
        requests.taken(memory).len() == len,
        "taking lends all bytes",
    )?;
    law(
        is_kept(requests, memory),
        "taking one key leaves the others as they are",
    )?;
    requests.release(memory);
    law(
        is_kept(requests, memory) && requests.room(memory) == whole.saturating_sub(3),
        "what was released is free again",
    )?;
    law(
        requests.find(a).is_some_and(|slot| !slot.is_held()),
        "a released key has nothing",
    )?;
    requests.free(b, memory);
    law(
        requests.gathered(b, memory).is_empty(),
        "what was freed is gone",
    )?;
    requests.remove(a);
    requests.remove(b);
    law(
        requests.room(memory) == whole,
        "an emptied store has its memory free",
    )
}
