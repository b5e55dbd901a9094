//! Where our server answers otherwise on purpose: the exceptions that
//! `tests/vectors/captured/README.md` lists, and those of http-v2.md and revision-0006.md. Each is
//! checked to be what they say.

use super::frames::{Answer, ErrorResponse, OK, shown};
use super::recorded::{Exchange, Response};

/// What our server answers to a request.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    /// What was recorded.
    Recorded,
    /// This status, and a text.
    Refused(u16),
    /// Frames, whatever is in them.
    Frames,
    /// Frames, in which the one command fails.
    CommandError,
    /// The version 1 protocol's way to say that something is wrong.
    Version1Error,
    /// A handshake with our API.
    Handshake,
}

pub(super) fn of(exchange: &Exchange, response: Option<&Response>) -> Expected {
    let Some(response) = response else {
        // http-chunked-request: the reference does not answer; a length is required.
        return Expected::Refused(411);
    };
    match exchange.id.as_str() {
        // deviations.md, D5; revision-0006.md, 4.1: an error of its own.
        "p-tworeqvalues" | "p-settings-bytes" | "p-args-null" | "p-args-list" | "p-listreq" => {
            Expected::Refused(400)
        }
        // H-02: no push command under `ro`.
        "http-ro-pushkey" | "http-ro-pushkey-undo" => Expected::Refused(403),
        // http-v2.md, 3.1: types are enforced.
        "p-args-wrongtype" | "c-csd-notlist" => Expected::CommandError,
        // Servers whose API was off; ours has no switch for that.
        "http-noapi" if response.status == 400 => Expected::Frames,
        "http-nov2" if response.status == 404 => Expected::Frames,
        "hs-noapi"
        | "hs-nov2"
        | "hs-hg-no-v2-00-v1-capabilities"
        | "hs-hg-no-api-00-v1-capabilities" => Expected::Handshake,
        // Commands of version 1, which is not served.
        id if id.starts_with("hs-hg-no-api-") => Expected::Version1Error,
        // http-v2.md, 6: optional; here it is off.
        id if id.starts_with("r-") => Expected::Refused(404),
        // The place of a redirect is another server's.
        _ if exchange.is_redirected() => Expected::Refused(404),
        // http-v2.md, 3: where the reference fails, the request is at fault (H-03 among them).
        _ if response.status == 500 => Expected::Refused(400),
        _ => Expected::Recorded,
    }
}

/// A value that stands for those that the reference dropped.
pub(super) const LOST: &[u8] = b"\xf5";

/// What our server answers where the reference answered this, and what a handler must write.
pub(super) fn adapt(exchange: &Exchange, recorded: Answer) -> Answer {
    let mut ours = recorded;
    ours.has_ended = true;
    if exchange.id.starts_with("p-settings-empty") || exchange.id == "p-settings-unknown" {
        // K-03: without a common encoding the reference fails; `identity` is one.
        ours.error = None;
    }
    if exchange.id.starts_with("x-redirect-trailing") && !ours.content.is_empty() {
        // A mistake that handlers cannot make here: nothing follows a redirect.
        ours.error = None;
    }
    if ours.late_error > 0 {
        // K-11: a command's error after other output is an error response.
        let status = ours.content.split_off(ours.content.len() - ours.late_error);
        ours.late_error = 0;
        ours.error = hgrpc_std::value::Value::decode(&status)
            .ok()
            .and_then(|map| {
                let error = super::frames::field(&map, "error")?;
                let (format, args) = super::frames::message(error, "message")?;
                Some(ErrorResponse {
                    kind: "command".into(),
                    message: shown(&format, &args),
                })
            });
    }
    if ours.error.is_some() && ours.content == OK {
        // K-11: what was written before the failure is lost in the recording.
        ours.content.extend_from_slice(LOST);
    }
    if ours.error.is_none() && ours.content.is_empty() {
        // K-10: a command without a value is answered all the same.
        ours.content.extend_from_slice(OK);
    }
    ours
}
