//! Values under keys that are never used again.

/// What a value is found by. A key of a removed value finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The place of the value and 1; another value may be there later.
    pub(super) const fn tag(self) -> u32 {
        self.index.wrapping_add(1)
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// Values in places that are used again: adding and removing take constant time, and no memory but
/// for the most values that there were at once.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    /// The generation of places that are new.
    first: u32,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            first: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop()
            && let Some(place) = usize::try_from(index).ok()
            && let Some(place) = self.places.get_mut(place)
        {
            place.value = Some(value);
            let generation = place.generation;
            return Key { index, generation };
        }
        // Values have IDs of 16 bits: these are fewer.
        let index = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let generation = self.first;
        self.places.push(Place {
            generation,
            value: Some(value),
        });
        Key { index, generation }
    }

    fn place(&self, index: u32) -> Option<&Place<T>> {
        self.places.get(usize::try_from(index).ok()?)
    }

    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let place = self.place(key.index)?;
        place
            .value
            .as_ref()
            .filter(|_| place.generation == key.generation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(usize::try_from(key.index).ok()?)?;
        let is_same = place.generation == key.generation;
        place.value.as_mut().filter(|_| is_same)
    }

    /// The key of the value that is at a [tag](Key::tag) now.
    pub(super) fn at(&self, tag: u32) -> Option<Key> {
        let index = tag.checked_sub(1)?;
        let place = self.place(index)?;
        place.value.as_ref()?;
        let generation = place.generation;
        Some(Key { index, generation })
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(usize::try_from(key.index).ok()?)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// All values, in the order of their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..).zip(&self.places).filter_map(|(index, place)| {
            let generation = place.generation;
            Some((Key { index, generation }, place.value.as_ref()?))
        })
    }

    /// The keys of all values.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }

    /// Gives the memory back if nothing is held.
    pub(super) fn shrink(&mut self) {
        if self.len() > 0 || self.places.is_empty() {
            return;
        }
        let last = self.places.iter().map(|place| place.generation).max();
        // Keys of before find nothing in new places either.
        self.first = last.unwrap_or(self.first).wrapping_add(1);
        self.places = Vec::new();
        self.free = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_own_value_and_no_later_one() {
        let mut slab = Slab::new();
        let [a, b] = ["a", "b"].map(|value| slab.insert(value));
        assert_eq!(slab.at(b.tag()), Some(b));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!((slab.at(a.tag()), slab.at(0)), (None, None));
        let c = slab.insert("c");
        assert_eq!(
            (slab.get(a), slab.get(c), slab.len()),
            (None, Some(&"c"), 2)
        );
        assert_eq!((slab.remove(a), slab.keys()), (None, vec![c, b]));
        for key in [b, c] {
            slab.remove(key);
        }
        slab.shrink();
        assert_eq!(slab.places.capacity(), 0);
        for _ in 0..2 {
            slab.insert("d");
        }
        assert!([a, b, c].iter().all(|key| slab.get_mut(*key).is_none()));
    }
}
