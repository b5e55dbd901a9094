//! The server at a URL, and what is wrong with it.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueHint;
use hgrpc_mercurial::client::Error;
use hgrpc_mercurial::mirror::{FetchError, MirrorError};
use hgrpc_mercurial::{Client, Node};
use hgrpc_std::encoding::ContentEncoding;
use hgrpc_std::http;

use crate::escape::one_line;
use crate::exit::Failure;
use crate::io;

/// Holds the password if no file does.
const PASSWORD: &str = "HGRPC_PASSWORD";

/// Where the server is, and how it is spoken to.
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// The repository's address: http://HOST:PORT/PATH or https://….
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    url: String,
    #[command(flatten)]
    options: Options,
}

/// How a server is spoken to.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Content encodings that the server may choose from, joined by commas. Default: all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = crate::call::encoding_parser())]
    accept_encoding: Option<Vec<ContentEncoding>>,
    /// How long the server may be silent, or send less than 1 KiB: 500ms, 30s, 10m.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = crate::call::timeout)]
    timeout: Duration,
    /// Log in as this user. The password is that of --password-file or of the environment's
    /// HGRPC_PASSWORD.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read the password from the first line of this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,
    /// Trust the certificates of this file (PEM) and no others.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    cacert: Option<PathBuf>,
    /// Show the server this certificate (PEM, with those that signed it).
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    cert: Option<PathBuf>,
    /// The private key (PEM) of --cert.
    #[arg(long, value_name = "FILE", requires = "cert", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
}

impl Server {
    /// Asks the server what it can do.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        self.options.connect(&self.url)
    }
}

impl Options {
    /// Asks the server at this address what it can do.
    pub(super) fn connect(&self, url: &str) -> Result<Client, Failure> {
        let mut config = http::Config::default();
        if let Some(encodings) = &self.accept_encoding {
            config.encodings.clone_from(encodings);
        }
        config.timeouts.read = Some(self.timeout);
        config.tls.authorities = self.cacert.as_deref().map(read).transpose()?;
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            config.tls.identity = Some((read(cert)?, read(key)?));
        }
        let (url, user) = split_user(url)?;
        if let Some(user) = self.user.clone().or(user) {
            let password = self.password()?.unwrap_or_default();
            config.credentials = Some(http::Credentials { user, password });
        } else if self.password_file.is_some() {
            let message = "--password-file needs --user, or a user in the address";
            return Err(Failure::BadInput(message.to_owned()));
        }
        Client::connect(&url, config).map_err(|error| match failure(error) {
            Failure::Connection(message) => {
                Failure::Connection(format!("cannot speak with {url}: {message}"))
            }
            other => other,
        })
    }

    fn password(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.password_file else {
            return match std::env::var(PASSWORD) {
                Ok(password) => Ok(Some(password)),
                Err(std::env::VarError::NotPresent) => Ok(None),
                Err(error) => Err(Failure::BadInput(format!("{PASSWORD}: {error}"))),
            };
        };
        let wrong = |why| Failure::BadInput(format!("{}: {why}", path.display()));
        let text = String::from_utf8(read(path)?);
        let text = text.map_err(|_| wrong("the password is not UTF-8"))?;
        Ok(text.lines().next().map(str::to_owned))
    }
}

/// Takes the user out of an address. A password there is refused: everybody on this machine sees
/// what is on a command line.
fn split_user(url: &str) -> Result<(String, Option<String>), Failure> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok((url.to_owned(), None));
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((userinfo, host)) = authority.rsplit_once('@') else {
        return Ok((url.to_owned(), None));
    };
    if userinfo.contains(':') {
        let url = http::without_userinfo(url);
        return Err(Failure::BadInput(format!(
            "{url} has a password, which others can see in the list of processes: give \
             --password-file FILE, or {PASSWORD} in the environment"
        )));
    }
    let user = percent_encoding::percent_decode_str(userinfo).decode_utf8_lossy();
    Ok((format!("{scheme}://{host}{path}"), Some(user.into_owned())))
}

/// A file that an option names.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut file = io::open(path).map_err(Failure::Io)?;
    file.read_to_end(&mut bytes)
        .map_err(|error| Failure::Io(format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes)
}

/// The bytes of a name or a path, which need not be text.
pub(super) fn bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// The changeset of a name, by default the newest.
pub(super) fn lookup(client: &Client, name: Option<&OsStr>) -> Result<Node, Failure> {
    let name = name.map_or(&b"tip"[..], bytes);
    client.lookup(name).map_err(failure)
}

/// What an error means to the run.
pub(super) fn failure(error: Error) -> Failure {
    let message = one_line(&error);
    match error {
        Error::Http(error) => match error {
            http::Error::Command(_) | http::Error::Server(_) | http::Error::Text(_) => {
                Failure::Command(message)
            }
            http::Error::Url(_)
            | http::Error::Certificate(_)
            | http::Error::UnknownCommand(_)
            | http::Error::UnknownArguments { .. }
            | http::Error::MissingArguments { .. }
            | http::Error::Misuse(_) => Failure::BadInput(message),
            _ => Failure::Connection(message),
        },
        Error::Storage(error) => Failure::Io(one_line(&error)),
        _ => Failure::Connection(message),
    }
}

/// What an error of the transport means to the run.
pub(super) fn http_failure(error: http::Error) -> Failure {
    failure(Error::Http(error))
}

/// What a mirror's error means to the run.
pub(super) fn mirror_failure(error: MirrorError) -> Failure {
    let message = one_line(&error);
    match error {
        MirrorError::Version { .. } => Failure::Io(message),
        error if error.is_damage() => Failure::Io(format!(
            "{message}; `hgrpc hg mirror --repair URL DIR` mends the mirror"
        )),
        _ => Failure::Io(message),
    }
}

/// What a failed fetch means to the run.
pub(super) fn fetch_failure(error: FetchError) -> Failure {
    match error {
        FetchError::Client(error) => failure(error),
        FetchError::Mirror(error) => mirror_failure(error),
        FetchError::Unrelated | FetchError::Lost(_) | FetchError::Bundle(_) => {
            Failure::Command(one_line(&error))
        }
        error => Failure::Connection(one_line(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_taken_out_of_addresses() {
        let split = |url| split_user(url).map_err(|failure| failure.code());
        let some = |user: &str| Some(user.to_owned());
        let host = "http://host:1/p@th".to_owned();
        assert_eq!(split("http://host:1/p@th"), Ok((host.clone(), None)));
        assert_eq!(split("http://m%40e@host:1/p@th"), Ok((host, some("m@e"))));
        assert_eq!(split("http://me:secret@host/"), Err(2));
        assert_eq!(split("no address"), Ok(("no address".to_owned(), None)));
    }
}
