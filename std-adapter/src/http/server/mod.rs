//! The server's end (http-v2.md, 1 to 3): any [`blocking::Router`](Router) of commands over
//! HTTP.
//!
//! ```
//! use std::io::Write;
//! use std::net::TcpListener;
//!
//! use hgrpc_std::blocking::Router;
//! use hgrpc_std::http::server::{Server, ServerConfig};
//! use hgrpc_std::http::{ArgInfo, ArgType, Capabilities, CommandInfo};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::new().command("greet", |call, reply| {
//!     write!(reply, "hello {}", call.arg_text("name")?)?;
//!     Ok(())
//! });
//! // What is announced is what requests are checked against.
//! let greet = CommandInfo::pull().arg("name", ArgInfo::required(ArgType::Bytes));
//! let capabilities = Capabilities::new([("greet", greet)]);
//!
//! let server = Server::new(router, capabilities, ServerConfig::default());
//! let running = server.start(TcpListener::bind("127.0.0.1:0")?)?;
//! println!("http://{}/", running.address());
//! running.stop();
//! # Ok(())
//! # }
//! ```
//!
//! A request is read as a whole, within [`Limits::gathered`](crate::blocking::Limits::gathered); then its commands run one after
//! another in a thread of their own, and what they write leaves as they write it.
//!
//! # With tokio
//! The commands are those of a [`blocking::Router`](Router); the routers of the module `tokio`, whose
//! commands are async functions, are for connections of their own. [`Server::serve`] and
//! [`Server::serve_connection`] run in a runtime that there already is. The client of the
//! feature `http` blocks: in a runtime its calls belong into `spawn_blocking`, the reading of their
//! answers too.
//!
//! ```
//! # #[cfg(feature = "http")]
//! # mod example {
//! use hgrpc_std::blocking::Router;
//! use hgrpc_std::http::server::{Server, ServerConfig};
//! use hgrpc_std::http::{Capabilities, Client, Command, CommandInfo, Config};
//! use tokio::net::TcpListener;
//! use tokio::sync::oneshot;
//! use tokio::task::spawn_blocking;
//!
//! # #[tokio::main]
//! # pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::new().command("answer", |_, reply| Ok(reply.value(&42)?));
//! let capabilities = Capabilities::new([("answer", CommandInfo::pull())]);
//! let server = Server::new(router, capabilities, ServerConfig::default());
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}/", listener.local_addr()?);
//! let (stop, stopped) = oneshot::channel::<()>();
//! let serving = server.clone();
//! let serving = tokio::spawn(async move {
//!     serving.serve(listener, async { drop(stopped.await) }).await
//! });
//!
//! let answer = spawn_blocking(move || {
//!     let client = Client::connect(&url, Config::default())?;
//!     client.call(&Command::new("answer"))?.one_value()
//! });
//! assert_eq!(answer.await??, hgrpc_std::value::Value::from(42u64));
//!
//! drop(stop);
//! assert!(serving.await?.cut.is_empty());
//! assert_eq!(server.stats().answered_with(200), 2); // the handshake and the call
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "http")]
//! # example::main().unwrap();
//! ```
//!
//! # What clients may do to it
//! | for | see |
//! | --- | --- |
//! | what they may make it hold and wait for, and how much memory that is | [`ServerLimits::HTTP`] |
//! | who may do what | [`Authorize`], [`Permissions`] |
//! | what it has done and refused | [`Server::stats`] |
//!
//! Spans `connection` (`peer`) and `request` (`method`, `path`) of [`tracing`] surround what happens on
//! a connection and in a command; a refusal is an event of the level debug, a command's panic one of the
//! level error.

mod answer;
mod config;
mod gate;
mod handshake;
mod permission;
mod request;
mod serve;
mod stream;
mod target;

use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

pub use crate::blocking::ConnectionLimit;
pub use crate::gate::{Refusal, ServerLimits, Stats};
pub use crate::host::origin::Origin;
pub use crate::host::peer::{Credentials, Peer};
pub use config::ServerConfig;
pub use permission::{Access, Authorize, Denial, Permission, Permissions};
pub use serve::{Cut, Running, Shutdown};

use super::{Capabilities, CommandInfo, FRAMING_MEDIA_TYPE};
use crate::blocking::Router;
use crate::engine::Pool;
use crate::engine::server::Shared as Exchanges;
use crate::host::counting::wide;
use answer::Body;
use gate::{Conn, Gate};
use target::Target;

