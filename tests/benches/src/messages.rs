//! What goes over the wire in the rows: the same for floors, for hgrpc and, as far as their formats
//! allow, for peers.

/// Bytes of a data frame's payload.
pub const DATA_LEN: usize = 1_024;

/// The command of the small request.
pub const NAME: &[u8] = b"echo";

/// The small request's argument `value`.
pub const VALUE: &[u8; 8] = b"8 bytes.";

/// The value of the argument `rate`, which with its key is 10 bytes: one argument more.
pub const RATE: u32 = 115_200;

/// The body of the answer: a byte string of 20 bytes, so that its frame of revision 0005 has 40.
pub const BODY: &[u8; 21] = b"\x54twenty bytes of body";

/// `{args: {value: h'…'}, name: echo}`: 32 bytes, a frame of 40. The same in all revisions.
pub const REQUEST: &[u8; 32] = b"\xa2Dargs\xa1EvalueH8 bytes.DnameDecho";

/// The same with the argument `rate`. Its keys too have one order in all revisions.
pub const LONGER_REQUEST: &[u8; 42] =
    b"\xa2Dargs\xa2Drate\x1a\x00\x01\xc2\x00EvalueH8 bytes.DnameDecho";

/// The status map before a body.
pub const STATUS: &[u8; 11] = b"\xa1FstatusBok";

/// Type and flags of a new request.
pub const NEW_REQUEST: u8 = 0x11;
/// Type and flags of a new request that has data.
pub const NEW_REQUEST_WITH_DATA: u8 = 0x19;
/// Type and flags of data that goes on.
pub const DATA: u8 = 0x21;
/// Type and flags of a response that is complete.
pub const WHOLE_RESPONSE: u8 = 0x32;

/// A frame of stream 1. `begins`: the stream begins with it.
pub fn frame(request_id: u16, begins: bool, kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut frame = length.to_le_bytes()[..3].to_vec();
    frame.extend(request_id.to_le_bytes());
    frame.extend([1, u8::from(begins), kind]);
    frame.extend(payload);
    frame
}

/// A frame of a request's data.
pub fn data_frame(request_id: u16) -> Vec<u8> {
    frame(request_id, false, DATA, &[0x5a; DATA_LEN])
}
