//! A request's body: read frame by frame, then answered (http-v2.md, 3).

use std::net::SocketAddr;

use hgrpc::ProtocolError;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::time::timeout;

use super::answer::Body;
use super::{Access, Asked, Permission, Refusal, Server, answer, insufficient};
use crate::blocking::{Answering, Receiving, Stop};
use crate::http::MULTIREQUEST;

/// Most bytes of a refused request that are read all the same, so that its sender gets to reading
/// the answer.
const DRAINED: usize = 1 << 20;

/// Reads what is left of a refused request, if that is little and on its way.
pub(super) async fn drain(head: &Parts, mut body: Incoming) {
    if head.headers.contains_key(EXPECT) {
        return;
    }
    let mut left = DRAINED;
    while let Ok(Some(Ok(frame))) = timeout(PATIENCE, body.frame()).await {
        let len = frame.data_ref().map_or(0, bytes::Bytes::len);
        match left.checked_sub(len) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// How long the rest of a refused request is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

impl Server {
    /// Reads the body and starts to answer.
    pub(super) async fn process(
        self,
        head: Parts,
        mut body: Incoming,
        peer: Option<SocketAddr>,
        asked: Asked,
    ) -> Response<Body> {
        let Ok(permit) = self.0.running.clone().try_acquire_owned() else {
            drain(&head, body).await;
            let text = "too many requests are running; try again later";
            return Refusal::text(StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        };
        match self.read(&head, &mut body, peer, &asked).await {
            Ok(answering) => answer::start(self, answering, permit),
            Err(refusal) => {
                drain(&head, body).await;
                refusal.into_response()
            }
        }
    }

    async fn read(
        &self,
        head: &Parts,
        body: &mut Incoming,
        peer: Option<SocketAddr>,
        asked: &Asked,
    ) -> Result<Answering, Refusal> {
        let config = &self.0.config;
        let bad = |text: &str| Refusal::text(StatusCode::BAD_REQUEST, text);
        let mut receiving = Receiving::new(config.exchange());
        loop {
            let frame = match timeout(config.limits.read, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(bad("the request was cut short")),
                Err(_) => {
                    let text = "the request took too long";
                    return Err(Refusal::text(StatusCode::REQUEST_TIMEOUT, text));
                }
            };
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            receiving
                .feed(&bytes, |name, before| {
                    self.check_command(head, peer, asked, name, before)
                })
                .map_err(|stop| match stop {
                    Stop::Refused(refusal) => refusal,
                    Stop::Protocol(error) => self.broken(error),
                })?;
        }
        match receiving.finish() {
            Ok(Some(answering)) => Ok(answering),
            // H-03.
            Ok(None) => Err(bad("the request holds no complete command")),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// A command of the request has come (http-v2.md, 3.1).
    fn check_command(
        &self,
        head: &Parts,
        peer: Option<SocketAddr>,
        asked: &Asked,
        name: &[u8],
        before: usize,
    ) -> Result<(), Refusal> {
        // How the reference refuses what is well-formed but not possible.
        let refuse = |text: String| Err(Refusal::text(StatusCode::OK, text));
        if asked.name != MULTIREQUEST {
            if before > 0 {
                return refuse("multiple commands cannot be issued to this URL".into());
            }
            // Permission was checked with the address.
            return if name == asked.name.as_bytes() {
                Ok(())
            } else {
                refuse("the command in the frame is not the one in the URL".into())
            };
        }
        let Some(info) = self.0.capabilities.command(name) else {
            let name = String::from_utf8_lossy(name);
            let name = name.escape_debug();
            return refuse(format!("wire protocol command not available: {name}"));
        };
        let name = String::from_utf8_lossy(name);
        let permission = if info.is_push() {
            Permission::Push
        } else {
            Permission::Pull
        };
        if permission == Permission::Push && asked.permission == Permission::Pull {
            return Err(insufficient(&name));
        }
        self.authorize(&Access::new(head, peer, permission, &name))
    }

    /// The status of a request that breaks the framing's rules: where the reference says so with
    /// 200, so does this; where it fails with 500, the request is at fault.
    fn broken(&self, error: ProtocolError) -> Refusal {
        let is_bad = matches!(
            error,
            ProtocolError::FrameTooLarge
                | ProtocolError::ShortHeader
                | ProtocolError::ShortPayload
                | ProtocolError::EncodingUnsupported
                | ProtocolError::MalformedRequest
                | ProtocolError::MalformedSettings
                | ProtocolError::SettingsTooLarge
                | ProtocolError::RequestFramesUnfinished
                | ProtocolError::TooManyRefused
        );
        let status = if is_bad || self.0.config.strict_status {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        Refusal::text(status, error.name())
    }
}
