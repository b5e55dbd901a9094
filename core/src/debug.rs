//! `Debug` of what holds bytes: names and text instead of numbers.

use core::fmt::{self, Debug, Formatter};

use crate::cbor::{
    Atom, AtomView, Atoms, ByteString, ByteStrings, ErrorMessage, MessageArgs, Value,
};
use crate::server::Command;
use crate::{client, server};

/// Bytes as `b"text\xff"`.
struct Bytes<'a>(&'a [u8]);

impl Debug for Bytes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        ByteString::from_slice(self.0).fmt(f)
    }
}

/// A list of such bytes.
struct List<'a>(&'a [&'a [u8]]);

impl Debug for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|bytes| Bytes(bytes)))
            .finish()
    }
}

impl Debug for Atom<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atom")
            .field("msg", &Bytes(self.msg))
            .field("args", &List(self.args))
            .field("labels", &List(self.labels))
            .finish()
    }
}

impl Debug for AtomView<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atom")
            .field("msg", &self.msg())
            .field("args", &self.args())
            .field("labels", &self.labels())
            .finish()
    }
}

impl Debug for Atoms<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl Debug for ByteStrings<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl Debug for MessageArgs<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let args = Value::from_cbor(self.as_cbor()).map(ByteStrings::new);
        args.unwrap_or_default().fmt(f)
    }
}

impl Debug for ErrorMessage<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw {
                protocol,
                application,
                message,
            } => f
                .debug_struct("Raw")
                .field("protocol", protocol)
                .field("application", application)
                .field("message", &Bytes(message))
                .finish(),
            Self::Structured { kind, message } => f
                .debug_struct("Structured")
                .field("kind", kind)
                .field("message", message)
                .finish(),
        }
    }
}

impl Debug for server::Event<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => f.debug_tuple("Command").field(command).finish(),
            Self::Data {
                request_id,
                bytes,
                is_last,
            } => f
                .debug_struct("Data")
                .field("request_id", request_id)
                .field("bytes", &Bytes(bytes))
                .field("is_last", is_last)
                .finish(),
            Self::Refused(refusal) => f.debug_tuple("Refused").field(refusal).finish(),
            Self::Error(error) => f.debug_tuple("Error").field(error).finish(),
            Self::Idle => f.write_str("Idle"),
            #[cfg(feature = "link")]
            Self::Line(event) => f.debug_tuple("Line").field(event).finish(),
        }
    }
}

impl Debug for Command<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .field("args", &self.args)
            .field("redirect", &self.redirect)
            .field("data", &self.data.map(Bytes))
            .field("data_follows", &self.data_follows)
            .field("reply", &self.reply)
            .finish()
    }
}

impl Debug for client::Event<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response {
                request_id,
                status,
                data,
                expects_more,
                is_last,
            } => f
                .debug_struct("Response")
                .field("request_id", request_id)
                .field("status", status)
                .field("data", &Bytes(data))
                .field("expects_more", expects_more)
                .field("is_last", is_last)
                .finish(),
            Self::Failed {
                request_id,
                message,
            } => f
                .debug_struct("Failed")
                .field("request_id", request_id)
                .field("message", message)
                .finish(),
            Self::Text { request_id, atoms } => f
                .debug_struct("Text")
                .field("request_id", request_id)
                .field("atoms", atoms)
                .finish(),
            Self::Progress {
                request_id,
                progress,
            } => f
                .debug_struct("Progress")
                .field("request_id", request_id)
                .field("progress", progress)
                .finish(),
            Self::MessageTooLarge { request_id, kind } => f
                .debug_struct("MessageTooLarge")
                .field("request_id", request_id)
                .field("kind", kind)
                .finish(),
            Self::SetDecoder {
                stream_id,
                encoding,
            } => f
                .debug_struct("SetDecoder")
                .field("stream_id", stream_id)
                .field("encoding", encoding)
                .finish(),
            Self::DropDecoder { stream_id } => f
                .debug_struct("DropDecoder")
                .field("stream_id", stream_id)
                .finish(),
            Self::Encoded {
                stream_id,
                bytes,
                is_last,
                ends_stream,
            } => f
                .debug_struct("Encoded")
                .field("stream_id", stream_id)
                .field("bytes", &Bytes(bytes))
                .field("is_last", is_last)
                .field("ends_stream", ends_stream)
                .finish(),
            Self::Error { error, request_id } => f
                .debug_struct("Error")
                .field("error", error)
                .field("request_id", request_id)
                .finish(),
            Self::Idle => f.write_str("Idle"),
            #[cfg(feature = "link")]
            Self::Line(event) => f.debug_tuple("Line").field(event).finish(),
        }
    }
}

