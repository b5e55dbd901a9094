//! The body of a request: settings, then the frames of each command (revision-0006.md, 6.6).

use hgrpc::Revision;
use hgrpc::cbor::{EncodedArgs, EncodingSet};
use hgrpc::client::{Announcement, ClientConfig};
use hgrpc::client::{Client, Request, Upload};
use hgrpc::output::{Output, Stream};
use hgrpc::wire::HEADER_LEN;
use hgrpc::{ApiMisuse, KeyOrder};

use super::redirect::Offer;
use super::{Command, Config, Error};
use crate::host::request::Arguments;
use crate::requests::Budgets;
use crate::requests::{GatheredBytes, GrowableRequests};

/// The core's client of one request.
pub(super) type Core = Client<Revision, GrowableRequests>;

/// What is known of a request, all of whose frames were made.
pub(super) struct Sent {
    pub(super) core: Core,
    /// What may be gathered.
    pub(super) memory: GatheredBytes,
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
    let settings = core_config(config);
    let frame_size = usize::try_from(settings.send_frame_size).unwrap_or(usize::MAX);
    let mut core = Core::new(Revision::R0006, settings, GrowableRequests::new(budgets));
    let mut uploads: Vec<Upload> = Vec::with_capacity(commands.len());
    for command in commands {
        let (upload, _) = core.request(command.data.is_some())?;
        uploads.push(upload);
    }
    let _ = core.flush()?;
    let mut buffer = vec![0; HEADER_LEN.saturating_add(frame_size)];
    let mut out = Output::new(Stream::CLIENT, &mut buffer);
    let mut body = Vec::new();
    for (command, upload) in commands.iter().zip(&uploads) {
        let args = encode_args(command)?;
        let args = EncodedArgs::from_cbor(&args).map_err(|_| ApiMisuse::InvalidMessage)?;
        let mut request = Request::new(command.name.as_bytes(), args);
        request.redirect = offer.map(Offer::as_cbor);
        loop {
            let is_done = core.send(upload, &request, &mut out)?;
            body.extend_from_slice(out.frame());
            if is_done {
                break;
            }
        }
        let Some(mut data) = command.data.as_deref() else {
            continue;
        };
        loop {
            let is_done = core.send_data(upload, &mut data, true, &mut out)?;
            body.extend_from_slice(out.frame());
            if is_done {
                break;
            }
        }
    }
    let memory = GatheredBytes::new(budgets.bytes);
    Ok((body, Sent { core, memory }))
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
