//! What responses offer in both ways to wait.

/// Methods of a response that has an `id`, `fill` (how many bytes of its `content` are the command's own; 0
/// at the end), `next_value`, and a `RawBody`; with the words that waiting needs before a function and
/// behind what it waits for.
macro_rules! reads {
    ($($async:ident [$($await:tt)+])?) => {
        /// Reads all that the command wrote, if it is at most `limit` bytes.
        ///
        /// # Errors
        /// See [`CallError`].
        pub $($async)? fn read_bytes(mut self, limit: usize) -> Result<Vec<u8>, CallError> {
            let mut all = Vec::new();
            loop {
                match self.fill()$($($await)+)? ? {
                    0 => return Ok(all),
                    len => self.content.collect(len, &mut all, limit)?,
                }
            }
        }

        /// Reads all that the command wrote as text, if it is at most `limit` bytes. Escape it before it
        /// goes to a terminal.
        ///
        /// # Errors
        /// See [`CallError`].
        pub $($async)? fn read_text(self, limit: usize) -> Result<String, CallError> {
            String::from_utf8(self.read_bytes(limit)$($($await)+)? ?)
                .map_err(|_| CallError::Answer(AnswerError::NotText))
        }

        /// Reads an answer that is one CBOR value, as any type that minicbor decodes and that borrows
        /// nothing.
        ///
        /// # Errors
        /// See [`CallError`]; [`AnswerError::NotThisValue`] where it is something else.
        pub $($async)? fn read_value<T: for<'b> minicbor::Decode<'b, ()>>(
            mut self,
        ) -> Result<T, CallError> {
            let value = self.next_value()$($($await)+)? ?;
            let has_more = self.next_value()$($($await)+)? ?.is_some();
            values::decode(value.as_deref(), has_more).map_err(CallError::Answer)
        }

        /// Reads an answer that is one value, of a type that a service declares.
        pub(crate) $($async)? fn declared<T: for<'v> FromValue<'v>>(
            mut self,
        ) -> Result<T, CallError> {
            let value = self.next_value()$($($await)+)? ?;
            let has_more = self.next_value()$($($await)+)? ?.is_some();
            values::declared(value.as_deref().filter(|_| !has_more).unwrap_or_default())
        }

        /// The response's bytes as they are, which in 0006 are a sequence of CBOR values.
        pub const fn raw_body(&mut self) -> RawBody<'_> {
            RawBody(self)
        }

        /// The request's ID on its connection.
        pub fn request_id(&self) -> RequestId {
            self.id
        }

        /// Gives the call up: what still comes of it is swallowed. The same as dropping it. The server
        /// is not told; the protocol has no way to.
        pub fn cancel(self) {}
    };
}

pub(crate) use reads;
