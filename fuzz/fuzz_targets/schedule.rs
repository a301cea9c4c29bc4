//! Any text as a schedule, in a zone and from a timestamp that the first bytes choose: no panic and no endless
//! search; other spellings of it mean the same; occurrences come in order and are found from both sides; and in
//! UTC a small reading of the fields of its own agrees on each, and on the minutes in between.
#![no_main]

use std::sync::LazyLock;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;
use sfexport::schedule::Schedule;

static ZONES: LazyLock<Vec<TimeZone>> = LazyLock::new(|| {
    ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Antarctica/Troll"]
        .iter()
        .map(|name| TimeZone::get(name).expect("a zone"))
        .collect()
});

/// The end of 2100: schedules end with it.
const END: u32 = 4_133_980_800;
const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fuzz_target!(|data: &[u8]| {
    let [a, b, c, d, zone, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let zone = &ZONES[usize::from(*zone) % ZONES.len()];
    let schedule = match Schedule::parse(text, zone.clone()) {
        Ok(schedule) => schedule,
        Err(error) => {
            let words = error.to_string();
            assert!(!words.is_empty() && words.len() < 3_000, "{} bytes", words.len());
            return;
        }
    };
    assert_eq!(schedule.text(), text.trim());
    let spaced = text.split_whitespace().collect::<Vec<_>>().join(" \t");
    for other in [schedule.text(), &text.to_ascii_uppercase(), &text.to_ascii_lowercase(), &spaced] {
        let other = Schedule::parse(other, zone.clone()).expect("another spelling");
        assert_eq!(schedule.fingerprint(), other.fingerprint());
    }
    let second = u32::from_le_bytes([*a, *b, *c, *d]) % END;
    let mut after = Timestamp::from_second(second.into()).expect("a timestamp");
    for _ in 0..4 {
        let Some(next) = schedule.next_after(after) else { break };
        assert!(next > after, "{next} after {after}");
        // From just before it, it is the next; up to it, it is the last.
        assert_eq!(schedule.next_after(next - SECOND), Some(next));
        assert_eq!(schedule.last_within(after, next), Some(next));
        assert_eq!(schedule.last_within(after, next - SECOND), None);
        if *zone == TimeZone::UTC {
            agrees(&schedule, after, next);
        }
        after = next;
    }
});

/// The minutes behind `after` up to `next`, as far as a glance reaches, by the fields' own text.
fn agrees(schedule: &Schedule, after: Timestamp, next: Timestamp) {
    let words: Vec<_> = schedule.text().split_whitespace().collect();
    let &[minute, hour, day, month, weekday] = words.as_slice() else { return };
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let (month, weekday) = (without_names(month, &MONTHS, 1), without_names(weekday, &DAYS, 0));
    let number = |value: i8| usize::try_from(value).expect("a number");
    let fires = |timestamp: Timestamp| {
        let civil = timestamp.to_zoned(TimeZone::UTC);
        let of_week = number(civil.weekday().to_sunday_zero_offset());
        let in_month = names(day, number(civil.day()), 1, 31);
        let in_week = names(&weekday, of_week, 0, 7) || of_week == 0 && names(&weekday, 7, 0, 7);
        let on_day = if day.starts_with('*') || weekday.starts_with('*') {
            in_month && in_week
        } else {
            in_month || in_week
        };
        on_day
            && names(minute, number(civil.minute()), 0, 59)
            && names(hour, number(civil.hour()), 0, 23)
            && names(&month, number(civil.month()), 1, 12)
    };
    assert!(fires(next), "{} at {next}", schedule.text());
    let mut between = next - MINUTE;
    for _ in 0..200 {
        if between <= after {
            break;
        }
        assert!(!fires(between), "{} at {between}", schedule.text());
        between -= MINUTE;
    }
}

fn without_names(field: &str, names: &[&str], first: usize) -> String {
    // At a range's end Sunday is the day after Saturday, unless the range begins with it.
    let field = field.to_ascii_lowercase();
    let field = field.replace("0-sun", "0").replace("sun-sun", "0").replace("-sun", "-7");
    names.iter().enumerate().fold(field, |field, (at, name)| field.replace(name, &(at + first).to_string()))
}

/// Whether a field's text, which was read, names a value.
fn names(field: &str, value: usize, least: usize, most: usize) -> bool {
    field.split(',').any(|part| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (from.parse().expect("a number"), to.parse().expect("a number")),
            None => {
                let only = range.parse().expect("a number");
                (only, if step.is_some() { most } else { only })
            }
        };
        let step = step.map_or(1, |step| step.parse().expect("a step"));
        (from..=to).contains(&value) && (value - from) % step == 0
    })
}
