//! Fuzz target `mercurial`: see [`hgrpc_fuzz::mercurial`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hgrpc_fuzz::mercurial(data));

/// Without the fuzzer: replays the files that are given as arguments.
#[cfg(not(fuzzing))]
fn main() {
    hgrpc_fuzz::replay_arguments(hgrpc_fuzz::mercurial);
}
