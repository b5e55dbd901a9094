//! Against Mercurial itself: its server, and its client (http-v2.md).
//!
//! Needs `hg` 6.0.3: `HGRPC_HG`, `target/mercurial/bin/hg`, or `hg` of the path. Without it these
//! tests say so and do nothing, or fail if `HGRPC_CI` is set.
#![cfg(unix)]

mod bundles;
mod commands;
mod compare;
mod cost;
mod damage;
mod defects;
mod hg;
mod histories;
mod kills;
mod large;
mod mirror;
mod repository;
mod served;
mod shapes;
mod tool;
