//! Moving bytes without a path that panics, and without `memcpy` and its like: for a device, those
//! are larger than everything that is moved here is worth.

use core::cell::Cell;

use crate::tuned::IS_SMALL;

/// Moves bytes from one place to the other, in the order of both, as far as both go.
///
/// On a device in a loop with two ends, which the compiler does not take for `memcpy`.
#[inline]
fn each<'a>(to: impl Iterator<Item = &'a Cell<u8>>, from: impl Iterator<Item = u8>) {
    if IS_SMALL {
        let mut to = to;
        for from in from {
            let Some(to) = to.next() else {
                return;
            };
            to.set(from);
        }
    } else {
        to.zip(from).for_each(|(to, from)| to.set(from));
    }
}

/// Copies `from` to the front of `to`, as far as both go.
#[inline]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    match to.get_mut(..from.len()) {
        Some(to) if !IS_SMALL => {
            if !copy_chunks::<8>(to, from) && !copy_chunks::<4>(to, from) {
                to.copy_from_slice(from);
            }
        }
        _ => copy_each(to, from),
    }
}

/// Copies a slice of `N` to `2 N` bytes as its first and last `N`, which is less than `memcpy` does; `to`
/// is as long. `false`: it is shorter or longer.
#[inline]
fn copy_chunks<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    if from.len() > N.wrapping_mul(2) {
        return false;
    }
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
        return false;
    };
    if let Some(to) = to.first_chunk_mut() {
        *to = *first;
    }
    if let Some(to) = to.last_chunk_mut() {
        *to = *last;
    }
    true
}

/// [`copy`], in a loop that is less code than what `memcpy` is.
#[inline(never)]
fn copy_each(to: &mut [u8], from: &[u8]) {
    let to = Cell::from_mut(to).as_slice_of_cells();
    each(to.iter(), from.iter().copied());
}

/// Moves all but the last `by` bytes up by `by`. Cells, because `copy_within` keeps a panic path.
pub(crate) fn shift_up(bytes: &mut [u8], by: usize) {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    if let Some(targets) = cells.get(by..)
        && let Some(sources) = cells.get(..targets.len())
    {
        each(targets.iter().rev(), sources.iter().rev().map(Cell::get));
    }
}

/// Moves all but the first `by` bytes down by `by`.
pub(crate) fn shift_down(bytes: &mut [u8], by: usize) {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    if let Some(sources) = cells.get(by..) {
        each(cells.iter(), sources.iter().map(Cell::get));
    }
}

/// Returns `true` if both are the same. On a device byte by byte: `memcmp` is larger than this, and
/// what is compared is short.
#[cfg_attr(target_os = "none", inline(never))]
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn equal(left: &[u8], right: &[u8]) -> bool {
    if IS_SMALL {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left == right)
    } else {
        left.len() == right.len()
            && equal_in_chunks::<8>(left, right)
                .or_else(|| equal_in_chunks::<4>(left, right))
                .unwrap_or_else(|| left == right)
    }
}

/// Compares slices of one length, of `N` to `2 N` bytes, by their first and last `N`; `None`: they are
/// shorter or longer.
#[inline]
fn equal_in_chunks<const N: usize>(left: &[u8], right: &[u8]) -> Option<bool> {
    if left.len() > N.wrapping_mul(2) {
        return None;
    }
    let is_start = left.first_chunk::<N>()? == right.first_chunk::<N>()?;
    Some(is_start && left.last_chunk::<N>() == right.last_chunk::<N>())
}
