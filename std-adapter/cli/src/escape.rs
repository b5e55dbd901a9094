//! A peer's text, safe to show.

use std::fmt::Display;

use hgrpc::cbor::Escaped;

/// Shows anything on one line, safe for terminals and for logs.
pub(crate) fn one_line(text: impl Display) -> String {
    let text = text.to_string();
    let text = Escaped(text.trim_end()).to_string();
    text.replace('\n', "\\n").replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line() {
        assert_eq!(
            one_line("a\tb\r\nc\u{2028}d\u{200b}\n \n"),
            "a b\\x0d\\nc\\u{2028}d\\u{200b}"
        );
    }
}
