//! Answers that are elsewhere (http-v2.md, 4; revision-0006.md, 7.5 and 10).

use std::io::{self, Read};

use hgrpc::KeyOrder;
use hgrpc::cbor::Location;
use sha2::Digest as _;

use super::Error;
use super::url::has_port_or_none;
use crate::http::{CBOR_MEDIA_TYPE, RedirectInfo, RedirectTarget};
use crate::value::Value;

/// Where an answer is, as the server says it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// The address.
    pub url: String,
    /// The media type of what is there; for `application/mercurial-cbor` it is the response's CBOR
    /// sequence without its status map.
    pub media_type: String,
    /// How many bytes it has.
    pub size: Option<u64>,
    /// Hashes of all of it, by name.
    pub full_hashes: Vec<(String, Vec<u8>)>,
    /// What is hashed before it.
    pub full_hash_seed: Option<Vec<u8>>,
    /// The server's certificates, DER, of which it must have one.
    pub server_der_certs: Vec<Vec<u8>>,
    /// Certificates of authorities, DER, of which one must have signed the server's.
    pub server_ca_der_certs: Vec<Vec<u8>>,
}

impl Redirect {
    pub(super) fn new(location: &Location<'_>) -> Self {
        let owned = |bytes: hgrpc::cbor::ByteString<'_>| -> Vec<u8> {
            bytes.chunks().flatten().copied().collect()
        };
        let text = |bytes| String::from_utf8_lossy(&owned(bytes)).into_owned();
        let certificates = |list: Option<hgrpc::cbor::ByteStrings<'_>>| {
            list.map(|list| list.map(owned).collect())
                .unwrap_or_default()
        };
        let hashes = location.fullhashes();
        Self {
            url: text(location.url()),
            media_type: text(location.mediatype()),
            size: location.size(),
            full_hashes: hashes
                .map(|value| hash_list(value.as_cbor()))
                .unwrap_or_default(),
            full_hash_seed: location.fullhashseed().map(owned),
            server_der_certs: certificates(location.serverdercerts()),
            server_ca_der_certs: certificates(location.servercadercerts()),
        }
    }

    /// Why it cannot be followed.
    pub(super) fn refusal(&self) -> Option<String> {
        let uri = self.url.parse::<ureq::http::Uri>();
        let authority = uri.as_ref().ok().and_then(ureq::http::Uri::authority);
        let host = authority.map_or("", |authority| authority.as_str());
        if !has_port_or_none(host) {
            return Some("its port is not a number from 1 to 65535".into());
        }
        if self.media_type != CBOR_MEDIA_TYPE {
            return Some(format!("its media type is {}", self.media_type));
        }
        if !self.server_der_certs.is_empty() || !self.server_ca_der_certs.is_empty() {
            return Some("it wants certificates of its own, which is not supported".into());
        }
        let can_hash = |(name, _): &(String, Vec<u8>)| Hasher::new(name).is_some();
        if !self.full_hashes.is_empty() && !self.full_hashes.iter().any(can_hash) {
            return Some("none of its hashes is known".into());
        }
        None
    }
}

