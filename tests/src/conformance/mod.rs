//! Drives the reactors through recorded cases (`tests/vectors/README.md`), in every configuration.
//!
//! Nothing here knows of particular cases: what an op, a kind or a field means stands in the
//! documented schema, and whatever is not in it fails the case. (Captured exchanges, in `captured`,
//! are the exception: where we differ from Mercurial is listed there by ID.)

mod captured;
mod client;
mod encode;
mod human;
mod plain;
pub mod report;
pub mod self_test;
mod server;
mod server_output;
mod server_steps;
mod wire;

use core::fmt;

use hgrpc::{KeyOrder, Revision};
use hgrpc_std::requests::GrowableRequests;
use serde_json::Value;

use crate::fields::{Fault, Fields};
use crate::parts::Cut;
use crate::stores::Fixed;
use crate::vectors::{Kind, VectorFile};

/// How the reactors are made and fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Storage in fixed memory, not growing.
    pub fixed: bool,
    /// Data is streamed to the server's owner, who gathers it.
    pub streaming: bool,
    /// How input arrives.
    pub cut: Cut,
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = if self.fixed { "fixed" } else { "growable" };
        let data = if self.streaming {
            "streaming"
        } else {
            "collecting"
        };
        write!(f, "{store} store, {data}, {}", self.cut)
    }
}

/// The configurations in which cases of a kind are run; an alteration is noticed in the first.
pub fn configs(kind: Kind) -> Vec<Config> {
    let stores: &[bool] = match kind {
        Kind::Header | Kind::Frame | Kind::Human | Kind::Exchange => &[false],
        Kind::Encode | Kind::Server | Kind::Client => &[false, true],
    };
    let modes: &[bool] = match kind {
        Kind::Server => &[false, true],
        _ => &[false],
    };
    let cuts: &[Cut] = match kind {
        Kind::Human => &[Cut::Whole],
        Kind::Exchange => &[Cut::Whole, Cut::Every(64)],
        _ => &[Cut::Whole, Cut::Every(64), Cut::Every(1)],
    };
    let mut configs = Vec::new();
    for &fixed in stores {
        for &streaming in modes {
            for &cut in cuts {
                configs.push(Config {
                    fixed,
                    streaming,
                    cut,
                });
            }
        }
    }
    configs
}

/// Why a case does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The configuration.
    pub config: Config,
    /// The step, from 0, for cases that have steps.
    pub step: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
}

/// A fault and the step in which it was noticed.
#[derive(Debug)]
struct StepFault {
    step: Option<usize>,
    fault: Fault,
}

impl From<Fault> for StepFault {
    fn from(fault: Fault) -> Self {
        Self { step: None, fault }
    }
}

/// Says in which step a fault was noticed.
fn at<T>(step: usize, result: Result<T, Fault>) -> Result<T, StepFault> {
    let step = Some(step);
    result.map_err(|fault| StepFault { step, fault })
}

/// Runs a case in all configurations, up to the first in which it does not hold.
///
/// # Errors
/// It does not hold.
pub fn check(file: &VectorFile, case: &Value) -> Result<(), Failure> {
    configs(file.kind)
        .into_iter()
        .try_for_each(|config| check_in(file.revision, file.kind, case, config))
}

/// Runs a case in one configuration.
///
/// # Errors
/// It does not hold.
pub fn check_in(
    revision: Revision,
    kind: Kind,
    case: &Value,
    config: Config,
) -> Result<(), Failure> {
    let result = match kind {
        Kind::Header => wire::header(revision, case, config).map_err(StepFault::from),
        Kind::Frame => wire::frame(revision, case, config).map_err(StepFault::from),
        Kind::Human => human::check(revision, case).map_err(StepFault::from),
        Kind::Exchange => captured::check(case, config).map_err(StepFault::from),
        Kind::Encode if config.fixed => {
            encode::check::<Fixed>(revision, case, config).map_err(StepFault::from)
        }
        Kind::Encode => {
            encode::check::<GrowableRequests>(revision, case, config).map_err(StepFault::from)
        }
        Kind::Server if config.fixed => server::check::<Fixed>(revision, case, config),
        Kind::Server => server::check::<GrowableRequests>(revision, case, config),
        Kind::Client if config.fixed => client::check::<Fixed>(revision, case, config),
        Kind::Client => client::check::<GrowableRequests>(revision, case, config),
    };
    result.map_err(|StepFault { step, fault }| Failure {
        config,
        step,
        fault,
    })
}

/// A case's name, if it has one; an exchange has an ID.
pub fn name(case: &Value) -> Option<&str> {
    case.get("name")
        .or_else(|| case.get("id"))?
        .as_str()
        .filter(|_| {
            // The cases of commands have a command's name there.
            case.get("op").is_none()
        })
}

/// A difference, unless what was expected came.
fn same(expected: &Value, result: Value) -> Result<(), Fault> {
    if crate::bytes::matches(expected, &result) {
        Ok(())
    } else {
        Err(Fault::new(expected.clone(), result))
    }
}

/// One CBOR value in canonical form, as vectors have it.
fn canonical(cbor: &[u8], order: KeyOrder) -> Value {
    match hgrpc_std::value::Value::decode(cbor).map(|value| value.encode(order)) {
        Ok(Ok(bytes)) => crate::bytes::hex(&bytes).into(),
        other => format!(
            "no canonical form of {}: {other:?}",
            crate::bytes::hex(cbor)
        )
        .into(),
    }
}

/// The fields of a case; every case may have a name.
fn case_fields(case: &Value) -> Result<Fields<'_>, Fault> {
    let fields = Fields::new(case)?;
    if let Some(name) = fields.optional("name")
        && !name.is_string()
    {
        return Err(Fault::schema("`name` is not a text"));
    }
    Ok(fields)
}
