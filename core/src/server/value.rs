//! Responses of one value, which is encoded where its frame is made.

use super::{Reply, Server};
use crate::cbor::{CborWriter, ContentEncoding, STATUS_OK};
use crate::output::{Output, joins};
use crate::store::{Requests, bits};
use crate::{ApiMisuse, Protocol};

impl<P: Protocol, T: Requests> Server<P, T> {
    /// Writes the next frame of a response, or of a piece of one, that is one value, as
    /// [`respond`](Self::respond) does for bytes. `is_written`: whether the value was taken; `false`
    /// at first, always the same place.
    ///
    /// The value must fit a frame; before anything else of it is sent, `write` is called once.
    ///
    /// # Errors
    /// As for [`respond`](Self::respond), and those of `write`. [`ApiMisuse::TooLarge`]: the value does
    /// not fit a frame. [`ApiMisuse::OutOfOrder`]: the stream has an encoding, which the owner applies.
    pub fn respond_with(
        &mut self,
        reply: &Reply,
        write: impl FnOnce(&mut CborWriter<'_>) -> Result<(), ApiMisuse>,
        is_last: bool,
        is_written: &mut bool,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        out.len = 0;
        let has = self.claim(reply, out)?;
        let id = reply.request_id();
        let room = out.room();
        let is_open = has & bits::BEGUN != 0;
        if self.revision().has_settings() {
            if out.stream.encoding() != ContentEncoding::Identity {
                return Err(ApiMisuse::OutOfOrder);
            }
            if !*is_written {
                if is_open && (!out.is_joining() || out.owner == id) {
                    let joined = out.joined;
                    let payload = out.payload().get_mut(joined..room).unwrap_or_default();
                    let mut writer = CborWriter::new(payload);
                    match write(&mut writer) {
                        Ok(()) if joins(joined, writer.position(), room) => {
                            out.joined = joined.wrapping_add(writer.position());
                            out.owner = id;
                            *is_written = true;
                        }
                        Err(error) if joined == 0 => return Err(error),
                        // What is joined goes first.
                        _ => {}
                    }
                }
                if !*is_written {
                    if is_open {
                        self.send_joined(out);
                    } else {
                        self.respond(reply, &mut &[][..], false, out)?;
                    }
                    return Ok(false);
                }
            }
            return self.respond(reply, &mut &[][..], is_last, out);
        }
        let mut status: &[u8] = &[];
        if self.revision().has_status_map() && !is_open {
            if !is_last {
                self.respond(reply, &mut &[][..], false, out)?;
                return Ok(false);
            }
            status = STATUS_OK;
        }
        let payload = out.payload().get_mut(..room).unwrap_or_default();
        let mut writer = CborWriter::new(payload);
        writer.raw(status)?;
        write(&mut writer)?;
        let count = writer.position();
        let head = self.data_head(id, is_last, false);
        out.seal(head, count);
        self.advance(id, bits::BEGUN, is_last, out);
        Ok(true)
    }
}