/// A server of one repository, or of whatever its commands are about. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    router: Router,
    capabilities: Capabilities,
    /// The descriptor, encoded.
    descriptor: Vec<u8>,
    config: ServerConfig,
    /// What the exchanges of frames share.
    exchange: Arc<Exchanges>,
    gate: Arc<Gate>,
    /// What requests' bodies take.
    pool: Arc<Pool>,
    /// One for each answer that may be compressed.
    compressed: Arc<Semaphore>,
    /// Who holds it may make values of large arguments, which takes many times their bytes.
    expanding: Mutex<()>,
}

impl Server {
    /// A server of these commands. Those that the descriptor lacks cannot be called; `capabilities`
    /// is added to it, and answers with it, unless the router has a command of that name.
    pub fn new(router: Router, mut capabilities: Capabilities, mut config: ServerConfig) -> Self {
        capabilities
            .commands
            .entry(CAPABILITIES.to_owned())
            .or_insert_with(CommandInfo::pull);
        let descriptor = capabilities.to_value();
        // Descriptors nest four levels deep; only an owner's own values could be refused.
        let descriptor = descriptor
            .encode(hgrpc::KeyOrder::Bytewise)
            .unwrap_or_else(|_| vec![0xa0]);
        config.limits = config.limits.checked_http();
        let limits = config.limits;
        Self(Arc::new(Inner {
            router,
            capabilities,
            descriptor,
            exchange: config.exchange(),
            config,
            gate: Gate::new(limits),
            pool: Pool::new(limits.shared_bytes),
            compressed: Arc::new(Semaphore::new(limits.per_connection.compressed_streams)),
            expanding: Mutex::default(),
        }))
    }

    /// What is announced.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    /// What it has done and refused so far.
    pub fn stats(&self) -> Stats {
        let Inner { gate, pool, .. } = &*self.0;
        gate.counters.read(pool.held(), pool.most_held())
    }

    /// Answers one HTTP request.
    async fn answer(self, request: Request<Incoming>, conn: Arc<Conn>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let under_way = conn.begin(&head);
        let path = head.uri.path();
        let span = tracing::info_span!("request", method = %head.method, path);
        let counters = &self.0.gate.counters;
        async {
            let result = match self.judge(&head, &conn.peer) {
                Ok(Plan::Done(response)) => Ok((response, Some(body))),
                Ok(Plan::Read(asked)) => {
                    let answered = self.process(&head, &mut body, &conn, &asked, &span).await;
                    answered
                        .map(|response| (response, None))
                        .map_err(|refused| (refused, body))
                }
                Err(refused) => Err((refused, body)),
            };
            let response = match result {
                Ok((response, unread)) => {
                    if let Some(body) = unread {
                        request::drain(&head, body);
                    }
                    response
                }
                Err((refused, body)) => {
                    let status = refused.response.status().as_u16();
                    counters.refused(refused.reason);
                    tracing::debug!(refusal = %refused.reason, status, "the request was refused");
                    request::drain(&head, body);
                    *refused.response
                }
            };
            counters.answered(response.status().as_u16());
            response.map(|body| body.of(under_way))
        }
        .instrument(span.clone())
        .await
    }

