//! Fuzz target `codec`: see [`hgrpc_fuzz::codec`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hgrpc_fuzz::codec(data));

/// Without the fuzzer: replays the files that are given as arguments.
#[cfg(not(fuzzing))]
fn main() {
    hgrpc_fuzz::replay_arguments(hgrpc_fuzz::codec);
}
