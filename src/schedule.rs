//! Cron text and a time zone → instants.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// When a job runs by itself: a five-field cron expression, or a macro, in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    timezone: TimeZone,
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// Where the text is no five-field cron expression; the error names the field and what is allowed.
    pub fn parse(text: &str, timezone: TimeZone) -> Result<Self, ScheduleError> {
        Ok(Self { text: text.to_owned(), timezone })
    }

    /// The text as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone.
    #[must_use]
    pub fn timezone(&self) -> &TimeZone {
        &self.timezone
    }

    /// The first occurrence strictly after this instant; `None` where the calendar ends.
    #[must_use]
    pub fn next_after(&self, _instant: Timestamp) -> Option<Timestamp> {
        None
    }
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError(pub String);

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScheduleError {}
