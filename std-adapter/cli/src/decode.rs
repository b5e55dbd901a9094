//! `hgrpc decode`: captured bytes to lines (framing.md, "Showing a frame to people").
//!
//! ```text
//! file ──▶ buffer ──▶ FrameReader ──▶ parts ──▶ [payload] ──▶ line ──▶ buffer ──▶ output
//!          256 KiB                              gathered only where it is shown
//!                                               and lies in several parts
//! ```
//! Memory is two buffers and at most one payload. A line comes out once its frame is complete.

mod header;
mod json;

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::ValueHint;
use hgrpc::wire::{FrameHeader, FrameReader, HEADER_LEN, MAX_LENGTH, Part};
use hgrpc::{ProtocolError, Revision};
use hgrpc_std::diagnostic::{ByteString, Diagnostic};
use hgrpc_std::human;

use crate::exit::Failure;
use crate::io::{self, BUFFER, Input};
use header::HeaderCache;

/// Show captured bytes as frames, one line each.
///
/// The input is the bytes of one direction of a connection, from the start of a frame on. It may
/// be of any size: memory does not grow with it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The captured bytes; standard input if left out or `-`.
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Print human frame strings, which `hgrpc encode` takes back.
    #[arg(long, conflicts_with_all = ["json", "cbor"])]
    human: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Add payloads in CBOR's diagnostic notation; those that are not CBOR as byte strings.
    #[arg(long)]
    cbor: bool,
    /// The protocol revision that the capture is in.
    #[arg(long, value_name = "REVISION", value_parser = crate::revision_parser(), default_value = "0006")]
    revision: Revision,
    /// The largest payload to accept, in bytes: a larger one is an error, as for a receiver.
    /// At most 16777215, which is all that a header can announce.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_LENGTH)), default_value_t = 65_535)]
    max_frame: u32,
}

const EXAMPLES: &str = "\
Examples:
  hgrpc decode capture.bin
      frame(size=8; request=1; stream=1; streamflags=stream-begin; type=command-request; flags=new)
  hgrpc decode --cbor capture.bin | grep command-request
  hgrpc decode --json capture.bin | jq -r .type_name | sort | uniq -c
  hgrpc decode --human capture.bin > frames.txt; hgrpc encode frames.txt > again.bin

JSON fields: offset (of the frame, in bytes), size, request, stream, streamflags, streamflag_names,
type, type_name (null if unknown), flags, flag_names, payload (hex), and with --cbor diagnostic
(null if the payload is empty).";

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut input = Input::open(args.file.as_ref())?;
    let mut decoder = Decoder::new(args, io::output());
    let result = decoder.run(&mut input);
    // What was decoded before an error is shown before the error is.
    let flushed = decoder.out.flush().map_err(Failure::output);
    result.and(flushed)
}

struct Decoder<'a, W: Write> {
    args: &'a Args,
    out: W,
    reader: FrameReader,
    /// Where the current frame begins in the input.
    offset: u64,
    /// The payload of a frame that lies in several parts, if payloads are shown.
    gathered: Vec<u8>,
    headers: HeaderCache,
    line: Vec<u8>,
    text: String,
}

impl<'a, W: Write> Decoder<'a, W> {
    fn new(args: &'a Args, out: W) -> Self {
        let render = if args.json {
            json::render_flags
        } else {
            header::render_flags
        };
        Self {
            args,
            out,
            // The limit is checked here, where a frame over it can be described.
            reader: FrameReader::new(MAX_LENGTH),
            offset: 0,
            gathered: Vec::new(),
            headers: HeaderCache::new(args.revision, render),
            line: Vec::new(),
            text: String::new(),
        }
    }

