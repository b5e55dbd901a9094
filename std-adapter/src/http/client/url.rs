//! Addresses of repositories.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ureq::http::Uri;

use super::{Credentials, Error};

/// What stays as it is in one component of a path.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A command's name as a component of an address.
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, COMPONENT).to_string()
}

/// A repository's address in its parts.
#[derive(Debug)]
pub(super) struct RepositoryUrl {
    /// Without name, password and query, and without a slash at its end.
    pub(super) base: String,
    pub(super) credentials: Option<Credentials>,
}

impl RepositoryUrl {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Url(format!("{why}: {}", without_userinfo(url)));
        let without_fragment = url.split('#').next().unwrap_or(url);
        let uri: Uri = without_fragment
            .parse()
            .map_err(|_| wrong("it does not parse"))?;
        let scheme = uri.scheme_str().ok_or_else(|| wrong("it has no scheme"))?;
        match scheme {
            "http" => {}
            "https" if cfg!(feature = "https") => {}
            "https" => return Err(wrong("this build has no TLS (feature `https`)")),
            _ => return Err(wrong("its scheme is not http or https")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        let (userinfo, host) = match authority.as_str().rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority.as_str()),
        };
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        if !has_port_or_none(host) {
            return Err(wrong("the port is not a number from 1 to 65535"));
        }
        let credentials = userinfo.map(|userinfo| {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            Credentials {
                user: decode(user),
                password: decode(password),
            }
        });
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            base: format!("{scheme}://{host}{path}"),
            credentials,
        })
    }

    /// Scheme, host and port: where credentials may go.
    pub(super) fn origin(&self) -> &str {
        let after = self.base.find("://").map_or(0, |at| at + 3);
        let rest = self.base.get(after..).unwrap_or_default();
        let len = rest.find('/').unwrap_or(rest.len());
        self.base.get(..after + len).unwrap_or(&self.base)
    }
}

/// Returns whether the port behind a host is one, if there is any. A number that is too large would
/// be taken for none.
pub(super) fn has_port_or_none(host: &str) -> bool {
    // The colons of an address of IPv6 are in brackets.
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    match after.rsplit_once(':') {
        None | Some((_, "")) => true,
        Some((_, port)) => port.parse::<u16>().is_ok_and(|port| port > 0),
    }
}

/// An address without a user's name and password, for messages.
pub fn without_userinfo(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_addresses() {
        let url = RepositoryUrl::parse("http://us%40er:p%3aw@[::1]:8000/a/b/?x=1#y").unwrap();
        assert_eq!(url.base, "http://[::1]:8000/a/b");
        assert_eq!(url.origin(), "http://[::1]:8000");
        let credentials = url.credentials.unwrap();
        assert_eq!(
            (&*credentials.user, &*credentials.password),
            ("us@er", "p:w")
        );
        let url = RepositoryUrl::parse("http://host").unwrap();
        assert_eq!((&*url.base, url.origin()), ("http://host", "http://host"));
        assert!(url.credentials.is_none());
        for url in [
            "http://host:/",
            "http://[::1]/",
            "http://h:65535",
            "http://h:1",
        ] {
            assert!(RepositoryUrl::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn others_are_refused_without_showing_passwords() {
        for wrong in [
            "",
            "host",
            "/path",
            "ssh://host/",
            "http:///x",
            "http://a b/",
            "http://host:99999/",
            "http://host:65536",
            "http://host:0/",
            "http://[::1]:70000/",
        ] {
            assert!(matches!(RepositoryUrl::parse(wrong), Err(Error::Url(_))));
        }
        let error = RepositoryUrl::parse("ftp://user:secret@host/").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn names_are_one_component() {
        assert_eq!(encode("zz-types_1.x~"), "zz-types_1.x~");
        assert_eq!(encode("a/b?ü"), "a%2Fb%3F%C3%BC");
    }
}
