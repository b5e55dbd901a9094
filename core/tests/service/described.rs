//! What services say of themselves.

use hgrpc::REVISIONS;
use hgrpc::server::Command;
use hgrpc::service::{Client as _, Description};

use crate::looped::{Looped, Replies};

hgrpc::types! {
    pub enum Colour { Red as "red", WarmWhite as "warm-white" }
    pub struct Reading { temperature: i16, humidity: Option<u8> }
}

hgrpc::service! {
    /// A board with a lamp.
    ///
    /// And a sensor.
    service board<'a> {
        /// Switches the lamp.
        fn led(
            /// Whether to light it.
            on: bool,
            /// Brightness.
            level: u8 [unit("%"), range(0..=100)] = 100,
            colour: Colour = Colour::WarmWhite,
        ) -> bool where write, idempotent;
        fn digest() <- Stream -> [u8; 32] where read;
        fn sample(channel: u8, rate: u32 [unit("Hz")] = 1000, gain: f64 [range(-1.0..=1.0)] = 0.5)
            -> Values<u16> where read, since(1, 2);
        fn light(on: bool) where deprecated("use led");
        fn rename as "re-name"(name: &'a str = "board", id: Option<&'a [u8]>, at: i64 = -7) where destructive;
        fn read() -> Reading;
        fn axes(offsets: [i16; 3]) -> Stream;
    }
}

fn expanded(description: &Description) -> Vec<u8> {
    let mut memory = vec![0; 4096];
    let (all, is_last) = description.expand(0, &mut memory);
    assert!(is_last);
    all.to_vec()
}

/// The value as people read it, a line for each entry down to the arguments.
#[cfg(feature = "service-docs")]
fn shown(value: hgrpc::cbor::Value<'_>, depth: usize) -> String {
    use hgrpc::cbor::Text;
    if let Some(entries) = value.entries() {
        let entries = entries
            .map(|(key, value)| format!("{}: {}", shown(key, depth + 1), shown(value, depth + 1)));
        return match depth {
            0..4 => {
                let indent = "  ".repeat(depth);
                let lines = entries.map(|entry| format!("\n{indent}  {entry},"));
                format!("{{{}\n{indent}}}", lines.collect::<String>())
            }
            _ => format!("{{{}}}", entries.collect::<Vec<_>>().join(", ")),
        };
    }
    if let Some(items) = value.elements() {
        let items: Vec<_> = items.map(|item| shown(item, depth + 1)).collect();
        return format!("[{}]", items.join(", "));
    }
    if let Some(bytes) = value.as_bytes() {
        return match Text::from_bytes(bytes) {
            Some(text) => format!("'{}'", text.to_string().escape_debug()),
            None => format!("{} bytes", bytes.len()),
        };
    }
    value.as_text().map_or_else(
        || match (value.as_i64(), value.as_bool()) {
            (Some(number), _) => number.to_string(),
            (_, Some(flag)) => flag.to_string(),
            _ => value
                .decode::<f64>()
                .map_or("null".into(), |f| f.to_string()),
        },
        |text| format!("{text:?}"),
    )
}

#[cfg(feature = "service-docs")]
#[test]
fn a_service_says_what_was_declared() {
    let all = expanded(&board::DESCRIPTION);
    let value = hgrpc::cbor::Value::from_cbor(&all).unwrap();
    assert_eq!(shown(value, 0) + "\n", include_str!("described.txt"));
}

#[test]
fn a_description_is_sent_in_frames_of_any_size() {
    fn serve(command: Command<'_>, replies: &mut Replies<'_>) {
        match board::Command::read(command) {
            Ok(_) => panic!("not asked for"),
            Err(answer) => {
                assert_eq!(answer.problem(), None);
                replies.send(answer);
            }
        }
    }
    for revision in REVISIONS {
        let body = Looped::new(revision, serve).request("capabilities").run();
        assert_eq!(body, Ok(expanded(&board::DESCRIPTION)));
    }
    let all = expanded(&board::DESCRIPTION);
    for size in 1..100 {
        let mut pieces = Vec::new();
        loop {
            let mut memory = vec![0; size];
            let (piece, is_last) = board::DESCRIPTION.expand(pieces.len(), &mut memory);
            pieces.extend_from_slice(piece);
            if is_last {
                break;
            }
            assert_eq!(piece.len(), size);
        }
        assert_eq!(pieces, all);
    }
}

#[test]
fn the_schema_is_of_what_callers_can_tell() {
    mod documented {
        hgrpc::service! {
            /// Documented.
            pub service lamp {
                /// Documented.
                fn led(
                    /// Documented.
                    on: bool
                ) -> bool where write;
            }
        }
    }
    mod bare {
        hgrpc::service! { pub service lamp { fn led(on: bool) -> bool where write; } }
    }
    mod other {
        hgrpc::service! { pub service lamp { fn led(on: bool = true) -> bool where write; } }
    }
    assert_eq!(documented::lamp::SCHEMA, bare::lamp::SCHEMA);
    assert_ne!(documented::lamp::SCHEMA, other::lamp::SCHEMA);
    let all = expanded(&bare::lamp::DESCRIPTION);
    assert!(all.ends_with(&bare::lamp::SCHEMA.to_be_bytes()));
}
