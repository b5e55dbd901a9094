//! The recorded request into our server, whose commands answer as was recorded.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use hgrpc::cbor::Status;
use hgrpc_std::blocking::{Call, Failure, Reply, Router};
use hgrpc_std::encoding::ContentEncoding;
use hgrpc_std::http::server::{Access, Denial, Server, ServerConfig};
use hgrpc_std::http::{CBOR_MEDIA_TYPE, Capabilities, FRAMING_MEDIA_TYPE};
use hgrpc_std::value::Value as Cbor;

use super::client::{api, config_of, in_request};
use super::expected::{self, Expected};
use super::frames::{self, Answer, OK};
use super::recorded::{Content, Exchange, Response};
use super::wire::{Message, fault, send};
use super::{differs, same, table};
use crate::fields::Fault;

pub(super) fn check(exchange: &Exchange) -> Result<(), Fault> {
    let recorded = exchange.response.as_ref();
    let mut answers = BTreeMap::new();
    if let Some(recorded) = recorded {
        answers = recorded.answers()?;
    }
    // Commands that the reference did not answer have an answer all the same (K-10).
    for id in exchange.request.commands.keys() {
        answers.entry(*id).or_default();
    }
    let answers: BTreeMap<u16, Answer> = answers
        .into_iter()
        .map(|(id, answer)| (id, expected::adapt(exchange, answer)))
        .collect();
    let expected = expected::of(exchange, recorded);
    let ours = ask(exchange, answers.clone())?;
    if let Some(recorded) = recorded
        && expected == Expected::Recorded
    {
        return as_recorded(exchange, recorded, &answers, &ours);
    }
    let status = ours.status().unwrap_or(0);
    let media_type = ours.media_type();
    let (wanted_status, wanted_type) = match expected {
        Expected::Refused(status) => (status, "text/plain"),
        Expected::Version1Error => (200, "application/hg-error"),
        Expected::Handshake => (200, handshake_type(exchange)),
        _ => (200, FRAMING_MEDIA_TYPE),
    };
    same("the status", &wanted_status, &status)?;
    same("the media type", &Some(wanted_type), &media_type)?;
    if expected == Expected::CommandError {
        let (frames, _) = frames::cut(&ours.body);
        let answers = frames::answers(&frames)?;
        let fails = |answer: &Answer| frames::is_error_status(&answer.content);
        if !answers.values().all(fails) || answers.is_empty() {
            return Err(differs(
                "the answer",
                "a command error",
                format!("{answers:?}"),
            ));
        }
    }
    Ok(())
}

/// What our server answers to a handshake: version 2 where it was asked for.
fn handshake_type(exchange: &Exchange) -> &'static str {
    let mut headers = exchange.request.headers.iter();
    match headers.any(|(name, _)| name.eq_ignore_ascii_case("x-hgupgrade-1")) {
        true => CBOR_MEDIA_TYPE,
        false => "application/mercurial-0.1",
    }
}

