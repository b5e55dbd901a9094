//! The test kit: what the project's own tests share, and what checks any folder of conformance
//! vectors (`tests/vectors/README.md`).
//!
//! | module | for |
//! | --- | --- |
//! | [`conformance`] | driving the reactors through recorded cases |
//! | [`vectors`] | reading vector files |
//! | [`bytes`] | bytes as vectors write them |
//! | [`fields`] | objects whose every field must be known |
//! | [`parts`] | frames that arrive in parts |
//! | [`stores`] | every storage that reactors can use |

pub mod bytes;
pub mod conformance;
pub mod fields;
pub mod parts;
pub mod stores;
pub mod vectors;

/// The examples of the project's README and guides, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../core/guide/board.md")]
#[doc = include_str!("../../std-adapter/guide/host.md")]
#[doc = include_str!("../../std-adapter/guide/tool.md")]
#[doc = include_str!("../../std-adapter/guide/mercurial.md")]
pub struct Readme;
