//! The client's end (http-v2.md, 1 and 4; revision-0006.md, 6 and 8).
//!
//! ```no_run
//! use std::io::{self, Read};
//!
//! use hgrpc_std::http::{Client, Command, Config};
//! use hgrpc_std::value::Value;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://localhost:8000/repo", Config::default())?;
//! let heads = client.call(&Command::new("heads"))?.one_value()?;
//!
//! // A large answer is read as it comes.
//! let command = Command::new("filedata")
//!     .bytes("path", "large.bin")
//!     .arg("nodes", Value::Array(vec![heads]))
//!     .arg("fields", Value::Set(vec![Value::Bytes(b"revision".to_vec())]));
//! let mut response = client.call(&command)?;
//! println!("{:?}", response.next_value()?); // {'totalitems': 1}
//! println!("{:?}", response.next_value()?); // {'fieldsfollowing': …, 'node': …}
//! io::copy(&mut response.bytes()?, &mut io::stdout())?;
//! # Ok(())
//! # }
//! ```

mod command;
mod config;
mod error;
mod exchange;
mod handshake;
mod pace;
mod proxy;
mod receive;
mod redirect;
mod request;
mod response;
mod string;
mod url;

use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ureq::http;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::Connector;

pub use command::Command;
pub use config::{Config, Credentials, Limits, OnProgress, OnText, Redirects, Timeouts, Tls};
pub use error::{Error, HttpStatus};
pub use redirect::Redirect;
pub use response::{Bytes, Item, Response};
pub use url::without_userinfo;

use super::{CBOR_MEDIA_TYPE, Capabilities, FRAMING_MEDIA_TYPE, MULTIREQUEST};
use exchange::Exchange;
use redirect::Offer;

/// A repository's server. Clone it to call from many threads; connections are kept and shared.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    agent: ureq::Agent,
    config: Config,
    /// The repository's address, after redirects.
    repository: String,
    /// What `/<perm>/<command>` is added to.
    api: String,
    capabilities: Capabilities,
    authorization: Option<String>,
    /// What requests say of redirects.
    offer: Option<Offer>,
}

impl Client {
    /// Asks the server at this address what it can do (http-v2.md, 1). A name and a password in
    /// the address are used for basic authentication.
    ///
    /// # Errors
    /// Any but those of responses; [`Error::OnlyVersion1`] and [`Error::NoApi`] are the server's
    /// way to say that it does not do this.
    pub fn connect(url: &str, config: Config) -> Result<Self, Error> {
        let agent = match proxy::for_http(url) {
            Some(proxy) => proxy.agent(settings(&config)?.proxy(None).build()),
            None => settings(&config)?.build().into(),
        };
        Self::connect_with(url, config, agent)
    }

    /// As [`connect`](Self::connect), through connections of the caller's: for tests without a
    /// network. No part of the stable interface, since ureq's connections are none of its own.
    ///
    /// # Errors
    /// As for `connect`.
    #[doc(hidden)]
    pub fn connect_through(
        url: &str,
        config: Config,
        connector: impl Connector,
        resolver: impl Resolver,
    ) -> Result<Self, Error> {
        let agent = ureq::Agent::with_parts(settings(&config)?.build(), connector, resolver);
        Self::connect_with(url, config, agent)
    }

    fn connect_with(url: &str, config: Config, agent: ureq::Agent) -> Result<Self, Error> {
        let url = url::RepositoryUrl::parse(url)?;
        let found = handshake::shake(&agent, &config, url)?;
        let offer = match config.redirects {
            Redirects::Decline => None,
            Redirects::Surface | Redirects::Follow => {
                found.capabilities.redirect.as_ref().map(Offer::new)
            }
        };
        Ok(Self(Arc::new(Inner {
            agent,
            config,
            repository: found.repository,
            api: found.api,
            capabilities: found.capabilities,
            authorization: found.authorization,
            offer,
        })))
    }

    /// What the server can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    /// The repository's address, where redirects led to, without name and password.
    pub fn url(&self) -> &str {
        &self.0.repository
    }

    /// Calls a command. Returns when the server begins to answer.
    ///
    /// # Errors
    /// The command is not in the descriptor, or its arguments are not; or the server refused the
    /// request as a whole. What the command itself says comes with the response.
    pub fn call(&self, command: &Command) -> Result<Response, Error> {
        let exchange = self.send(std::slice::from_ref(command))?;
        Ok(Response::new(self.clone(), exchange, 0))
    }

