//! What a random client sends: requests, data, settings, and much that it should not.

use hgrpc::Revision;

use super::rng::Rng;

/// A client, as far as it must remember what it has sent.
#[derive(Debug)]
pub(super) struct Peer {
    revision: Revision,
    /// Breaks the protocol now and then.
    is_wild: bool,
    /// Stream 1 has begun.
    has_begun: bool,
    /// 0006: what is left of the settings, in pieces.
    settings: Vec<Vec<u8>>,
    /// How many request IDs it uses.
    ids: usize,
    sent: Vec<Sent>,
}

/// A request of which something is still to be sent.
#[derive(Debug)]
struct Sent {
    id: u16,
    rest: Vec<u8>,
    has_data: bool,
    /// Request frames are to come.
    more: bool,
}

const REQUEST: u8 = 1;
const SETTINGS: u8 = 8;

impl Peer {
    pub(super) fn new(rng: &mut Rng, revision: Revision) -> Self {
        let mut settings = Vec::new();
        if revision.has_settings() && rng.chance(75) {
            let mut rest = settings_of(rng);
            while rng.chance(30) {
                let cut = rng.below(rest.len() + 1);
                settings.push(rest.drain(..cut).collect());
            }
            settings.push(rest);
            settings.reverse();
        }
        Self {
            revision,
            is_wild: rng.chance(30),
            has_begun: false,
            settings,
            ids: rng.pick(&[3, 12, 200]),
            sent: Vec::new(),
        }
    }

    /// Appends one frame; `active` are the requests that wait for their answers.
    pub(super) fn send(&mut self, rng: &mut Rng, active: &[u16], wire: &mut Vec<u8>) {
        let had_begun = self.has_begun;
        let mut stream_flags = u8::from(!had_begun || rng.chance(2));
        let mut stream = 1;
        if rng.chance(2) {
            stream = 3;
            stream_flags = 1;
        } else {
            let is_end = rng.chance(2);
            stream_flags |= u8::from(is_end) << 1;
            self.has_begun = !is_end;
        }
        if self.is_wild && rng.chance(3) {
            stream_flags |= rng.byte(8);
        }
        if self.is_wild && rng.chance(2) {
            stream = rng.byte(6);
        }
        let mut head = |id: u16, kind: u8, flags: u8, payload: &[u8]| {
            let length = u32::try_from(payload.len()).unwrap_or(0);
            wire.extend(&length.to_le_bytes()[..3]);
            wire.extend(id.to_le_bytes());
            wire.extend([stream, stream_flags, kind << 4 | flags]);
            wire.extend(payload);
        };
        if let Some(piece) = self.settings.pop() {
            let mut flags = if self.settings.is_empty() { 2 } else { 1 };
            let mut kind = SETTINGS;
            if self.is_wild && rng.chance(5) {
                flags = rng.byte(4);
            }
            if self.is_wild && rng.chance(3) {
                kind = rng.byte(10);
            }
            return head(rng.pick(&[0, 1]), kind, flags, &piece);
        }
        if self.is_wild && rng.chance(1) {
            let length = 70_000u32.to_le_bytes();
            wire.extend(&length[..3]);
            return wire.extend([1, 0, stream, stream_flags, 0x11]);
        }
        let data = match self.revision {
            Revision::R0003 => 3,
            _ => 2,
        };
        if self.is_wild && rng.chance(6) {
            let mut id = u16::from(rng.byte(14));
            if rng.chance(60) && !self.sent.is_empty() {
                id = self.sent[rng.below(self.sent.len())].id;
            } else if rng.chance(60) && !active.is_empty() {
                id = active[rng.below(active.len())];
            }
            let any = rng.byte(16);
            let (kind, flags) = (rng.pick(&[REQUEST, data, any]), rng.byte(16));
            let payload = if rng.chance(50) {
                request(rng)
            } else {
                Vec::new()
            };
            return head(id, kind, flags, &payload);
        }
        if self.sent.is_empty() || rng.chance(45) {
            let id = u16::try_from(1 + 2 * rng.below(self.ids)).unwrap_or(1);
            let is_used = self.sent.iter().any(|sent| sent.id == id) || active.contains(&id);
            if !is_used || (self.is_wild && rng.chance(5)) {
                let body = request(rng);
                let has_data = rng.chance(40);
                let cut = match rng.chance(60) {
                    true => body.len(),
                    false => rng.below(body.len() + 1),
                };
                let more = cut < body.len() || rng.chance(5);
                let flags = 1 | u8::from(more) << 2 | u8::from(has_data) << 3;
                head(id, REQUEST, flags, &body[..cut]);
                if more || has_data {
                    let rest = body[cut..].to_vec();
                    self.sent.push(Sent {
                        id,
                        rest,
                        has_data,
                        more,
                    });
                }
                return;
            }
        }
        if self.sent.is_empty() {
            // Every ID is in use: a frame that is not wanted, or nothing.
            if self.is_wild {
                head(1, data, 1, b"x");
            } else {
                self.has_begun = had_begun;
            }
            return;
        }
        let index = rng.below(self.sent.len());
        let sent = &mut self.sent[index];
        if sent.more {
            let cut = match rng.chance(60) {
                true => sent.rest.len(),
                false => rng.below(sent.rest.len() + 1),
            };
            sent.more = cut < sent.rest.len() || rng.chance(5);
            let flags = 2 | u8::from(sent.more) << 2 | u8::from(sent.has_data) << 3;
            let piece: Vec<u8> = sent.rest.drain(..cut).collect();
            head(sent.id, REQUEST, flags, &piece);
            if !sent.more && !sent.has_data {
                self.sent.swap_remove(index);
            }
            return;
        }
        let is_end = rng.chance(35);
        let len = rng.pick(&[0, 0, 1, 5, 20, 100]);
        let bytes: Vec<u8> = (0..len).collect();
        let mut flags = if is_end { 2 } else { 1 };
        if rng.chance(2) {
            flags |= 1;
        }
        head(sent.id, data, flags, &bytes);
        if flags == 2 {
            self.sent.swap_remove(index);
        }
    }
}

