//! The server at a URL, and what is wrong with it.

use std::time::Duration;

use clap::ValueHint;
use hgrpc_std::encoding::ContentEncoding;
use hgrpc_std::http;
use hgrpc_std::mercurial::client::Error;
use hgrpc_std::mercurial::mirror::{FetchError, MirrorError};
use hgrpc_std::mercurial::{Client, Node};

use crate::escape::one_line;
use crate::exit::Failure;

/// Where the server is, and how it is spoken to.
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// The repository's address: http://HOST:PORT/PATH or https://….
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    url: String,
    /// Content encodings that the server may choose from, joined by commas. Default: all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = crate::call::encoding_parser())]
    accept_encoding: Option<Vec<ContentEncoding>>,
    /// How long the server may be silent: 500ms, 30s, 10m. Default: for ever.
    #[arg(long, value_name = "DURATION", value_parser = crate::call::timeout)]
    timeout: Option<Duration>,
}

impl Server {
    /// Asks the server what it can do.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        let mut config = http::Config::default();
        if let Some(encodings) = &self.accept_encoding {
            config.encodings.clone_from(encodings);
        }
        config.timeouts.read = self.timeout;
        Client::connect(&self.url, config).map_err(|error| match failure(error) {
            Failure::Connection(message) => {
                let url = http::without_userinfo(&self.url);
                Failure::Connection(format!("cannot speak with {url}: {message}"))
            }
            other => other,
        })
    }
}

/// The changeset of a name, by default the newest.
pub(super) fn lookup(client: &Client, name: Option<&str>) -> Result<Node, Failure> {
    let name = name.unwrap_or("tip");
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
        MirrorError::NotAMirror(_) => Failure::BadInput(message),
        _ => Failure::Io(message),
    }
}

/// What a failed fetch means to the run.
pub(super) fn fetch_failure(error: FetchError) -> Failure {
    match error {
        FetchError::Client(error) => failure(error),
        FetchError::Mirror(error) => mirror_failure(error),
        FetchError::Unrelated => Failure::BadInput(error.to_string()),
        error => Failure::Connection(one_line(&error)),
    }
}
