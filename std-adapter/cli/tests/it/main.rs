//! The tool `hgrpc` as users run it. `HGRPC_TOOL` names another binary than the one that is built
//! with the tests.
#![cfg(unix)]

mod call;
mod call_wrong;
mod decode;
mod demo;
mod generated;
mod noise;
mod serial;
mod serve;
mod served;
mod server;
mod tool;
mod truncated;
mod unread;
mod users_call;
mod users_logs;
mod users_places;
#[cfg(target_os = "linux")]
mod users_programs;
mod users_terminal;
mod users_text;
mod wire;
