//! The recorded answer into our client.

use hgrpc_std::encoding::ContentEncoding;
use hgrpc_std::http::{
    CBOR_MEDIA_TYPE, Capabilities, Client, Command, CommandInfo, Config, Error, FRAMING_MEDIA_TYPE,
    Redirect, RedirectInfo, RedirectTarget, Redirects,
};
use hgrpc_std::value::Value as Cbor;

use super::frames::{self, Answer, OK, field};
use super::recorded::{Content, Exchange, Response};
use super::table::{args_of, name_of, permissive};
use super::wire::{Canned, answer, plain_answer};
use super::{differs, same};
use crate::fields::Fault;
use crate::parts::Cut;

pub(super) fn check(exchange: &Exchange, cut: Cut) -> Result<(), Fault> {
    let Some(response) = &exchange.response else {
        // hg never answered.
        return Ok(());
    };
    if exchange.request.method == "GET" {
        if exchange.is_redirected() {
            return followed(response, cut);
        }
        return handshake(response, cut);
    }
    call(exchange, response, cut)
}

fn body(response: &Response) -> &[u8] {
    response.body.as_deref().unwrap_or_default()
}

/// What a status and a media type alone come to; `None` if the body is to be read.
fn refused(response: &Response, wanted: &str) -> Option<Refused> {
    let media_type = response.media_type.as_deref().unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    if !(200..300).contains(&response.status) {
        return Some(Refused::Status(response.status));
    }
    if essence == wanted {
        return None;
    }
    let text = String::from_utf8_lossy(body(response)).into_owned();
    Some(match essence {
        "text/plain" if wanted == FRAMING_MEDIA_TYPE => Refused::Text(text),
        _ => Refused::MediaType(essence.to_owned(), text),
    })
}

