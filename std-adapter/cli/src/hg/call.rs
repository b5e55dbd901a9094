//! `hgrpc hg call`.

use std::ffi::OsString;

use hgrpc::KeyOrder;
use hgrpc_std::http::Command;
use hgrpc_std::value::Value;

use super::output::printed;
use super::server::{Server, http_failure};
use crate::call::arguments::{self, Arguments};
use crate::call::print::{self, Format, Printer};
use crate::exit::Failure;
use crate::io;

/// Call any command, and print the values of its answer.
#[derive(Debug, clap::Args)]
#[command(after_long_help = [arguments::HELP, print::HELP].join("\n\n"))]
pub(super) struct Args {
    #[command(flatten)]
    server: Server,
    /// The command; `capabilities` lists them.
    name: String,
    /// The command's arguments: KEY=TEXT, KEY:=LITERAL or KEY@=FILE.
    #[arg(value_name = "ARG")]
    args: Vec<OsString>,
    /// Print each value of the answer as a line of JSON.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the answer's values as the server encoded them.
    #[arg(long)]
    raw: bool,
}

impl Args {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let arguments = Arguments::parse(&self.args, KeyOrder::Bytewise)?;
        let mut command = Command::new(self.name.as_str());
        for (key, value) in arguments.iter() {
            let key = String::from_utf8(key)
                .map_err(|_| Failure::BadInput("an argument's key is not UTF-8".to_owned()))?;
            let value = Value::decode(value)
                .map_err(|error| Failure::BadInput(format!("argument {key}: {error}")))?;
            command = command.arg(key, value);
        }
        let format = match (self.json, self.raw) {
            (true, _) => Format::Json,
            (_, true) => Format::Raw,
            _ => Format::Notation,
        };
        let client = self.server.connect()?;
        let mut response = client.http().call(&command).map_err(http_failure)?;
        let mut printer = Printer::of_values(io::output(), format);
        while let Some(bytes) = response.raw().map_err(http_failure)? {
            printer.push(bytes).map_err(printed)?;
        }
        printer.finish().map(drop).map_err(printed)
    }
}
