//! The five fields before the payload.

use hgrpc::Revision;
use hgrpc::wire::{FrameHeader, FrameKind, RequestId, StreamFlags, StreamId, TypeFlags};

use super::scan::{Fault, Scanner};
use super::{Field, HumanErrorKind};

/// The header that the fields are, once its length is known, and where the payload begins.
pub(super) fn parse(
    line: &[u8],
    revision: Revision,
) -> Result<(impl Fn(u32) -> FrameHeader + use<>, usize), Fault> {
    let mut scanner = Scanner::new(line, 0);
    let request_id = number(field(&mut scanner, Field::RequestId)?)?;
    let stream_id = number(field(&mut scanner, Field::StreamId)?)?;
    let stream_flags = flags(field(&mut scanner, Field::StreamFlags)?, |word| {
        let bit = (0..8).find(|&bit| StreamFlags::name(bit) == Some(word));
        bit.ok_or_else(|| HumanErrorKind::UnknownStreamFlag(shown(word)))
    })?;
    let kind_number = kind(field(&mut scanner, Field::Type)?, revision)?;
    let kind = revision.kind(kind_number);
    let flags = flags(field(&mut scanner, Field::Flags)?, |word| {
        flag(word, kind, revision)
    })?;
    let header = move |length| {
        FrameHeader::new(
            length,
            RequestId::new(request_id),
            StreamId::new(stream_id),
            StreamFlags::from_bits(stream_flags),
            kind_number,
            TypeFlags::from_bits(flags),
        )
    };
    Ok((header, scanner.offset))
}

/// A field, or one of the words of a flag field, and where it begins.
#[derive(Clone, Copy)]
struct Word<'a> {
    field: Field,
    offset: usize,
    bytes: &'a [u8],
}

impl Word<'_> {
    fn fault(&self, kind: HumanErrorKind) -> Fault {
        Fault::new(self.offset, kind)
    }

    /// Whether it is meant as a number: names begin with a letter.
    fn is_number(&self) -> bool {
        matches!(self.bytes, [b'0'..=b'9' | b'+' | b'-' | b'_', ..])
    }
}

/// Takes the next field and the space after it.
fn field<'a>(scanner: &mut Scanner<'a>, field: Field) -> Result<Word<'a>, Fault> {
    let offset = scanner.offset;
    let bytes = scanner.take_while(|b| b != b' ');
    let word = Word {
        field,
        offset,
        bytes,
    };
    if bytes.is_empty() {
        return Err(word.fault(HumanErrorKind::MissingField(field)));
    }
    if scanner.next().is_none() {
        return Err(scanner.fault(match field {
            Field::RequestId => HumanErrorKind::MissingField(Field::StreamId),
            Field::StreamId => HumanErrorKind::MissingField(Field::StreamFlags),
            Field::StreamFlags => HumanErrorKind::MissingField(Field::Type),
            Field::Type => HumanErrorKind::MissingField(Field::Flags),
            Field::Flags => HumanErrorKind::MissingPayload,
        }));
    }
    Ok(word)
}

/// A decimal number within the field's range.
fn number<T: TryFrom<u32>>(word: Word<'_>) -> Result<T, Fault> {
    let mut value = 0u32;
    let mut scanner = Scanner::new(word.bytes, 0);
    while let Some(byte) = scanner.peek() {
        if !byte.is_ascii_digit() {
            let found = scanner.char().unwrap_or_default();
            let kind = HumanErrorKind::NotDecimal(word.field, found);
            return Err(Fault::new(word.offset + scanner.offset, kind));
        }
        scanner.next();
        value = value
            .saturating_mul(10)
            .saturating_add(u32::from(byte - b'0'));
    }
    let out_of_range = || word.fault(HumanErrorKind::OutOfRange(word.field));
    if value > word.field.max() {
        return Err(out_of_range());
    }
    T::try_from(value).map_err(|_| out_of_range())
}

/// A type's number, from its name or a number.
fn kind(word: Word<'_>, revision: Revision) -> Result<u8, Fault> {
    if word.is_number() {
        return number(word);
    }
    std::str::from_utf8(word.bytes)
        .ok()
        .and_then(|name| revision.kind_named(name))
        .and_then(|kind| revision.kind_number(kind))
        .ok_or_else(|| {
            let name = shown(&String::from_utf8_lossy(word.bytes));
            word.fault(HumanErrorKind::UnknownType(name, revision))
        })
}

/// Names and numbers joined by `|`, OR-ed together. `bit` gives the position of a name's bit.
fn flags(word: Word<'_>, bit: impl Fn(&str) -> Result<u8, HumanErrorKind>) -> Result<u8, Fault> {
    let mut bits = 0;
    let mut offset = word.offset;
    for bytes in word.bytes.split(|&b| b == b'|') {
        let part = Word {
            bytes,
            offset,
            ..word
        };
        if bytes.is_empty() {
            return Err(part.fault(HumanErrorKind::MissingField(word.field)));
        }
        bits |= if part.is_number() {
            number::<u8>(part)?
        } else {
            let name = String::from_utf8_lossy(bytes);
            1u8 << bit(&name).map_err(|kind| part.fault(kind))?
        };
        offset += bytes.len() + 1;
    }
    Ok(bits)
}

/// The position of a type's flag with this name.
fn flag(name: &str, kind: FrameKind, revision: Revision) -> Result<u8, HumanErrorKind> {
    (0..)
        .zip(revision.flag_names(kind))
        .find_map(|(bit, known)| (known == Some(name)).then_some(bit))
        .ok_or_else(|| HumanErrorKind::UnknownFlag(shown(name), kind, revision))
}

/// A word as errors show it: not longer than a name could be.
pub(super) fn shown(word: &str) -> String {
    const LONGEST: usize = 32;
    let mut chars = word.chars();
    let mut shown: String = chars.by_ref().take(LONGEST).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}
