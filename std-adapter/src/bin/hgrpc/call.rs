//! `hgrpc call`: its parts so far.
#![allow(dead_code)] // used by `hgrpc call`, as soon as it calls

mod arguments;
mod print;
mod side;
