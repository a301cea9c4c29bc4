//! Figures, times and paths as a person reads them, on a terminal or on the status page. What a program reads is exact.

use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::report::{CountResult, RunReport};

/// `4,948`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 record`, `4,948 records`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// `a, b and 3 more`: no more names than `most`.
pub(crate) fn list(names: impl ExactSizeIterator<Item: AsRef<str>>, most: usize) -> String {
    let more = names.len().saturating_sub(most);
    let mut text = String::new();
    for name in names.take(most) {
        let comma = if text.is_empty() { "" } else { ", " };
        text.push_str(&format!("{comma}{}", name.as_ref()));
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// `408 objects, 2 failed, 3 skipped`: what a run did with the objects of a set.
pub(crate) fn objects(exported: u64, failed: u64, skipped: u64) -> String {
    let mut text = counted(exported, "object");
    for (count, what) in [(failed, "failed"), (skipped, "skipped")] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", number(count)));
        }
    }
    text
}

/// What a run's number of records needs besides its warnings: why the org counted more, or none.
pub(crate) fn count_note(report: &RunReport) -> Option<String> {
    match report.count? {
        CountResult::DeletedMeanwhile => {
            Some(format!("{} deleted meanwhile", number(report.deleted_meanwhile)))
        }
        CountResult::NotCounted => Some("not counted by the org".to_owned()),
        // The others are as they should be, or have a warning.
        CountResult::Equal | CountResult::Recounted | CountResult::Differs | CountResult::Unknown => None,
    }
}

/// `512 B`, `1.2 MB`: three digits at most, decimal units.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // What would be shown as 1000.
        if value < 999.5 {
            break;
        }
        value /= 1_000.0;
        unit = larger;
    }
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// `0.8 s`, `48 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs_f64().max(0.0);
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `2026-11-28 02:00 CET`, in the job's zone.
pub(crate) fn time(timestamp: Timestamp, timezone: &TimeZone) -> String {
    timestamp.to_zoned(timezone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// `in 5 min`, `3 d ago`: how far off a timestamp is, in one unit.
pub(crate) fn distance(timestamp: Timestamp, now: Timestamp) -> String {
    let ahead = timestamp.duration_since(now);
    match ahead.unsigned_abs() {
        distance if distance.as_secs() == 0 => "now".to_owned(),
        distance if ahead.is_positive() => format!("in {}", rough(distance)),
        distance => format!("{} ago", rough(distance)),
    }
}

/// `90 s`, `10 min`, `5 h`: a duration in one unit.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A path from the working directory if it is below it.
pub(crate) fn path(path: &str) -> &str {
    let working_dir = std::env::current_dir().ok();
    let below = working_dir.as_deref().and_then(|directory| Path::new(path).strip_prefix(directory).ok());
    below.and_then(Path::to_str).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(objects(1_408, 2, 0), "1,408 objects, 2 failed");
        assert_eq!(objects(1, 0, 3), "1 object, 3 skipped");
        assert_eq!(
            [0, 999, 1_000, 1_949, 9_949, 9_950, 999_499, 999_500, 12_400_000, 1_000_000_000].map(bytes),
            ["0 B", "999 B", "1.0 kB", "1.9 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "12 MB", "1.0 GB"]
        );
        let shown = |milliseconds| duration(SignedDuration::from_millis(milliseconds));
        assert_eq!(
            [-5, 40, 9_949, 9_950, 59_499, 59_500, 200_400, 7_500_000].map(shown),
            ["0.0 s", "0.0 s", "9.9 s", "10 s", "59 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]
        );
    }

    #[test]
    fn a_distance_is_one_number_and_its_direction() {
        let now = Timestamp::from_second(1_795_309_200).unwrap();
        let shown = |seconds| distance(now + SignedDuration::from_secs(seconds), now);
        assert_eq!(
            [0, 1, 119, 120, 7_199, 7_200, 172_799, 172_800, 400 * 86_400].map(shown),
            [
                "now",
                "in 1 s",
                "in 119 s",
                "in 2 min",
                "in 119 min",
                "in 2 h",
                "in 47 h",
                "in 2 d",
                "in 400 d"
            ]
        );
        assert_eq!([-1, -300, -90_000].map(shown), ["1 s ago", "5 min ago", "25 h ago"]);
    }
}
