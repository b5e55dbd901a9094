//! Checks the runner itself: every expectation of every case is altered in turn, and each altered
//! case has to fail, through the same comparisons as any other.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::report::{check_caught, parallel};
use super::{configs, name};
use crate::vectors::{Kind, VectorFile};

/// What became of all alterations.
#[derive(Debug, Default)]
pub struct SelfTest {
    /// How many there were.
    pub alterations: usize,
    /// Those that no configuration noticed.
    pub missed: Vec<Missed>,
    /// Cases that do not hold as they are; they were not altered.
    pub broken: usize,
}

/// An alteration that was not noticed.
#[derive(Debug)]
pub struct Missed {
    /// The file.
    pub path: PathBuf,
    /// The case's number in it, from 0.
    pub number: usize,
    /// The case's name, if it has one.
    pub name: Option<String>,
    /// Which value was altered, and into what.
    pub what: String,
}

impl core::fmt::Display for Missed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MISSED {}: case {}", self.path.display(), self.number)?;
        if let Some(name) = &self.name {
            write!(f, " ({name:?})")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Alters every expectation of every case of some files.
pub fn run(files: &[VectorFile]) -> SelfTest {
    let cases: Vec<_> = files
        .iter()
        .flat_map(|file| file.cases.iter().enumerate().map(move |case| (file, case)))
        .collect();
    let results = parallel(cases.len(), |index| {
        let (file, (number, case)) = cases[index];
        alter_case(file, number, case)
    });
    results
        .into_iter()
        .fold(SelfTest::default(), |mut sum, one| {
            sum.alterations += one.alterations;
            sum.missed.extend(one.missed);
            sum.broken += one.broken;
            sum
        })
}

fn alter_case(file: &VectorFile, number: usize, case: &Value) -> SelfTest {
    let mut result = SelfTest::default();
    let configs = configs(file.kind);
    let holds = |case: &Value, config| check_caught(file, case, config).is_ok();
    // An alteration is noticed in the first configuration or, by then a fault, in none.
    if !configs.iter().take(1).all(|config| holds(case, *config)) {
        result.broken = 1;
        return result;
    }
    let mut altered = case.clone();
    for pointer in expectations(file.kind, case) {
        let mut places = Vec::new();
        if let Some(value) = case.pointer(&pointer) {
            collect(value, &pointer, &mut places);
        }
        for (place, alteration) in places {
            let Some(slot) = altered.pointer_mut(&place) else {
                continue;
            };
            let original = std::mem::replace(slot, alteration);
            result.alterations += 1;
            if configs.iter().all(|config| holds(&altered, *config)) {
                let now = altered.pointer(&place).unwrap_or(&Value::Null);
                let what = format!("{place} may as well be {now}");
                result.missed.push(Missed {
                    path: file.path.clone(),
                    number,
                    name: name(case).map(str::to_owned),
                    what: crate::fields::cut(&what),
                });
            }
            if let Some(slot) = altered.pointer_mut(&place) {
                *slot = original;
            }
        }
    }
    result
}

/// Where a case says what is expected. (The bytes of headers and frames are what is parsed; they
/// are compared with what is made of the expected fields.)
fn expectations(kind: Kind, case: &Value) -> Vec<String> {
    let mut pointers: Vec<String> = match kind {
        Kind::Header => vec!["/header".into()],
        Kind::Frame => vec!["/header".into(), "/display".into()],
        Kind::Human => vec!["/bytes".into()],
        Kind::Encode => vec!["/frames".into()],
        Kind::Server => vec!["/plain_responses".into()],
        Kind::Client => Vec::new(),
        Kind::Exchange => super::captured::expectations(case),
    };
    let steps = case["steps"].as_array().map_or(0, Vec::len);
    for step in 0..steps {
        pointers.push(format!("/steps/{step}/expect"));
        pointers.push(format!("/steps/{step}/after"));
    }
    pointers
}

/// All alterations of a value and the values in it.
fn collect(value: &Value, place: &str, places: &mut Vec<(String, Value)>) {
    let mut add = |altered: Value| places.push((place.to_owned(), altered));
    match value {
        Value::Null => add("00".into()),
        Value::Bool(flag) => add((!flag).into()),
        Value::Number(number) => {
            add(number
                .as_u64()
                .map_or(json!(0), |n| json!(n.wrapping_add(1))));
        }
        Value::String(text) => alter_text(text, &mut add),
        Value::Array(items) => {
            if let Some((_, shorter)) = items.split_last() {
                add(shorter.into());
            }
            let one = items.last().cloned().unwrap_or_else(|| json!("00"));
            add(items.iter().cloned().chain([one]).collect());
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{place}/{index}"), places);
            }
        }
        Value::Object(fields) => {
            let mut more = fields.clone();
            more.insert("altered".into(), Value::Null);
            add(more.into());
            for (name, item) in fields {
                let mut less = fields.clone();
                less.remove(name);
                places.push((place.to_owned(), less.into()));
                collect(item, &format!("{place}/{name}"), places);
            }
        }
    }
}

/// Text, or bytes as hex: other bytes at both ends, one less and one more.
fn alter_text(text: &str, add: &mut impl FnMut(Value)) {
    let is_hex =
        text.len().is_multiple_of(2) && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    if !is_hex {
        add(format!("{text}x").into());
        return;
    }
    add(format!("{text}00").into());
    let other = |digit: &str| if digit == "0" { "1" } else { "0" };
    if let (Some(first), Some(last)) = (text.get(..1), text.get(text.len().saturating_sub(1)..))
        && !text.is_empty()
    {
        add(format!("{}{}", other(first), &text[1..]).into());
        add(format!("{}{}", &text[..text.len() - 1], other(last)).into());
        add(text[..text.len() - 2].into());
    }
}