    fn run(&mut self, input: &mut Input) -> Result<(), Failure> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let len = input.read(&mut buffer).map_err(|e| input.failure(&e))?;
            if len == 0 {
                return self.finish();
            }
            let mut rest = buffer.get(..len).unwrap_or_default();
            while let Some(part) = self.reader.next(&mut rest).map_err(|e| self.broken(e))? {
                self.part(&part)?;
            }
            if len < BUFFER {
                // A live source has no more for now: let people see what came.
                self.out.flush().map_err(Failure::output)?;
            }
        }
    }

    #[inline]
    fn part(&mut self, part: &Part<'_>) -> Result<(), Failure> {
        let header = &part.header;
        if part.is_first && header.length() > self.args.max_frame {
            return Err(self.too_large(header));
        }
        let shows_payloads = self.args.human || self.args.json || self.args.cbor;
        if shows_payloads {
            self.part_with_payload(part)?;
        } else if part.is_last {
            self.line.clear();
            self.headers.write_plain(&mut self.line, header);
            self.line.push(b'\n');
            self.out.write_all(&self.line).map_err(Failure::output)?;
        }
        if part.is_last {
            self.offset += frame_len(header);
        }
        Ok(())
    }

    /// Shows a frame with its payload, once all of that is there.
    fn part_with_payload(&mut self, part: &Part<'_>) -> Result<(), Failure> {
        if part.is_first && part.is_last {
            return self.frame(&part.header, part.bytes);
        }
        if part.is_first {
            self.gathered.clear();
            let len = usize::try_from(part.header.length()).unwrap_or(usize::MAX);
            self.gathered
                .try_reserve_exact(len)
                .map_err(|_| Failure::Io(format!("no memory for a payload of {len} bytes")))?;
        }
        self.gathered.extend_from_slice(part.bytes);
        if part.is_last {
            let gathered = std::mem::take(&mut self.gathered);
            let result = self.frame(&part.header, &gathered);
            self.gathered = gathered;
            return result;
        }
        Ok(())
    }

    fn frame(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Failure> {
        if self.args.human {
            return self.human(header, payload);
        }
        let as_cbor = human::carries_cbor(header, self.args.revision);
        self.line.clear();
        let written = if self.args.json {
            self.headers.write_json(&mut self.line, header, self.offset);
            let diagnostic = self.args.cbor.then_some(as_cbor);
            self.out
                .write_all(&self.line)
                .and_then(|()| json::write_payload(&mut self.out, payload, diagnostic))
        } else {
            self.headers.write_plain(&mut self.line, header);
            self.out
                .write_all(&self.line)
                .and_then(|()| match (payload, as_cbor) {
                    ([], _) => writeln!(self.out),
                    (_, true) => writeln!(self.out, " {}", Diagnostic::new(payload)),
                    (_, false) => writeln!(self.out, " {}", ByteString(payload)),
                })
        };
        written.map_err(Failure::output)
    }

    fn human(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Failure> {
        self.text.clear();
        human::print_frame_to(&mut self.text, header, payload, self.args.revision).map_err(
            |error| Failure::BadInput(format!("frame at byte {}: {error}", self.offset)),
        )?;
        self.text.push('\n');
        self.out
            .write_all(self.text.as_bytes())
            .map_err(Failure::output)
    }

    /// The end of the input: in order only between frames.
    fn finish(&self) -> Result<(), Failure> {
        self.reader.finish().map_err(|error| self.broken(error))
    }

    fn broken(&self, error: ProtocolError) -> Failure {
        let (offset, received) = (self.offset, self.reader.received());
        Failure::BadInput(match self.reader.current() {
            Some(header) => format!(
                "frame at byte {offset}: {error}: a payload of {} bytes was expected, {received} came\n  {}",
                header.length(),
                header.display(self.args.revision),
            ),
            None => format!(
                "frame at byte {offset}: {error}: a header of {HEADER_LEN} bytes was expected, {received} came"
            ),
        })
    }

    fn too_large(&self, header: &FrameHeader) -> Failure {
        Failure::BadInput(format!(
            "frame at byte {}: {}: at most {} bytes of payload were expected, {} are announced \
             (--max-frame raises the maximum)\n  {}",
            self.offset,
            ProtocolError::FrameTooLarge,
            self.args.max_frame,
            header.length(),
            header.display(self.args.revision),
        ))
    }
}

/// Bytes of a frame on the wire.
fn frame_len(header: &FrameHeader) -> u64 {
    const HEADER: u64 = 8;
    HEADER + u64::from(header.length())
}
