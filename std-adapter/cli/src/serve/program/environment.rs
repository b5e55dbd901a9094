//! A call's arguments in a program's environment.
//!
//! | argument | in `HGRPC_ARG_<name>` |
//! | --- | --- |
//! | byte string, text | as it is, if it holds no zero byte and at most 64 KiB |
//! | integer | decimal |
//! | `true`, `false` | `true`, `false` |
//! | anything else | not at all |
//!
//! All arguments, in all detail, are in the file. The names are the client's, so they never become
//! names of variables by themselves: `PATH` becomes `HGRPC_ARG_PATH`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use hgrpc::cbor::{Args, ByteString, Text, Value};

/// Most bytes of one value: the operating system takes 128 KiB.
const VALUE: usize = 64 << 10;
/// Most bytes of all names and values: it takes some MiB with the words of the program.
const TOTAL: usize = 512 << 10;
/// Most characters of a name.
const NAME: usize = 128;
const PREFIX: &str = "HGRPC_ARG_";

/// The variables for these arguments.
pub(super) fn variables(args: Args<'_>) -> BTreeMap<String, OsString> {
    let mut variables = BTreeMap::new();
    let mut total = 0;
    // `a_b` comes before what becomes `a_b`, and of a repeated key the first counts.
    for has_dash in [false, true] {
        for (key, value) in args.iter() {
            let Some(name) = name(&key).filter(|name| name.contains('-') == has_dash) else {
                continue;
            };
            let Some(value) = render(value) else {
                continue;
            };
            let name = format!("{PREFIX}{}", name.replace('-', "_"));
            let len = name.len() + value.len() + 2;
            if len <= TOTAL - total && !variables.contains_key(&name) {
                total += len;
                variables.insert(name, OsString::from_vec(value));
            }
        }
    }
    variables
}

/// The key, if it can be part of a variable's name.
fn name(key: &ByteString<'_>) -> Option<String> {
    let bytes: Vec<u8> = (key.len() <= NAME).then(|| content(key))?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (!bytes.is_empty() && bytes.iter().all(is_plain)).then_some(())?;
    String::from_utf8(bytes).ok()
}

fn render(value: Value<'_>) -> Option<Vec<u8>> {
    if let Some(flag) = value.as_bool() {
        return Some(flag.to_string().into_bytes());
    }
    if let Some(number) = value.as_u64() {
        return Some(number.to_string().into_bytes());
    }
    if let Some(number) = value.as_i64() {
        return Some(number.to_string().into_bytes());
    }
    let string = value
        .as_bytes()
        .or_else(|| Text::from_value(value).map(|text| text.as_bytes()))?;
    let bytes = (string.len() <= VALUE).then(|| content(&string))?;
    (!bytes.contains(&0)).then_some(bytes)
}

fn content(string: &ByteString<'_>) -> Vec<u8> {
    string.chunks().flatten().copied().collect()
}

/// The variables of this process that a program must not mistake for a call's.
pub(super) fn foreign() -> impl Iterator<Item = OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_string_lossy().starts_with("HGRPC_ARG"))
}

#[cfg(test)]
mod tests {
    use hgrpc_std::diagnostic::parse;

    use super::*;

    fn shown(args: &str) -> Vec<(String, String)> {
        let cbor = parse(args)
            .unwrap()
            .encode(hgrpc::KeyOrder::Bytewise)
            .unwrap();
        variables(Args::from_cbor(&cbor).unwrap())
            .into_iter()
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect()
    }

    #[test]
    fn arguments_become_variables() {
        let found = shown(
            "{'msg': 'a b\\n$(x)', 'n': -5, 'big': 18446744073709551615, 't': true, 'text': \"ü\", \
             'a-b': 'dash', 'a_b': 'underscore', 'c-d': 'dash', 'PATH': '/x', \
             'nul': h'00', 'list': [1], 'none': null, 'x y': 'no', '': 'no', 'A=B': 'no'}",
        );
        let expected = [
            ("HGRPC_ARG_PATH", "/x"),
            ("HGRPC_ARG_a_b", "underscore"),
            ("HGRPC_ARG_big", "18446744073709551615"),
            ("HGRPC_ARG_c_d", "dash"),
            ("HGRPC_ARG_msg", "a b\n$(x)"),
            ("HGRPC_ARG_n", "-5"),
            ("HGRPC_ARG_t", "true"),
            ("HGRPC_ARG_text", "ü"),
        ];
        let found: Vec<_> = found
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn there_is_room_for_so_much() {
        let long = "a".repeat(VALUE + 1);
        assert_eq!(shown(&format!("{{'a': '{long}', 'b': 'c'}}")).len(), 1);
        let many: Vec<String> = (0..20)
            .map(|n| format!("'k{n}': '{}'", &long[..VALUE]))
            .collect();
        assert_eq!(shown(&format!("{{{}}}", many.join(","))).len(), 7);
    }
}
