//! A service's description, composed by the compiler, and how it is sent.
//!
//! It has the shape of Mercurial's `capabilities` (http-v2.md, 5.2), with more keys, which Mercurial's
//! clients ignore:
//!
//! ```text
//!   {"commands": {name: {"args": {key: {TYPE, "required": bool, "default": any, "unit": bytes, "doc": bytes}},
//!                        "answer": {TYPE, "many": true}, "data": true, "doc": bytes, "notes": [bytes],
//!                        "permissions": ["pull" | "push"], "since": [major, minor], "deprecated": bytes}},
//!    "service": bytes, "doc": bytes, "schema": 8 bytes}
//!
//!   TYPE  "type": "bool" | "int" | "float" | "text" | "bytes" | "list" | "dict", and
//!         "range": [least, most] of numbers, "len" of bytes and lists of a fixed length,
//!         "items": {TYPE} of lists, "fields": {name: {TYPE, "required": bool}} of structs,
//!         "validvalues": [bytes] of names; nothing of values of any type
//! ```
//! Keys with nothing to say are left out. Commands and arguments stand in the order of the declaration.

use super::{Note, Scalar};
use crate::cbor::{
    MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NEGATIVE, MAJOR_TEXT, MAJOR_UNSIGNED,
};

/// A type, as it is described.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Type {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool,
    /// An integer, with its least and its greatest value.
    Int(i128, i128),
    /// A float.
    Float,
    /// Text.
    Text,
    /// Bytes, of a fixed number or any.
    Bytes(Option<usize>),
    /// So many values of a type.
    List(&'static Type, usize),
    /// One of these names.
    Names(&'static [&'static str]),
    /// A map with these fields.
    Fields(&'static [Field]),
    /// A value that may be missing.
    Optional(&'static Type),
    /// Any value.
    Any,
}

/// A field of a struct, as it is described.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// Its type.
    pub of: Type,
}

/// A service, as its description is composed of it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct ServiceInfo<'s> {
    pub name: &'s str,
    pub doc: &'s [&'s str],
    pub commands: &'s [CommandInfo<'s>],
}

#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct CommandInfo<'s> {
    pub name: &'s str,
    pub doc: &'s [&'s str],
    pub args: &'s [ArgInfo<'s>],
    pub takes_data: bool,
    pub answer: Option<Type>,
    pub is_many: bool,
    pub notes: &'s [Note],
}

#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct ArgInfo<'s> {
    pub key: &'s str,
    pub doc: &'s [&'s str],
    pub of: Type,
    pub default: Option<Scalar<'s>>,
    pub bounds: &'s [BoundInfo<'s>],
}

#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum BoundInfo<'s> {
    Unit(&'s str),
    Range(Scalar<'s>, Scalar<'s>),
}

/// Whether descriptions have the documentation.
const DOCS: bool = cfg!(feature = "service-docs");

/// A description, composed: runs of bytes, each behind its length, and words (their number, with the high
/// bit set). The keys and types of every description are words, so that a command takes few bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Description(&'static [u8]);

const WORD: u8 = 0x80;
/// Most bytes of a run.
const RUN: usize = 0x7f;

macro_rules! words {
    ($($name:ident = $bytes:literal,)*) => {
        #[derive(Clone, Copy)]
        #[repr(u8)]
        enum Word { $($name),* }

        /// The words one behind another, each behind its length.
        static WORDS: [u8; 0 $(+ 1 + $bytes.len())*] = {
            let mut all = [0; 0 $(+ 1 + $bytes.len())*];
            let mut at = 0;
            $(at = append(&mut all, at, $bytes);)*
            let _ = at;
            all
        };

        impl Word {
            const fn bytes(self) -> &'static [u8] {
                match self { $(Self::$name => $bytes),* }
            }
        }
    };
}
words! {
    Args = b"\x44args",
    Answer = b"\x46answer",
    Bool = b"\x44type\x44bool",
    Bytes = b"\x44type\x45bytes",
    Default = b"\x47default",
    Idempotent = b"\x4aidempotent",
    Int = b"\x44type\x43int\x45range\x82",
    Len = b"\x43len",
    Notes = b"\x45notes",
    NotRequired = b"\x48required\xf4",
    Pull = b"\x4bpermissions\x81\x44pull",
    Push = b"\x4bpermissions\x81\x44push",
    Range = b"\x45range\x82",
    Read = b"\x44read",
    Required = b"\x48required\xf5",
    Text = b"\x44type\x44text",
    Unit = b"\x44unit",
    Write = b"\x45write",
}

