//! The arguments of a call, as they are written on a command line.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use hgrpc::cbor::{Args, ArgsWriter, Value};
use hgrpc::{KeyOrder, Revision};
use hgrpc_std::diagnostic::{self, ParseError};
use hgrpc_std::tokio::Request;
use hgrpc_std::{human, value};

use crate::exit::Failure;
use crate::io;

/// How arguments are written, for `--help`.
pub(crate) const HELP: &str = r#"How arguments are written:
  KEY=TEXT      a byte string, as the text is: what nearly every command takes
  KEY:=LITERAL  any value: numbers, true, false, null, "text", b'bytes', h'00ff', lists and maps;
                JSON, and CBOR's diagnostic notation, in which results are printed; what decode
                --human prints too
  KEY@=FILE     the bytes of a file, as a byte string
"text" sends a text string, which is another type than a byte string: Mercurial's commands take byte
strings only, in lists and maps too, so write b'bytes' for them."#;

/// The most bytes of one file that becomes an argument: arguments are held in memory by both ends.
/// More goes as the request's data.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The encoded map of a call's arguments.
#[derive(Debug)]
pub(crate) struct Arguments(Vec<u8>);

impl Arguments {
    /// Gives the arguments to a call.
    pub(crate) fn add_to<'c>(&self, mut request: Request<'c>) -> Request<'c> {
        for (key, value) in self.iter() {
            request = request.cbor(key, value);
        }
        request
    }

    /// Keys and encoded values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Vec<u8>, &[u8])> {
        let args = Args::from_cbor(&self.0).unwrap_or_default().iter();
        args.map(|(key, value)| (key.chunks().flatten().copied().collect(), value.as_cbor()))
    }

    /// The arguments' map.
    #[cfg(test)]
    fn encoded(&self) -> hgrpc::cbor::EncodedArgs<'_> {
        // It was made by the core's writer.
        hgrpc::cbor::EncodedArgs::from_cbor(&self.0).unwrap_or_default()
    }

    /// Parses arguments and puts them in order.
    ///
    /// # Errors
    /// What is wrong, in one line that names the argument.
    pub(crate) fn parse(arguments: &[OsString], order: KeyOrder) -> Result<Self, Failure> {
        let mut entries = Vec::with_capacity(arguments.len());
        let mut keys = HashSet::new();
        // The map's own head takes at most nine bytes.
        let mut len = 9;
        for argument in arguments {
            let (key, encoded) = entry(argument, order)?;
            if !keys.insert(key) {
                return Err(wrong(key, "this argument was given before"));
            }
            len += 9 + key.len() + encoded.len();
            entries.push((key, encoded));
        }
        let mut buffer = vec![0; len];
        let mut writer = ArgsWriter::new(&mut buffer, order);
        for (key, encoded) in &entries {
            let value =
                Value::from_cbor(encoded).map_err(|error| wrong(key, &error.to_string()))?;
            writer
                .encoded(key, value)
                .map_err(|error| wrong(key, &error.to_string()))?;
        }
        let map = writer
            .finish()
            .map_err(|error| Failure::BadInput(format!("the arguments: {error}")))?;
        Ok(Self(map.as_cbor().to_vec()))
    }
}

/// An argument's key and its encoded value.
fn entry(argument: &OsStr, order: KeyOrder) -> Result<(&[u8], Vec<u8>), Failure> {
    let bytes = argument.as_bytes();
    let Some(at) = bytes.iter().position(|&b| b == b'=') else {
        return Err(Failure::BadInput(format!(
            "argument {argument:?}: KEY=TEXT, KEY:=LITERAL or KEY@=FILE was expected"
        )));
    };
    let (before, after) = bytes.split_at(at);
    let text = after.get(1..).unwrap_or_default();
    let (key, value) = match before {
        [key @ .., b':'] => (key, literal(key, text)?),
        [key @ .., b'@'] => (key, value::Value::Bytes(contents(key, text)?)),
        key => (key, value::Value::from(text)),
    };
    if key.is_empty() {
        return Err(Failure::BadInput(format!(
            "argument {argument:?}: a key was expected before {:?}",
            bytes
                .get(..=at)
                .unwrap_or_default()
                .escape_ascii()
                .to_string()
        )));
    }
    Ok((key, encode(key, value, order)?))
}

/// The encoding of a value, which has to lie two levels deep: in the arguments, in the request.
fn encode(key: &[u8], value: value::Value, order: KeyOrder) -> Result<Vec<u8>, Failure> {
    // Two levels of one byte each.
    let level = |content| value::Value::Tag(0, Box::new(content));
    let mut encoded = level(level(value))
        .encode(order)
        .map_err(|error| wrong(key, &error.to_string()))?;
    encoded.drain(..2);
    Ok(encoded)
}

fn literal(key: &[u8], text: &[u8]) -> Result<value::Value, Failure> {
    let text = std::str::from_utf8(text).map_err(|_| wrong(key, "the literal is not UTF-8"))?;
    diagnostic::parse(text).or_else(|error| {
        // What `decode --human` prints.
        human::parse_value(text, Revision::R0006)
            .ok_or_else(|| wrong(key, &described(text, &error)))
    })
}

/// An error with its place in the literal.
fn described(text: &str, error: &ParseError) -> String {
    /// Characters that are shown of the literal.
    const SHOWN: usize = 30;
    let rest: String = text.chars().skip(error.column - 1).take(SHOWN).collect();
    match rest.as_str() {
        "" => format!("{error}, where the literal ends"),
        rest => format!("{error}, at {rest:?}"),
    }
}

