//! What an HTTP server makes of any client's requests.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use hgrpc_std::blocking::{Call, Failure, Reply, Router};
use hgrpc_std::http::server::{Permissions, Server, ServerConfig};
use hgrpc_std::http::{
    API_NAME, ArgInfo, ArgType, Capabilities, CommandInfo, FRAMING_MEDIA_TYPE, MULTIREQUEST,
};

use crate::frames::frame;
use crate::input::Input;
use crate::served::{Answer, exchange, exchange_cut};

/// Commands that have run, in their order.
type Ran = Arc<Mutex<Vec<&'static str>>>;

/// Their names; the last one there is not.
const NAMES: [&str; 5] = ["echo", "fail", "data", "set", "nosuch"];

thread_local! {
    static SERVERS: [(Server, Ran); 4] = [0, 1, 2, 3].map(server);
}

/// Bit 0: everybody may push. Bit 1: errors have a status of their own.
fn server(bits: u8) -> (Server, Ran) {
    let ran = Ran::default();
    let mut router = Router::new();
    for name in &NAMES[..4] {
        let ran = Arc::clone(&ran);
        router = router.command(*name, move |call: &mut Call, reply: &mut Reply| {
            ran.lock().unwrap().push(name);
            match *name {
                "echo" => {
                    let args = call.args().as_cbor().to_vec();
                    reply.cbor(&args)?;
                }
                "fail" => return Err(Failure::command("it fails")),
                "data" => {
                    let data = call.read_data(1 << 16)?;
                    reply.write_all(&data)?;
                }
                _ => {
                    reply.value(&true)?;
                }
            }
            Ok(())
        });
    }
    let echo = CommandInfo::pull().arg("x", ArgInfo::required(ArgType::Bytes));
    let capabilities = Capabilities::new([
        ("echo", echo),
        ("fail", CommandInfo::pull()),
        ("data", CommandInfo::pull()),
        ("set", CommandInfo::push()),
    ]);
    let mut config = ServerConfig::default();
    if bits & 1 != 0 {
        config.authorize = Arc::new(Permissions::ReadWrite);
    }
    config.strict_status = bits & 2 != 0;
    config.limits.per_connection.request_size = 1 << 10;
    config.limits.per_connection.calls = 4;
    (Server::new(router, capabilities, config), ran)
}

/// A command as it is sent.
struct Sent {
    name: &'static str,
    args: Args,
    data: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Args {
    None,
    /// What `echo` takes.
    Right,
    Unknown,
    WrongType,
}

impl Sent {
    fn new(input: &mut Input<'_>) -> Self {
        let (which, more) = (input.byte(), input.byte());
        let data = (more & 4 != 0).then(|| input.bytes(usize::from(more >> 4)).to_vec());
        Self {
            name: NAMES[usize::from(which) % NAMES.len()],
            args: [Args::None, Args::Right, Args::Unknown, Args::WrongType][usize::from(more & 3)],
            data,
        }
    }

    /// Its frames; requests are cut where `cuts` says.
    fn frames(&self, number: u16, cuts: u8, out: &mut Vec<u8>) {
        let args: &[u8] = match self.args {
            Args::None => b"\xa0",
            Args::Right => b"\xa1\x41x\x41y",
            Args::Unknown => b"\xa1\x41z\x41y",
            Args::WrongType => b"\xa1\x41x\xf5",
        };
        let mut payload = b"\xa2\x44args".to_vec();
        payload.extend_from_slice(args);
        payload.extend_from_slice(b"\x44name");
        payload.push(0x40 + u8::try_from(self.name.len()).unwrap());
        payload.extend_from_slice(self.name.as_bytes());
        let id = 2 * number + 1;
        let has_data = u8::from(self.data.is_some()) << 3;
        let cut = usize::from(cuts) % payload.len();
        let (front, back) = payload.split_at(cut);
        let begin = u8::from(out.is_empty());
        if front.is_empty() {
            out.extend(frame(id, 1, begin, 1, 1 | has_data, back));
        } else {
            out.extend(frame(id, 1, begin, 1, 1 | 4 | has_data, front));
            out.extend(frame(id, 1, 0, 1, 2 | has_data, back));
        }
        if let Some(data) = &self.data {
            let (front, back) = data.split_at(data.len() / 2);
            out.extend(frame(id, 1, 0, 2, 1, front));
            out.extend(frame(id, 1, 0, 2, 2, back));
        }
    }

