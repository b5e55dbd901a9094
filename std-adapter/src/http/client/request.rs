//! The body of a request: settings, then the frames of each command (revision-0006.md, 6.6).

use hgrpc::Revision;
use hgrpc::cbor::{EncodedArgs, EncodingSet};
use hgrpc::client::{Announcement, Call, CallData, Client, ClientConfig, Request};
use hgrpc::{ApiMisuse, KeyOrder};

use super::redirect::Offer;
use super::{Command, Config, Error};
use crate::host::request::Arguments;
use crate::store::{Budgets, GrowableTable};

/// The reactor of one request, all of whose frames were taken.
pub(super) struct Sent {
    pub(super) client: Client<Revision>,
    pub(super) table: GrowableTable,
    /// What may be gathered.
    pub(super) budgets: Budgets,
}

/// Frames of all commands, in one buffer.
pub(super) fn frames(
    config: &Config,
    commands: &[Command],
    offer: Option<&Offer>,
) -> Result<(Vec<u8>, Sent), Error> {
    let mut budgets = Budgets::DEFAULT;
    budgets.requests = commands.len();
    budgets.bytes = GATHERED;
    let mut table = GrowableTable::new(budgets);
    let mut client = Client::new(Revision::R0006, core_config(config));
    let args: Vec<Vec<u8>> = commands.iter().map(encode_args).collect::<Result<_, _>>()?;
    let mut calls: Vec<Call<'_>> = Vec::with_capacity(commands.len());
    for (command, args) in commands.iter().zip(&args) {
        let args = EncodedArgs::from_cbor(args).map_err(|_| ApiMisuse::InvalidMessage)?;
        let data = command.data.as_deref();
        let mut request = Request::new(command.name.as_bytes(), args)
            .with_data(data.map_or(CallData::None, CallData::Bytes));
        request.redirect = offer.map(Offer::as_cbor);
        let (call, _) = client.call(&mut table, request)?;
        calls.push(call);
    }
    let _ = client.flush()?;
    let mut body = Vec::new();
    for call in &mut calls {
        while let Some(frame) = call.next_frame(&mut client.output(&mut table)) {
            body.extend_from_slice(frame.header().emit());
            for slice in frame.payload() {
                body.extend_from_slice(slice);
            }
        }
    }
    let sent = Sent {
        client,
        table,
        budgets,
    };
    Ok((body, sent))
}

/// Most bytes of messages that are gathered from several parts: errors, texts, settings.
const GATHERED: usize = 1 << 20;

fn core_config(config: &Config) -> ClientConfig {
    let mut core = ClientConfig::DEFAULT;
    core.takes_status = true;
    core.max_frame_size = config.limits.frame_size;
    // Other servers' messages may be as long as a frame.
    core.status_size = 64 << 10;
    let mut encodings = [None; 3];
    let mut decoders = EncodingSet::IDENTITY;
    let offered = config.offered();
    for (slot, encoding) in encodings.iter_mut().zip(&offered) {
        *slot = Some(*encoding);
        decoders = decoders.with(*encoding);
    }
    core.decoders = decoders;
    core.announcement = (!offered.is_empty()).then(|| Announcement {
        encodings,
        is_hgrpc: config.takes_side_frames(),
    });
    core
}

fn encode_args(command: &Command) -> Result<Vec<u8>, Error> {
    let mut args = Arguments::default();
    for (name, value) in &command.args {
        let value = value.encode(KeyOrder::Bytewise);
        let value = value.map_err(|_| ApiMisuse::InvalidMessage)?;
        args.cbor(name.as_bytes(), &value);
    }
    Ok(args.encode(KeyOrder::Bytewise)?)
}
