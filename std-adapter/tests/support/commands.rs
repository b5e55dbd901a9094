//! Commands that answer in every way there is, for clients of both kinds.

use std::io::{self, Write as _};

use hgrpc::REVISIONS;
use hgrpc_std::blocking::{Config, Failure, Router};
use hgrpc_std::encoding::SUPPORTED;

use super::pattern;

pub(crate) fn commands() -> Router {
    Router::new()
        .command("echo", |call, reply| {
            reply.write_all(&call.arg_bytes("msg")?)?;
            Ok(())
        })
        .command("cat", |call, reply| {
            io::copy(call, reply)?;
            Ok(())
        })
        .command("count", |call, reply| {
            let bytes = io::copy(call, &mut io::sink())?;
            reply.value(&bytes)?;
            Ok(())
        })
        .command("bytes", |call, reply| {
            let (seed, len) = (call.arg("seed")?, call.arg("len")?);
            reply.write_all(&pattern(seed, len))?;
            Ok(())
        })
        .command("fail", |_, reply| {
            reply.write_all(b"not sent")?;
            Err(Failure::format("no %s left", ["tea"]))
        })
        .command("fail-late", |_, reply| {
            reply.write_all(b"sent")?;
            reply.flush()?;
            Err(Failure::command("50 % of ü"))
        })
        .command("bytes-then-value", |_, reply| {
            reply.write_all(b"abc")?;
            reply.value(&1u8)?;
            Ok(())
        })
        .command("values", |_, reply| {
            reply.value(&1u8)?;
            reply.value(&[2u16, 300])?;
            reply.write_all(b"abc")?;
            reply.value("text")?;
            Ok(())
        })
}

/// Every revision, and every encoding.
pub(crate) fn configs() -> Vec<Config> {
    let mut configs: Vec<Config> = REVISIONS.into_iter().map(Config::new).collect();
    for encoding in SUPPORTED {
        let mut config = Config::default();
        config.encodes = vec![*encoding];
        configs.push(config);
    }
    for config in &mut configs {
        // Tests send the same byte without end.
        config.limits.decoding.ratio = u32::MAX;
    }
    configs
}
