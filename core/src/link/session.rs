//! Who is connected with whom, and what is due (link.md, "States").

use super::packet::{Place, Sync};
use super::{LinkConfig, LinkError};

/// Something that the owner has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Report {
    Up,
    Lost(LinkError),
}

/// The state of one end, but for the packet that is being received.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Session {
    /// Never 0.
    pub(super) own: u32,
    /// 0: unknown.
    pub(super) peer: u32,
    /// The next data packet that is sent, and the next that is received.
    pub(super) next_sent: u32,
    next_received: u32,
    /// The peer's N − 1.
    pub(super) peer_size: u8,
    size: u8,
    patience: u8,
    /// Ticks since the last packet of this connection.
    unanswered: u8,
    pub(super) is_up: bool,
    is_fresh: bool,
    is_sync_due: bool,
    wants_reply: bool,
    pub(super) report: Option<Report>,
}

impl Session {
    pub(super) const fn new(config: LinkConfig, size: u8) -> Self {
        Self {
            own: if config.session == 0 {
                1
            } else {
                config.session
            },
            peer: 0,
            next_sent: 0,
            next_received: 0,
            peer_size: 0,
            size,
            patience: config.patience,
            unanswered: 0,
            is_up: false,
            is_fresh: true,
            is_sync_due: true,
            wants_reply: true,
            report: None,
        }
    }

    fn renumber(&mut self) {
        self.own = after(self.own);
        self.peer = 0;
    }

    /// Row L8, without its patience.
    pub(super) const fn ask(&mut self) {
        self.is_sync_due = true;
        self.wants_reply = true;
    }

    /// Ends the connection, if there is one (link.md, "States": Reset).
    pub(super) fn reset(&mut self, error: LinkError) {
        if self.is_up {
            self.is_up = false;
            self.renumber();
            self.ask();
            self.report = Some(Report::Lost(error));
        }
    }

    /// Rows L1 to L4.
    pub(super) fn handle_sync(&mut self, sync: Sync) {
        let is_named = sync.peer == self.own;
        if self.is_up {
            if sync.own == self.peer && is_named {
                // L2.
                self.unanswered = 0;
                if sync.sequence == self.next_received {
                    self.is_sync_due |= sync.wants_reply;
                } else {
                    self.reset(LinkError::LinkLost);
                }
                return;
            }
            // L4. What is new of the peer is learned below.
            self.reset(if sync.is_fresh {
                LinkError::PeerRestarted
            } else {
                LinkError::LinkLost
            });
        } else if sync.own == self.own {
            // L1.
            self.renumber();
            return;
        } else if is_named {
            // L2.
            self.is_fresh = false;
            if sync.sequence == 0 {
                self.is_up = true;
                self.next_sent = 0;
                self.next_received = 0;
                self.unanswered = 0;
                self.report = Some(Report::Up);
                self.is_sync_due = sync.wants_reply;
                self.wants_reply = false;
            } else {
                self.renumber();
                self.ask();
                return;
            }
        } else {
            // L3.
            self.ask();
        }
        self.peer = sync.own;
        self.peer_size = sync.size;
    }

    /// Where the data packet that is awaited belongs.
    pub(super) fn awaited(&self) -> Option<Place> {
        self.is_up.then_some(Place {
            sender: self.peer,
            receiver: self.own,
            sequence: self.next_received,
        })
    }

    /// Row L5.
    pub(super) fn handle_data(&mut self) {
        self.next_received = after(self.next_received);
        self.unanswered = 0;
    }

    /// Row L8.
    pub(super) fn tick(&mut self) {
        if self.is_up && self.patience != 0 {
            if self.unanswered >= self.patience {
                self.reset(LinkError::LinkLost);
            }
            self.unanswered = self.unanswered.saturating_add(1);
        }
        self.ask();
    }

    /// The sync that is due.
    pub(super) fn take_sync(&mut self) -> Option<Sync> {
        if !core::mem::take(&mut self.is_sync_due) {
            return None;
        }
        Some(Sync {
            own: self.own,
            peer: self.peer,
            sequence: if self.is_up { self.next_sent } else { 0 },
            size: self.size,
            is_fresh: self.is_fresh,
            wants_reply: core::mem::take(&mut self.wants_reply),
        })
    }

    /// The place of the next data packet to be sent.
    pub(super) fn take_place(&mut self) -> Place {
        let sequence = self.next_sent;
        self.next_sent = after(sequence);
        Place {
            sender: self.own,
            receiver: self.peer,
            sequence,
        }
    }
}

/// The next number, never 0: that is the first data packet, or an unknown session.
const fn after(number: u32) -> u32 {
    match number.checked_add(1) {
        Some(next) => next,
        None => 1,
    }
}