/// Pairs of a name and a value; what is something else is left out.
fn hash_list(cbor: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Ok(Value::Array(items)) = Value::decode(cbor) else {
        return Vec::new();
    };
    items
        .into_iter()
        .filter_map(|item| match item {
            Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
                Ok([Value::Bytes(name), Value::Bytes(hash)]) => {
                    Some((String::from_utf8_lossy(&name).into_owned(), hash))
                }
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// What requests say: where this client can go, and how it can check.
pub(super) struct Offer(Vec<u8>);

/// Hashes that can be checked.
const HASHES: [&str; 2] = ["sha1", "sha256"];

/// Versions of TLS that rustls speaks.
const TLS_VERSIONS: [&str; 2] = ["1.2", "1.3"];

impl Offer {
    pub(super) fn new(info: &RedirectInfo) -> Self {
        let bytes = |text: &String| Value::Bytes(text.clone().into_bytes());
        let targets = info.targets.iter().filter(|target| is_usable(target));
        let hashes = info
            .hashes
            .iter()
            .filter(|name| HASHES.contains(&name.as_str()));
        let value = Value::object([
            (
                "targets",
                Value::Array(targets.map(|t| bytes(&t.name)).collect()),
            ),
            ("hashes", Value::Array(hashes.map(bytes).collect())),
        ]);
        // Two arrays of byte strings have an encoding.
        Self(value.encode(KeyOrder::Bytewise).unwrap_or_default())
    }

    pub(super) fn as_cbor(&self) -> &[u8] {
        &self.0
    }
}

fn is_usable(target: &RedirectTarget) -> bool {
    let has_tls = cfg!(feature = "https");
    match target.protocol.as_str() {
        "http" => true,
        "https" if has_tls => target.tls_versions.as_ref().is_none_or(|versions| {
            versions
                .iter()
                .any(|version| TLS_VERSIONS.contains(&version.as_str()))
        }),
        _ => false,
    }
}

enum Hasher {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Hasher {
    fn new(name: &str) -> Option<Self> {
        Some(match name {
            "sha1" => Self::Sha1(sha1::Sha1::new()),
            "sha256" => Self::Sha256(sha2::Sha256::new()),
            _ => return None,
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
        }
    }
}

/// The body that a redirect leads to. Its end comes only if its size and its hashes are right.
pub(super) struct Checked {
    body: Box<dyn Read + Send>,
    hashers: Vec<(String, Hasher, Vec<u8>)>,
    /// Bytes still to come, where the server said how many there are.
    left: Option<u64>,
    has_ended: bool,
}

impl Checked {
    pub(super) fn new(body: impl Read + Send + 'static, redirect: &Redirect) -> Self {
        let seed = redirect.full_hash_seed.as_deref().unwrap_or_default();
        let hashers = redirect.full_hashes.iter().filter_map(|(name, hash)| {
            let mut hasher = Hasher::new(name)?;
            hasher.update(seed);
            Some((name.clone(), hasher, hash.clone()))
        });
        Self {
            body: Box::new(body),
            hashers: hashers.collect(),
            left: redirect.size,
            has_ended: false,
        }
    }

    /// Reads the next bytes into an empty buffer; `false` at the end.
    pub(super) fn pull(&mut self, into: &mut Vec<u8>) -> Result<bool, Error> {
        if self.has_ended {
            return Ok(false);
        }
        into.resize(64 << 10, 0);
        let len = loop {
            match self.body.read(into) {
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    into.clear();
                    return Err(Error::Transport(error.into()));
                }
            }
        };
        into.truncate(len);
        let count = u64::try_from(len).unwrap_or(u64::MAX);
        for (_, hasher, _) in &mut self.hashers {
            hasher.update(into);
        }
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(count)
                .ok_or_else(|| Error::RedirectRefused("there is more than announced".into()))?;
        }
        if len > 0 {
            return Ok(true);
        }
        self.has_ended = true;
        if self.left.is_some_and(|left| left > 0) {
            return Err(Error::RedirectRefused(
                "there is less than announced".into(),
            ));
        }
        for (name, hasher, hash) in self.hashers.drain(..) {
            if hasher.finish() != hash {
                return Err(Error::HashMismatch { name });
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(hash: &[u8], size: u64) -> Redirect {
        Redirect {
            url: "http://x/".into(),
            media_type: CBOR_MEDIA_TYPE.into(),
            size: Some(size),
            full_hashes: vec![("sha1".into(), hash.to_vec()), ("md5".into(), vec![1])],
            full_hash_seed: Some(b"a".to_vec()),
            server_der_certs: vec![],
            server_ca_der_certs: vec![],
        }
    }

    fn read(redirect: &Redirect, body: &'static [u8]) -> Result<Vec<u8>, Error> {
        let mut checked = Checked::new(body, redirect);
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        while checked.pull(&mut buffer)? {
            all.append(&mut buffer);
        }
        Ok(all)
    }

    #[test]
    fn hashes_and_sizes_are_checked() {
        // SHA-1 of "abc", of which "a" is the seed.
        let hash = base16ct::lower::decode_vec("a9993e364706816aba3e25717850c26c9cd0d89d").unwrap();
        assert_eq!(read(&redirect(&hash, 2), b"bc").unwrap(), b"bc");
        assert!(matches!(
            read(&redirect(&hash, 2), b"bd"),
            Err(Error::HashMismatch { name }) if name == "sha1"
        ));
        for size in [1, 3] {
            let result = read(&redirect(&hash, size), b"bc");
            assert!(matches!(result, Err(Error::RedirectRefused(_))));
        }
    }

    #[test]
    fn some_redirects_are_not_followed() {
        let good = redirect(b"", 0);
        assert_eq!(good.refusal(), None);
        let mut other = good.clone();
        other.media_type = "text/html".into();
        assert!(other.refusal().is_some());
        let mut other = good.clone();
        other.server_der_certs.push(vec![0]);
        assert!(other.refusal().is_some());
        let mut other = good;
        other.full_hashes.remove(0);
        assert!(other.refusal().is_some());
    }

    #[test]
    fn the_offer_is_in_the_servers_order() {
        let target = |name: &str, protocol: &str| RedirectTarget {
            name: name.into(),
            protocol: protocol.into(),
            ..RedirectTarget::default()
        };
        let info = RedirectInfo {
            targets: vec![target("b", "http"), target("x", "ftp"), target("a", "http")],
            hashes: vec!["sha256".into(), "md5".into(), "sha1".into()],
        };
        let offer = Value::decode(Offer::new(&info).as_cbor()).unwrap();
        let names = |names: [&str; 2]| {
            Value::Array(names.map(|name| Value::from(name.as_bytes())).to_vec())
        };
        assert_eq!(
            offer,
            Value::object([
                ("hashes", names(["sha256", "sha1"])),
                ("targets", names(["b", "a"]))
            ])
        );
    }
}