/// What is rare, or comes once, is no word.
mod rare {
    pub(super) const CAPABILITIES: &[u8] =
        b"\x4ccapabilities\xa2\x44args\xa0\x4bpermissions\x81\x44pull";
    pub(super) const COMMANDS: &[u8] = b"\x48commands";
    pub(super) const SCHEMA: &[u8] = b"\x46schema\x48";
    pub(super) const SERVICE: &[u8] = b"\x47service";
    pub(super) const DEPRECATED: &[u8] = b"\x4adeprecated";
    pub(super) const DESTRUCTIVE: &[u8] = b"\x4bdestructive";
    pub(super) const DICT: &[u8] = b"\x44type\x44dict\x46fields";
    pub(super) const LIST: &[u8] = b"\x44type\x44list\x45items";
    pub(super) const SINCE: &[u8] = b"\x45since\x82";
    pub(super) const MANY: &[u8] = b"\x44many\xf5";
    pub(super) const VALID_VALUES: &[u8] = b"\x44type\x44text\x4bvalidvalues";
    pub(super) const DOC: &[u8] = b"\x43doc";
    pub(super) const DATA: &[u8] = b"\x44data\xf5";
    pub(super) const FLOAT: &[u8] = b"\x44type\x45float";
}

impl Description {
    #[doc(hidden)]
    pub const fn new(composed: &'static [u8]) -> Self {
        Self(composed)
    }

    /// The whole description: one CBOR value.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> alloc::vec::Vec<u8> {
        let mut all = alloc::vec::Vec::new();
        let mut memory = [0; 256];
        loop {
            let (piece, is_last) = self.expand(all.len(), &mut memory);
            all.extend_from_slice(piece);
            if is_last {
                return all;
            }
        }
    }

    /// The description behind its first `skip` bytes, as far as `memory` goes, and whether it ends there.
    /// Work is linear in the whole description.
    pub fn expand<'m>(&self, mut skip: usize, memory: &'m mut [u8]) -> (&'m [u8], bool) {
        let mut composed = self.0;
        let mut used = 0usize;
        while let Some((first, rest)) = composed.split_first() {
            let piece;
            if *first & WORD == 0 {
                (piece, composed) = rest
                    .split_at_checked(usize::from(*first))
                    .unwrap_or_default();
            } else {
                (piece, composed) = (word(*first ^ WORD), rest);
            }
            let Some(piece) = piece.get(skip..) else {
                skip = skip.wrapping_sub(piece.len());
                continue;
            };
            skip = 0;
            let free = memory.get_mut(used..).unwrap_or_default();
            if free.len() < piece.len() {
                crate::bytes::copy(free, piece);
                return (memory, false);
            }
            crate::bytes::copy(free, piece);
            used = used.wrapping_add(piece.len());
        }
        (memory.get(..used).unwrap_or_default(), true)
    }
}

/// Appends a word to others.
#[expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "evaluated by the compiler"
)]
const fn append(all: &mut [u8], at: usize, word: &[u8]) -> usize {
    all[at] = word.len() as u8;
    let mut copied = 0;
    while copied < word.len() {
        all[at + 1 + copied] = word[copied];
        copied += 1;
    }
    at + 1 + word.len()
}

/// The word of this number.
fn word(mut number: u8) -> &'static [u8] {
    let mut words = WORDS.as_slice();
    while let Some((len, rest)) = words.split_first() {
        let (word, rest) = rest.split_at_checked(usize::from(*len)).unwrap_or_default();
        if number == 0 {
            return word;
        }
        number = number.wrapping_sub(1);
        words = rest;
    }
    &[]
}

