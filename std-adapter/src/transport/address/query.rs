//! What follows a question mark: how a link and a serial port are set.

use std::fmt;

use super::{Address, AddressErrorKind, Flow, LinkSettings, SerialSettings};

/// The parameters of a link.
pub(super) const LINK: &[&str] = &["link", "packet", "patience"];
/// Those and the ones of a serial port.
pub(super) const SERIAL: &[&str] = &["baud", "flow", "link", "packet", "patience"];

/// Parameters as they were read.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) serial: SerialSettings,
    /// `None`: not said.
    has_link: Option<bool>,
    link: LinkSettings,
}

impl Query {
    /// The address with what was said of a link; `has_link`: whether it has one if nothing was.
    pub(super) fn apply(self, address: Address, has_link: bool) -> Address {
        if self.has_link.unwrap_or(has_link) {
            address.with_link(self.link)
        } else {
            address
        }
    }
}

/// Whether this may follow the question mark of an address that need not have parameters.
pub(super) fn is_query(text: &str) -> bool {
    LINK.iter().any(|name| {
        text.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('='))
    })
}

/// Reads `name=value&…`. `has_link`: whether there is a link if nothing is said.
pub(super) fn parse(
    text: Option<&str>,
    known: &'static [&'static str],
    has_link: bool,
) -> Result<Query, AddressErrorKind> {
    let mut query = Query::default();
    let mut seen = Vec::new();
    for pair in text.into_iter().flat_map(|text| text.split('&')) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(&name) = known.iter().find(|known| **known == name) else {
            let name = name.to_owned();
            return Err(AddressErrorKind::UnknownParameter { name, known });
        };
        if seen.contains(&name) {
            return Err(AddressErrorKind::RepeatedParameter(name));
        }
        seen.push(name);
        let bad = |expected| AddressErrorKind::BadParameter {
            name,
            value: value.to_owned(),
            expected,
        };
        let number = || value.parse().ok().filter(|_| !value.starts_with('+'));
        match name {
            "baud" => {
                query.serial.baud = number()
                    .filter(|baud| *baud > 0)
                    .ok_or_else(|| bad("a number of bits a second, such as 115200"))?;
            }
            "flow" => {
                query.serial.flow = match value {
                    "none" => Flow::None,
                    "hardware" => Flow::Hardware,
                    _ => return Err(bad("none or hardware")),
                }
            }
            "link" => {
                query.has_link = Some(match value {
                    "cobs" => true,
                    "none" => false,
                    _ => return Err(bad("cobs or none")),
                });
            }
            "packet" => {
                query.link.packet = match value {
                    "32" => 32,
                    "64" => 64,
                    "128" => 128,
                    "256" => 256,
                    _ => return Err(bad("32, 64, 128 or 256 bytes")),
                }
            }
            _ => {
                query.link.patience = number()
                    .and_then(|seconds| u16::try_from(seconds).ok())
                    .ok_or_else(|| bad("a number of seconds up to 65535"))?;
            }
        }
    }
    let of_link = seen
        .into_iter()
        .find(|name| *name == "packet" || *name == "patience");
    match of_link {
        Some(name) if !query.has_link.unwrap_or(has_link) => {
            Err(AddressErrorKind::WithoutLink(name))
        }
        _ => Ok(query),
    }
}

/// Writes the parameters of an address that are not as usual.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    line: &Address,
    link: Option<&LinkSettings>,
) -> fmt::Result {
    let mut separator = '?';
    let mut put = |name: &str, value: fmt::Arguments<'_>| -> fmt::Result {
        write!(f, "{separator}{name}={value}")?;
        separator = '&';
        Ok(())
    };
    let usual = SerialSettings::default();
    if let Address::Serial { path, settings } = line {
        // A question mark of the path's is not to be taken for that of the parameters.
        let has_mark = path.as_os_str().as_encoded_bytes().contains(&b'?');
        if settings.baud != usual.baud || has_mark {
            put("baud", format_args!("{}", settings.baud))?;
        }
        if settings.flow == Flow::Hardware {
            put("flow", format_args!("hardware"))?;
        }
    }
    match (line, link) {
        (Address::Serial { .. } | Address::Pty, None) => put("link", format_args!("none"))?,
        (Address::Serial { .. } | Address::Pty, Some(_)) => {}
        (Address::Unix(path), None) => {
            let path = path.to_string_lossy();
            if path
                .rsplit_once('?')
                .is_some_and(|(_, tail)| is_query(tail))
            {
                put("link", format_args!("none"))?;
            }
        }
        (_, None) => {}
        (_, Some(_)) => put("link", format_args!("cobs"))?,
    }
    let usual = LinkSettings::default();
    if let Some(link) = link {
        if link.packet != usual.packet {
            put("packet", format_args!("{}", link.packet))?;
        }
        if link.patience != usual.patience {
            put("patience", format_args!("{}", link.patience))?;
        }
    }
    Ok(())
}