fn contents(key: &[u8], path: &[u8]) -> Result<Vec<u8>, Failure> {
    let path = Path::new(OsStr::from_bytes(path));
    if path == Path::new("-") {
        let message = "standard input is for the request's data, --data -; a file - is ./-";
        return Err(wrong(key, message));
    }
    let mut bytes = Vec::new();
    let file = io::open(path).map_err(|message| Failure::Io(named(key, &message)))?;
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::Io(named(key, &message))
        })?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE {
        let message = format!(
            "{} is over {MAX_FILE} bytes long: it can be the request's data, --data FILE",
            path.display()
        );
        return Err(wrong(key, &message));
    }
    Ok(bytes)
}

/// An argument that is wrong.
fn wrong(key: &[u8], message: &str) -> Failure {
    Failure::BadInput(named(key, message))
}

/// A message that names its argument.
fn named(key: &[u8], message: &str) -> String {
    let key = OsString::from_vec(key.to_vec());
    format!("argument {key:?}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str], order: KeyOrder) -> Result<String, String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        match Arguments::parse(&arguments, order) {
            Ok(arguments) => {
                let map = arguments.encoded();
                assert_eq!(map.as_cbor(), arguments.0);
                Ok(diagnostic::Diagnostic::new(map.as_cbor()).to_string())
            }
            Err(Failure::BadInput(message) | Failure::Io(message)) => Err(message),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_form_is_taken() {
        for (argument, expected) in [
            ("a=b", "b'a': b'b'"),
            ("a=", "b'a': b''"),
            ("a=b=c:=d@=e", "b'a': b'b=c:=d@=e'"),
            ("a b=é", "b'a b': b'é'"),
            ("a=x\ny", r"b'a': b'x\ny'"),
            ("a:=1", "b'a': 1"),
            // As `decode --human` prints it.
            ("a:=[True, None, u'é']", "b'a': [true, null, \"é\"]"),
            ("a:b=1", "b'a:b': b'1'"),
            ("a:= -1.5e3 ", "b'a': -1500.0"),
            ("a:=\"b\"", "b'a': \"b\""),
            (
                "a:=[true, null, 'x', {\"k\": h'00'}]",
                "b'a': [true, null, b'x', {\"k\": h'00'}]",
            ),
        ] {
            let expected = format!("{{{expected}}}");
            assert_eq!(
                parsed(&[argument], KeyOrder::Bytewise),
                Ok(expected),
                "{argument}"
            );
        }
        assert_eq!(parsed(&[], KeyOrder::Bytewise), Ok("{}".into()));
        let bytes = OsString::from_vec(b"a\xff=\xfe".to_vec());
        let arguments = Arguments::parse(&[bytes], KeyOrder::Bytewise).unwrap();
        assert_eq!(arguments.0, b"\xa1\x42a\xff\x41\xfe");
    }

    #[test]
    fn keys_are_in_the_order_of_the_revision() {
        let arguments = ["b:={'aa': 1, 'b': 2}", "aa=", "c="];
        assert_eq!(
            parsed(&arguments, KeyOrder::Bytewise).unwrap(),
            "{b'aa': b'', b'b': {b'aa': 1, b'b': 2}, b'c': b''}"
        );
        assert_eq!(
            parsed(&arguments, KeyOrder::ShorterFirst).unwrap(),
            "{b'b': {b'b': 2, b'aa': 1}, b'c': b'', b'aa': b''}"
        );
    }

    #[test]
    fn files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"\0x").unwrap();
        let argument = |key: &str| format!("{key}@={}", path.display());
        assert_eq!(
            parsed(&[&argument("a")], KeyOrder::Bytewise).unwrap(),
            "{b'a': h'0078'}"
        );
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(MAX_FILE + 1).unwrap();
        let error = parsed(&[&argument("a")], KeyOrder::Bytewise).unwrap_err();
        assert!(
            error.ends_with("it can be the request's data, --data FILE"),
            "{error}"
        );
        file.set_len(MAX_FILE).unwrap();
        let arguments = [argument("a").into(), argument("b").into()];
        let arguments = Arguments::parse(&arguments, KeyOrder::Bytewise).unwrap();
        assert_eq!(arguments.0.len(), 33_554_447);
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line_that_names_the_argument() {
        let nested = |depth: usize| format!("a:={}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parsed(&[&nested(14)], KeyOrder::Bytewise).is_ok());
        let deep = nested(15);
        for (arguments, expected) in [
            (
                &["a"][..],
                "argument \"a\": KEY=TEXT, KEY:=LITERAL or KEY@=FILE was expected",
            ),
            (&["=b"], "argument \"=b\": a key was expected before \"=\""),
            (
                &[":=1"],
                "argument \":=1\": a key was expected before \":=\"",
            ),
            (
                &["a=1", "a:=2"],
                "argument \"a\": this argument was given before",
            ),
            (
                &["a:="],
                "argument \"a\": column 1: expected a value, where the literal ends",
            ),
            (
                &["a:=[1, Yes]"],
                "argument \"a\": column 5: \"Yes\" is not a value; did you mean true?, at \"Yes]\"",
            ),
            (
                &["a:=\n!"],
                "argument \"a\": column 2: expected a value, at \"!\"",
            ),
            (
                &["a@=-"],
                "argument \"a\": standard input is for the request's data, --data -; a file - is ./-",
            ),
            (
                &["a@=/no/such"],
                "argument \"a\": cannot open /no/such: No such file or directory (os error 2)",
            ),
            (&["a@=/"], "argument \"a\": cannot open /: is a directory"),
            (&[&deep], "argument \"a\": nested too deep"),
        ] {
            assert_eq!(parsed(arguments, KeyOrder::Bytewise), Err(expected.into()));
        }
        let argument = OsString::from_vec(b"a:=\xff".to_vec());
        assert!(Arguments::parse(&[argument], KeyOrder::Bytewise).is_err());
    }
}
