//! Moving bytes without a path that panics.

use core::cell::Cell;

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
        .for_each(|(to, from)| to.set(from.get()));
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
        .for_each(|(to, from)| to.set(from.get()));
}