/// Sends the request to a server whose commands answer so.
fn ask(exchange: &Exchange, answers: BTreeMap<u16, Answer>) -> Result<Message, Fault> {
    let commands: Vec<Cbor> = exchange
        .request
        .commands
        .values()
        .filter_map(|bytes| Cbor::decode_prefix(bytes).ok())
        .map(|(command, _)| command)
        .collect();
    let mut config = ServerConfig::default();
    config.authorize = Arc::new(|_: &Access<'_>| Ok(()));
    let mut capabilities = table::table(&commands);
    if let Some(recorded) = &exchange.response {
        if let Some(denial) = denial(recorded) {
            config.authorize = Arc::new(move |_: &Access<'_>| Err(denial.clone()));
        }
        let body = recorded.body.as_deref().unwrap_or_default();
        match recorded.media_type.as_deref() {
            Some("application/mercurial-0.1") => {
                config.version_1 = String::from_utf8_lossy(body).into_owned();
            }
            Some(CBOR_MEDIA_TYPE) => {
                if let Some((descriptor, _)) = api(body)
                    && let Ok(known) = Capabilities::from_value(&descriptor)
                {
                    capabilities = known;
                }
                if let Ok(map) = Cbor::decode(body)
                    && let Some(Cbor::Bytes(text)) = frames::field(&map, "v1capabilities")
                {
                    config.version_1 = String::from_utf8_lossy(text).into_owned();
                }
            }
            _ => {}
        }
    }
    let router = Router::new().fallback(move |call: Call, reply: Reply| {
        let answer = answers.get(&call.request_id().value()).cloned();
        // The client being gone is noticed where its answer is missing.
        let _ = write(reply, &answer.unwrap_or_default());
    });
    let server = Server::new(router, capabilities, config);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(fault)?;
    let running = server.start(listener).map_err(fault)?;
    let answer = send(running.address(), &exchange.request);
    running.stop();
    answer
}

/// How the recorded server refused by itself, not by the protocol.
fn denial(recorded: &Response) -> Option<Denial> {
    if recorded.media_type.is_some() {
        return None;
    }
    match recorded.status {
        401 => Some(Denial::unauthorized(&recorded.reason, "Basic realm=\"x\"")),
        403 => Some(Denial::forbidden(&recorded.reason)),
        _ => None,
    }
}

/// Answers a command as it was answered.
fn write(mut reply: Reply, answer: &Answer) -> std::io::Result<()> {
    if let Ok((status, len)) = Status::decode(&answer.content) {
        match status {
            Status::Redirect(redirect) => return reply.redirect(&redirect.location()),
            Status::Error(error) => {
                let bytes = |string: hgrpc::cbor::ByteString<'_>| -> Vec<u8> {
                    string.chunks().flatten().copied().collect()
                };
                let format = error.message().as_bytes().map(bytes).unwrap_or_default();
                let args: Vec<Vec<u8>> = error.args().map(bytes).collect();
                let format = String::from_utf8_lossy(&format);
                return reply.fail(Failure::format(&format, args));
            }
            _ => {}
        }
        reply.cbor(answer.content.get(len..).unwrap_or_default())?;
    }
    match &answer.error {
        None => reply.finish(),
        Some(error) => {
            reply.flush()?;
            reply.fail(match error.kind.as_str() {
                "command" => Failure::command(&error.message),
                _ => Failure::server(&error.message),
            })
        }
    }
}

fn as_recorded(
    exchange: &Exchange,
    recorded: &Response,
    answers: &BTreeMap<u16, Answer>,
    ours: &Message,
) -> Result<(), Fault> {
    same("the status", &Some(recorded.status), &ours.status())?;
    let media_type = recorded.media_type.as_deref();
    same("the media type", &media_type, &ours.media_type())?;
    if denial(recorded).is_some() {
        same("the reason", &recorded.reason.as_str(), &ours.reason())?;
    }
    let allow = |headers: &[(String, String)]| {
        let mut headers = headers.iter();
        headers
            .find(|(name, _)| name.eq_ignore_ascii_case("allow"))
            .map(|(_, value)| value.clone())
    };
    same("Allow", &allow(&recorded.headers), &allow(&ours.headers))?;
    match media_type {
        Some(FRAMING_MEDIA_TYPE) => in_frames(exchange, recorded, answers, ours),
        Some(CBOR_MEDIA_TYPE) => handshake(exchange, recorded, ours),
        Some("application/mercurial-0.1") => same(
            "the reply",
            &recorded.body.as_deref(),
            &Some(ours.body.as_slice()),
        ),
        _ => Ok(()),
    }
}

fn handshake(exchange: &Exchange, recorded: &Response, ours: &Message) -> Result<(), Fault> {
    let body = recorded.body.as_deref().unwrap_or_default();
    let [Some((theirs, _)), Some((known, _))] = [api(body), api(&ours.body)] else {
        return Err(differs(
            "the handshake",
            "a map",
            crate::bytes::hex(&ours.body),
        ));
    };
    if !exchange.id.starts_with("mini-") {
        let [expected, result] = [body, &ours.body].map(crate::bytes::hex);
        return same("the handshake", &expected, &result);
    }
    // The minimal server announces less than ours does.
    let commands = |descriptor: &Cbor| Capabilities::from_value(descriptor).map(|c| c.commands);
    let (Ok(theirs), Ok(known)) = (commands(&theirs), commands(&known)) else {
        return Err(differs("the handshake", "descriptors", "something else"));
    };
    for (name, _) in theirs {
        same("a command is announced", &true, &known.contains_key(&name))?;
    }
    Ok(())
}

fn in_frames(
    exchange: &Exchange,
    recorded: &Response,
    answers: &BTreeMap<u16, Answer>,
    ours: &Message,
) -> Result<(), Fault> {
    let (frames, tail) = frames::cut(&ours.body);
    same("bytes behind the frames", &Vec::new(), &tail)?;
    let found = frames::answers(&frames)?;
    let ids = |answers: &BTreeMap<u16, Answer>| answers.keys().copied().collect::<Vec<_>>();
    let wanted = ids(answers);
    let wanted: Vec<u16> = wanted
        .into_iter()
        .filter(|id| is_answered(exchange, *id))
        .collect();
    same("the requests that are answered", &wanted, &ids(&found))?;
    for (id, result) in &found {
        let expected = answers.get(id).cloned().unwrap_or_default();
        let noted = recorded.responses.get(id);
        // What was noted down is what was adapted, apart from what was added or taken off.
        let is_noted = match noted {
            Some(Content::Bytes(bytes)) => *bytes == expected.content,
            Some(content) => content.is(&expected.content),
            None => expected.content.is_empty(),
        };
        if !is_noted && !may_be_adapted(exchange, noted, &expected) {
            let noted = noted.map_or_else(String::new, ToString::to_string);
            return Err(in_request(
                *id,
                differs("the content", noted, crate::bytes::hex(&result.content)),
            ));
        }
        let compare = || {
            let [expected, result] = [&expected, result].map(|answer| canonical(&answer.content));
            same("the content", &expected, &result)
        };
        compare().map_err(|fault| in_request(*id, fault))?;
        let rest = |answer: &Answer| (answer.error.clone(), answer.has_ended, answer.late_error);
        same("the end", &rest(&expected), &rest(result)).map_err(|fault| in_request(*id, fault))?;
    }
    // Identity is cut into frames as the reference cuts it (revision-0006.md, 7.2).
    let is_plain = config_of(recorded).is_none_or(|encoding| encoding == ContentEncoding::Identity);
    let is_adapted = recorded.answers()? != *answers;
    let is_mini = exchange.id.starts_with("mini-");
    let is_redirect = found.values().any(|answer| is_redirect(&answer.content));
    if is_plain && !is_adapted && !is_mini && !is_redirect {
        let body = recorded.body.as_deref().unwrap_or_default();
        let [expected, result] = [body, &ours.body].map(crate::bytes::hex);
        same("the frames", &expected, &result)?;
    }
    Ok(())
}

/// Whether a request is complete in the recording, and so answered.
fn is_answered(exchange: &Exchange, id: u16) -> bool {
    exchange.id != "p-partial-second" || id == 1
}

/// Whether what our server answers differs from what was noted in one of the documented ways.
fn may_be_adapted(exchange: &Exchange, noted: Option<&Content>, ours: &Answer) -> bool {
    match noted {
        // K-10, and K-13 where nothing came out of the encoder.
        None => ours.content == OK,
        Some(Content::Bytes(noted)) if noted.is_empty() => ours.content == OK,
        Some(Content::Bytes(noted)) => {
            // K-11: the late status is an error response; what was lost before it has a stand-in.
            let without_late = |noted: &[u8]| {
                let kept = ours
                    .content
                    .strip_suffix(expected::LOST)
                    .unwrap_or(&ours.content);
                ours.error.is_some()
                    && noted
                        .strip_prefix(kept)
                        .is_some_and(|rest| rest.is_empty() || frames::is_error_status(rest))
            };
            without_late(noted)
        }
        Some(Content::Digest { .. }) => ours.error.is_some() && exchange.id.contains("errmid-big"),
    }
}

fn is_redirect(content: &[u8]) -> bool {
    matches!(Status::decode(content), Ok((Status::Redirect(_), _)))
}

/// Bytes for people. A redirect's keys have an order of their own at the reference (K-14).
fn canonical(content: &[u8]) -> String {
    if is_redirect(content)
        && let Ok(map) = Cbor::decode(content)
        && let Ok(bytes) = map.encode(hgrpc::KeyOrder::Bytewise)
    {
        return crate::bytes::hex(&bytes);
    }
    crate::bytes::hex(content)
}
