//! What may have been meant by a text that is no address.

use std::net::{Ipv6Addr, SocketAddr};

use super::AddressErrorKind;
use super::address::parse;

/// An address close to `text`; always one that is accepted.
pub(super) fn suggestion(text: &str, kind: &AddressErrorKind) -> Option<String> {
    use AddressErrorKind::*;
    let candidate = match kind {
        NoScheme if matches!(text, "-" | "stdio") => "stdio:".to_owned(),
        NoScheme if text.starts_with("/dev/") => format!("serial://{text}"),
        NoScheme if text.starts_with('/') => format!("unix://{text}"),
        NoScheme => format!("tcp://127.0.0.1:{text}"),
        UnknownScheme(_) => unknown_scheme(text)?,
        NoSlashes => {
            let (scheme, rest) = text.split_once(':')?;
            match rest.trim_start_matches('/') {
                path if scheme != "tcp" && rest.starts_with('/') => format!("{scheme}:///{path}"),
                rest => format!("{scheme}://{rest}"),
            }
        }
        NoHost => format!("tcp://127.0.0.1{}", text.strip_prefix("tcp://")?),
        BadPort(_) => text.trim_end_matches('/').to_owned(),
        BadIpv6(host) if host.parse::<Ipv6Addr>().is_err() => {
            text.replacen('[', "", 1).replacen(']', "", 1)
        }
        RelativePath => format!("unix:///{}", text.strip_prefix("unix://")?),
        RelativeDevice => match text.strip_prefix("serial://")? {
            path if path.starts_with("dev/") => format!("serial:///{path}"),
            "" => return None,
            name => format!("serial:///dev/{name}"),
        },
        AfterPty(_) => "pty:".to_owned(),
        AfterStdio(_) => "stdio:".to_owned(),
        ExecSlashes => format!(
            "exec:{}",
            text.strip_prefix("exec://")?.trim_start_matches('/')
        ),
        _ => return None,
    };
    parse(&candidate).ok().map(|_| candidate)
}

fn unknown_scheme(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    if scheme == "ssh" {
        let host = rest.trim_matches('/');
        return Some(format!("exec:ssh {host} hgrpc serve stdio:"));
    }
    let lower = scheme.to_ascii_lowercase();
    if lower != scheme {
        return Some(format!("{lower}:{rest}"));
    }
    if scheme.is_empty() {
        return Some(format!("tcp://127.0.0.1:{rest}"));
    }
    let is_port = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    (is_port || text.parse::<SocketAddr>().is_ok()).then(|| format!("tcp://{text}"))
}
