//! Old callers and new servers, and the reverse.

use hgrpc::REVISIONS;
use hgrpc::server::Command;

use crate::looped::{Looped, Replies};

mod old {
    hgrpc::types! { pub struct Reading { pub temperature: i16 } }
    hgrpc::service! {
        pub service board {
            fn led(on: bool, level: u8 [range(0..=100)] = 100) -> u32;
            fn measure() -> Reading;
        }
    }
}

/// With a new command, a new optional argument, a new field of an answer, a wider range, a wider type,
/// a required argument that became optional.
mod new {
    hgrpc::types! { pub struct Reading { pub temperature: i16, pub humidity: Option<u8> } }
    hgrpc::service! {
        pub service board {
            fn blink(times: u8 = 3) -> u32;
            fn led(on: bool = true, level: u16 [range(0..=1000)] = 100, fade: u16 = 0) -> u32;
            fn measure() -> Reading;
        }
    }
}

fn old_device(command: Command<'_>, replies: &mut Replies<'_>) {
    match old::board::Command::read(command) {
        Ok(old::board::Command::led { on, level, reply }) => {
            replies.send(reply.ok(u32::from(on) + u32::from(level)));
        }
        Ok(old::board::Command::measure { reply }) => {
            replies.send(reply.ok(old::Reading { temperature: 21 }));
        }
        Err(answer) => replies.send(answer),
    }
}

fn new_device(command: Command<'_>, replies: &mut Replies<'_>) {
    match new::board::Command::read(command) {
        Ok(new::board::Command::blink { times, reply }) => replies.send(reply.ok(times.into())),
        Ok(new::board::Command::led {
            on,
            level,
            fade,
            reply,
        }) => replies.send(reply.ok(u32::from(on) + u32::from(level) + u32::from(fade))),
        Ok(new::board::Command::measure { reply }) => replies.send(reply.ok(new::Reading {
            temperature: 21,
            humidity: Some(40),
        })),
        Err(answer) => replies.send(answer),
    }
}

#[test]
fn additions_break_nobody() {
    for revision in REVISIONS {
        let device = Looped::new(revision, new_device);
        let host = old::board::Client::new(&device);
        assert_eq!(host.led(true).send(), Ok(101));
        assert_eq!(host.led(false).level(7).send(), Ok(7));
        let reading = host.measure().send();
        assert_eq!(reading, Ok(old::Reading { temperature: 21 }));

        let device = Looped::new(revision, old_device);
        let host = new::board::Client::new(&device);
        assert_eq!(host.led().on(true).level(9).send(), Ok(10));
        let reading = host.measure().send().unwrap();
        assert_eq!((reading.temperature, reading.humidity), (21, None));

        // What the old device cannot do it says.
        if revision.has_status_map() {
            let told = |result: Result<u32, String>| result.unwrap_err();
            assert_eq!(told(host.blink().send()), "unknown command: blink");
            let faded = host.led().on(true).fade(3).send();
            assert_eq!(told(faded), "unknown argument: fade");
            let bright = host.led().on(true).level(200).send();
            assert_eq!(told(bright), "argument `level` is out of range");
            assert_eq!(told(host.led().send()), "argument `on` is missing");
        }
    }
}
