//! What is escaped, against Unicode's own tables.

use std::collections::BTreeSet;

use hgrpc::cbor::is_hidden;
use hgrpc_std::diagnostic::Diagnostic;
use regex_syntax::hir::{Class, HirKind};

#[test]
fn what_is_hidden_is_what_unicode_says() {
    let class = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]";
    let hir = regex_syntax::parse(class).unwrap();
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
        panic!("{hir:?}")
    };
    let all = class.ranges().iter();
    let all: BTreeSet<char> = all.flat_map(|range| range.start()..=range.end()).collect();
    let mut count = 0;
    for c in '\0'..=char::MAX {
        assert_eq!(is_hidden(c), all.contains(&c), "{c:?} {:x}", u32::from(c));
        count += u32::from(is_hidden(c));
    }
    assert!(count > 4000);
}

#[test]
fn notation_escapes_all_of_it() {
    for c in '\0'..=char::MAX {
        if is_hidden(c) {
            let mut text = vec![0x78, u8::try_from(c.len_utf8()).unwrap()];
            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            let shown = Diagnostic::new(&text).to_string();
            assert!(shown.is_ascii(), "{shown:?}");
        }
    }
}
