//! What an address asks for (http-v2.md, 2, rows 2 to 7).
//!
//! `debugreflect` (http-v2.md, 6) is not served: it is a command that is not known.

use hyper::{StatusCode, Uri};

use super::{Permission, Refusal, Refused};
use crate::http::API_NAME;

/// What an address asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The handshake.
    Capabilities,
    /// A command of the version 1 protocol.
    Version1(String),
    /// The list of APIs.
    Apis,
    /// The API, but no command of it.
    Api,
    /// A command, or `multirequest`.
    Command(Permission, String),
}

impl Target {
    pub(super) fn parse(uri: &Uri, prefix: &str) -> Result<Self, Refused> {
        let not_found = |text: String| {
            let status = StatusCode::NOT_FOUND;
            Err(Refused::text(Refusal::NotFound, status, text))
        };
        let prefix = prefix.trim_matches('/');
        let mut path = uri.path().trim_start_matches('/');
        if !prefix.is_empty() {
            match path.strip_prefix(prefix) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    path = rest.trim_start_matches('/');
                }
                _ => return not_found("there is nothing at this address".to_owned()),
            }
        }
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        match parts.next() {
            None => {
                let mut query = uri.query().unwrap_or_default().split('&');
                return match query.find_map(|part| part.strip_prefix("cmd=")) {
                    Some("capabilities") => Ok(Self::Capabilities),
                    Some(command) => Ok(Self::Version1(decode(command))),
                    None => not_found(format!("{API_NAME} is at api/{API_NAME}")),
                };
            }
            Some("api") => {}
            Some(_) => return not_found("there is nothing at this address".to_owned()),
        }
        match parts.next().map(decode) {
            None => return Ok(Self::Apis),
            Some(name) if name == API_NAME => {}
            Some(name) => {
                let name = name.escape_debug();
                return not_found(format!("Unknown API: {name}\nKnown APIs: {API_NAME}"));
            }
        }
        let Some(permission) = parts.next() else {
            return Ok(Self::Api);
        };
        let Some(command) = parts.next() else {
            return not_found("a command is missing after the permission".to_owned());
        };
        // What follows is ignored.
        match permission {
            "ro" => Ok(Self::Command(Permission::Pull, decode(command))),
            "rw" => Ok(Self::Command(Permission::Push, decode(command))),
            other => not_found(format!(
                "unknown permission: {}",
                decode(other).escape_debug()
            )),
        }
    }
}

/// Undoes percent encoding; what is malformed stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%'
            && let Some((digits, later)) = after.split_at_checked(2)
            && let Ok(&[byte]) = base16ct::mixed::decode(digits, &mut [0; 1])
        {
            bytes.push(byte);
            rest = later;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, prefix: &str) -> Option<Target> {
        Target::parse(&path.parse().unwrap(), prefix).ok()
    }

    #[test]
    fn addresses() {
        use Permission::{Pull, Push};
        let api = "/api/exp-http-v2-0003";
        let command = |permission, name: &str| Some(Target::Command(permission, name.into()));
        assert_eq!(parse("/?cmd=capabilities", ""), Some(Target::Capabilities));
        assert_eq!(
            parse("/?x&cmd=heads", ""),
            Some(Target::Version1("heads".into()))
        );
        assert_eq!(parse("/api", ""), Some(Target::Apis));
        assert_eq!(parse("/api/", ""), Some(Target::Apis));
        assert_eq!(parse(api, ""), Some(Target::Api));
        assert_eq!(
            parse(&format!("{api}/ro/heads"), ""),
            command(Pull, "heads")
        );
        assert_eq!(
            parse(&format!("{api}/rw/a%2fb%/x/y"), ""),
            command(Push, "a/b%")
        );
        for wrong in ["/", "/x", "/api/other", "/apis"] {
            assert_eq!(parse(wrong, ""), None, "{wrong}");
        }
        for wrong in ["ro", "xx/heads", "RO/heads"] {
            assert_eq!(parse(&format!("{api}/{wrong}"), ""), None, "{wrong}");
        }
    }

    #[test]
    fn a_repository_below_the_root() {
        let path = "/a/b/api/exp-http-v2-0003/ro/heads";
        for prefix in ["/a/b", "a/b/"] {
            assert!(matches!(parse(path, prefix), Some(Target::Command(..))));
            let handshake = parse("/a/b?cmd=capabilities", prefix);
            assert_eq!(handshake, Some(Target::Capabilities));
        }
        assert_eq!(parse("/a/bc?cmd=capabilities", "/a/b"), None);
        assert_eq!(parse("/?cmd=capabilities", "/a/b"), None);
    }
}
