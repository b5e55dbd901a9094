//! Frames made by hand, as an attacker makes them.
#![allow(dead_code, reason = "each test uses some of it")]

pub(crate) const NEW: u8 = 1;
pub(crate) const CONTINUATION: u8 = 2;
pub(crate) const MORE: u8 = 4;
pub(crate) const HAVE_DATA: u8 = 8;
pub(crate) const DATA_CONTINUATION: u8 = 1;
pub(crate) const DATA_EOS: u8 = 2;

/// A header of a frame on stream 1 with a payload of so many bytes.
pub(crate) fn header(length: usize, id: u16, kind: u8, flags: u8) -> [u8; 8] {
    let [a, b, c, _] = u32::try_from(length).unwrap().to_le_bytes();
    let [d, e] = id.to_le_bytes();
    [a, b, c, d, e, 1, 1, kind << 4 | flags]
}

fn frame(id: u16, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    [&header(payload.len(), id, kind, flags), payload].concat()
}

/// A `command-request` frame.
pub(crate) fn request(id: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(id, 1, flags, payload)
}

/// A `command-data` frame.
pub(crate) fn data(id: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(id, 2, flags, payload)
}

/// The map of a request without arguments.
pub(crate) fn command(name: &str) -> Vec<u8> {
    let len = u8::try_from(name.len()).unwrap();
    assert!(len < 24);
    [b"\xa1\x44name", &[0x40 | len][..], name.as_bytes()].concat()
}

/// The map of a request with so many arguments `a` of one byte.
pub(crate) fn many_arguments(name: &str, count: u16) -> Vec<u8> {
    let mut map = command(name);
    map[0] = 0xa2;
    map.extend_from_slice(b"\x44args\xb9");
    map.extend_from_slice(&count.to_be_bytes());
    for _ in 0..count {
        map.extend_from_slice(b"\x41a\x07");
    }
    map
}
