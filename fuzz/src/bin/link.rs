//! Fuzz target `link`: see [`hgrpc_fuzz::link`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hgrpc_fuzz::link(data));

/// Without the fuzzer: replays the files that are given as arguments.
#[cfg(not(fuzzing))]
fn main() {
    hgrpc_fuzz::replay_arguments(hgrpc_fuzz::link);
}
