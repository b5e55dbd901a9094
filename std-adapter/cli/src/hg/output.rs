//! What is found, a line each: for people, or as JSON.

use std::io::{BufWriter, StdoutLock, Write};

use hgrpc::KeyOrder;
use hgrpc::cbor::Escaped;
use hgrpc_mercurial::Node;
use hgrpc_std::value::Value;

use crate::call::print::{Format, PrintError, Printer};
use crate::escape::one_line;
use crate::exit::Failure;
use crate::io;

/// Standard output.
pub(super) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    is_json: bool,
}

/// How results are printed.
#[derive(Debug, clap::Args)]
pub(super) struct Style {
    /// Print each result as a line of JSON.
    #[arg(long)]
    json: bool,
}

impl Style {
    pub(super) fn output(&self) -> Output {
        Output {
            out: io::output(),
            is_json: self.json,
        }
    }
}

impl Output {
    /// Whether all fields are of use.
    pub(super) const fn is_json(&self) -> bool {
        self.is_json
    }

    /// A result: its fields, separated by blanks for people.
    pub(super) fn line(&mut self, fields: &[(&str, Value)]) -> Result<(), Failure> {
        if self.is_json {
            return self.json(fields);
        }
        let words: Vec<String> = fields.iter().map(|(_, value)| word(value)).collect();
        writeln!(self.out, "{}", words.join(" ")).map_err(Failure::output)
    }

    /// Bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::output)
    }

    fn json(&mut self, fields: &[(&str, Value)]) -> Result<(), Failure> {
        let fields = fields
            .iter()
            .map(|(key, value)| (Value::from(*key), value.clone()));
        let value = Value::Map(fields.collect());
        let encoded = value.encode(KeyOrder::Bytewise).unwrap_or_default();
        let mut printer = Printer::of_values(&mut self.out, Format::Json);
        let result = printer
            .push(&encoded)
            .and_then(|()| printer.finish().map(drop));
        result.map_err(printed)
    }

    /// The end.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::output)
    }
}

/// What it means to the run that an answer could not be printed.
pub(super) fn printed(error: PrintError) -> Failure {
    match error {
        PrintError::Output(error) => Failure::output(error),
        PrintError::Response(what) => Failure::Connection(format!("the answer: {what}")),
    }
}

/// A value for people: lists by blanks, bytes as text with what is unsafe, or no text, escaped as in
/// `\\xff`.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => {
            let mut word = String::new();
            for chunk in bytes.utf8_chunks() {
                let text = Escaped(chunk.valid()).to_string();
                word.push_str(&text.replace('\n', "\\n").replace('\t', " "));
                word.push_str(&chunk.invalid().escape_ascii().to_string());
            }
            word
        }
        Value::Text(text) => one_line(text),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(" "),
        Value::Integer(number) => number.to_string(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        _ => String::new(),
    }
}

/// A node, as hexadecimal digits.
pub(super) fn node(node: &Node) -> Value {
    Value::Text(node.to_hex())
}

/// Bytes that are mostly text.
pub(super) fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(bytes),
    }
}
