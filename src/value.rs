//! The types of values and how values are written, whatever API and format they come from and go to.

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
