//! A request's body: read frame by frame, then answered (http-v2.md, 3).

use std::task::Waker;
use std::time::Duration;

use hgrpc::ProtocolError;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Span;

use super::answer::Body;
use super::gate::Conn;
use super::{Access, Asked, Permission, Refusal, Refused, Server, answer, insufficient};
use crate::blocking::{Answering, Receiving, Stop};
use crate::engine::{Budget, Charge};
use crate::gate::limits::COPIES;
use crate::http::MULTIREQUEST;

/// Most bytes of a refused request that are read all the same, so that its sender gets to reading
/// the answer.
const DRAINED: usize = 1 << 20;

/// How long the rest of a refused request is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads what is left of a refused request, if that is little and on its way, while the answer is
/// sent: who has sent all of its head may wait for that.
pub(super) fn drain(head: &Parts, mut body: Incoming) {
    if head.headers.contains_key(EXPECT) || body.is_end_stream() {
        return;
    }
    let little = async move {
        let mut left = DRAINED;
        while let Some(Ok(frame)) = body.frame().await {
            let len = frame.data_ref().map_or(0, bytes::Bytes::len);
            match left.checked_sub(len) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    tokio::spawn(timeout(PATIENCE, little));
}

/// Waits for something, at most until then; `None` once that has passed.
async fn within<T>(due: Option<Instant>, what: impl Future<Output = T>) -> Option<T> {
    match due {
        Some(due) => timeout_at(due, what).await.ok(),
        None => Some(what.await),
    }
}

impl Server {
    /// Reads the body and starts to answer. Only then it counts as running: who sends slowly is in
    /// nobody's way.
    pub(super) async fn process(
        &self,
        head: &Parts,
        body: &mut Incoming,
        conn: &Conn,
        asked: &Asked,
        span: &Span,
    ) -> Result<Response<Body>, Refused> {
        let (answering, charge) = self.read(head, body, conn, asked).await?;
        let slot = conn.run().map_err(|reason| {
            Refused::later(reason, "too many requests are running; try again later")
        })?;
        let held = (charge, slot);
        Ok(answer::start(self.clone(), answering, held, span.clone()))
    }

    async fn read(
        &self,
        head: &Parts,
        body: &mut Incoming,
        conn: &Conn,
        asked: &Asked,
    ) -> Result<(Answering, Option<Charge>), Refused> {
        let config = &self.0.config;
        let limits = &config.limits;
        let bad = |reason, text| Refused::text(reason, StatusCode::BAD_REQUEST, text);
        let pool = self.0.pool.clone();
        let nobody = Waker::noop().clone();
        let budget = Budget::new(pool, limits.body_bytes(), limits.own_bytes, nobody);
        let mut charge: Option<Charge> = None;
        let mut receiving = Receiving::new(&self.0.exchange, &conn.peer);
        let began = Instant::now();
        let mut received = 0;
        loop {
            let due = limits.body_time(received).map(|time| began + time);
            let frame = match within(due, body.frame()).await {
                Some(Some(Ok(frame))) => frame,
                Some(None) => break,
                Some(Some(Err(_))) => {
                    return Err(bad(Refusal::CutShort, "the request was cut short"));
                }
                None => {
                    let status = StatusCode::REQUEST_TIMEOUT;
                    let text = "the request took too long";
                    return Err(Refused::text(Refusal::Slow, status, text));
                }
            };
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            received += bytes.len();
            // What is not free at once is not waited for: who holds it may be this client.
            let Some(taken) = budget.take(bytes.len().saturating_mul(COPIES)) else {
                budget.stop_waiting();
                let text = "the server holds as many bytes as it may; try again later";
                return Err(Refused::later(Refusal::ServerBytes, text));
            };
            match &mut charge {
                Some(charge) => charge.absorb(taken),
                None => charge = Some(taken),
            }
            receiving
                .feed(&bytes, |name, before| {
                    self.check_command(head, conn, asked, name, before)
                })
                .map_err(|stop| match stop {
                    Stop::Refused(refused) => refused,
                    Stop::Protocol(error) => self.broken(error),
                })?;
        }
        match receiving.finish() {
            Ok(Some(answering)) => {
                // What it was gathered in is free again.
                if let Some(charge) = &mut charge {
                    charge.keep(received.saturating_mul(COPIES - 1));
                }
                Ok((answering, charge))
            }
            // H-03.
            Ok(None) => {
                let text = "the request holds no complete command";
                Err(bad(Refusal::Nothing, text))
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// A command of the request has come (http-v2.md, 3.1).
    fn check_command(
        &self,
        head: &Parts,
        conn: &Conn,
        asked: &Asked,
        name: &[u8],
        before: usize,
    ) -> Result<(), Refused> {
        // How the reference refuses what is well-formed but not possible.
        let refuse = |reason, text: String| Err(Refused::text(reason, StatusCode::OK, text));
        let wrong = |text: &str| refuse(Refusal::WrongCommand, text.into());
        if asked.name != MULTIREQUEST {
            if before > 0 {
                return wrong("multiple commands cannot be issued to this URL");
            }
            // Permission was checked with the address.
            return if name == asked.name.as_bytes() {
                Ok(())
            } else {
                wrong("the command in the frame is not the one in the URL")
            };
        }
        let Some(info) = self.0.capabilities.command(name) else {
            let name = String::from_utf8_lossy(name);
            let name = name.escape_debug();
            let text = format!("wire protocol command not available: {name}");
            return refuse(Refusal::UnknownCommand, text);
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
        self.authorize(&Access::new(head, &conn.peer, permission, &name))
    }

    /// The status of a request that breaks the framing's rules: where the reference says so with
    /// 200, so does this; where it fails with 500, the request is at fault.
    fn broken(&self, error: ProtocolError) -> Refused {
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
        Refused::text(Refusal::Protocol, status, error.name())
    }
}
