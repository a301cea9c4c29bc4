//! The type of a column in Parquet, and how its values wait for their row group: as bytes that begin with 0 for null.

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::Type;

use crate::record::CellKind;
use crate::value::FieldType;
use crate::value::datetime::{epoch_days, epoch_milliseconds, milliseconds_of_day};
use crate::value::number::{double, scaled};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// STRING
    Text,
    Boolean,
    /// INT32
    Integer,
    /// INT64
    Long,
    Double,
    /// DECIMAL: an INT32 of up to 9 digits, an INT64 of up to 18, or else 16 bytes.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    /// TIMESTAMP in milliseconds, UTC.
    DateTime,
    /// TIME in milliseconds.
    Time,
}

/// How values of a kind are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    Boolean,
    Int32,
    Int64,
    Double,
    /// Sixteen bytes, the most significant one first.
    Fixed,
    Text,
}

/// The bytes of a DECIMAL of more than 18 digits.
pub(super) const FIXED_BYTES: usize = 16;

/// What a value that is not null begins with, unless it is a text or a boolean.
const PRESENT: u8 = 1;

impl Kind {
    /// The kind of values of this type.
    pub(super) fn of(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Boolean => Self::Boolean,
            FieldType::Integer => Self::Integer,
            FieldType::Long => Self::Long,
            FieldType::Double => Self::Double,
            FieldType::Decimal { precision, scale } => Self::Decimal { precision, scale },
            FieldType::Date => Self::Date,
            FieldType::DateTime => Self::DateTime,
            FieldType::Time => Self::Time,
            FieldType::Text | FieldType::Json | FieldType::Base64 | FieldType::Any => Self::Text,
        }
    }

    pub(super) fn storage(self) -> Storage {
        match self {
            Self::Text => Storage::Text,
            Self::Boolean => Storage::Boolean,
            Self::Integer | Self::Date | Self::Time => Storage::Int32,
            Self::Long | Self::DateTime => Storage::Int64,
            Self::Double => Storage::Double,
            Self::Decimal { precision: 0..=9, .. } => Storage::Int32,
            Self::Decimal { precision: 10..=18, .. } => Storage::Int64,
            Self::Decimal { .. } => Storage::Fixed,
        }
    }

    /// The column in a file's schema. Old readers know a type by its converted type, which the library adds.
    pub(super) fn column(self, name: &str) -> Result<Type, ParquetError> {
        let physical = match self.storage() {
            Storage::Boolean => PhysicalType::BOOLEAN,
            Storage::Int32 => PhysicalType::INT32,
            Storage::Int64 => PhysicalType::INT64,
            Storage::Double => PhysicalType::DOUBLE,
            Storage::Fixed => PhysicalType::FIXED_LEN_BYTE_ARRAY,
            Storage::Text => PhysicalType::BYTE_ARRAY,
        };
        let logical = match self {
            Self::Text => Some(LogicalType::String),
            Self::Decimal { precision, scale } => {
                Some(LogicalType::decimal(i32::from(scale), i32::from(precision)))
            }
            Self::Date => Some(LogicalType::Date),
            Self::DateTime => Some(LogicalType::timestamp(true, TimeUnit::MILLIS)),
            Self::Time => Some(LogicalType::time(true, TimeUnit::MILLIS)),
            Self::Boolean | Self::Integer | Self::Long | Self::Double => None,
        };
        let mut column = Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_converted_type(ConvertedType::NONE)
            .with_logical_type(logical);
        if let Self::Decimal { precision, scale } = self {
            column = column.with_precision(precision.into()).with_scale(scale.into());
            if self.storage() == Storage::Fixed {
                column = column.with_length(i32::try_from(FIXED_BYTES).unwrap_or_default());
            }
        }
        column.build()
    }

    /// Appends a value; `None` if it is not of this kind.
    #[inline]
    pub(super) fn append(self, kind: CellKind, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if kind == CellKind::Null {
            out.push(0);
            return Some(());
        }
        match self {
            Self::Text => {
                append_length(text.len() + 1, out);
                out.extend_from_slice(text);
            }
            Self::Boolean => out.push(match text {
                b"false" => 1,
                b"true" => 2,
                _ => return None,
            }),
            Self::Integer => fixed(i32::try_from(whole(text)?).ok()?.to_le_bytes(), out),
            Self::Long => fixed(whole(text)?.to_le_bytes(), out),
            Self::Double => fixed(double(text)?.to_le_bytes(), out),
            Self::Decimal { precision, scale } => {
                let value = scaled(text, scale)?;
                if value.unsigned_abs() >= 10_u128.pow(precision.into()) {
                    return None;
                }
                match self.storage() {
                    Storage::Int32 => fixed(i32::try_from(value).ok()?.to_le_bytes(), out),
                    Storage::Int64 => fixed(i64::try_from(value).ok()?.to_le_bytes(), out),
                    _ => fixed(value.to_be_bytes(), out),
                }
            }
            Self::Date => fixed(epoch_days(text)?.to_le_bytes(), out),
            Self::DateTime => fixed(epoch_milliseconds(text)?.to_le_bytes(), out),
            Self::Time => fixed(milliseconds_of_day(text)?.to_le_bytes(), out),
        }
        Some(())
    }
}

