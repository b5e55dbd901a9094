//! Replays `tests/vectors/link`: whole, and byte by byte.

use hgrpc::link::{Link, LinkConfig, LinkEvent};
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2)
        .map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap())
        .collect()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

/// Adds an event; what comes in pieces is joined.
fn add(events: &mut Vec<Value>, event: LinkEvent<'_>) {
    let (key, bytes) = match event {
        LinkEvent::Console(bytes) => ("console", bytes),
        LinkEvent::Noise(bytes) => ("noise", bytes),
        LinkEvent::Up => return events.push(json!("up")),
        LinkEvent::Lost(error) => return events.push(json!({"lost": error.name()})),
        LinkEvent::Payload {
            bytes,
            is_frame_start,
        } => {
            return events.push(json!({"payload": hex(bytes), "frame_start": is_frame_start}));
        }
        other => panic!("{other:?}"),
    };
    match events.last_mut().and_then(|last| last.get_mut(key)) {
        Some(text) => *text = json!(format!("{}{}", text.as_str().unwrap(), hex(bytes))),
        None => events.push(json!({key: hex(bytes)})),
    }
}

fn step<const N: usize>(link: &mut Link<N>, step: &Value, piece: usize) -> Value {
    let mut out = [0; 256];
    match step["op"].as_str().unwrap() {
        "recv" => {
            let mut events = Vec::new();
            for mut input in bytes(&step["bytes"]).chunks(piece) {
                while let Some(event) = link.handle_bytes(&mut input) {
                    add(&mut events, event);
                }
            }
            Value::Array(events)
        }
        "tick" => json!(link.tick().map(|error| error.name())),
        "control" => json!(link.control_packet(&mut out).map(hex)),
        "send" => {
            let all = bytes(&step["bytes"]);
            let mut rest = all.as_slice();
            let room = number(&step["room"]) as usize;
            let is_start = step["frame_start"].as_bool().unwrap();
            match link.packet(&mut rest, is_start, &mut out[..room]) {
                Ok(packet) => json!({"packet": hex(packet), "taken": all.len() - rest.len()}),
                Err(error) => json!({"error": error.name()}),
            }
        }
        other => panic!("{other}"),
    }
}

fn replay<const N: usize>(case: &Value, piece: usize) {
    let mut config = LinkConfig::new(number(&case["session"]));
    config.patience = number(&case["patience"]).try_into().unwrap();
    let mut link = Link::<N>::new(config);
    for (n, of) in case["steps"].as_array().unwrap().iter().enumerate() {
        let found = step(&mut link, of, piece);
        let name = &case["name"];
        assert_eq!(
            found, of["expect"],
            "{name}, step {n}, in pieces of {piece}"
        );
        let after = json!({
            "up": link.is_up(),
            "session": link.session(),
            "peer": link.peer_session().unwrap_or(0),
        });
        assert_eq!(after, of["after"], "{name}, after step {n}");
    }
}

#[test]
fn vectors() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/vectors/link/end.json"
    );
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        for piece in [usize::MAX, 7, 1] {
            match case["size"].as_u64().unwrap() {
                32 => replay::<32>(case, piece),
                64 => replay::<64>(case, piece),
                100 => replay::<100>(case, piece),
                256 => replay::<256>(case, piece),
                other => panic!("{other}"),
            }
        }
    }
}
