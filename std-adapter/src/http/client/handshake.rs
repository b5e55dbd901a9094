//! The handshake (http-v2.md, 1).

use std::io::Read;

use base64ct::{Base64, Encoding};
use ureq::ResponseExt;
use ureq::http::header;

use super::pace::Paced;
use super::url::RepositoryUrl;
use super::{Answer, Config, Credentials, Error, media_type, successful, text};
use crate::http::{API_NAME, CBOR_MEDIA_TYPE, Capabilities, V1_MEDIA_TYPE};
use crate::value::{DecodeErrorKind, Value};

/// What a handshake gives.
pub(super) struct Found {
    pub(super) repository: String,
    pub(super) api: String,
    pub(super) capabilities: Capabilities,
    pub(super) authorization: Option<String>,
}

const QUERY: &str = "cmd=capabilities";

/// How often a place is asked that a redirect led to.
const ROUNDS: usize = 5;

pub(super) fn shake(
    agent: &ureq::Agent,
    config: &Config,
    url: RepositoryUrl,
) -> Result<Found, Error> {
    let credentials = url.credentials.as_ref().or(config.credentials.as_ref());
    let mut authorization = credentials.map(basic);
    let origin = url.origin().to_owned();
    let mut place = url.base;
    for _ in 0..ROUNDS {
        let answer = ask(agent, &place, authorization.as_deref())?;
        let (reached, has_query) = reached(&answer)?;
        if reached.origin() != origin {
            // What was meant for one server is not for another.
            authorization = None;
        }
        // On its way a redirect loses who asks, and may lose what: then the place that it led to
        // is asked.
        let has_lost = authorization.is_some() || (!has_query && !is_hg(&media_type(&answer)));
        if has_lost && reached.base != place {
            place = reached.base;
            continue;
        }
        let repository = reached.base;
        let (api_base, capabilities) = read(answer, config)?;
        let api_base = api_base.trim_matches('/');
        return Ok(Found {
            api: format!("{repository}/{api_base}/{API_NAME}"),
            repository,
            capabilities,
            authorization,
        });
    }
    Err(ureq::Error::TooManyRedirects.into())
}

fn basic(credentials: &Credentials) -> String {
    let Credentials { user, password } = credentials;
    let encoded = Base64::encode_string(format!("{user}:{password}").as_bytes());
    format!("Basic {encoded}")
}

fn ask(agent: &ureq::Agent, base: &str, authorization: Option<&str>) -> Result<Answer, Error> {
    let mut request = agent
        .get(format!("{base}?{QUERY}"))
        .config()
        .max_redirects(10)
        .max_redirects_will_error(true)
        .build()
        .header("X-HgUpgrade-1", API_NAME)
        .header("X-HgProto-1", "cbor")
        .header(header::VARY, "X-HgProto-1,X-HgUpgrade-1")
        .header(header::ACCEPT, V1_MEDIA_TYPE);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    Ok(request.call()?)
}

/// Where the answer came from, and whether that has the query.
fn reached(answer: &Answer) -> Result<(RepositoryUrl, bool), Error> {
    let uri = answer.get_uri();
    let has_query = uri
        .query()
        .is_some_and(|query| query.split('&').any(|part| part == QUERY));
    Ok((RepositoryUrl::parse(&uri.to_string())?, has_query))
}

/// Whether this is a reply of the version 1 protocol.
fn is_v1(media_type: &str) -> bool {
    media_type.starts_with("application/mercurial-0.") || media_type == "application/hg-changegroup"
}

fn is_hg(media_type: &str) -> bool {
    media_type == CBOR_MEDIA_TYPE || is_v1(media_type)
}

fn read(answer: Answer, config: &Config) -> Result<(String, Capabilities), Error> {
    let (answer, media_type) = successful(answer)?;
    if !is_hg(&media_type) {
        let text = text(answer, &media_type);
        return Err(Error::MediaType { media_type, text });
    }
    let most = config.limits.handshake_size;
    // What is announced to be too large is not waited for.
    let announced = answer.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u128>().ok());
    if announced.is_some_and(|len| usize::try_from(len).map_or(true, |len| len > most)) {
        return Err(Error::ValueTooLarge);
    }
    let mut body = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    Paced::new(answer.into_body().into_reader(), config.timeouts.read)
        .take(limit)
        .read_to_end(&mut body)
        .map_err(Error::transport)?;
    if body.len() > most {
        return Err(Error::ValueTooLarge);
    }
    if is_v1(&media_type) {
        let capabilities = String::from_utf8_lossy(&body).trim().to_owned();
        return Err(Error::OnlyVersion1 { capabilities });
    }
    let value = Value::decode(&body).map_err(|error| Error::Handshake(error.kind))?;
    let Value::Map(entries) = value else {
        return Err(Error::Unexpected("a map"));
    };
    let field = |name: &[u8]| {
        let mut found = entries.iter().rev();
        found.find_map(|(key, value)| {
            matches!(key, Value::Bytes(key) if key == name).then_some(value)
        })
    };
    let Some(Value::Map(apis)) = field(b"apis") else {
        return Err(Error::Unexpected("a handshake with `apis`"));
    };
    let api = apis.iter().find_map(|(key, value)| match key {
        Value::Bytes(key) if key == API_NAME.as_bytes() => Some(value),
        _ => None,
    });
    let Some(api) = api else {
        let names = apis.iter().filter_map(|(key, _)| match key {
            Value::Bytes(key) => Some(String::from_utf8_lossy(key).into_owned()),
            _ => None,
        });
        return Err(Error::NoApi(names.collect()));
    };
    let Some(Value::Bytes(base)) = field(b"apibase") else {
        return Err(Error::Unexpected("a handshake with `apibase`"));
    };
    let base =
        String::from_utf8(base.clone()).map_err(|_| Error::Handshake(DecodeErrorKind::NotUtf8))?;
    let capabilities = Capabilities::from_value(api).map_err(Error::Capabilities)?;
    Ok((base, capabilities))
}
