//! What a column's type is in Parquet, and how its values wait for their row group: as bytes that begin with 0 for null.

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::Type;

use crate::record::CellKind;
use crate::value::FieldType;
use crate::value::datetime::{epoch_days, epoch_milliseconds, milliseconds_of_day};
use crate::value::number::{double, scaled};

/// How the values of a column are stored.
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

impl Storage {
    /// How values of this type are stored. A decimal is an INT32 of up to 9 digits, an INT64 of up to 18, or else sixteen bytes.
    pub(super) fn of(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Text | FieldType::Json | FieldType::Base64 | FieldType::Any => Self::Text,
            FieldType::Boolean => Self::Boolean,
            FieldType::Integer | FieldType::Date | FieldType::Time => Self::Int32,
            FieldType::Long | FieldType::DateTime => Self::Int64,
            FieldType::Double => Self::Double,
            FieldType::Decimal { precision: 0..=9, .. } => Self::Int32,
            FieldType::Decimal { precision: 10..=18, .. } => Self::Int64,
            FieldType::Decimal { .. } => Self::Fixed,
        }
    }

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

/// A column of this type in a file's schema. Old readers know a type by its converted type, which the library adds.
pub(super) fn column(name: &str, field_type: FieldType) -> Result<Type, ParquetError> {
    let storage = Storage::of(field_type);
    let physical = match storage {
        Storage::Boolean => PhysicalType::BOOLEAN,
        Storage::Int32 => PhysicalType::INT32,
        Storage::Int64 => PhysicalType::INT64,
        Storage::Double => PhysicalType::DOUBLE,
        Storage::Fixed => PhysicalType::FIXED_LEN_BYTE_ARRAY,
        Storage::Text => PhysicalType::BYTE_ARRAY,
    };
    let logical = match field_type {
        FieldType::Text | FieldType::Json | FieldType::Base64 | FieldType::Any => Some(LogicalType::String),
        FieldType::Decimal { precision, scale } => {
            Some(LogicalType::decimal(i32::from(scale), i32::from(precision)))
        }
        FieldType::Date => Some(LogicalType::Date),
        FieldType::DateTime => Some(LogicalType::timestamp(true, TimeUnit::MILLIS)),
        FieldType::Time => Some(LogicalType::time(true, TimeUnit::MILLIS)),
        FieldType::Boolean | FieldType::Integer | FieldType::Long | FieldType::Double => None,
    };
    let mut column = Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_converted_type(ConvertedType::NONE)
        .with_logical_type(logical);
    if let FieldType::Decimal { precision, scale } = field_type {
        column = column.with_precision(precision.into()).with_scale(scale.into());
        if storage == Storage::Fixed {
            column = column.with_length(i32::try_from(FIXED_BYTES).unwrap_or_default());
        }
    }
    column.build()
}

/// Appends a value; `None` if it is not of this type.
#[inline]
pub(super) fn append(field_type: FieldType, kind: CellKind, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if kind == CellKind::Null {
        out.push(0);
        return Some(());
    }
    match field_type {
        FieldType::Text | FieldType::Json | FieldType::Base64 | FieldType::Any => {
            append_length(text.len() + 1, out);
            out.extend_from_slice(text);
        }
        FieldType::Boolean => out.push(match text {
            b"false" => 1,
            b"true" => 2,
            _ => return None,
        }),
        FieldType::Integer => fixed(i32::try_from(whole(text)?).ok()?.to_le_bytes(), out),
        FieldType::Long => fixed(whole(text)?.to_le_bytes(), out),
        FieldType::Double => fixed(double(text)?.to_le_bytes(), out),
        FieldType::Decimal { precision, scale } => {
            let value = scaled(text, scale)?;
            if value.unsigned_abs() >= 10_u128.pow(precision.into()) {
                return None;
            }
            match Storage::of(field_type) {
                Storage::Int32 => fixed(i32::try_from(value).ok()?.to_le_bytes(), out),
                Storage::Int64 => fixed(i64::try_from(value).ok()?.to_le_bytes(), out),
                _ => fixed(value.to_be_bytes(), out),
            }
        }
        FieldType::Date => fixed(epoch_days(text)?.to_le_bytes(), out),
        FieldType::DateTime => fixed(epoch_milliseconds(text)?.to_le_bytes(), out),
        FieldType::Time => fixed(milliseconds_of_day(text)?.to_le_bytes(), out),
    }
    Some(())
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

    fn appended(field_type: FieldType, text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        append(field_type, CellKind::Text, text.as_bytes(), &mut out)?;
        assert_eq!(Storage::of(field_type).length(&out), Some(out.len()), "{text}");
        Some(out)
    }

    #[test]
    fn a_value_is_of_its_type_or_refused() {
        let decimal = |precision, scale| FieldType::Decimal { precision, scale };
        for (kind, text, expected) in [
            (FieldType::Text, "", Some(&[1][..])),
            (FieldType::Text, "ä", Some(&[3, 0xC3, 0xA4])),
            (FieldType::Boolean, "true", Some(&[2])),
            (FieldType::Boolean, "false", Some(&[1])),
            (FieldType::Boolean, "True", None),
            (FieldType::Integer, "-2", Some(&[1, 0xFE, 0xFF, 0xFF, 0xFF])),
            (FieldType::Integer, "3.0", Some(&[1, 3, 0, 0, 0])),
            (FieldType::Integer, "2147483648", None),
            (FieldType::Integer, "", None),
            (FieldType::Integer, "-", None),
            (FieldType::Long, "9223372036854775807", Some(&[1, 255, 255, 255, 255, 255, 255, 255, 127])),
            (FieldType::Long, "9223372036854775808", None),
            (FieldType::Double, "1", Some(&[1, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F])),
            (FieldType::Double, "x", None),
            (decimal(4, 2), "-1.25", Some(&[1, 0x83, 0xFF, 0xFF, 0xFF])),
            (decimal(4, 2), "99.99", Some(&[1, 0x0F, 0x27, 0, 0])),
            (decimal(4, 2), "100", None),
            (decimal(18, 0), "1", Some(&[1, 1, 0, 0, 0, 0, 0, 0, 0])),
            (
                decimal(19, 0),
                "-1",
                Some(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]),
            ),
            (FieldType::Date, "1970-01-02", Some(&[1, 1, 0, 0, 0])),
            (FieldType::Date, "1970-01-02T00:00:00Z", None),
            (FieldType::DateTime, "1970-01-01T00:00:00.256+0000", Some(&[1, 0, 1, 0, 0, 0, 0, 0, 0])),
            (FieldType::DateTime, "1970-01-02", None),
            (FieldType::Time, "00:00:00.001Z", Some(&[1, 1, 0, 0, 0])),
            (FieldType::Time, "noon", None),
        ] {
            assert_eq!(appended(kind, text).as_deref(), expected, "{text:?} as {kind:?}");
        }
    }

    #[test]
    fn a_long_text_has_a_long_length() {
        for length in [126, 127, 128, 16_382, 16_383, 100_000] {
            let text = "x".repeat(length);
            let out = appended(FieldType::Text, &text).unwrap();
            let (found, rest) = split_length(&out).unwrap();
            assert_eq!((found, rest), (length + 1, text.as_bytes()));
            assert_eq!(Storage::Text.length(&out[..out.len() - 1]), None);
        }
    }
}