impl Storage {
    /// The length of the value that `bytes` begin with; `None` if it is cut off.
    #[inline]
    pub(super) fn length(self, bytes: &[u8]) -> Option<usize> {
        let fixed = |length: usize| Some(if *bytes.first()? == 0 { 1 } else { 1 + length });
        let length = match self {
            Self::Boolean => Some(1),
            Self::Int32 => fixed(4),
            Self::Int64 | Self::Double => fixed(8),
            Self::Fixed => fixed(FIXED_BYTES),
            Self::Text => {
                let (length, rest) = split_length(bytes)?;
                Some(bytes.len() - rest.len() + length.saturating_sub(1))
            }
        }?;
        (length <= bytes.len()).then_some(length)
    }
}

#[inline]
fn fixed<const N: usize>(value: [u8; N], out: &mut Vec<u8>) {
    out.push(PRESENT);
    out.extend_from_slice(&value);
}

/// A whole number of 64 bits. Bulk API 2.0 may send one as `3.0`.
#[inline]
fn whole(text: &[u8]) -> Option<i64> {
    /// No 18 digits are too large.
    const SMALL: usize = 18;
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if (1..=SMALL).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
        let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        return Some(if is_negative { -value } else { value });
    }
    i64::try_from(scaled(text, 0)?).ok()
}

/// Appends a length, seven bits a byte, the least significant ones first.
#[inline]
pub(super) fn append_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// A length, and what follows it.
#[inline]
pub(super) fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(kind: Kind, text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        kind.append(CellKind::Text, text.as_bytes(), &mut out)?;
        assert_eq!(kind.storage().length(&out), Some(out.len()), "{text}");
        Some(out)
    }

    #[test]
    fn a_value_is_of_its_type_or_refused() {
        let decimal = |precision, scale| Kind::Decimal { precision, scale };
        for (kind, text, expected) in [
            (Kind::Text, "", Some(&[1][..])),
            (Kind::Text, "ä", Some(&[3, 0xC3, 0xA4])),
            (Kind::Boolean, "true", Some(&[2])),
            (Kind::Boolean, "false", Some(&[1])),
            (Kind::Boolean, "True", None),
            (Kind::Integer, "-2", Some(&[1, 0xFE, 0xFF, 0xFF, 0xFF])),
            (Kind::Integer, "3.0", Some(&[1, 3, 0, 0, 0])),
            (Kind::Integer, "2147483648", None),
            (Kind::Integer, "", None),
            (Kind::Integer, "-", None),
            (Kind::Long, "9223372036854775807", Some(&[1, 255, 255, 255, 255, 255, 255, 255, 127])),
            (Kind::Long, "9223372036854775808", None),
            (Kind::Double, "1", Some(&[1, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F])),
            (Kind::Double, "x", None),
            (decimal(4, 2), "-1.25", Some(&[1, 0x83, 0xFF, 0xFF, 0xFF])),
            (decimal(4, 2), "99.99", Some(&[1, 0x0F, 0x27, 0, 0])),
            (decimal(4, 2), "100", None),
            (decimal(18, 0), "1", Some(&[1, 1, 0, 0, 0, 0, 0, 0, 0])),
            (
                decimal(19, 0),
                "-1",
                Some(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]),
            ),
            (Kind::Date, "1970-01-02", Some(&[1, 1, 0, 0, 0])),
            (Kind::Date, "1970-01-02T00:00:00Z", None),
            (Kind::DateTime, "1970-01-01T00:00:00.256+0000", Some(&[1, 0, 1, 0, 0, 0, 0, 0, 0])),
            (Kind::DateTime, "1970-01-02", None),
            (Kind::Time, "00:00:00.001Z", Some(&[1, 1, 0, 0, 0])),
            (Kind::Time, "noon", None),
        ] {
            assert_eq!(appended(kind, text).as_deref(), expected, "{text:?} as {kind:?}");
        }
    }

    #[test]
    fn a_long_text_has_a_long_length() {
        for length in [126, 127, 128, 16_382, 16_383, 100_000] {
            let text = "x".repeat(length);
            let out = appended(Kind::Text, &text).unwrap();
            let (found, rest) = split_length(&out).unwrap();
            assert_eq!((found, rest), (length + 1, text.as_bytes()));
            assert_eq!(Storage::Text.length(&out[..out.len() - 1]), None);
        }
    }
}
