//! The server's end (http-v2.md, 1 to 3): any [`Router`] of commands over HTTP.
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
//! A request is read as a whole, within [`ServerLimits::request`]; then its commands run one after
//! another in a thread of their own, and what they write leaves as they write it.

mod answer;
mod config;
mod handshake;
mod permission;
mod request;
mod serve;
mod target;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

pub use config::{ServerConfig, ServerLimits};
pub use permission::{Access, Authorize, Denial, Permission, Permissions};
pub use serve::Running;

use super::{Capabilities, CommandInfo, FRAMING_MEDIA_TYPE};
use crate::blocking::Router;
use answer::Body;
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
    /// One for each request whose commands run.
    running: Arc<Semaphore>,
}

impl Server {
    /// A server of these commands. Those that the descriptor lacks cannot be called; `capabilities`
    /// is added to it, and answers with it, unless the router has a command of that name.
    pub fn new(router: Router, mut capabilities: Capabilities, config: ServerConfig) -> Self {
        capabilities
            .commands
            .entry(CAPABILITIES.to_owned())
            .or_insert_with(CommandInfo::pull);
        let descriptor = capabilities.to_value();
        // Descriptors nest four levels deep; only an owner's own values could be refused.
        let descriptor = descriptor
            .encode(hgrpc::KeyOrder::Bytewise)
            .unwrap_or_else(|_| vec![0xa0]);
        let running = Arc::new(Semaphore::new(config.limits.running));
        Self(Arc::new(Inner {
            router,
            capabilities,
            descriptor,
            config,
            running,
        }))
    }

    /// What is announced.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    /// Answers one HTTP request: the checks of http-v2.md, 2 in their order.
    async fn answer(self, request: Request<Incoming>, peer: Option<SocketAddr>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let refused = match self.judge(&head, peer) {
            Ok(Plan::Done(response)) => response,
            Ok(Plan::Read(target)) => {
                return self.process(head, body, peer, target).await;
            }
            Err(refusal) => refusal.into_response(),
        };
        request::drain(&head, body).await;
        refused
    }

    fn judge(
        &self,
        head: &hyper::http::request::Parts,
        peer: Option<SocketAddr>,
    ) -> Result<Plan, Refusal> {
        let inner = &*self.0;
        let target = Target::parse(&head.uri, &inner.config.path)?;
        let access = |permission, command| Access::new(head, peer, permission, command);
        let (permission, name) = match target {
            Target::Capabilities => {
                if head.method != Method::GET {
                    return Err(Refusal::method("GET"));
                }
                self.authorize(&access(Permission::Pull, CAPABILITIES))?;
                return Ok(Plan::Done(handshake::reply(inner, &head.headers)));
            }
            Target::Version1(command) => return Err(handshake::version_1(&command)),
            Target::Apis => {
                let text = format!("The APIs under this address:\n\n{}", super::API_NAME);
                return Ok(Plan::Done(plain(StatusCode::OK, text)));
            }
            Target::Api => {
                let text = format!("{}: POST to ro/COMMAND or rw/COMMAND", super::API_NAME);
                return Ok(Plan::Done(plain(StatusCode::OK, text)));
            }
            Target::Command(permission, name) => (permission, name),
        };
        if head.method != Method::POST {
            return Err(Refusal::method("POST"));
        }
        self.authorize(&access(permission, &name))?;
        let info = inner.capabilities.commands.get(&name);
        match info {
            None if name != super::MULTIREQUEST => {
                let text = format!("unknown wire protocol command: {}", name.escape_debug());
                return Err(Refusal::text(StatusCode::NOT_FOUND, text));
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
            return Err(Refusal::text(StatusCode::NOT_ACCEPTABLE, text));
        }
        let essence = header("content-type").split(|byte| *byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        if essence != FRAMING_MEDIA_TYPE.as_bytes() {
            let text = format!("the Content-Type header must be {FRAMING_MEDIA_TYPE}");
            return Err(Refusal::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let length = std::str::from_utf8(header(CONTENT_LENGTH.as_str()));
        let length: Option<u64> = length.ok().and_then(|text| text.parse().ok());
        let Some(length) = length else {
            let text = "the request must have a Content-Length";
            return Err(Refusal::text(StatusCode::LENGTH_REQUIRED, text));
        };
        if length > inner.config.limits.request {
            let most = inner.config.limits.request;
            let text = format!("the request is larger than {most} bytes");
            return Err(Refusal::text(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Ok(Plan::Read(Asked { permission, name }))
    }

    fn authorize(&self, access: &Access<'_>) -> Result<(), Refusal> {
        let checked = self.0.config.authorize.authorize(access);
        checked.map_err(Refusal::from)
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

fn insufficient(command: &str) -> Refusal {
    let command = command.escape_debug();
    let text = format!("insufficient permissions to execute command: {command}");
    Refusal::text(StatusCode::FORBIDDEN, text)
}

/// What a request gets that is refused as a whole.
struct Refusal(Box<Response<Body>>);

impl Refusal {
    fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(answer::whole(body));
        *response.status_mut() = status;
        Self(Box::new(response))
    }

    fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(status, text.into() + "\n")
            .header(CONTENT_TYPE, HeaderValue::from_static("text/plain"))
    }

    fn method(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Bytes::new())
            .header(ALLOW, HeaderValue::from_static(allowed))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    fn into_response(self) -> Response<Body> {
        *self.0
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        let status = StatusCode::from_u16(denial.status).unwrap_or(StatusCode::FORBIDDEN);
        let mut refusal = Self::new(status, "permission denied");
        // What cannot stand in a head is left out.
        if let Ok(reason) = ReasonPhrase::try_from(denial.reason.into_bytes()) {
            refusal.0.extensions_mut().insert(reason);
        }
        match denial.challenge.map(HeaderValue::try_from) {
            Some(Ok(challenge)) => refusal.header(WWW_AUTHENTICATE, challenge),
            _ => refusal,
        }
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    Refusal::text(status, text).into_response()
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("router", &self.0.router)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
