//! Addresses: text to values and back.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use super::hint;

/// The forms of an address, as messages list them.
const FORMS: &str = "tcp://HOST:PORT, unix:///PATH, stdio: and exec:PROGRAM ARGS";

/// Where a peer is, or is to be waited for.
///
/// `Display` writes what [`FromStr`] reads, except that the bytes of a Unix path that are not UTF-8
/// become U+FFFD. More kinds of addresses will come.
///
/// ```
/// use hgrpc_std::transport::Address;
///
/// let address: Address = "exec:ssh host hgrpc serve stdio:".parse()?;
/// assert_eq!(address.to_string(), "exec:ssh host hgrpc serve stdio:");
/// let error = "localhost:7070".parse::<Address>().unwrap_err();
/// assert_eq!(error.to_string(), r#""localhost:7070": no such kind of address "localhost:"; did you mean "tcp://localhost:7070"?"#);
/// # Ok::<(), hgrpc_std::transport::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// `tcp://host:port`.
    Tcp {
        /// A name or an IP address, an IPv6 address without its brackets.
        host: String,
        /// The port; 0 listens on any that is free.
        port: u16,
    },
    /// `unix:///path`: all after `unix://` is an absolute path, as it is, without escapes.
    Unix(PathBuf),
    /// `stdio:`, this process's standard input and output.
    Stdio,
    /// `exec:PROGRAM ARGS`, a child's standard input and output. The words are separated and quoted
    /// as for a POSIX shell, but no shell sees them: nothing is expanded.
    Exec {
        /// The program, looked up in `PATH` if it has no slash.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressError {
    /// The text.
    pub address: String,
    /// What is wrong with it.
    pub kind: AddressErrorKind,
    /// An address that may have been meant.
    pub suggestion: Option<String>,
}

/// What is wrong with the text of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressErrorKind {
    /// There is no colon, so no kind of address is named.
    NoScheme,
    /// What comes before the colon names no kind of address.
    UnknownScheme(String),
    /// A web address: the protocol's frames go over plain bytes here.
    Http,
    /// `tcp:` without `//`, or `unix:` without `//`.
    NoSlashes,
    /// A TCP address without a host.
    NoHost,
    /// A host that no name or address can be.
    BadHost(String),
    /// Brackets that are not closed, or that hold no IPv6 address; an IPv6 address without them.
    BadIpv6(String),
    /// A TCP address without a port.
    NoPort,
    /// A port that is no number from 0 to 65535.
    BadPort(String),
    /// A Unix path that does not begin at the root.
    RelativePath,
    /// Something after `stdio:`.
    AfterStdio(String),
    /// No program after `exec:`.
    NoProgram,
    /// Two slashes after `exec:`.
    ExecSlashes,
    /// A quote that is not closed, or a backslash at the end.
    UnclosedQuote,
    /// A zero byte, which no path, host or argument holds.
    Nul,
}

impl fmt::Display for AddressErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => write!(f, "an address begins with its kind: {FORMS}"),
            Self::UnknownScheme(scheme) => write!(f, "no such kind of address {scheme:?}"),
            Self::Http => f.write_str("web addresses are not spoken here, only plain connections"),
            Self::NoSlashes => f.write_str("two slashes are missing"),
            Self::NoHost => {
                f.write_str("the host is missing; 0.0.0.0 and [::] are all of this machine's")
            }
            Self::BadHost(host) => write!(f, "{host:?} is not a host"),
            Self::BadIpv6(host) => write!(f, "{host:?} is not an IPv6 address in brackets"),
            Self::NoPort => f.write_str("the port is missing, as in tcp://HOST:7070"),
            Self::BadPort(port) => write!(f, "{port:?} is not a port, a number up to 65535"),
            Self::RelativePath => {
                f.write_str("the path has to begin at the root, as in unix:///run/name")
            }
            Self::AfterStdio(rest) => write!(f, "{rest:?} after stdio:"),
            Self::NoProgram => f.write_str("the program is missing, as in exec:PROGRAM ARGS"),
            Self::ExecSlashes => f.write_str("the program follows exec: without slashes"),
            Self::UnclosedQuote => f.write_str("a quote is not closed, or a backslash ends it"),
            Self::Nul => f.write_str("there is a zero byte in it"),
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.address, self.kind)?;
        match (&self.suggestion, &self.kind) {
            (Some(suggestion), _) => write!(f, "; did you mean {suggestion:?}?"),
            (None, AddressErrorKind::UnknownScheme(_) | AddressErrorKind::Http) => {
                write!(f, "; there are {FORMS}")
            }
            (None, _) => Ok(()),
        }
    }
}

