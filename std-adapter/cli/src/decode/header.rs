//! Headers to text, fast: what depends on the flags and the type is rendered once and kept.

use hgrpc::Revision;
use hgrpc::wire::FrameHeader;

/// Renders the part of a header's line that its flags and its type decide.
pub(super) type RenderFlags = fn(&FrameHeader, Revision) -> String;

/// Rendered flags and types: there are 65,536 in all, and a capture has a few of them.
pub(super) struct HeaderCache {
    revision: Revision,
    render: RenderFlags,
    /// By stream flags (high byte), type and flags (low byte).
    rendered: Vec<Option<Box<[u8]>>>,
}

impl HeaderCache {
    pub(super) fn new(revision: Revision, render: RenderFlags) -> Self {
        Self {
            revision,
            render,
            rendered: vec![None; 1 << 16],
        }
    }

    /// Appends the header as it is shown to people.
    #[inline]
    pub(super) fn write_plain(&mut self, line: &mut Vec<u8>, header: &FrameHeader) {
        line.extend_from_slice(b"frame(size=");
        number(line, header.length().into());
        line.extend_from_slice(b"; request=");
        number(line, header.request_id().value().into());
        line.extend_from_slice(b"; stream=");
        number(line, header.stream_id().value().into());
        line.extend_from_slice(self.flags(header));
    }

    /// Appends the beginning of a JSON object: all of the header's fields.
    pub(super) fn write_json(&mut self, line: &mut Vec<u8>, header: &FrameHeader, offset: u64) {
        line.extend_from_slice(b"{\"offset\":");
        number(line, offset);
        line.extend_from_slice(b",\"size\":");
        number(line, header.length().into());
        line.extend_from_slice(b",\"request\":");
        number(line, header.request_id().value().into());
        line.extend_from_slice(b",\"stream\":");
        number(line, header.stream_id().value().into());
        line.extend_from_slice(self.flags(header));
    }

    #[inline]
    fn flags(&mut self, header: &FrameHeader) -> &[u8] {
        let [.., stream_flags, type_and_flags] = *header.emit();
        let key = usize::from(u16::from_be_bytes([stream_flags, type_and_flags]));
        let (render, revision) = (self.render, self.revision);
        match self.rendered.get_mut(key) {
            Some(slot) => slot.get_or_insert_with(|| render(header, revision).into_bytes().into()),
            None => &[],
        }
    }
}

/// The end of a header's line, cut from the one place that knows how headers are shown.
pub(super) fn render_flags(header: &FrameHeader, revision: Revision) -> String {
    let shown = header.display(revision).to_string();
    let start = shown.find("; streamflags=").unwrap_or(shown.len());
    shown.get(start..).unwrap_or_default().to_owned()
}

fn number(line: &mut Vec<u8>, value: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
