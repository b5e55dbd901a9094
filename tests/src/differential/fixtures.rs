//! What answers say. Everything lives as long as the program, so that answers may wait.

use std::sync::LazyLock;

use super::judge;

/// Bytes of bodies.
pub(super) static BODY: [u8; 2048] = {
    let mut bytes = [0; 2048];
    let mut index = 0;
    while index < bytes.len() {
        let [low, high, ..] = index.to_le_bytes();
        bytes[index] = low ^ high;
        index += 1;
    }
    bytes
};

/// Messages of failures.
pub(super) static MESSAGES: [&[u8]; 5] = [
    b"",
    b"no",
    b"it does not %s",
    b"it does not work, whatever you try to do about it, today or on any other day of the week",
    "caf\u{e9}".as_bytes(),
];

/// Arguments of failures, encoded.
pub(super) const ARGS: &[u8] = b"\x82\x44work\x43yet";

/// Values of responses, encoded.
static VALUES: [&[u8]; 6] = [
    b"\x07",
    b"\x43abc",
    b"\x83\x01\x43abc\xa1\x41k\xf5",
    b"\x5f\x42ab\x40\x41c\xff",
    b"\x58\x28abcdefghijklmnopqrstuvwxyzabcdefghijklmn",
    b"\x9f\x01\xbf\x41a\x42bc\xff\xff",
];

/// The same as objects, and some that are encoded already.
pub(super) static OBJECTS: LazyLock<Vec<judge::server::Object<'static>>> = LazyLock::new(|| {
    use judge::server::Object;
    let mut objects = Vec::new();
    for bytes in VALUES {
        if let Ok(value) = judge::cbor::Value::from_cbor(bytes) {
            objects.push(Object::Cbor(value));
        }
        objects.push(Object::PreEncoded(bytes));
    }
    objects
});

/// What failures are, for both ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    pub(super) kind: Kind,
    pub(super) message: &'static [u8],
    pub(super) has_args: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Command,
    Server,
    Raw(bool, bool),
}

/// The failure of one of the two cores.
macro_rules! failure {
    ($self:ident, $core:ident, $failure:path) => {{
        use $core::cbor::MessageArgs;
        use $core::wire::ErrorFlags;
        use $failure as Failure;
        let failure = match $self.kind {
            Kind::Command => Failure::command($self.message),
            Kind::Server => Failure::server($self.message),
            Kind::Raw(protocol, application) => Failure::raw(
                $self.message,
                ErrorFlags::NONE
                    .with(ErrorFlags::PROTOCOL, protocol)
                    .with(ErrorFlags::APPLICATION, application),
            ),
        };
        match $self.has_args {
            true => failure.with_args(MessageArgs::from_cbor(ARGS).unwrap_or_default()),
            false => failure,
        }
    }};
}

impl Failing {
    pub(super) fn first(&self) -> judge::server::Failure<'static> {
        failure!(self, judge, judge::server::Failure)
    }

    pub(super) fn second(&self) -> hgrpc::next::server::Failure<'static> {
        failure!(self, hgrpc, hgrpc::next::server::Failure)
    }
}

/// Text for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) msg: &'static [u8],
    pub(super) args: &'static [&'static [u8]],
    pub(super) labels: &'static [&'static [u8]],
}

pub(super) static LINES: [Line; 5] = [
    Line {
        msg: b"hello",
        args: &[],
        labels: &[],
    },
    Line {
        msg: b"%s of %s",
        args: &[b"1", "\u{e9}".as_bytes()],
        labels: &[],
    },
    Line {
        msg: b"careful",
        args: &[],
        labels: &[b"ui.warning", b"x"],
    },
    Line {
        msg: b"a line that is rather long for what it has to say, and that goes on and on",
        args: &[b"x"],
        labels: &[b"y"],
    },
    Line {
        msg: b"caf\xc3\xa9",
        args: &[],
        labels: &[],
    },
];

/// Topics, units and items of progress.
pub(super) const TEXTS: [&str; 4] = ["", "files", "caf\u{e9}", "a rather long name of something"];
