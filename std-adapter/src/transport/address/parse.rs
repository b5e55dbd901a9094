//! From text to addresses.

use std::net::Ipv6Addr;

use super::{Address, AddressErrorKind, query};

/// As [`Address::from_str`], without a suggestion.
pub(in crate::transport) fn parse(text: &str) -> Result<Address, AddressErrorKind> {
    use AddressErrorKind::*;
    if text.contains('\0') {
        return Err(Nul);
    }
    let (scheme, rest) = text.split_once(':').ok_or(NoScheme)?;
    match scheme {
        "tcp" => {
            let rest = rest.strip_prefix("//").ok_or(NoSlashes)?;
            let (rest, text) = match rest.split_once('?') {
                Some((rest, text)) => (rest, Some(text)),
                None => (rest, None),
            };
            let address = tcp(rest)?;
            Ok(query::parse(text, query::LINK, false)?.apply(address, false))
        }
        "unix" => {
            let rest = rest.strip_prefix("//").ok_or(NoSlashes)?;
            let (path, text) = match rest.rsplit_once('?') {
                Some((path, text)) if query::is_query(text) => (path, Some(text)),
                _ => (rest, None),
            };
            if !path.starts_with('/') {
                return Err(RelativePath);
            }
            let query = query::parse(text, query::LINK, false)?;
            Ok(query.apply(Address::Unix(path.into()), false))
        }
        "serial" => {
            let rest = rest.strip_prefix("//").ok_or(NoSlashes)?;
            let (path, text) = match rest.rsplit_once('?') {
                Some((path, text)) => (path, Some(text)),
                None => (rest, None),
            };
            if !path.starts_with('/') {
                return Err(RelativeDevice);
            }
            let query = query::parse(text, query::SERIAL, true)?;
            let settings = query.serial;
            let path = path.into();
            Ok(query.apply(Address::Serial { path, settings }, true))
        }
        "pty" => {
            let text = rest.strip_prefix('?');
            if text.is_none() && !rest.is_empty() {
                return Err(AfterPty(rest.to_owned()));
            }
            Ok(query::parse(text, query::LINK, true)?.apply(Address::Pty, true))
        }
        "stdio" if rest.is_empty() => Ok(Address::Stdio),
        "stdio" => Err(AfterStdio(rest.to_owned())),
        "exec" if rest.starts_with("//") => Err(ExecSlashes),
        "exec" => {
            let mut words = shlex::split(rest).ok_or(UnclosedQuote)?.into_iter();
            match words.next() {
                Some(program) if !program.is_empty() => Ok(Address::Exec {
                    program,
                    args: words.collect(),
                }),
                _ => Err(NoProgram),
            }
        }
        "http" | "https" => Err(Http),
        other => Err(UnknownScheme(format!("{other}:"))),
    }
}

/// What follows `tcp://`.
fn tcp(rest: &str) -> Result<Address, AddressErrorKind> {
    use AddressErrorKind::*;
    let bad_ipv6 = |host: &str| BadIpv6(host.to_owned());
    let (host, port) = if let Some(inside) = rest.strip_prefix('[') {
        let (host, after) = inside.split_once(']').ok_or_else(|| bad_ipv6(rest))?;
        // A zone may follow the address: `fe80::1%eth0`.
        let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
        if address.parse::<Ipv6Addr>().is_err() || !is_name(zone) {
            return Err(bad_ipv6(host));
        }
        let port = match after.strip_prefix(':') {
            Some(port) => port,
            None if after.is_empty() => return Err(NoPort),
            None => return Err(BadPort(after.to_owned())),
        };
        (host, port)
    } else if rest.parse::<Ipv6Addr>().is_ok() {
        return Err(bad_ipv6(rest));
    } else {
        let (host, port) = match rest.rsplit_once(':') {
            Some(parts) => parts,
            None if rest.is_empty() => return Err(NoHost),
            None => return Err(NoPort),
        };
        match host {
            "" => return Err(NoHost),
            host if host.contains(':') => return Err(bad_ipv6(host)),
            host if !is_name(host) => return Err(BadHost(host.to_owned())),
            host => (host, port),
        }
    };
    if port.is_empty() {
        return Err(NoPort);
    }
    // No sign, which `parse` would take.
    let number = port
        .parse()
        .ok()
        .filter(|_| port.starts_with(|c: char| c.is_ascii_digit()));
    match number {
        Some(port) => Ok(Address::Tcp {
            host: host.to_owned(),
            port,
        }),
        None => Err(BadPort(port.to_owned())),
    }
}

/// Whether a resolver may be asked for this; what is not ASCII is left to it.
fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_'))
}