    fn is_right(&self) -> bool {
        match self.name {
            "echo" => self.args == Args::Right,
            _ => self.args == Args::None,
        }
    }
}

/// Where a request goes, and to whom.
struct Address {
    name: &'static str,
    is_rw: bool,
    everybody_may_push: bool,
}

/// What http-v2.md, 2 and 3 say of a request whose frames are right: the status, whether it is
/// answered in frames, and which commands run.
fn expected(address: &Address, commands: &[Sent]) -> (u16, bool, Vec<&'static str>) {
    let refused = |status| (status, false, Vec::new());
    let is_multi = address.name == MULTIREQUEST;
    if address.is_rw && !address.everybody_may_push {
        return refused(403);
    }
    if address.name == "nosuch" {
        return refused(404);
    }
    if address.name == "set" && !address.is_rw {
        return refused(403);
    }
    for (index, command) in commands.iter().enumerate() {
        if !is_multi && (index > 0 || command.name != address.name) {
            return refused(200);
        }
        if is_multi && command.name == "nosuch" {
            return refused(200);
        }
        if is_multi && command.name == "set" && !address.is_rw {
            return refused(403);
        }
    }
    if commands.is_empty() {
        return refused(400);
    }
    let run = commands.iter().filter(|command| command.is_right());
    (200, true, run.map(|command| command.name).collect())
}

/// Payloads of each request's responses; panics unless each ends, once.
fn responses(mut bytes: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    let mut found: BTreeMap<u16, (Vec<u8>, bool)> = BTreeMap::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let len = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        assert!(len <= 65_535, "a frame that is too long");
        let (payload, rest) = rest.split_at(usize::try_from(len).unwrap());
        bytes = rest;
        assert_eq!(header[5], 2, "the one output stream");
        let (kind, flags) = (header[7] >> 4, header[7] & 0x0f);
        if matches!(kind, 3 | 5) {
            let id = u16::from_le_bytes([header[3], header[4]]);
            let (all, has_ended) = found.entry(id).or_default();
            assert!(!*has_ended, "there is more of {id} after its end");
            all.extend_from_slice(payload);
            *has_ended = kind == 5 || flags & 2 != 0;
        }
    }
    assert!(bytes.is_empty(), "the body ends with a frame");
    let ended = found.into_iter().map(|(id, (all, has_ended))| {
        assert!(has_ended, "the response to {id} does not end");
        (id, all)
    });
    ended.collect()
}

/// Each request has one of the specified outcomes, the same however it is cut; nothing runs of
/// one that is refused; and nothing that writes runs without permission.
pub fn http_server(data: &[u8]) {
    let mut input = Input::new(data);
    let (first, second, third) = (input.byte(), input.byte(), input.byte());
    let names = [NAMES[0], NAMES[2], NAMES[3], NAMES[4], MULTIREQUEST];
    let address = Address {
        name: names[usize::from(second >> 2).min(8) % names.len()],
        is_rw: first & 1 != 0,
        everybody_may_push: second & 1 != 0,
    };
    let mut commands = None;
    let mut body = Vec::new();
    if first & 2 != 0 {
        let mut sent = Vec::new();
        while !input.is_empty() && sent.len() < 4 {
            let command = Sent::new(&mut input);
            let number = u16::try_from(sent.len()).unwrap();
            command.frames(number, input.byte(), &mut body);
            sent.push(command);
        }
        commands = Some(sent);
    } else if first & 4 != 0 {
        while !input.is_empty() {
            body.extend(input.frame());
        }
    } else {
        body.extend_from_slice(input.rest());
    }
    let permission = if address.is_rw { "rw" } else { "ro" };
    let head = |length: usize| {
        format!(
            "POST /api/{API_NAME}/{permission}/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Accept: {FRAMING_MEDIA_TYPE}\r\nContent-Type: {FRAMING_MEDIA_TYPE}\r\n\
             Content-Length: {length}\r\n\r\n",
            address.name
        )
    };
    SERVERS.with(|servers| {
        let (server, ran) = &servers[usize::from(second & 3)];
        let run = |piece| {
            let request = [head(body.len()).as_bytes(), &body].concat();
            let answer = exchange(server, &request, piece);
            (answer, std::mem::take(&mut *ran.lock().unwrap()))
        };
        let (answer, names) = run(usize::MAX);
        check(&address, &answer, &names);
        if let Some(commands) = &commands {
            let (status, is_framed, expected) = expected(&address, commands);
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.media_type == FRAMING_MEDIA_TYPE, is_framed);
            assert_eq!(names, expected);
            if is_framed {
                assert_eq!(responses(&answer.body).len(), commands.len());
            }
        }
        let piece = 1 + usize::from(third);
        assert_eq!(run(piece), (answer, names), "pieces of {piece}");

        let request = [head(body.len() + 1).as_bytes(), &body].concat();
        let answer = exchange_cut(server, &request);
        assert!(
            ran.lock().unwrap().is_empty(),
            "of a request that was cut short"
        );
        assert!(answer.is_none_or(|answer| answer.media_type != FRAMING_MEDIA_TYPE));
    });
}

fn check(address: &Address, answer: &Answer, ran: &[&str]) {
    let is_framed = answer.media_type == FRAMING_MEDIA_TYPE;
    assert!(answer.is_whole);
    match (answer.status, answer.media_type.as_str()) {
        (200, FRAMING_MEDIA_TYPE) => assert!(responses(&answer.body).len() >= ran.len().max(1)),
        (200 | 400 | 403 | 404, "text/plain") => assert!(answer.body.ends_with(b"\n")),
        (403, "") => assert_eq!(answer.body, b"permission denied"),
        _ => panic!("an answer without a rule: {answer:?}"),
    }
    assert!(is_framed || ran.is_empty(), "{ran:?} ran, and {answer:?}");
    let may_push = address.is_rw && address.everybody_may_push;
    assert!(
        may_push || !ran.contains(&"set"),
        "a push without permission"
    );
    if address.name != MULTIREQUEST {
        assert!(ran.iter().all(|name| *name == address.name));
        assert!(ran.len() <= 1);
    }
}
