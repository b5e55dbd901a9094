//! Requests and their data as values, to be sent by whoever moves the bytes.

use super::{End, Frames, Line, Sender};
use crate::client::{Client, Request, Upload};
use crate::output::Output;
use crate::store::Requests;
use crate::wire::RequestId;
use crate::{ApiMisuse, Protocol};

/// A request that has its ID. Send it; its data, if it announced some, goes behind it in
/// [pieces](Self::data).
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a request has to be sent"]
pub struct Call<'a> {
    upload: Upload,
    request: Request<'a>,
}

/// Data of a request.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "data has to be sent"]
pub struct Data<'c, 'd> {
    upload: &'c Upload,
    bytes: &'d [u8],
    is_last: bool,
}

impl<P: Protocol, T: Requests<Memory = [u8]>, L: Line> Sender<'_, Client<P, T>, L> {
    /// Gives a request its ID, to be sent. `has_data`: its data follows.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestIdsExhausted`]: no ID, or no room in the store.
    pub fn request<'a>(
        &mut self,
        request: Request<'a>,
        has_data: bool,
    ) -> Result<Call<'a>, ApiMisuse> {
        let (upload, _) = self.end.request(has_data)?;
        Ok(Call { upload, request })
    }
}

impl Call<'_> {
    /// The request.
    pub const fn request_id(&self) -> RequestId {
        self.upload.request_id()
    }

    /// The next data of the request; `is_last` with the last, which may be none. If the request has
    /// ended, its data is cut short, and what is not wanted counts as sent.
    pub const fn data<'c, 'd>(&'c self, bytes: &'d [u8], is_last: bool) -> Data<'c, 'd> {
        Data {
            upload: &self.upload,
            bytes,
            is_last,
        }
    }

    /// The token: what is needed to send its data when the request itself was sent.
    pub fn into_upload(self) -> Upload {
        self.upload
    }
}

impl Upload {
    /// The next data of the request, as [`Call::data`].
    pub const fn data<'c, 'd>(&'c self, bytes: &'d [u8], is_last: bool) -> Data<'c, 'd> {
        Data {
            upload: self,
            bytes,
            is_last,
        }
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>> Frames<Client<P, T>> for Call<'_>
where
    Client<P, T>: End,
{
    fn next_frame(
        &mut self,
        client: &mut Client<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        client.send(&self.upload, &self.request, out)
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>> Frames<Client<P, T>> for Data<'_, '_> {
    fn next_frame(
        &mut self,
        client: &mut Client<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        client.send_data(self.upload, &mut self.bytes, self.is_last, out)
    }
}
