//! A pull reader over the bytes of one response: jiter, without its refusal of lone surrogates, which Salesforce
//! stores and sends. It returns slices of the response, so nothing is copied before its place is known.

use std::ops::Range;

use jiter::{Jiter, JiterErrorType, JiterResult, JsonType, Peek};
use serde::de::IgnoredAny;

use super::fault::{Fault, FaultKind};

pub(super) struct Json<'a> {
    bytes: &'a [u8],
    /// Where `jiter`'s own bytes begin: it is made again behind what it cannot read.
    base: usize,
    jiter: Jiter<'a>,
    /// Lone surrogates met so far.
    pub(super) surrogates: u64,
}

impl<'a> Json<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0, jiter: Jiter::new(bytes), surrogates: 0 }
    }

    /// Where the reader stands: behind what it last read.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.base + self.jiter.current_index()
    }

    pub(super) fn seek(&mut self, position: usize) {
        self.base = position.min(self.bytes.len());
        // The room for unescaped text is kept.
        let tape = std::mem::replace(&mut self.jiter, Jiter::new(&[])).into_tape();
        self.jiter = Jiter::with_tape(&self.bytes[self.base..], tape);
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the next value is; the reader stands before it then.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<Peek, Fault> {
        self.jiter.peek().map_err(|error| not_whole(&error))
    }

    /// The first key of an object, as it stands between its quotes; `None` where it has none.
    pub(super) fn object(&mut self) -> Result<Option<Range<usize>>, Fault> {
        Self::key(self.bytes, self.jiter.next_object_bytes())
    }

    /// The next key of an object; `None` at its end.
    #[inline]
    pub(super) fn next_key(&mut self) -> Result<Option<Range<usize>>, Fault> {
        Self::key(self.bytes, self.jiter.next_key_bytes())
    }

    // Called for every key: the hints here, and a value peeked at once only, are worth 4 %.
    #[inline]
    fn key(bytes: &[u8], key: JiterResult<Option<&[u8]>>) -> Result<Option<Range<usize>>, Fault> {
        let key = key.map_err(|error| not_whole(&error))?;
        Ok(key.map(|key| {
            let start = key.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + key.len()
        }))
    }

    /// Enters an array; gives whether it has an element, before which the reader stands then.
    pub(super) fn array(&mut self) -> Result<bool, Fault> {
        Ok(self.jiter.next_array().map_err(|error| not_whole(&error))?.is_some())
    }

    /// Goes on to the next element of an array; gives whether there is one.
    pub(super) fn array_step(&mut self) -> Result<bool, Fault> {
        Ok(self.jiter.array_step().map_err(|error| not_whole(&error))?.is_some())
    }

    /// Reads null, which the next value is known to be.
    pub(super) fn null(&mut self) -> Result<(), Fault> {
        self.jiter.known_null().map_err(|error| not_whole(&error))
    }

    /// Reads a boolean.
    #[inline]
    pub(super) fn boolean(&mut self) -> Result<bool, Fault> {
        self.jiter.next_bool().map_err(|error| not_whole(&error))
    }

    /// Reads a number: its bytes as sent.
    pub(super) fn number(&mut self) -> Result<&[u8], Fault> {
        self.jiter.next_number_bytes().map_err(|error| not_whole(&error))
    }

    /// The same where the value has been peeked at.
    #[inline]
    pub(super) fn known_number(&mut self, peek: Peek) -> Result<&[u8], Fault> {
        self.jiter.known_number_bytes(peek).map_err(|error| not_whole(&error))
    }

    /// Reads a string and gives its text to `take`; a lone surrogate is U+FFFD there.
    pub(super) fn string<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Result<T, Fault> {
        let start = self.position();
        match self.jiter.next_str() {
            Ok(text) => Ok(take(text.as_bytes())),
            Err(error) => {
                let error = not_whole(&error);
                self.string_with_surrogates(start, error).map(|text| take(&text))
            }
        }
    }

    #[cold]
    fn string_with_surrogates(&mut self, start: usize, error: Fault) -> Result<Vec<u8>, Fault> {
        let mut reader = serde_json::Deserializer::from_slice(&self.bytes[start..]).into_iter::<LossyText>();
        let Some(Ok(LossyText(mut text))) = reader.next() else { return Err(error) };
        let end = start + reader.byte_offset();
        // Read into bytes, a string is not checked for what it must not hold.
        if self.bytes[start..end].iter().any(|byte| *byte < 0x20) {
            return Err(error);
        }
        self.surrogates += replace_surrogates(&mut text);
        self.seek(end);
        Ok(text)
    }

    /// Passes over the next value; gives where it stands.
    pub(super) fn skip(&mut self) -> Result<Range<usize>, Fault> {
        let peek = self.peek()?;
        self.known_skip(peek)
    }

    /// The same where the value has been peeked at.
    #[inline]
    pub(super) fn known_skip(&mut self, peek: Peek) -> Result<Range<usize>, Fault> {
        let start = self.position();
        if let Err(error) = self.jiter.known_skip(peek) {
            let error = not_whole(&error);
            let mut reader =
                serde_json::Deserializer::from_slice(&self.bytes[start..]).into_iter::<IgnoredAny>();
            let Some(Ok(_)) = reader.next() else { return Err(error) };
            let end = start + reader.byte_offset();
            self.surrogates += lone_surrogates(&self.bytes[start..end]);
            self.seek(end);
        }
        Ok(start..self.position())
    }

    /// Nothing but white space may follow.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        self.jiter.finish().map_err(|error| not_whole(&error))
    }
}

/// A string as serde_json reads it into bytes, in which a lone surrogate is its three bytes.
struct LossyText(Vec<u8>);

impl<'de> serde::Deserialize<'de> for LossyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = LossyText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<LossyText, E> {
                Ok(LossyText(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// Puts U+FFFD, which has three bytes too, in the place of every surrogate; gives their number.
fn replace_surrogates(text: &mut [u8]) -> u64 {
    let mut count = 0;
    for at in 0..text.len().saturating_sub(2) {
        if text[at] == 0xED && text[at + 1] >= 0xA0 {
            text[at..at + 3].copy_from_slice("\u{FFFD}".as_bytes());
            count += 1;
        }
    }
    count
}

/// The number of `\uD800` to `\uDFFF` escapes in JSON text that are not one half of a pair.
fn lone_surrogates(json: &[u8]) -> u64 {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut at, mut count) = (0, 0);
    while at < json.len() {
        at += match (json[at], unit(at)) {
            (b'\\', Some(0xD800..=0xDBFF)) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            (b'\\', Some(0xD800..=0xDFFF)) => {
                count += 1;
                6
            }
            (b'\\', _) => 2,
            _ => 1,
        };
    }
    count
}

/// The fault of a response that is not JSON from its first byte to its last.
#[cold]
fn not_whole(error: &jiter::JiterError) -> Fault {
    match &error.error_type {
        JiterErrorType::WrongType { expected, actual } => {
            // JSON has numbers of one kind only.
            let named = |kind: &JsonType| match kind {
                JsonType::Int | JsonType::Float => "a number".to_owned(),
                other => other.to_string(),
            };
            let (actual, expected) = (named(actual), named(expected));
            Fault::new(
                FaultKind::InvalidResponse,
                format!("the response is not a query result: it has {actual} where {expected} belongs"),
            )
        }
        JiterErrorType::JsonError(what) => {
            Fault::new(FaultKind::Truncated, format!("the response is not whole JSON: {what}"))
        }
    }
}