/// Composes a description of so many bytes, as [`composed_len`] says.
#[doc(hidden)]
pub const fn compose<const N: usize>(info: &ServiceInfo<'_>) -> [u8; N] {
    let mut composer = Composer::new();
    composer.service(info, DOCS);
    composer.out
}

/// Bytes of a composed description.
#[doc(hidden)]
pub const fn composed_len(info: &ServiceInfo<'_>) -> usize {
    let mut composer = Composer::<0>::new();
    composer.service(info, DOCS);
    composer.at
}

/// The hash of a description without its documentation: FNV-1a of 64 bits.
#[doc(hidden)]
pub const fn schema(info: &ServiceInfo<'_>) -> u64 {
    let mut composer = Composer::<0>::new();
    composer.commands(info, false);
    composer.hash
}

/// Composes a description, or counts its bytes where there is no room for any.
struct Composer<const N: usize> {
    out: [u8; N],
    at: usize,
    /// Where the run began that is open, and its bytes.
    run: usize,
    run_len: usize,
    hash: u64,
}

/// A mistake here is an error of the compiler's: nothing of it is in a program.
#[expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "evaluated by the compiler"
)]
impl<const N: usize> Composer<N> {
    const fn new() -> Self {
        Self {
            out: [0; N],
            at: 0,
            run: 0,
            run_len: RUN,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }

    const fn put(&mut self, at: usize, byte: u8) {
        if at < N {
            self.out[at] = byte;
        }
    }

    const fn fold(&mut self, byte: u8) {
        self.hash = (self.hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3);
    }

    const fn byte(&mut self, byte: u8) {
        if self.run_len == RUN {
            self.run = self.at;
            self.run_len = 0;
            self.at += 1;
        }
        self.put(self.at, byte);
        self.at += 1;
        self.run_len += 1;
        self.put(self.run, self.run_len as u8);
        self.fold(byte);
    }

    const fn word(&mut self, word: Word) {
        self.run_len = RUN;
        self.put(self.at, WORD | word as u8);
        self.at += 1;
        let bytes = word.bytes();
        let mut at = 0;
        while at < bytes.len() {
            self.fold(bytes[at]);
            at += 1;
        }
    }

    const fn head(&mut self, major: u8, value: u64) {
        let (width, info) = match value {
            0..24 => (0, value as u8),
            24..=0xff => (1, 24),
            0x100..=0xffff => (2, 25),
            0x1_0000..=0xffff_ffff => (4, 26),
            _ => (8, 27),
        };
        self.byte(major << 5 | info);
        let bytes = value.to_be_bytes();
        let mut at = 8 - width;
        while at < 8 {
            self.byte(bytes[at]);
            at += 1;
        }
    }

    const fn string(&mut self, major: u8, bytes: &[u8]) {
        self.head(major, bytes.len() as u64);
        self.raw(bytes);
    }

    const fn raw(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            self.byte(bytes[at]);
            at += 1;
        }
    }

    const fn name(&mut self, name: &str) {
        self.string(MAJOR_BYTES, name.as_bytes());
    }

    const fn map(&mut self, len: usize) {
        self.head(MAJOR_MAP, len as u64);
    }

    const fn array(&mut self, len: usize) {
        self.head(MAJOR_ARRAY, len as u64);
    }

    const fn int(&mut self, value: i128) {
        if value < 0 {
            self.head(MAJOR_NEGATIVE, (-1 - value) as u64);
        } else {
            self.head(MAJOR_UNSIGNED, value as u64);
        }
    }

