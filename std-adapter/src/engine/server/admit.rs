//! Which command may run, and what it may hold.

use hgrpc::cbor::{Args, RedirectTargets};
use hgrpc::server::{Command as CoreCommand, Reply};
use hgrpc::wire::RequestId;

use super::Connection;
use super::handle::{Running, has};
use super::receive::Stuck;
use crate::engine::inbound::Inbound;
use crate::engine::{Charge, Key};
use crate::gate::Refusal;
use crate::host::Failure;

/// A command that is to be run.
#[derive(Debug)]
pub struct Command<R> {
    /// Its reply, its data and its handler.
    pub key: Key,
    /// What runs it.
    pub route: R,
    /// What is asked.
    pub request: Request,
    /// Whether data comes with it, be it none: [`Connection::read`].
    pub has_data: bool,
}

/// A command's name and arguments, in memory that counts as held until this is dropped.
#[derive(Debug)]
pub struct Request {
    /// One behind another: name, arguments, redirect targets.
    bytes: Box<[u8]>,
    name: usize,
    args: usize,
    id: RequestId,
    _charge: Option<Charge>,
}

impl Request {
    /// Copies a command.
    fn new(command: &CoreCommand<'_>) -> Self {
        let args = command.args.as_cbor();
        let redirect = command.redirect.as_ref().map(|targets| targets.as_cbor());
        let redirect = redirect.unwrap_or_default();
        let name = command.name.as_bytes();
        let name_len = name.map_or(0, |name| name.len());
        let mut bytes = Vec::with_capacity(name_len + args.len() + redirect.len());
        for chunk in name.iter().flat_map(|name| name.chunks()) {
            bytes.extend_from_slice(chunk);
        }
        bytes.extend_from_slice(args);
        bytes.extend_from_slice(redirect);
        Self {
            bytes: bytes.into(),
            name: name_len,
            args: args.len(),
            id: command.reply.request_id(),
            _charge: None,
        }
    }

    /// The command's name.
    pub fn name(&self) -> &[u8] {
        self.bytes.get(..self.name).unwrap_or_default()
    }

    /// The arguments.
    pub fn args(&self) -> Args<'_> {
        let args = self.bytes.get(self.name..self.name + self.args);
        // They were found in a request.
        args.and_then(|args| Args::from_cbor(args).ok())
            .unwrap_or_default()
    }

    /// Where the client would let itself be redirected to (0006).
    pub fn redirect_targets(&self) -> Option<RedirectTargets<'_>> {
        let targets = self.bytes.get(self.name + self.args..)?;
        RedirectTargets::from_cbor(targets).ok()
    }

    /// The request's ID on its connection.
    pub const fn id(&self) -> RequestId {
        self.id
    }

    /// Bytes that it holds.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds no byte.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A command that may have to wait for bytes before it may run.
#[derive(Debug)]
pub(super) struct Pending {
    key: Key,
    request: Request,
    has_data: bool,
}

/// A command as the core gives it, with nothing borrowed.
pub(super) struct Arrived {
    request: Request,
    token: Reply,
    has_data: bool,
}

impl Arrived {
    pub(super) fn new(command: CoreCommand<'_>) -> Self {
        Self {
            request: Request::new(&command),
            has_data: command.data_follows,
            token: command.reply,
        }
    }

    pub(super) const fn id(&self) -> RequestId {
        self.request.id
    }
}

impl Connection {
    /// A command has come. Of one that was gathered, what it holds is charged already.
    pub(super) fn arrived(&mut self, arrived: Arrived, is_whole: bool) -> Pending {
        let Arrived {
            mut request,
            token,
            has_data,
        } = arrived;
        if !is_whole && let Some(gathered) = &mut self.incoming.gathered {
            request._charge = gathered.split(request.len());
        }
        let key = self.commands.insert(Running::new(token, request.name()));
        self.replies += 1;
        Pending {
            key,
            request,
            has_data,
        }
    }

    /// Lets a command run, has it wait, or refuses it.
    pub(super) fn admit<R>(
        &mut self,
        mut pending: Pending,
        is_late: bool,
        find: &impl Fn(&[u8]) -> Option<R>,
    ) -> Option<Command<R>> {
        let key = pending.key;
        let (id, name) = (pending.request.id, pending.request.name());
        if self.shared.is_stopping() {
            self.shared.refused(id, Some(name), Refusal::ShuttingDown);
            let failure = self.shared.refusal(Refusal::ShuttingDown);
            return self.refuse_new(key, &failure);
        }
        let Some(route) = find(name) else {
            self.shared.refused(id, Some(name), Refusal::UnknownCommand);
            let failure = Failure::unknown_command(name);
            return self.refuse_new(key, &failure);
        };
        if pending.request._charge.is_none() {
            pending.request._charge = self.budget.take(pending.request.len());
        }
        if pending.request._charge.is_none() {
            if !is_late {
                self.incoming.stick(Stuck::Command(Box::new(pending)));
                return None;
            }
            self.budget.stop_waiting();
            self.refuse_waiting(&pending);
            return None;
        }
        let limits = &self.shared.limits;
        let (calls, requests) = (self.shared.config.limits.calls, limits.requests);
        let limit = if self.handlers >= calls {
            Some(calls)
        } else {
            let is_begun = self.shared.counters.begin_request(requests);
            (!is_begun).then_some(requests)
        };
        if let Some(limit) = limit {
            let refusal = Refusal::TooManyRequests;
            self.shared
                .refused(id, Some(pending.request.name()), refusal);
            let failure = Failure::server(format_args!("{refusal}, limit {limit}"));
            return self.refuse_new(key, &failure);
        }
        let buffer = self.shared.config.limits.buffer;
        if let Some(running) = self.commands.get_mut(key) {
            running.has |= has::HANDLER | has::REPLY | has::COUNTED;
            self.handlers += 1;
            if pending.has_data {
                running.has |= has::DATA | has::UPLOADING;
                running.data = Some(Inbound::new(buffer));
                self.uploads += 1;
                self.core.requests_mut().set_tag(id, key.tag());
            }
        }
        Some(Command {
            key,
            route,
            request: pending.request,
            has_data: pending.has_data,
        })
    }

    /// Answers a command for which no bytes became free.
    pub(super) fn refuse_waiting(&mut self, pending: &Pending) {
        let request = &pending.request;
        self.shared
            .refused(request.id, Some(request.name()), Refusal::ServerBytes);
        let failure = self.shared.refusal(Refusal::ServerBytes);
        self.end_with(pending.key, &failure);
    }

    /// Answers a request that is not run.
    fn refuse_new<R>(&mut self, key: Key, failure: &Failure) -> Option<Command<R>> {
        self.end_with(key, failure);
        None
    }
}