impl std::error::Error for AddressError {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Stdio => f.write_str("stdio:"),
            Self::Exec { program, args } => {
                let words = std::iter::once(program).chain(args).map(String::as_str);
                // It refuses zero bytes only, which no word that was parsed has.
                let joined = shlex::try_join(words).map_err(|_| fmt::Error)?;
                write!(f, "exec:{joined}")
            }
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|kind| AddressError {
            address: text.to_owned(),
            suggestion: hint::suggestion(text, &kind),
            kind,
        })
    }
}

/// As [`Address::from_str`], without a suggestion.
pub(super) fn parse(text: &str) -> Result<Address, AddressErrorKind> {
    use AddressErrorKind::*;
    if text.contains('\0') {
        return Err(Nul);
    }
    let (scheme, rest) = text.split_once(':').ok_or(NoScheme)?;
    match scheme {
        "tcp" => tcp(rest.strip_prefix("//").ok_or(NoSlashes)?),
        "unix" => match rest.strip_prefix("//") {
            Some(path) if path.starts_with('/') => Ok(Address::Unix(path.into())),
            Some(_) => Err(RelativePath),
            None => Err(NoSlashes),
        },
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address::Tcp { host, port }
    }

    fn exec(words: &[&str]) -> Address {
        let mut words = words.iter().map(|&word| word.to_owned());
        Address::Exec {
            program: words.next().unwrap(),
            args: words.collect(),
        }
    }

    #[test]
    fn every_form_is_read_and_written() {
        for (text, address) in [
            ("tcp://127.0.0.1:7070", tcp("127.0.0.1", 7070)),
            ("tcp://localhost:0", tcp("localhost", 0)),
            ("tcp://[::1]:7070", tcp("::1", 7070)),
            ("tcp://[fe80::1%eth0]:65535", tcp("fe80::1%eth0", 65_535)),
            ("tcp://a-b.c_d:1", tcp("a-b.c_d", 1)),
            (
                "unix:///run/a b:c#%20",
                Address::Unix("/run/a b:c#%20".into()),
            ),
            ("stdio:", Address::Stdio),
            ("exec:cat", exec(&["cat"])),
            (
                "exec:ssh host hgrpc serve stdio:",
                exec(&["ssh", "host", "hgrpc", "serve", "stdio:"]),
            ),
        ] {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn words_are_split_as_a_shell_would_and_not_expanded() {
        for (text, words) in [
            ("exec:  a  b ", &["a", "b"][..]),
            (r#"exec:a 'b c' "d'e" f\ g"#, &["a", "b c", "d'e", "f g"]),
            ("exec:a '' $HOME *", &["a", "", "$HOME", "*"]),
        ] {
            assert_eq!(text.parse(), Ok(exec(words)), "{text}");
        }
    }

    #[test]
    fn slips_are_named_and_corrected() {
        use AddressErrorKind::*;
        let s = str::to_owned;
        for (text, kind, suggestion) in [
            ("", NoScheme, None),
            ("localhost", NoScheme, None),
            (
                "localhost:7070",
                UnknownScheme(s("localhost:")),
                Some("tcp://localhost:7070"),
            ),
            (
                "10.0.0.1:70",
                UnknownScheme(s("10.0.0.1:")),
                Some("tcp://10.0.0.1:70"),
            ),
            (":7070", UnknownScheme(s(":")), Some("tcp://127.0.0.1:7070")),
            ("7070", NoScheme, Some("tcp://127.0.0.1:7070")),
            ("[::1]:70", UnknownScheme(s("[:")), Some("tcp://[::1]:70")),
            ("TCP://h:1", UnknownScheme(s("TCP:")), Some("tcp://h:1")),
            ("tcp:h:1", NoSlashes, Some("tcp://h:1")),
            ("tcp:/h:1", NoSlashes, Some("tcp://h:1")),
            ("tcp://", NoHost, None),
            ("tcp://:1", NoHost, Some("tcp://127.0.0.1:1")),
            ("tcp://h", NoPort, None),
            ("tcp://h:", NoPort, None),
            ("tcp://[::1]", NoPort, None),
            ("tcp://h:x", BadPort(s("x")), None),
            ("tcp://h:+1", BadPort(s("+1")), None),
            ("tcp://h:65536", BadPort(s("65536")), None),
            ("tcp://h:1/", BadPort(s("1/")), Some("tcp://h:1")),
            ("tcp://u@h:1", BadHost(s("u@h")), None),
            ("tcp://::1", BadIpv6(s("::1")), None),
            ("tcp://::1:70x", BadIpv6(s("::1")), None),
            ("tcp://fe80::1:x", BadIpv6(s("fe80::1")), None),
            ("tcp://[::1", BadIpv6(s("[::1")), None),
            ("tcp://[h]:1", BadIpv6(s("h")), Some("tcp://h:1")),
            ("unix:/run/x", NoSlashes, Some("unix:///run/x")),
            ("unix://run/x", RelativePath, Some("unix:///run/x")),
            ("unix:x", NoSlashes, None),
            ("/run/x", NoScheme, Some("unix:///run/x")),
            ("stdio", NoScheme, Some("stdio:")),
            ("-", NoScheme, Some("stdio:")),
            ("stdio://", AfterStdio(s("//")), Some("stdio:")),
            ("exec:", NoProgram, None),
            ("exec:''", NoProgram, None),
            ("exec://cat x", ExecSlashes, Some("exec:cat x")),
            ("exec:a 'b", UnclosedQuote, None),
            ("exec:a\0", Nul, None),
            ("http://h/", Http, None),
            ("https://h:1", Http, None),
            (
                "ssh://host",
                UnknownScheme(s("ssh:")),
                Some("exec:ssh host hgrpc serve stdio:"),
            ),
            ("serial:///dev/x", UnknownScheme(s("serial:")), None),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(
                (&error.kind, error.suggestion.as_deref()),
                (&kind, suggestion),
                "{text}"
            );
            if let Some(suggestion) = suggestion {
                assert!(suggestion.parse::<Address>().is_ok(), "{suggestion}");
            }
        }
    }

    #[test]
    fn errors_are_one_line_that_lists_what_there_is() {
        let shown = |text: &str| text.parse::<Address>().unwrap_err().to_string();
        assert_eq!(
            shown("gopher:\n"),
            "\"gopher:\\n\": no such kind of address \"gopher:\"; \
             there are tcp://HOST:PORT, unix:///PATH, stdio: and exec:PROGRAM ARGS"
        );
        assert_eq!(
            shown("http://localhost:8000"),
            "\"http://localhost:8000\": web addresses are not spoken here, only plain connections; \
             there are tcp://HOST:PORT, unix:///PATH, stdio: and exec:PROGRAM ARGS"
        );
        assert_eq!(
            shown("tcp://h"),
            "\"tcp://h\": the port is missing, as in tcp://HOST:7070"
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            words in prop::collection::vec("[^\0]{0,12}", 1..5),
            path in "/[^\0]{0,20}",
            host in "[a-z0-9.-]{1,20}",
            address in any::<u128>(),
            port: u16,
        ) {
            let mut exec = vec![format!("p{}", words[0])];
            exec.extend(words);
            let mut words = exec.into_iter();
            for address in [
                Address::Exec { program: words.next().unwrap(), args: words.collect() },
                Address::Unix(path.into()),
                Address::Tcp { host, port },
                Address::Tcp { host: Ipv6Addr::from_bits(address).to_string(), port },
            ] {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }

        #[test]
        fn any_text_is_an_address_or_one_line(text: String) {
            if let Err(error) = text.parse::<Address>() {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }
}