    /// Calls several commands in one request, if there are several; the responses are in their
    /// order. Returns when the server begins to answer.
    ///
    /// The responses come one after another on one connection (H-10), and reading one reads what
    /// comes of the others too, in whichever thread that is; a second thread waits meanwhile. So read them in their order, or all at once if they are small. What waits is
    /// bounded by [`Limits::buffered`]; a response with more is given up
    /// ([`Error::NotReadInOrder`]) and its neighbours go on.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn batch(&self, commands: &[Command]) -> Result<Vec<Response>, Error> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let exchange = self.send(commands)?;
        Ok((0..commands.len())
            .map(|index| Response::new(self.clone(), Arc::clone(&exchange), index))
            .collect())
    }

    fn send(&self, commands: &[Command]) -> Result<Arc<Mutex<Exchange>>, Error> {
        let inner = &*self.0;
        let mut is_push = false;
        for command in commands {
            is_push |= command.check(&inner.capabilities)?.is_push();
        }
        let (body, reactor) = request::frames(&inner.config, commands, inner.offer.as_ref())?;
        let permission = if is_push { "rw" } else { "ro" };
        let name = match commands {
            [only] => url::encode(&only.name),
            _ => MULTIREQUEST.to_owned(),
        };
        let answer = self.post(&format!("{}/{permission}/{name}", inner.api), &body)?;
        let answer = pace::Paced::new(answer, inner.config.timeouts.read);
        let exchange = Exchange::new(answer, reactor, commands.len(), &inner.config);
        Ok(Arc::new(Mutex::new(exchange)))
    }

    fn post(&self, url: &str, body: &[u8]) -> Result<impl Read + Send + use<>, Error> {
        let inner = &*self.0;
        let mut request = inner
            .agent
            .post(url)
            .header(http::header::ACCEPT, FRAMING_MEDIA_TYPE)
            .header(http::header::CONTENT_TYPE, FRAMING_MEDIA_TYPE);
        if let Some(authorization) = &inner.authorization {
            request = request.header(http::header::AUTHORIZATION, authorization);
        }
        let answer = request.send(body)?;
        check_status(answer, &[FRAMING_MEDIA_TYPE])
    }

    /// Fetches what a redirect leads to; credentials stay here.
    fn fetch(&self, redirect: &Redirect) -> Result<impl Read + Send + use<>, Error> {
        let answer = self
            .0
            .agent
            .get(&redirect.url)
            .config()
            .max_redirects(10)
            .build()
            .header(http::header::ACCEPT, CBOR_MEDIA_TYPE)
            .call()?;
        check_status(answer, &[CBOR_MEDIA_TYPE])
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.0.repository)
            .finish_non_exhaustive()
    }
}

type Settings = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

fn settings(config: &Config) -> Result<Settings, Error> {
    let settings = ureq::Agent::config_builder();
    #[cfg(feature = "https")]
    let settings = settings.tls_config(tls(&config.tls)?);
    Ok(settings
        .http_status_as_error(false)
        // Of a POST none is followed: the status says so.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // Another port of the same host may be another's; see `handshake`.
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
        .user_agent(concat!("hgrpc/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(config.timeouts.connect)
        .timeout_per_read(config.timeouts.read)
        .timeout_per_write(config.timeouts.write)
        // A head that comes a byte at a time is none.
        .timeout_recv_response(config.timeouts.read))
}

#[cfg(feature = "https")]
fn tls(config: &Tls) -> Result<ureq::tls::TlsConfig, Error> {
    use ureq::tls::{ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
    let certificates = |pem: &[u8]| {
        let mut all = Vec::new();
        for item in parse_pem(pem) {
            if let PemItem::Certificate(certificate) = item? {
                all.push(certificate);
            }
        }
        Ok(all)
    };
    let wrong = |what: &str, error: &ureq::Error| Error::Certificate(format!("{what}: {error}"));
    let none = |what: &str| Error::Certificate(format!("{what}: there is none"));
    let mut tls = TlsConfig::builder();
    if let Some(pem) = &config.authorities {
        let what = "the trusted certificates";
        let all = certificates(pem).map_err(|error| wrong(what, &error))?;
        if all.is_empty() {
            return Err(none(what));
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&all));
    }
    if let Some((chain, key)) = &config.identity {
        let what = "the client's certificate";
        let chain = certificates(chain).map_err(|error| wrong(what, &error))?;
        if chain.is_empty() {
            return Err(none(what));
        }
        let key = PrivateKey::from_pem(key).map_err(|error| wrong("the private key", &error))?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(tls.build())
}

type Answer = http::Response<ureq::Body>;

/// The media type of an answer, without parameters, in lower case.
fn media_type(answer: &Answer) -> String {
    let value = answer.headers().get(http::header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("");
    essence.trim().to_ascii_lowercase()
}

/// Most bytes that are read of a text.
const TEXT: u64 = 16 << 10;

/// How long a text may take to come.
const TEXT_TIME: Duration = Duration::from_secs(5);

/// The beginning of a body for people; empty if it is not text.
fn text(answer: Answer, media_type: &str) -> String {
    // `hg serve` says what went wrong in a text without a type.
    if !media_type.is_empty() && !media_type.starts_with("text/") {
        return String::new();
    }
    let mut bytes = Vec::new();
    let reader = pace::Paced::new(answer.into_body().into_reader(), Some(TEXT_TIME));
    // As much as there is.
    let _ = reader.take(TEXT).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    match media_type {
        "text/html" => title(&text),
        _ => text.into_owned(),
    }
}

/// The title of a page: what it says of itself in a line. Empty if it has none.
fn title(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|start| {
        let begin = start + lower.get(start..)?.find('>')? + 1;
        let len = lower.get(begin..)?.find("</title")?;
        page.get(begin..begin + len)
    });
    let words = title.unwrap_or_default().split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// An answer whose status says that all is well, and its media type.
fn successful(answer: Answer) -> Result<(Answer, String), Error> {
    let media_type = media_type(&answer);
    if answer.status().is_success() {
        return Ok((answer, media_type));
    }
    Err(Error::Status(HttpStatus {
        code: answer.status().as_u16(),
        text: text(answer, &media_type),
    }))
}

/// The body of an answer that is what was asked for, by its media type too (H-09).
fn check_status(answer: Answer, wanted: &[&str]) -> Result<impl Read + Send + use<>, Error> {
    let (answer, media_type) = successful(answer)?;
    if wanted.contains(&media_type.as_str()) {
        return Ok(answer.into_body().into_reader());
    }
    // How Mercurial's servers report errors of the protocol (http-v2.md, 3).
    let is_refusal = media_type == "text/plain" && wanted == [FRAMING_MEDIA_TYPE];
    let text = text(answer, &media_type);
    Err(if is_refusal {
        Error::Text(text)
    } else {
        Error::MediaType { media_type, text }
    })
}