fn settings_of(rng: &mut Rng) -> Vec<u8> {
    const NAMES: [&[u8]; 5] = [b"zstd-8mb", b"zlib", b"identity", b"snappy", b""];
    let mut out = Vec::new();
    let has_list = rng.chance(85);
    let has_hgrpc = rng.chance(60);
    let has_other = rng.chance(10);
    let count = u64::from(has_list) + u64::from(has_hgrpc) + u64::from(has_other);
    head(rng, 5, count, &mut out);
    if has_list {
        exact(2, b"contentencodings", &mut out);
        let len = rng.below(5);
        head(rng, 4, u64::try_from(len).unwrap_or(0), &mut out);
        for _ in 0..len {
            exact(2, rng.pick(&NAMES), &mut out);
        }
    }
    if has_hgrpc {
        exact(2, b"hgrpc", &mut out);
        out.push(rng.pick(&[0, 1, 1, 1, 2]));
    }
    if has_other {
        exact(2, b"x", &mut out);
        value(rng, 2, &mut out);
    }
    match rng.below(40) {
        0 => out.clear(),
        1 => out.push(0),
        2 => out.truncate(out.len() - 1),
        3 => out.extend_from_within(..),
        _ => {}
    }
    alter(rng, 5, &mut out);
    out
}

/// Makes something else of a few bytes.
fn alter(rng: &mut Rng, percent: usize, bytes: &mut Vec<u8>) {
    if !rng.chance(percent) || bytes.is_empty() {
        return;
    }
    match rng.below(3) {
        0 => {
            let index = rng.below(bytes.len());
            bytes[index] ^= 1 << rng.below(8);
        }
        1 => {
            bytes.pop();
        }
        _ => bytes.push(rng.byte(256)),
    }
}

/// A head, now and then longer than it needs to be.
fn head(rng: &mut Rng, major: u8, number: u64, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    let least = match number {
        0..24 => 0,
        24..0x100 => 1,
        0x100..0x1_0000 => 2,
        0x1_0000..0x1_0000_0000 => 3,
        _ => 4,
    };
    let width = match rng.chance(10) {
        true => least + rng.below(5 - least),
        false => least,
    };
    match width {
        0 => out.push(major << 5 | bytes[7]),
        1 => out.extend([major << 5 | 24, bytes[7]]),
        2 => {
            out.push(major << 5 | 25);
            out.extend(&bytes[6..]);
        }
        3 => {
            out.push(major << 5 | 26);
            out.extend(&bytes[4..]);
        }
        _ => {
            out.push(major << 5 | 27);
            out.extend(bytes);
        }
    }
}

/// A string of less than 24 bytes in its shortest encoding.
fn exact(major: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(major << 5 | u8::try_from(content.len()).unwrap_or(0));
    out.extend(content);
}

