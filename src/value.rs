//! The types of values and how values are written, whatever API and format they come from and go to.

use std::fmt;

pub mod datetime;
pub mod number;

/// The type of a column's values, as far as a format can tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// A string, an Id, a picklist's value.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Long,
    /// A number with a fraction. Salesforce keeps all of them as doubles, currencies and percentages too.
    Double,
    /// The same with its declared digits.
    Decimal {
        /// All digits.
        precision: u8,
        /// Those after the point.
        scale: u8,
    },
    /// A day.
    Date,
    /// A point in time, in milliseconds, UTC.
    DateTime,
    /// A time of day, in milliseconds.
    Time,
    /// A JSON object or list: a compound value, or a child query's records.
    Json,
    /// Bytes, as base64.
    Base64,
    /// Any of the others from record to record, as in the values of field history.
    Any,
}

impl FieldType {
    /// The types that a job can set, as it spells them; [`FieldType::Decimal`] is `decimal(P,S)`.
    pub const NAMES: [&str; 9] =
        ["text", "boolean", "integer", "long", "double", "date", "datetime", "time", "json"];

    /// The most digits of a decimal, in the databases that have the fewest.
    pub(crate) const MAX_PRECISION: u8 = 38;

    /// Reads a type as a job spells it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "text" => Self::Text,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "long" => Self::Long,
            "double" => Self::Double,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "time" => Self::Time,
            "json" => Self::Json,
            _ => {
                let (precision, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
                let digits = |text: &str| {
                    let text = text.trim();
                    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u8>().ok())?
                };
                let (precision, scale) = (digits(precision)?, digits(scale)?);
                let fits = (1..=Self::MAX_PRECISION).contains(&precision) && scale <= precision;
                return fits.then_some(Self::Decimal { precision, scale });
            }
        })
    }
}

impl fmt::Display for FieldType {
    /// As a job spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Long => "long",
            Self::Double => "double",
            Self::Decimal { precision, scale } => return write!(f, "decimal({precision},{scale})"),
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Time => "time",
            Self::Json => "json",
            Self::Base64 => "base64",
            Self::Any => "any",
        })
    }
}

/// A value that is not of its column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeMismatch {
    field_type: FieldType,
    value: String,
}

impl TypeMismatch {
    /// The mismatch of a value.
    #[must_use]
    pub fn of(field_type: FieldType, value: &[u8]) -> Self {
        Self { field_type, value: shown(value) }
    }

    /// The type that the value is not of.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }
}

impl fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a value of type {}", self.value, self.field_type)
    }
}

impl std::error::Error for TypeMismatch {}

/// A value as an error message shows it: its beginning, if it is long.
fn shown(value: &[u8]) -> String {
    const MOST: usize = 40;
    let text = String::from_utf8_lossy(&value[..value.len().min(MOST)]);
    let dots = if value.len() > MOST { "..." } else { "" };
    format!("{}{dots}", text.trim_end_matches('\u{FFFD}'))
}

#[cfg(test)]
mod tests {
    use super::FieldType;

    #[test]
    fn a_type_is_read_as_it_is_written() {
        for name in FieldType::NAMES {
            assert_eq!(FieldType::parse(name).unwrap().to_string(), name);
        }
        let decimal = |precision, scale| Some(FieldType::Decimal { precision, scale });
        for (text, expected) in [
            ("decimal(18,2)", decimal(18, 2)),
            ("decimal( 38 , 38 )", decimal(38, 38)),
            ("decimal(1,0)", decimal(1, 0)),
            ("decimal(39,0)", None),
            ("decimal(0,0)", None),
            ("decimal(2,3)", None),
            ("decimal(18)", None),
            ("decimal(+1,0)", None),
            ("decimal", None),
            ("Text", None),
            ("any", None),
            ("base64", None),
            ("", None),
        ] {
            assert_eq!(FieldType::parse(text), expected, "{text}");
        }
        assert_eq!(FieldType::parse("decimal(18, 2)").unwrap().to_string(), "decimal(18,2)");
    }
}
