//! The firmware of `tests/firmware/boards`, in QEMU.

mod board;
mod commands;
mod emulator;
