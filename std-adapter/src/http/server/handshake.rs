//! The handshake (http-v2.md, 1).

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::Body;
use super::{Inner, Refusal, Refused};
use crate::http::{API_NAME, CBOR_MEDIA_TYPE, V1_MEDIA_TYPE};

/// The upgrade to version 2 where it is asked for, else the reply of version 1. No API is listed
/// only if another one was asked for, which Mercurial's client does not do (H-01).
pub(super) fn reply(inner: &Inner, headers: &HeaderMap) -> Response<Body> {
    let upgrade = numbered(headers, "x-hgupgrade");
    let protocols = numbered(headers, "x-hgproto");
    let has = |list: &[u8], name: &str| {
        let mut items = list.split(|byte| *byte == b' ');
        items.any(|item| item == name.as_bytes())
    };
    if upgrade.is_empty() || !has(&protocols, "cbor") {
        return typed(V1_MEDIA_TYPE, inner.config.version_1.clone().into_bytes());
    }
    let mut body = b"\xa3\x47apibase\x44api/\x44apis".to_vec();
    if has(&upgrade, API_NAME) {
        body.push(0xa1);
        string(&mut body, API_NAME.as_bytes());
        body.extend_from_slice(&inner.descriptor);
    } else {
        body.push(0xa0);
    }
    string(&mut body, b"v1capabilities");
    string(&mut body, inner.config.version_1.as_bytes());
    typed(CBOR_MEDIA_TYPE, body)
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    crate::value::write_head(out, 2, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

/// The value of a header that is cut into `-1`, `-2` and so on; empty if there is none.
fn numbered(headers: &HeaderMap, name: &str) -> Vec<u8> {
    (1..)
        .map_while(|number: u32| headers.get(format!("{name}-{number}")))
        .flat_map(|value| value.as_bytes().iter().copied())
        .collect()
}

fn typed(media_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    let value = HeaderValue::from_static(media_type);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

/// What clients get that go on with version 1: in its own way to say that something is wrong.
pub(super) fn version_1(command: &str) -> Refused {
    let command = command.escape_debug();
    let text = format!(
        "no command {command} here: this server speaks version 2 of the protocol only (clients: \
         --config experimental.httppeer.advertise-v2=true)\n"
    );
    Refused::new(Refusal::Version1, StatusCode::OK, text).header(
        CONTENT_TYPE,
        HeaderValue::from_static("application/hg-error"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_joined_until_a_number_is_missing() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("-1", "exp-http"),
            ("-2", "-v2-0003 x"),
            ("-4", "no"),
            ("", "no"),
        ] {
            let name: hyper::header::HeaderName = format!("x-hgupgrade{name}").parse().unwrap();
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(numbered(&headers, "x-hgupgrade"), b"exp-http-v2-0003 x");
        assert_eq!(numbered(&headers, "x-hgproto"), b"");
    }
}