#[cfg(feature = "link")]
impl Debug for crate::connection::LineEvent<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("Up"),
            Self::Lost(error) => f.debug_tuple("Lost").field(error).finish(),
            Self::Console(text) => f.debug_tuple("Console").field(&Bytes(text)).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use crate::cbor::{
        Atom, Atoms, ByteString, ContentEncoding, EncodingSet, ErrorMessage, MessageArgs, Progress,
        ProgressView, Status, Value, encode_atoms,
    };
    use crate::client::Event;
    use crate::wire::{
        CommandRequestFlags, ErrorFlags, FrameHeader, RequestId, ResponseFlags, StreamFlags,
        StreamId, TypeFlags,
    };
    use crate::{KeyOrder, Revision};

    const ID: RequestId = RequestId::new(7);

    #[test]
    fn bytes_that_are_utf8_show_as_text() {
        let shown = |bytes| format!("{:?}", ByteString::from_slice(bytes));
        assert_eq!(shown("a\né\"".as_bytes()), r#"b"a\né\"""#);
        assert_eq!(shown(b"\xc3\xa9\xff"), r#"b"\xc3\xa9\xff""#);
        assert_eq!(shown(b"\x1b[2J"), r#"b"\x1b[2J""#);
    }

    #[test]
    fn values_show_as_what_they_are() {
        // {"on": true, "list": [1, -2, "t", null], "f": 1.5}
        let cbor = b"\xa3\x42on\xf5\x44list\x84\x01\x21\x61t\xf6\x61f\xfb\x3f\xf8\0\0\0\0\0\0";
        let value = Value::from_cbor(cbor).unwrap();
        let shown = r#"{b"on": true, b"list": [1, -2, "t", null], "f": 1.5}"#;
        assert_eq!(format!("{value:?}"), shown);
        // A tag, and what no type of Rust's holds.
        let others = Value::from_cbor(b"\x82\xc1\x01\xf7").unwrap();
        assert_eq!(format!("{others:?}"), "[Value(c101), Value(f7)]");
    }

    #[test]
    fn notes_show_their_text() {
        let atom = Atom {
            msg: b"%s of %s",
            args: &[b"1", "é".as_bytes()],
            labels: &[b"ui.status"],
        };
        let shown = r#"Atom { msg: b"%s of %s", args: [b"1", b"é"], labels: [b"ui.status"] }"#;
        assert_eq!(format!("{atom:?}"), shown);
        let mut buffer = [0; 99];
        let len = encode_atoms(&[atom], KeyOrder::ShorterFirst, &mut buffer).unwrap();
        let text = Event::Text {
            request_id: ID,
            atoms: Atoms::decode(&buffer[..len]).unwrap(),
        };
        let event = format!("Text {{ request_id: RequestId(7), atoms: [{shown}] }}");
        assert_eq!(format!("{text:?}"), event);

        let progress = Progress::new("files", 1, 2);
        let len = progress.encode(Revision::R0005, &mut buffer).unwrap();
        let received = Event::Progress {
            request_id: ID,
            progress: ProgressView::decode(&buffer[..len]).unwrap(),
        };
        let shown = r#"Progress { topic: "files", pos: 1, total: 2, label: None, item: None }"#;
        assert_eq!(format!("{progress:?}"), shown);
        let event = format!("Progress {{ request_id: RequestId(7), progress: {shown} }}");
        assert_eq!(format!("{received:?}"), event);
    }

    #[test]
    fn responses_and_failures_show_their_text() {
        let status = b"\xa2\x46status\x45error\x45error\xa1\x47message\x81\xa1\x43msg\x43bad";
        let (status, _) = Status::decode(status).unwrap();
        let response = Event::Response {
            request_id: ID,
            status: Some(status),
            data: b"done",
            expects_more: false,
            is_last: true,
        };
        assert_eq!(
            format!("{response:?}"),
            "Response { request_id: RequestId(7), status: Some(Error(CommandError({b\"status\": b\"error\", \
             b\"error\": {b\"message\": [{b\"msg\": b\"bad\"}]}}))), data: b\"done\", expects_more: false, \
             is_last: true }"
        );
        let message = ErrorMessage::decode(b"no", ErrorFlags::PROTOCOL, Revision::R0003).unwrap();
        let failed = Event::Failed {
            request_id: ID,
            message,
        };
        assert_eq!(
            format!("{failed:?}"),
            "Failed { request_id: RequestId(7), message: Raw { protocol: true, application: false, \
             message: b\"no\" } }"
        );
        let mut buffer = [0; 9];
        let args = MessageArgs::encode(&[b"on"], &mut buffer).unwrap();
        assert_eq!(format!("{args:?}"), r#"[b"on"]"#);
        assert_eq!(format!("{:?}", MessageArgs::EMPTY), "[]");
    }

    #[test]
    fn data_shows_as_text() {
        let data = crate::server::Event::Data {
            request_id: ID,
            bytes: b"up",
            is_last: true,
        };
        let shown = r#"Data { request_id: RequestId(7), bytes: b"up", is_last: true }"#;
        assert_eq!(format!("{data:?}"), shown);
        #[cfg(feature = "link")]
        assert_eq!(
            format!("{:?}", crate::connection::LineEvent::Console(b"boot\r\n")),
            r#"Console(b"boot\x0d\n")"#
        );
    }

    #[test]
    fn headers_and_flags_show_names() {
        let header = |kind, flags| {
            let (stream, begin) = (StreamId::new(1), StreamFlags::BEGIN);
            FrameHeader::new(9, ID, stream, begin, kind, TypeFlags::from_bits(flags))
        };
        assert_eq!(
            format!("{:?}", header(1, 0x9)),
            "FrameHeader { length: 9, request_id: 7, stream_id: 1, stream_flags: stream-begin, \
             type: command-request, flags: new|have-data }"
        );
        // One number, two types in two revisions.
        assert_eq!(
            format!("{:?}", header(3, 0x2)),
            "FrameHeader { length: 9, request_id: 7, stream_id: 1, stream_flags: stream-begin, \
             type: command-data/command-response, flags: eos }"
        );
        assert_eq!(
            format!("{:?}", header(0xf, 0x2)),
            "FrameHeader { length: 9, request_id: 7, stream_id: 1, stream_flags: stream-begin, \
             type: <unknown 0x0f>, flags: <unknown 0x02> }"
        );
        let both = CommandRequestFlags::NEW | CommandRequestFlags::MORE;
        assert_eq!(format!("{both:?}"), "CommandRequestFlags(new|more)");
        assert_eq!(format!("{:?}", ResponseFlags::NONE), "ResponseFlags()");
        let unknown = StreamFlags::from_bits(0x81);
        let shown = "StreamFlags(stream-begin|<unknown 0x80>)";
        assert_eq!(format!("{unknown:?}"), shown);
        let set = EncodingSet::IDENTITY.with(ContentEncoding::Zlib);
        assert_eq!(format!("{set:?}"), "{Identity, Zlib}");
    }
}