fn string(rng: &mut Rng, major: u8, content: &[u8], out: &mut Vec<u8>) {
    if !rng.chance(10) {
        head(rng, major, u64::try_from(content.len()).unwrap_or(0), out);
        return out.extend(content);
    }
    out.push(major << 5 | 31);
    let mut rest = content;
    while !rest.is_empty() || rng.chance(20) {
        let (chunk, behind) = rest.split_at(rng.below(rest.len() + 1));
        head(rng, major, u64::try_from(chunk.len()).unwrap_or(0), out);
        out.extend(chunk);
        rest = behind;
    }
    out.push(0xff);
}

fn value(rng: &mut Rng, depth: usize, out: &mut Vec<u8>) {
    if rng.chance(2) {
        for _ in 0..rng.below(20) {
            out.push(rng.pick(&[0x81, 0xc1, 0x9f]));
        }
    }
    match rng.below(if depth == 0 { 5 } else { 9 }) {
        major @ 0..=1 => {
            let number = rng.next() >> rng.below(64);
            let major = u8::try_from(major).unwrap_or(0);
            head(rng, major, number, out);
        }
        2 => {
            let len = rng.below(26);
            string(rng, 2, &b"abcdefghijklmnopqrstuvwxyz"[..len], out);
        }
        3 => {
            let len = rng.below(4);
            string(rng, 3, &b"abc"[..len], out);
        }
        4 => out.push(rng.pick(&[0xf4, 0xf5, 0xf6, 0xe0, 0xf8])),
        5 => {
            head(rng, 6, 1, out);
            value(rng, depth - 1, out);
        }
        kind => {
            let major = if kind == 6 { 4 } else { 5 };
            let count = rng.below(4);
            let is_indefinite = rng.chance(30);
            if is_indefinite {
                out.push(major << 5 | 31);
            } else {
                head(rng, major, u64::try_from(count).unwrap_or(0), out);
            }
            let items = if major == 4 { count } else { 2 * count };
            for _ in 0..items {
                value(rng, depth - 1, out);
            }
            if is_indefinite {
                out.push(0xff);
            }
        }
    }
}

fn request(rng: &mut Rng) -> Vec<u8> {
    const NAMES: [&[u8]; 4] = [b"echo", b"led", b"nothing", b""];
    const KEYS: [&[u8]; 4] = [b"on", b"value", b"level", b"x"];
    let mut out = Vec::new();
    let mut entries = Vec::new();
    if !rng.chance(2) {
        entries.push(0);
    }
    if rng.chance(60) {
        entries.push(1);
    }
    if rng.chance(15) {
        entries.push(2);
    }
    if rng.chance(10) {
        entries.push(3);
    }
    if rng.chance(2) {
        entries.push(rng.below(4));
    }
    if rng.chance(50) {
        entries.reverse();
    }
    let is_indefinite = rng.chance(10);
    if is_indefinite {
        out.push(0xbf);
    } else {
        head(rng, 5, u64::try_from(entries.len()).unwrap_or(0), &mut out);
    }
    for entry in entries {
        match entry {
            0 => {
                string(rng, 2, b"name", &mut out);
                if rng.chance(2) {
                    value(rng, 2, &mut out);
                } else {
                    let name = rng.pick(&NAMES);
                    string(rng, 2, name, &mut out);
                }
            }
            1 => {
                string(rng, 2, b"args", &mut out);
                if rng.chance(2) {
                    value(rng, 3, &mut out);
                    continue;
                }
                let count = rng.below(4);
                let is_indefinite = rng.chance(15);
                if is_indefinite {
                    out.push(0xbf);
                } else {
                    head(rng, 5, u64::try_from(count).unwrap_or(0), &mut out);
                }
                for _ in 0..count {
                    if rng.chance(1) {
                        value(rng, 2, &mut out);
                    } else {
                        let key = rng.pick(&KEYS);
                        string(rng, 2, key, &mut out);
                    }
                    value(rng, 2, &mut out);
                }
                if is_indefinite {
                    out.push(0xff);
                }
            }
            2 => {
                value(rng, 1, &mut out);
                value(rng, 2, &mut out);
            }
            _ => {
                string(rng, 2, b"redirect", &mut out);
                if rng.chance(10) {
                    value(rng, 2, &mut out);
                } else {
                    out.extend(b"\xa2\x46hashes\x81\x44sha1\x47targets\x82\x41a\x41b");
                }
            }
        }
    }
    if is_indefinite {
        out.push(0xff);
    }
    alter(rng, 4, &mut out);
    out
}