    /// The checks of http-v2.md, 2 in their order.
    fn judge(&self, head: &hyper::http::request::Parts, peer: &Peer) -> Result<Plan, Refused> {
        let inner = &*self.0;
        let target = Target::parse(&head.uri, &inner.config.path)?;
        let access = |permission, command| Access::new(head, peer, permission, command);
        let (permission, name) = match target {
            Target::Capabilities => {
                if head.method != Method::GET {
                    return Err(Refused::method("GET"));
                }
                self.authorize(&access(Permission::Pull, CAPABILITIES))?;
                return Ok(Plan::Done(handshake::reply(inner, &head.headers)));
            }
            Target::Version1(command) => return Err(handshake::version_1(&command)),
            Target::Apis => {
                let text = format!("The APIs under this address:\n\n{}", super::API_NAME);
                return Ok(Plan::Done(plain(text)));
            }
            Target::Api => {
                let text = format!("{}: POST to ro/COMMAND or rw/COMMAND", super::API_NAME);
                return Ok(Plan::Done(plain(text)));
            }
            Target::Command(permission, name) => (permission, name),
        };
        if head.method != Method::POST {
            return Err(Refused::method("POST"));
        }
        self.authorize(&access(permission, &name))?;
        let info = inner.capabilities.commands.get(&name);
        match info {
            None if name != super::MULTIREQUEST => {
                let text = format!("unknown wire protocol command: {}", name.escape_debug());
                let status = StatusCode::NOT_FOUND;
                return Err(Refused::text(Refusal::UnknownCommand, status, text));
            }
            // H-02: the command's own permission counts, under every address.
            Some(info) if info.is_push() && permission == Permission::Pull => {
                return Err(insufficient(&name));
            }
            _ => {}
        }
        let header = |name| {
            head.headers
                .get(name)
                .map_or(&b""[..], HeaderValue::as_bytes)
        };
        if header("accept") != FRAMING_MEDIA_TYPE.as_bytes() {
            let text = format!("the Accept header must be {FRAMING_MEDIA_TYPE}");
            let status = StatusCode::NOT_ACCEPTABLE;
            return Err(Refused::text(Refusal::Headers, status, text));
        }
        let essence = header("content-type").split(|byte| *byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        if essence != FRAMING_MEDIA_TYPE.as_bytes() {
            let text = format!("the Content-Type header must be {FRAMING_MEDIA_TYPE}");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refused::text(Refusal::Headers, status, text));
        }
        let length = std::str::from_utf8(header(CONTENT_LENGTH.as_str()));
        let length: Option<u64> = length.ok().and_then(|text| text.parse().ok());
        let Some(length) = length else {
            let text = "the request must have a Content-Length";
            let status = StatusCode::LENGTH_REQUIRED;
            return Err(Refused::text(Refusal::Headers, status, text));
        };
        let most = inner.config.limits.per_connection.gathered;
        if length > wide(most) {
            let text = format!("the request is larger than {most} bytes");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(Refused::text(Refusal::RequestTooLarge, status, text));
        }
        Ok(Plan::Read(Asked { permission, name }))
    }

    fn authorize(&self, access: &Access<'_>) -> Result<(), Refused> {
        let checked = self.0.config.authorize.authorize(access);
        checked.map_err(Refused::from)
    }
}

/// What becomes of a request whose head was looked at.
enum Plan {
    Done(Response<Body>),
    Read(Asked),
}

/// What a request's address asks for.
struct Asked {
    permission: Permission,
    /// A command's name, or `multirequest`.
    name: String,
}

/// The command that answers with the descriptor.
const CAPABILITIES: &str = "capabilities";

fn insufficient(command: &str) -> Refused {
    let command = command.escape_debug();
    let text = format!("insufficient permissions to execute command: {command}");
    Refused::text(Refusal::Forbidden, StatusCode::FORBIDDEN, text)
}

/// What a request gets that is refused as a whole.
struct Refused {
    reason: Refusal,
    response: Box<Response<Body>>,
}

impl Refused {
    fn new(reason: Refusal, status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut response = Box::new(Response::new(Body::whole(body)));
        *response.status_mut() = status;
        Self { reason, response }
    }

    fn text(reason: Refusal, status: StatusCode, text: impl Into<String>) -> Self {
        let text_plain = HeaderValue::from_static("text/plain");
        Self::new(reason, status, text.into() + "\n").header(CONTENT_TYPE, text_plain)
    }

    fn method(allowed: &'static str) -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(Refusal::Method, status, Bytes::new())
            .header(ALLOW, HeaderValue::from_static(allowed))
    }

    /// What could be served at another time.
    fn later(reason: Refusal, text: &str) -> Self {
        Self::text(reason, StatusCode::SERVICE_UNAVAILABLE, text)
            .header(RETRY_AFTER, HeaderValue::from_static("5"))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().insert(name, value);
        self
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        let status = StatusCode::from_u16(denial.status).unwrap_or(StatusCode::FORBIDDEN);
        let mut refused = Self::new(Refusal::Forbidden, status, "permission denied");
        // What cannot stand in a head is left out.
        if let Ok(reason) = ReasonPhrase::try_from(denial.reason.into_bytes()) {
            refused.response.extensions_mut().insert(reason);
        }
        match denial.challenge.map(HeaderValue::try_from) {
            Some(Ok(challenge)) => refused.header(WWW_AUTHENTICATE, challenge),
            _ => refused,
        }
    }
}

fn plain(text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text.into() + "\n"));
    let text_plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text_plain);
    response
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("router", &self.0.router)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