#[derive(Debug, PartialEq)]
enum Refused {
    Status(u16),
    Text(String),
    MediaType(String, String),
    OnlyVersion1(String),
    NoApi(Vec<String>),
    Other(String),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Status(status) => Self::Status(status.code),
            Error::Text(text) => Self::Text(text),
            Error::MediaType { media_type, text } => Self::MediaType(media_type, text),
            Error::OnlyVersion1 { capabilities } => Self::OnlyVersion1(capabilities),
            Error::NoApi(names) => Self::NoApi(names),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

fn handshake(response: &Response, cut: Cut) -> Result<(), Fault> {
    let bytes = answer(response, body(response), cut);
    let canned = Canned::new(move |_| bytes.clone())?;
    let connected = Client::connect(&canned.url(), Config::default());
    let seen = canned.seen.try_iter().next();
    let Some(seen) = seen else {
        return Err(differs("the handshake", "a request", "none"));
    };
    for (name, value) in [
        ("x-hgupgrade-1", "exp-http-v2-0003"),
        ("x-hgproto-1", "cbor"),
        ("vary", "X-HgProto-1,X-HgUpgrade-1"),
        ("accept", "application/mercurial-0.1"),
    ] {
        same(name, &Some(value), &seen.header(name))?;
    }
    same(
        "the handshake",
        &"GET /?cmd=capabilities HTTP/1.1",
        &seen.start.as_str(),
    )?;
    let expected = match refused(response, CBOR_MEDIA_TYPE) {
        Some(Refused::MediaType(media_type, _)) if media_type == "application/mercurial-0.1" => {
            let text = String::from_utf8_lossy(body(response));
            Err(Refused::OnlyVersion1(text.trim().to_owned()))
        }
        Some(refused) => Err(refused),
        None => descriptor(body(response)),
    };
    let connected = connected.map(|client| client.capabilities().clone());
    same(
        "the handshake",
        &expected,
        &connected.map_err(Refused::from),
    )
}

/// The API's descriptor in a handshake's answer.
pub(super) fn api(body: &[u8]) -> Option<(Cbor, Vec<String>)> {
    let map = Cbor::decode(body).ok()?;
    let apis = field(&map, "apis")?;
    let Cbor::Map(entries) = apis else {
        return None;
    };
    let names = entries.iter().filter_map(|(name, _)| match name {
        Cbor::Bytes(name) => Some(String::from_utf8_lossy(name).into_owned()),
        _ => None,
    });
    let api = field(apis, hgrpc_std::http::API_NAME).cloned();
    Some((api.unwrap_or(Cbor::Null), names.collect()))
}

fn descriptor(body: &[u8]) -> Result<Capabilities, Refused> {
    let (api, names) = api(body).ok_or_else(|| Refused::Other("no map".into()))?;
    match api {
        Cbor::Null => Err(Refused::NoApi(names)),
        api => Capabilities::from_value(&api).map_err(|error| Refused::Other(error.to_string())),
    }
}

/// Our descriptor for a request's commands: only what they need.
fn announce(exchange: &Exchange, commands: &[Cbor]) -> Vec<u8> {
    let is_push = exchange.request.target.contains("/rw/");
    let info = || {
        if is_push {
            CommandInfo::push()
        } else {
            CommandInfo::pull()
        }
    };
    let infos = commands
        .iter()
        .map(|command| (name_of(command), permissive(command, info())));
    let mut capabilities = Capabilities::new(infos);
    let offered = commands
        .iter()
        .find_map(|command| field(command, "redirect"));
    capabilities.redirect = offered.map(|offered| {
        let names = |key| match field(offered, key) {
            Some(Cbor::Array(names)) => names.iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        let mut info = RedirectInfo::default();
        info.hashes = names("hashes");
        for name in names("targets") {
            let mut target = RedirectTarget::default();
            target.name = name;
            target.protocol = "http".to_owned();
            info.targets.push(target);
        }
        info
    });
    let bytes = |text: &str| Cbor::Bytes(text.as_bytes().to_vec());
    let apis = vec![(bytes(hgrpc_std::http::API_NAME), capabilities.to_value())];
    let map = Cbor::Map(vec![
        (bytes("apibase"), bytes("api/")),
        (bytes("apis"), Cbor::Map(apis)),
    ]);
    map.encode(hgrpc::KeyOrder::Bytewise).unwrap_or_default()
}

fn text(value: &Cbor) -> Option<String> {
    match value {
        Cbor::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

/// The encodings that a request offers, as far as they are known.
fn offered(exchange: &Exchange) -> Vec<ContentEncoding> {
    let (frames, _) = frames::cut(&exchange.request.body);
    let settings = frames
        .iter()
        .take_while(|frame| frame.header.kind_number() == 8);
    let bytes: Vec<u8> = settings.flat_map(|frame| frame.payload.clone()).collect();
    let Ok(map) = Cbor::decode(&bytes) else {
        return Vec::new();
    };
    match field(&map, "contentencodings") {
        Some(Cbor::Array(names)) => names
            .iter()
            .filter_map(text)
            .filter_map(|name| ContentEncoding::from_name(name.as_bytes()))
            .collect(),
        _ => Vec::new(),
    }
}

fn call(exchange: &Exchange, response: &Response, cut: Cut) -> Result<(), Fault> {
    let mut ids: Vec<u16> = Vec::new();
    let mut commands = Vec::new();
    for (id, bytes) in &exchange.request.commands {
        if exchange.is_hg_client {
            Cbor::decode(bytes).map_err(|error| differs("a command", "CBOR", error))?;
        }
        // Of two under one ID the first.
        if let Ok((command, _)) = Cbor::decode_prefix(bytes)
            && !name_of(&command).is_empty()
        {
            ids.push(*id);
            commands.push(command);
        }
    }
    if commands.is_empty() {
        // The request that was answered so is none that our client makes.
        ids.push(1);
        let name = (Cbor::from(&b"name"[..]), Cbor::from(&b"heads"[..]));
        commands.push(Cbor::Map(vec![name]));
    }
    let handshake = plain_answer(CBOR_MEDIA_TYPE, &announce(exchange, &commands));
    let bytes = answer(response, &renumber(response, &ids), cut);
    let canned = Canned::new(move |request| match request.start.starts_with("GET") {
        true => handshake.clone(),
        false => bytes.clone(),
    })?;
    let mut config = Config::default();
    config.encodings = offered(exchange);
    let connected = Client::connect(&canned.url(), config);
    let client = connected.map_err(|error| differs("our own descriptor", "good", error))?;
    let calls: Vec<Command> = commands
        .iter()
        .map(|command| {
            let args = args_of(command).into_iter();
            args.fold(Command::new(name_of(command)), |call, (name, value)| {
                call.arg(name, value)
            })
        })
        .collect();
    let result = client.batch(&calls);
    if exchange.is_hg_client {
        sent_as_hg(exchange, &canned)?;
    }
    let expected = refused(response, FRAMING_MEDIA_TYPE);
    let responses = match (expected, result) {
        (Some(expected), Ok(_)) => {
            return Err(differs("the answer", format!("{expected:?}"), "taken"));
        }
        (Some(expected), Err(error)) => {
            return same("the answer", &expected, &Refused::from(error));
        }
        (None, Err(error)) => return Err(differs("the answer", "frames", error)),
        (None, Ok(responses)) => responses,
    };
    let answers = response.answers()?;
    let is_compressed = config_of(response) != Some(ContentEncoding::Identity);
    for (id, ours) in ids.iter().zip(responses) {
        let answer = answers.get(id).cloned().unwrap_or_default();
        let content = response.responses.get(id);
        outcome(ours, &answer, content, is_compressed, &response.trailing)
            .map_err(|fault| in_request(*id, fault))?;
    }
    Ok(())
}

pub(super) fn in_request(id: u16, fault: Fault) -> Fault {
    let within = |value: serde_json::Value| format!("request {id}, {value}").into();
    Fault::new(within(fault.expected), within(fault.result))
}

/// What the stream's settings name.
pub(super) fn config_of(response: &Response) -> Option<ContentEncoding> {
    let (frames, _) = response.frames.as_ref()?;
    let settings = frames
        .iter()
        .find(|frame| frame.header.kind_number() == 9)?;
    match Cbor::decode(&settings.payload).ok()? {
        Cbor::Bytes(name) => ContentEncoding::from_name(&name),
        _ => None,
    }
}

/// The recorded frames, with the request IDs that our client gives.
fn renumber(response: &Response, ids: &[u16]) -> Vec<u8> {
    let Some((frames, tail)) = &response.frames else {
        return body(response).to_vec();
    };
    let mut bytes = Vec::new();
    for frame in frames {
        let header = &frame.header;
        let index = ids.iter().position(|id| *id == header.request_id().value());
        let id = index.and_then(|index| u16::try_from(2 * index + 1).ok());
        let id = id.unwrap_or_else(|| header.request_id().value());
        let header = hgrpc::wire::FrameHeader::new(
            header.length(),
            hgrpc::wire::RequestId::new(id),
            header.stream_id(),
            header.stream_flags(),
            header.kind_number(),
            header.flags(),
        );
        bytes.extend(frames::emit(&header, &frame.payload));
    }
    bytes.extend_from_slice(tail);
    bytes
}

/// Our client's request is what hg's was, byte for byte.
fn sent_as_hg(exchange: &Exchange, canned: &Canned) -> Result<(), Fault> {
    let Some(seen) = canned
        .seen
        .try_iter()
        .find(|seen| seen.start.starts_with("POST"))
    else {
        return Err(differs("the request", "one", "none"));
    };
    let start = format!("POST {} HTTP/1.1", exchange.request.target);
    same("the request", &start, &seen.start)?;
    let body = offering_identity(&exchange.request.body);
    let length = body.len().to_string();
    same(
        "content-length",
        &Some(length.as_str()),
        &seen.header("content-length"),
    )?;
    for name in ["accept", "content-type"] {
        let mut headers = exchange.request.headers.iter();
        let expected = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        let expected = expected.map(|(_, value)| value.as_str());
        same(name, &expected, &seen.header(name))?;
    }
    let [expected, result] = [body, seen.body].map(|body| crate::bytes::hex(&body));
    same("the request's body", &expected, &result)
}

/// A request that lists `identity` too, as ours always do (revision-0006.md, 4.1).
fn offering_identity(body: &[u8]) -> Vec<u8> {
    let (frames, _) = frames::cut(body);
    let Some(first) = frames
        .first()
        .filter(|frame| frame.header.kind_number() == 8)
    else {
        return body.to_vec();
    };
    let Ok(Cbor::Map(mut entries)) = Cbor::decode(&first.payload) else {
        return body.to_vec();
    };
    let identity = Cbor::from(&b"identity"[..]);
    for (_, value) in &mut entries {
        if let Cbor::Array(names) = value
            && !names.contains(&identity)
        {
            names.push(identity.clone());
        }
    }
    let order = hgrpc::KeyOrder::Bytewise;
    let payload = Cbor::Map(entries).encode(order).unwrap_or_default();
    let header = hgrpc::wire::FrameHeader::new(
        u32::try_from(payload.len()).unwrap_or(u32::MAX),
        first.header.request_id(),
        first.header.stream_id(),
        first.header.stream_flags(),
        first.header.kind_number(),
        first.header.flags(),
    );
    let rest = body.get(8 + first.payload.len()..).unwrap_or_default();
    [&frames::emit(&header, &payload), rest].concat()
}

/// What reading one response comes to.
fn outcome(
    mut ours: hgrpc_std::http::Response,
    answer: &Answer,
    content: Option<&Content>,
    is_compressed: bool,
    trailing: &[u8],
) -> Result<(), Fault> {
    let (mut bytes, end) = match ours.wait() {
        Ok(Some(redirect)) => return redirected(&redirect, content),
        Ok(None) => (OK.to_vec(), None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let end = end.or_else(|| {
        loop {
            match ours.raw() {
                Ok(Some(piece)) => bytes.extend_from_slice(piece),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        }
    });
    // A command's failure before any output is a status, which is the whole content.
    let status = match content {
        Some(Content::Bytes(bytes)) if frames::is_error_status(bytes) => Some(bytes.clone()),
        _ => None,
    };
    let late = answer.content.len() - answer.late_error;
    let late_status = answer
        .content
        .get(late..)
        .filter(|status| !status.is_empty());
    // K-11: where it can be told from data, it is.
    let late_status = late_status.filter(|_| is_compressed);
    if let Some(status) = status.as_deref().or(late_status) {
        command_failure(status, end)?;
        bytes.extend_from_slice(status);
    } else {
        end_of(answer, end, trailing)?;
    }
    let is_same = match content {
        Some(content) => content.is(&bytes),
        None => bytes.is_empty(),
    };
    if is_same {
        return Ok(());
    }
    let expected = content.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    Err(differs("the content", expected, crate::bytes::hex(&bytes)))
}

fn end_of(answer: &Answer, end: Option<Error>, trailing: &[u8]) -> Result<(), Fault> {
    let is_right = match (&answer.error, &end) {
        (Some(error), Some(Error::Server(failure))) => {
            error.kind == failure.kind && error.message == failure.message
        }
        (Some(error), Some(Error::Command(failure))) => {
            error.kind == "command" && error.message == failure.message
        }
        (None, None) => answer.has_ended,
        // K-13: what follows the frames is told.
        (
            None,
            Some(Error::Truncated {
                missing: None,
                tail,
            }),
        ) => !answer.has_ended && tail == trailing,
        (None, Some(Error::NoEnd)) => !answer.has_ended && trailing.is_empty(),
        _ => false,
    };
    if is_right {
        return Ok(());
    }
    Err(differs(
        "the end",
        format!("{answer:?}"),
        format!("{end:?}"),
    ))
}

fn command_failure(status: &[u8], end: Option<Error>) -> Result<(), Fault> {
    let map = Cbor::decode(status).ok();
    let error = map.as_ref().and_then(|map| field(map, "error"));
    let expected = error.and_then(|error| frames::message(error, "message"));
    let result = match end {
        Some(Error::Command(failure)) => Some((failure.format, failure.args)),
        other => {
            return Err(differs(
                "the failure",
                format!("{expected:?}"),
                format!("{other:?}"),
            ));
        }
    };
    same("the failure", &expected, &result)
}

fn redirected(redirect: &Redirect, content: Option<&Content>) -> Result<(), Fault> {
    let Some(Content::Bytes(bytes)) = content else {
        return Err(differs(
            "the content",
            "a redirect's",
            redirect.url.as_str(),
        ));
    };
    let map = Cbor::decode(bytes).map_err(|error| differs("a redirect", "CBOR", error))?;
    let location = field(&map, "location").unwrap_or(&Cbor::Null);
    let list = |key| match field(location, key) {
        Some(Cbor::Array(items)) => items
            .iter()
            .filter_map(text)
            .map(String::into_bytes)
            .collect(),
        _ => Vec::new(),
    };
    let hashes = match field(location, "fullhashes") {
        Some(Cbor::Array(pairs)) => pairs
            .iter()
            .filter_map(|pair| match pair {
                Cbor::Array(pair) => match pair.as_slice() {
                    [name, Cbor::Bytes(hash)] => Some((text(name)?, hash.clone())),
                    _ => None,
                },
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let mut expected = redirect.clone();
    expected.url = field(location, "url").and_then(text).unwrap_or_default();
    expected.media_type = field(location, "mediatype")
        .and_then(text)
        .unwrap_or_default();
    expected.size = match field(location, "size") {
        Some(Cbor::Integer(size)) => u64::try_from(size.value()).ok(),
        _ => None,
    };
    expected.full_hashes = hashes;
    expected.full_hash_seed = field(location, "fullhashseed")
        .and_then(text)
        .map(String::into_bytes);
    expected.server_der_certs = list("serverdercerts");
    expected.server_ca_der_certs = list("servercadercerts");
    let status = field(&map, "status").and_then(text);
    same("the status", &Some("redirect".to_owned()), &status)?;
    let Cbor::Map(entries) = &map else {
        return Err(differs("a redirect", "a map", "something else"));
    };
    same("the status map's fields", &2, &entries.len())?;
    same("the redirect", &expected, redirect)
}

/// What a redirect led to, followed by our client.
fn followed(response: &Response, cut: Cut) -> Result<(), Fault> {
    let there = answer(response, body(response), cut);
    let there = Canned::new(move |_| there.clone())?;
    let name = (Cbor::from(&b"name"[..]), Cbor::from(&b"heads"[..]));
    let command = Cbor::Map(vec![name]);
    let mut capabilities = Capabilities::new([(name_of(&command), CommandInfo::pull())]);
    capabilities.redirect = Some(RedirectInfo::default());
    let bytes = |text: &str| Cbor::Bytes(text.as_bytes().to_vec());
    let map = Cbor::Map(vec![
        (bytes("apibase"), bytes("api/")),
        (
            bytes("apis"),
            Cbor::Map(vec![(
                bytes(hgrpc_std::http::API_NAME),
                capabilities.to_value(),
            )]),
        ),
    ]);
    let handshake = map.encode(hgrpc::KeyOrder::Bytewise).unwrap_or_default();
    let url = format!("{}somewhere", there.url());
    let mut status = vec![0; 1024];
    let location = hgrpc::cbor::Location::new(url.as_bytes(), CBOR_MEDIA_TYPE.as_bytes());
    let len = location.encode_status(&mut status).unwrap_or(0);
    status.truncate(len);
    let header = hgrpc::wire::FrameHeader::new(
        u32::try_from(len).unwrap_or(0),
        hgrpc::wire::RequestId::new(1),
        hgrpc::wire::StreamId::new(2),
        hgrpc::wire::StreamFlags::BEGIN,
        frames::RESPONSE,
        hgrpc::wire::TypeFlags::from_bits(2),
    );
    let frames = frames::emit(&header, &status);
    let here = Canned::new(move |request| match request.start.starts_with("GET") {
        true => plain_answer(CBOR_MEDIA_TYPE, &handshake),
        false => plain_answer(FRAMING_MEDIA_TYPE, &frames),
    })?;
    let mut config = Config::default();
    config.redirects = Redirects::Follow;
    let read = || {
        let client = Client::connect(&here.url(), config)?;
        client.call(&Command::new("heads"))?.values()
    };
    let result = read().map_err(Refused::from);
    let expected = match refused(response, CBOR_MEDIA_TYPE) {
        Some(refused) => Err(refused),
        None => Ok(sequence(body(response))),
    };
    same("what was followed", &expected, &result)
}

fn sequence(mut bytes: &[u8]) -> Vec<Cbor> {
    let mut values = Vec::new();
    while let Ok((value, len)) = Cbor::decode_prefix(bytes) {
        values.push(value);
        bytes = bytes.get(len..).unwrap_or_default();
    }
    values
}
