//! What a typed server answers to callers that are wrong.

use hgrpc::cbor::Value;
use hgrpc::server::Command;
use hgrpc::service::{Client as _, Request as _, Upload as _};
use hgrpc::{REVISIONS, Revision};
use proptest::prelude::*;

use crate::looped::{Looped, Replies};

hgrpc::service! {
    service lamp<'a> {
        fn led(
            on: bool,
            level: u8 [unit("%"), range(0..=100)] = 100,
            shade: Option<i16> [range(-3..=3)] = None,
            gain: f32 [range(0.0..=1.5)] = 0.5,
        ) -> bool;
        fn rename as "re-name"(name as "to": &'a str) -> bool;
        fn sum() <- Stream -> u32;
    }
}

fn serve(command: Command<'_>, replies: &mut Replies<'_>) {
    match lamp::Command::read(command) {
        Ok(lamp::Command::led {
            on,
            level,
            shade,
            gain,
            reply,
        }) => {
            assert!(
                level <= 100 && shade.is_none_or(|s| s.abs() <= 3) && (0.0..=1.5).contains(&gain)
            );
            replies.send(reply.ok(on));
        }
        Ok(lamp::Command::rename { name, reply }) => replies.send(reply.ok(!name.is_empty())),
        Ok(lamp::Command::sum { reply }) => {
            replies.send(reply.fail(hgrpc::server::Failure::command(b"busy")));
        }
        Err(answer) => replies.send(answer),
    }
}

#[test]
fn wrong_calls_are_told_what_is_wrong() {
    for revision in REVISIONS {
        let looped = Looped::new(revision, serve);
        let encoded = |cbor| Value::from_cbor(cbor).unwrap();
        let call = |name, args: &[(&'static str, &'static [u8])], has_data| {
            let mut request = looped.request(name);
            for (key, value) in args {
                request = request.arg(key, &encoded(value));
            }
            if has_data {
                request = request.data(&b"data"[..]);
            }
            request.run().unwrap_err()
        };
        // In 0003 messages are raw text, without names.
        let expect = |told: String, named: &str, short: &str| match revision {
            Revision::R0003 => assert_eq!(told, short),
            _ => assert_eq!(told, named),
        };
        const ON: (&str, &[u8]) = ("on", b"\xf5");
        expect(
            call("fly", &[], false),
            "unknown command: fly",
            "unknown command",
        );
        for (args, named) in [
            (&[][..], "argument `on` is missing"),
            (
                &[("on", &b"\x01"[..])],
                "argument `on` is of the wrong type",
            ),
            (
                &[ON, ("level", b"\x19\x01\x00")],
                "argument `level` is of the wrong type",
            ),
            (
                &[ON, ("level", b"\xf6")],
                "argument `level` is of the wrong type",
            ),
            (
                &[ON, ("level", b"\x18\x65")],
                "argument `level` is out of range",
            ),
            (
                &[ON, ("shade", b"\x23")],
                "argument `shade` is out of range",
            ),
            (&[ON, ("gain", b"\x02")], "argument `gain` is out of range"),
            (
                &[ON, ("gain", b"\xf9\x7e\x00")],
                "argument `gain` is out of range",
            ),
            (&[ON, ("lvl", b"\x01")], "unknown argument: lvl"),
        ] {
            expect(call("led", args, false), named, "wrong arguments");
        }
        expect(
            call("re-name", &[], false),
            "argument `to` is missing",
            "wrong arguments",
        );
        expect(
            call("rename", &[], false),
            "unknown command: rename",
            "unknown command",
        );
        let told = "the command takes no data";
        expect(call("led", &[ON], true), told, told);
        let told = "the command takes data";
        expect(call("sum", &[], false), told, told);
        expect(call("sum", &[], true), "busy", "busy");

        // And what is right at the edges.
        let lamp = lamp::Client::new(&looped);
        assert_eq!(
            lamp.led(true).level(100).shade(Some(-3)).gain(1.5).send(),
            Ok(true)
        );
        assert_eq!(lamp.led(false).level(0).shade(None).send(), Ok(false));
        assert_eq!(lamp.rename("a").send(), Ok(true));
        // A byte string is text, too.
        let request = looped.request("re-name").arg("to", &encoded(b"\x40"));
        assert_eq!(request.run().as_deref(), Ok(&b"\xf4"[..]));
    }
}

/// Values of every kind, some of which are none.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|n| minicbor::to_vec(n).unwrap()),
        any::<i8>().prop_map(|n| minicbor::to_vec(n).unwrap()),
        any::<f32>().prop_map(|n| minicbor::to_vec(n).unwrap()),
        any::<bool>().prop_map(|n| minicbor::to_vec(n).unwrap()),
        ".{0,8}".prop_map(|n| minicbor::to_vec(n).unwrap()),
        prop::sample::select(vec![
            &b"\xf6"[..],
            b"\x5f\x41a\xff",
            b"\x7f\x61a\xff",
            b"\xc0\x01",
            b"\xf7"
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| {
                let head = 0x80 | items.len() as u8;
                [vec![head], items.concat()].concat()
            }),
            (inner.clone(), inner).prop_map(|(key, value)| [vec![0xa1], key, value].concat()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_values_are_answered(
        command in prop::sample::select(vec!["led", "re-name", "sum", "capabilities"]),
        args in prop::collection::btree_map(
            prop::sample::select(vec!["on", "level", "shade", "gain", "to", "x"]), value(), 0..4,
        ),
        revision in 0usize..3, has_data: bool,
    ) {
        let mut looped = Looped::new(REVISIONS[revision], serve);
        // The smallest that the documentation allows.
        looped.output = if revision == 2 { 96 } else { 64 };
        let mut request = looped.request(command);
        for (key, value) in &args {
            request = request.arg(key, &Value::from_cbor(value).unwrap());
        }
        if has_data {
            request = request.data(&b"data"[..]);
        }
        // It is answered; `Looped` asserts that.
        let _ = request.run();
    }
}
