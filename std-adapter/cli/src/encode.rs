//! `hgrpc encode`: human frame strings to bytes (framing.md, "Human frame strings").

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use clap::ValueHint;
use hgrpc::Revision;
use hgrpc::cbor::is_hidden;
use hgrpc_std::human::{self, HumanError};

use crate::exit::Failure;
use crate::io::{self, BUFFER, Input};

/// The longest line that is read. The longest one that a frame needs is far shorter: a text string
/// of 65,535 escapes of ten characters.
const MAX_LINE: u64 = 4 * 1024 * 1024;

/// Turn human frame strings, one per line, into the bytes of frames.
///
/// Empty lines and lines that begin with `#` are skipped. A line ends at a line feed, before which
/// a carriage return is dropped: write one at the end of a payload as `\r`. Frames are written as
/// they are read: those of the lines before a mistake are there.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lines; standard input if left out or `-`.
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The protocol revision, whose names and canonical CBOR are used.
    #[arg(long, value_name = "REVISION", value_parser = crate::revision_parser(), default_value = "0006")]
    revision: Revision,
}

const EXAMPLES: &str = r"Examples:
  echo '1 1 stream-begin command-data eos text and bytes: \x00\xff' | hgrpc encode | hgrpc decode
  hgrpc encode frames.txt > capture.bin

A line is
  <request-id> <stream-id> <stream-flags> <type> <flags> <payload>
with names or numbers, flags joined by |, and a payload of text with escapes or a literal that
becomes CBOR:
  1 1 stream-begin command-request new|have-data cbor:{b'name': b'command', b'args': {b'n': 1}}
  1 1 0 command-data continuation first piece\n
  1 1 0 command-data eos last piece
The space before the payload is there even if the payload is empty.";

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let input = Input::open(args.file.as_ref())?;
    let mut out = io::output();
    let result = encode(args, input, &mut out);
    // The frames before a mistake are written before it is told.
    let flushed = out.flush().map_err(Failure::output);
    result.and(flushed)
}

fn encode(args: &Args, input: Input, out: &mut impl Write) -> Result<(), Failure> {
    let mut reader = BufReader::with_capacity(BUFFER, input);
    let mut line = Vec::new();
    for number in 1u64.. {
        if reader.buffer().is_empty() {
            // The next read may wait for someone who types: show what there is.
            out.flush().map_err(Failure::output)?;
        }
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| reader.get_ref().failure(&error))?;
        if read == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_LINE {
            return Err(Failure::BadInput(format!(
                "line {number}: over {MAX_LINE} bytes long"
            )));
        }
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.starts_with(b"#") || text.trim_ascii().is_empty() {
            continue;
        }
        let frame = human::parse_frame(text, args.revision)
            .map_err(|error| Failure::BadInput(described(number, text, &error)))?;
        out.write_all(frame.header().emit())
            .and_then(|()| out.write_all(frame.payload()))
            .map_err(Failure::output)?;
    }
    Ok(())
}

/// An error with its line, and a caret below what is at fault.
fn described(number: u64, line: &[u8], error: &HumanError) -> String {
    /// Characters that are shown before and after the place.
    const AROUND: usize = 50;
    let at = error.column.saturating_sub(1);
    let start = at.saturating_sub(AROUND);
    let mut shown = String::from(if start > 0 { "…" } else { "" });
    let mut rest = characters(line).skip(start);
    shown.extend(rest.by_ref().take(at - start + AROUND));
    if rest.next().is_some() {
        shown.push('…');
    }
    let caret = " ".repeat(at - start + usize::from(start > 0));
    let gutter = " ".repeat(number.to_string().len());
    format!("line {number}, {error}\n{gutter} |\n{number} | {shown}\n{gutter} | {caret}^")
}

/// The characters of a line as columns count them, safe for a terminal.
fn characters(line: &[u8]) -> impl Iterator<Item = char> {
    line.utf8_chunks().flat_map(|chunk| {
        let shown = |c: char| match c {
            c if is_hidden(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        let invalid = chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().map(shown).chain(invalid)
    })
}
