//! The firmware of `tests/firmware/boards`, in QEMU.

mod board;
mod client;
mod commands;
mod emulator;
mod guide;
mod host;
mod large;
mod log;
mod readme;
mod refusals;
mod resets;
mod tool;
