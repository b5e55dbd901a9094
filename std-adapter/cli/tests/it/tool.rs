//! The tool `hgrpc` that tests run as users do.

use std::path::PathBuf;

/// Returns the binary that `HGRPC_TOOL` names; without it, the one that is built with the tests.
pub(crate) fn tool() -> PathBuf {
    match std::env::var_os("HGRPC_TOOL") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_BIN_EXE_hgrpc")),
    }
}
