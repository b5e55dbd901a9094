//! Cases of the kind `human`.

use hgrpc::Revision;
use hgrpc_std::human::{parse_frame, print_frame};
use serde_json::Value;

use super::{case_fields, same};
use crate::bytes::hex;
use crate::fields::Fault;

pub(super) fn check(revision: Revision, case: &Value) -> Result<(), Fault> {
    let fields = case_fields(case)?;
    let text = fields.text("text")?;
    let expected = fields.value("bytes")?;
    fields.finish()?;
    let line = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Fault::schema("a character over 255"))?;
    let fault =
        |error: &dyn core::fmt::Display| Fault::new(expected.clone(), error.to_string().into());
    let frame = parse_frame(&line, revision).map_err(|error| fault(&error))?;
    same(expected, hex(&frame.to_bytes()).into())?;
    // What is printed of it is the same frame again.
    let printed = print_frame(frame.header(), frame.payload(), revision).map_err(|e| fault(&e))?;
    let again = parse_frame(printed.as_bytes(), revision).map_err(|error| fault(&error))?;
    same(expected, hex(&again.to_bytes()).into())
}
