//! How a Parquet file is written.

use crate::value::FieldType;

/// The settings of a Parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParquetSettings {
    /// How its pages are compressed.
    pub codec: ParquetCodec,
    /// What numbers with a fraction become.
    pub decimals: ParquetDecimals,
    /// What dates, datetimes and times become.
    pub temporal: ParquetTemporal,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetCodec {
    /// Zstandard at level 1.
    Zstd,
    /// Snappy, which very old readers know.
    Snappy,
}

/// What numbers with a fraction become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetDecimals {
    /// DOUBLE, as the org keeps them.
    Double,
    /// DECIMAL with the digits that the org declares for the field.
    Decimal,
}

/// What dates, datetimes and times become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetTemporal {
    /// DATE, TIMESTAMP and TIME.
    Typed,
    /// STRING, as the REST API sends them.
    Text,
}

impl ParquetSettings {
    /// The type of a column in the file. Lists of records (as JSON), bytes (as base64), values of any type, and columns of an
    /// unknown type are text.
    #[must_use]
    pub fn type_of(self, field_type: Option<FieldType>) -> FieldType {
        use FieldType::{Any, Base64, Date, DateTime, Json, Text, Time};
        match field_type {
            None | Some(Any | Base64 | Json) => Text,
            Some(Date | DateTime | Time) if self.temporal == ParquetTemporal::Text => Text,
            Some(field_type) => field_type,
        }
    }

    /// What a job gets that sets nothing.
    pub const DEFAULT: Self = Self {
        codec: ParquetCodec::Zstd,
        decimals: ParquetDecimals::Double,
        temporal: ParquetTemporal::Typed,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_without_a_counterpart_is_text() {
        use FieldType::{Any, Base64, Boolean, Date, DateTime, Double, Json, Text, Time};
        let typed = ParquetSettings::DEFAULT;
        let text = ParquetSettings { temporal: ParquetTemporal::Text, ..typed };
        for (field_type, in_typed, in_text) in [
            (None, Text, Text),
            (Some(Json), Text, Text),
            (Some(Any), Text, Text),
            (Some(Base64), Text, Text),
            (Some(Boolean), Boolean, Boolean),
            (Some(Double), Double, Double),
            (Some(Date), Date, Text),
            (Some(DateTime), DateTime, Text),
            (Some(Time), Time, Text),
        ] {
            assert_eq!((typed.type_of(field_type), text.type_of(field_type)), (in_typed, in_text));
        }
    }
}