    const fn scalar(&mut self, scalar: Scalar<'_>) {
        match scalar {
            Scalar::Null | Scalar::Other => self.byte(0xf6),
            Scalar::Bool(value) => self.byte(0xf4 + value as u8),
            Scalar::Int(value) => self.int(value),
            Scalar::Float(value) => {
                self.byte(0xfb);
                self.raw(&value.to_bits().to_be_bytes());
            }
            Scalar::Text(text) => self.string(MAJOR_TEXT, text.as_bytes()),
            Scalar::Bytes(bytes) => self.string(MAJOR_BYTES, bytes),
        }
    }

    /// Lines of documentation, each without the space before it.
    const fn doc(&mut self, lines: &[&str]) {
        let mut len = 0;
        let mut at = 0;
        while at < lines.len() {
            len += unindented(lines[at]).len() + (at > 0) as usize;
            at += 1;
        }
        self.raw(rare::DOC);
        self.head(MAJOR_BYTES, len as u64);
        at = 0;
        while at < lines.len() {
            if at > 0 {
                self.byte(b'\n');
            }
            self.raw(unindented(lines[at]));
            at += 1;
        }
    }

    /// The pairs of a type; with a range of its own where one is declared.
    const fn kind(&mut self, of: Type, range: Option<(Scalar<'_>, Scalar<'_>)>) {
        match of {
            Type::Null | Type::Any => {}
            Type::Bool => self.word(Word::Bool),
            Type::Int(least, most) => {
                self.word(Word::Int);
                match range {
                    Some((least, most)) => {
                        self.scalar(least);
                        self.scalar(most);
                    }
                    None => {
                        self.int(least);
                        self.int(most);
                    }
                }
            }
            Type::Float => {
                self.raw(rare::FLOAT);
                if let Some((least, most)) = range {
                    self.word(Word::Range);
                    self.scalar(least);
                    self.scalar(most);
                }
            }
            Type::Text => self.word(Word::Text),
            Type::Bytes(len) => {
                self.word(Word::Bytes);
                if let Some(len) = len {
                    self.word(Word::Len);
                    self.int(len as i128);
                }
            }
            Type::List(item, len) => {
                self.raw(rare::LIST);
                self.map(pairs(*item, false));
                self.kind(*item, None);
                self.word(Word::Len);
                self.int(len as i128);
            }
            Type::Names(names) => {
                self.raw(rare::VALID_VALUES);
                self.array(names.len());
                let mut at = 0;
                while at < names.len() {
                    self.name(names[at]);
                    at += 1;
                }
            }
            Type::Fields(fields) => {
                self.raw(rare::DICT);
                self.map(fields.len());
                let mut at = 0;
                while at < fields.len() {
                    let field = fields[at];
                    self.name(field.name);
                    self.map(pairs(field.of, false) + 1);
                    self.kind(field.of, None);
                    self.is_required(!matches!(field.of, Type::Optional(_)));
                    at += 1;
                }
            }
            Type::Optional(inner) => self.kind(*inner, range),
        }
    }

    const fn is_required(&mut self, is_required: bool) {
        self.word(if is_required {
            Word::Required
        } else {
            Word::NotRequired
        });
    }

    const fn arg(&mut self, arg: &ArgInfo<'_>, docs: bool) {
        let (mut range, mut unit) = (None, None);
        let mut at = 0;
        while at < arg.bounds.len() {
            match arg.bounds[at] {
                BoundInfo::Unit(name) => unit = Some(name),
                BoundInfo::Range(least, most) => range = Some((least, most)),
            }
            at += 1;
        }
        let default = match arg.default {
            None | Some(Scalar::Other) => None,
            default => default,
        };
        let has_doc = docs && !arg.doc.is_empty();
        self.name(arg.key);
        self.map(
            pairs(arg.of, range.is_some())
                + 1
                + default.is_some() as usize
                + unit.is_some() as usize
                + has_doc as usize,
        );
        self.kind(arg.of, range);
        self.is_required(arg.default.is_none() && !matches!(arg.of, Type::Optional(_)));
        if let Some(default) = default {
            self.word(Word::Default);
            self.scalar(default);
        }
        if let Some(unit) = unit {
            self.word(Word::Unit);
            self.name(unit);
        }
        if has_doc {
            self.doc(arg.doc);
        }
    }

