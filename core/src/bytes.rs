//! Moving bytes without a path that panics, and without `memcpy` and its like: for a device, those
//! are larger than everything that is moved here is worth.

use core::cell::Cell;

/// Hides from a device's compiler that bytes are moved one by one, or it would call `memcpy`. On a
/// host that is what it should do.
#[inline(always)]
fn one(byte: u8) -> u8 {
    if cfg!(target_os = "none") {
        core::hint::black_box(byte)
    } else {
        byte
    }
}

/// Sets all bytes to 0.
#[inline(never)]
pub(crate) fn clear(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = one(0);
    }
}

/// Copies `from` to the front of `to`, as far as both go.
#[inline(never)]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = one(*from);
    }
}

/// Moves all but the last `by` bytes up by `by`. Cells, because `copy_within` keeps a panic path.
pub(crate) fn shift_up(bytes: &mut [u8], by: usize) {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    let Some(targets) = cells.get(by..) else {
        return;
    };
    targets
        .iter()
        .zip(cells)
        .rev()
        .for_each(|(to, from)| to.set(one(from.get())));
}

/// Moves all but the first `by` bytes down by `by`.
pub(crate) fn shift_down(bytes: &mut [u8], by: usize) {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    let Some(sources) = cells.get(by..) else {
        return;
    };
    cells
        .iter()
        .zip(sources)
        .for_each(|(to, from)| to.set(one(from.get())));
}

/// Returns `true` if both are the same. On a device byte by byte: `memcmp` is larger than this, and
/// what is compared is short.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) fn equal(left: &[u8], right: &[u8]) -> bool {
    if cfg!(target_os = "none") {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left == right)
    } else {
        // Names of one length differ at their end more often than at their front.
        left.last() == right.last() && left == right
    }
}
