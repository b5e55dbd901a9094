//! Objects whose every field must be asked for, so that nothing in a vector is overlooked.

use std::cell::RefCell;

use serde_json::{Map, Value};

/// What was expected, and what came instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What was expected.
    pub expected: Value,
    /// What came.
    pub result: Value,
}

impl Fault {
    /// A difference.
    pub const fn new(expected: Value, result: Value) -> Self {
        Self { expected, result }
    }

    /// The vector is not of the documented schema.
    pub fn schema(what: impl Into<String>) -> Self {
        Self::new("the documented schema".into(), Value::String(what.into()))
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [expected, result] = [&self.expected, &self.result].map(|value| match value {
            Value::String(text) => cut(text),
            value => cut(&value.to_string()),
        });
        write!(f, "    expected {expected}\n    result   {result}")
    }
}

impl core::error::Error for Fault {}

/// At most the first 2,000 characters.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(2_000) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

/// An object that is being read; [`finish`](Self::finish) fails if a field was not asked for.
#[derive(Debug)]
pub struct Fields<'v> {
    map: &'v Map<String, Value>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'v> Fields<'v> {
    /// The fields of an object.
    ///
    /// # Errors
    /// It is not an object.
    pub fn new(value: &'v Value) -> Result<Self, Fault> {
        let map = value
            .as_object()
            .ok_or_else(|| Fault::schema(format!("not an object: {}", cut(&value.to_string()))))?;
        Ok(Self {
            map,
            asked: RefCell::new(Vec::new()),
        })
    }

    /// A field that may be missing.
    pub fn optional(&self, name: &'static str) -> Option<&'v Value> {
        self.asked.borrow_mut().push(name);
        self.map.get(name)
    }

    /// A field.
    ///
    /// # Errors
    /// It is missing; so for every method below, which also fail for another type.
    pub fn value(&self, name: &'static str) -> Result<&'v Value, Fault> {
        self.optional(name)
            .ok_or_else(|| Fault::schema(format!("no field `{name}`")))
    }

    fn typed<T>(
        &self,
        name: &'static str,
        what: &str,
        of: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Result<T, Fault> {
        of(self.value(name)?).ok_or_else(|| Fault::schema(format!("`{name}` is not {what}")))
    }

    /// A text.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn text(&self, name: &'static str) -> Result<&'v str, Fault> {
        self.typed(name, "a text", Value::as_str)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn flag(&self, name: &'static str) -> Result<bool, Fault> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// A number from 0 to `max`.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn number(&self, name: &'static str, max: u64) -> Result<u64, Fault> {
        self.typed(name, "a number in its range", |value| {
            value.as_u64().filter(|number| *number <= max)
        })
    }

    /// A request ID.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn request_id(&self, name: &'static str) -> Result<u16, Fault> {
        let number = self.number(name, u16::MAX.into())?;
        Ok(u16::try_from(number).unwrap_or(u16::MAX))
    }

    /// A number of one byte.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn byte(&self, name: &'static str) -> Result<u8, Fault> {
        let number = self.number(name, u8::MAX.into())?;
        Ok(u8::try_from(number).unwrap_or(u8::MAX))
    }

    /// An array.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn array(&self, name: &'static str) -> Result<&'v [Value], Fault> {
        self.typed(name, "an array", |v| v.as_array().map(Vec::as_slice))
    }

    /// Bytes.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn bytes(&self, name: &'static str) -> Result<Vec<u8>, Fault> {
        crate::bytes::parse(self.value(name)?)
    }

    /// Bytes or null.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn bytes_or_null(&self, name: &'static str) -> Result<Option<Vec<u8>>, Fault> {
        match self.value(name)? {
            Value::Null => Ok(None),
            value => crate::bytes::parse(value).map(Some),
        }
    }

    /// Nothing more is to be read.
    ///
    /// # Errors
    /// There are fields that were not asked for.
    pub fn finish(self) -> Result<(), Fault> {
        let asked = self.asked.into_inner();
        match self.map.keys().find(|name| !asked.contains(&name.as_str())) {
            Some(name) => Err(Fault::schema(format!("unknown field `{name}`"))),
            None => Ok(()),
        }
    }
}