    const fn command(&mut self, command: &CommandInfo<'_>, docs: bool) {
        let (mut words, mut others) = (0, 0);
        let (mut reads, mut writes) = (false, false);
        let mut at = 0;
        while at < command.notes.len() {
            match command.notes[at] {
                Note::Since(..) | Note::Deprecated(_) => others += 1,
                note => {
                    words += 1;
                    reads |= matches!(note, Note::Read);
                    writes |= matches!(note, Note::Write | Note::Destructive);
                }
            }
            at += 1;
        }
        let has_doc = docs && !command.doc.is_empty();
        self.name(command.name);
        self.map(
            1 + command.answer.is_some() as usize
                + command.takes_data as usize
                + (words > 0) as usize
                + (reads || writes) as usize
                + others
                + has_doc as usize,
        );
        self.word(Word::Args);
        self.map(command.args.len());
        at = 0;
        while at < command.args.len() {
            self.arg(&command.args[at], docs);
            at += 1;
        }
        if let Some(answer) = command.answer {
            self.word(Word::Answer);
            self.map(pairs(answer, false) + command.is_many as usize);
            self.kind(answer, None);
            if command.is_many {
                self.raw(rare::MANY);
            }
        }
        if command.takes_data {
            self.raw(rare::DATA);
        }
        if writes {
            self.word(Word::Push);
        } else if reads {
            self.word(Word::Pull);
        }
        self.notes(command.notes, words);
        if has_doc {
            self.doc(command.doc);
        }
    }

    const fn notes(&mut self, notes: &[Note], words: usize) {
        if words > 0 {
            self.word(Word::Notes);
            self.array(words);
        }
        let mut at = 0;
        while at < notes.len() {
            match notes[at] {
                Note::Read => self.word(Word::Read),
                Note::Write => self.word(Word::Write),
                Note::Destructive => self.raw(rare::DESTRUCTIVE),
                Note::Idempotent => self.word(Word::Idempotent),
                _ => {}
            }
            at += 1;
        }
        at = 0;
        while at < notes.len() {
            match notes[at] {
                Note::Since(major, minor) => {
                    self.raw(rare::SINCE);
                    self.int(major as i128);
                    self.int(minor as i128);
                }
                Note::Deprecated(instead) => {
                    self.raw(rare::DEPRECATED);
                    self.name(instead);
                }
                _ => {}
            }
            at += 1;
        }
    }

    const fn commands(&mut self, info: &ServiceInfo<'_>, docs: bool) {
        self.raw(rare::COMMANDS);
        self.map(info.commands.len() + 1);
        let mut at = 0;
        while at < info.commands.len() {
            self.command(&info.commands[at], docs);
            at += 1;
        }
        self.raw(rare::CAPABILITIES);
    }

    const fn service(&mut self, info: &ServiceInfo<'_>, docs: bool) {
        let has_doc = docs && !info.doc.is_empty();
        self.map(3 + has_doc as usize);
        self.commands(info, docs);
        self.raw(rare::SERVICE);
        self.name(info.name);
        if has_doc {
            self.doc(info.doc);
        }
        self.raw(rare::SCHEMA);
        self.raw(&schema(info).to_be_bytes());
    }
}

/// Pairs that a type has in a map.
const fn pairs(of: Type, has_range: bool) -> usize {
    match of {
        Type::Null | Type::Any => 0,
        Type::Bool | Type::Text | Type::Bytes(None) => 1,
        Type::Float => {
            if has_range {
                2
            } else {
                1
            }
        }
        Type::Int(..) | Type::Bytes(Some(_)) | Type::Names(_) | Type::Fields(_) => 2,
        Type::List(..) => 3,
        Type::Optional(inner) => pairs(*inner, has_range),
    }
}

/// A line of documentation without the space that stands before its text.
const fn unindented(line: &str) -> &[u8] {
    match line.as_bytes() {
        [b' ', rest @ ..] => rest,
        line => line,
    }
}
