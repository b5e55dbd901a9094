//! A command's data: from the connection into its buffer, and from there to its reader.

use std::cmp::Reverse;

use bytes::Bytes;
use hgrpc::wire::RequestId;

use super::handle::has;
use super::receive::Stuck;
use super::{Connection, Wake};
use crate::engine::inbound::{DataError, Pushed};
use crate::engine::{Charge, Key};
use crate::gate::Refusal;

impl Connection {
    /// The command whose data a request brings.
    pub(super) fn uploading(&self, id: RequestId) -> Option<Key> {
        let key = self.commands.at(self.core.requests().tag(id))?;
        let running = self.commands.get(key)?;
        let is_of = running.token.request_id() == id && running.has & has::UPLOADING != 0;
        is_of.then_some(key)
    }

    /// Data goes into its buffer: the first `left` bytes of the input. `false`: it waits for room.
    pub(super) fn push_data(
        &mut self,
        key: Key,
        left: usize,
        is_last: bool,
        input: &mut &[u8],
        is_late: bool,
    ) -> bool {
        let (mut bytes, behind) = input.split_at_checked(left).unwrap_or((input, &[]));
        let mut is_late = is_late;
        loop {
            let running = self.commands.get_mut(key);
            let Some(data) = running
                .filter(|running| running.has & has::UPLOADING != 0)
                .and_then(|running| running.data.as_mut())
            else {
                // Nobody wants it.
                break;
            };
            let before = bytes.len();
            let pushed = data.push(&mut bytes, &self.budget);
            if bytes.len() < before && std::mem::take(&mut data.is_wanted) {
                self.wake(Wake::Data(key));
            }
            match pushed {
                Pushed::Taken if !is_last => {}
                Pushed::Taken => self.end_upload(key, Ok(())),
                Pushed::Closed => self.end_upload(key, Err(DataError::Cut)),
                // What came meanwhile buys time.
                Pushed::Full | Pushed::OverBudget if !is_late || bytes.len() < before => {
                    let left = bytes.len();
                    let has_moved = left < before;
                    *input = input
                        .get(input.len() - behind.len() - left..)
                        .unwrap_or_default();
                    self.incoming.stick(Stuck::Data { key, left, is_last });
                    if has_moved {
                        self.incoming.since = 0;
                    }
                    return false;
                }
                Pushed::Full => self.refuse_running(key, Refusal::Stalled),
                Pushed::OverBudget => {
                    self.budget.stop_waiting();
                    // Who holds most is to blame; then this one may have room.
                    let largest = self.largest_upload().unwrap_or(key);
                    self.refuse_running(largest, Refusal::ServerBytes);
                    is_late = false;
                    continue;
                }
            }
            break;
        }
        *input = behind;
        true
    }

    /// Of the commands whose data is still to come, the one that holds most.
    fn largest_upload(&self) -> Option<Key> {
        let uploads = self.commands.iter();
        uploads
            .filter(|(_, running)| running.has & has::UPLOADING != 0)
            .filter_map(|(key, running)| Some((key, running.data.as_ref()?.held())))
            .min_by_key(|(key, held)| (Reverse(*held), *key))
            .map(|(key, _)| key)
    }

    /// No more of a command's data comes.
    pub(super) fn end_upload(&mut self, key: Key, end: Result<(), DataError>) {
        let Some(running) = self.commands.get_mut(key) else {
            return;
        };
        if running.has & has::UPLOADING == 0 {
            return;
        }
        running.has &= !has::UPLOADING;
        self.uploads -= 1;
        let Some(data) = &mut running.data else {
            return;
        };
        match end {
            Err(DataError::Refused) => data.give_up(DataError::Refused),
            end => data.end(end),
        }
        let is_wanted = std::mem::take(&mut data.is_wanted);
        if is_wanted || self.holds_answers {
            self.wake(Wake::Data(key));
        }
        if self.incoming.waits_for(key) {
            self.wake(Wake::Input);
        }
    }

    /// The next bytes of a command's data, never empty; `Ok(None)` at its end. `None`: more are to
    /// come, and [`Wake::Data`] says when.
    pub fn read(&mut self, key: Key) -> Option<Result<Option<Bytes>, DataError>> {
        let read = self.collect(key)?;
        Some(read.map(|read| read.map(|(bytes, _)| bytes)))
    }

    /// The same for who keeps the bytes, which go on counting as held until the charge is dropped.
    pub fn collect(&mut self, key: Key) -> Option<Result<Option<(Bytes, Charge)>, DataError>> {
        let running = self.commands.get_mut(key);
        let Some(data) = running.and_then(|running| running.data.as_mut()) else {
            return Some(Err(DataError::Cut));
        };
        let mut read = data.read();
        if let Some(Ok(Some((bytes, charge)))) = &mut read {
            charge.keep(bytes.len());
        }
        if data.has_room() && self.incoming.waits_for(key) {
            self.wake(Wake::Input);
        }
        read
    }

    /// Nobody reads a command's data any more: what is left is swallowed.
    pub fn data_dropped(&mut self, key: Key) {
        if let Some(running) = self.commands.get_mut(key) {
            running.has &= !has::DATA;
            if let Some(data) = &mut running.data {
                data.abandon();
            }
            if self.incoming.waits_for(key) {
                self.wake(Wake::Input);
            }
            self.settle_command(key);
        }
    }
}
