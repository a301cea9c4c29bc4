//! Says common schedules in words. For the others, the cron expression is clearer than words would be.

use super::fields::{Fields, ValueSet};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// How many times of a day are listed at most.
const MAX_TIMES: usize = 4;

/// `every day at 02:00`, `every 15 minutes, Monday to Friday`; `None` if it takes more than a few words.
pub(super) fn in_words(fields: &Fields) -> Option<String> {
    let times = times(fields)?;
    let days = days(fields)?;
    Some(match (times, days) {
        (Times::At(times), None) => format!("every day at {times}"),
        (Times::At(times), Some(days)) => format!("{days} at {times}"),
        (Times::Every(times), None) => times,
        (Times::Every(times), Some(days)) => format!("{times}, {days}"),
    })
}

/// The times of a day.
enum Times {
    At(String),
    Every(String),
}

fn times(fields: &Fields) -> Option<Times> {
    let (minutes, hours) = (values(fields.minutes, 0..=59), values(fields.hours, 0..=23));
    let (first_minute, last_minute) = (*minutes.first()?, *minutes.last()?);
    let (first_hour, last_hour) = (*hours.first()?, *hours.last()?);
    let is_all_day = hours.len() == 24;
    let every_minutes = step(&minutes, 60).map(|step| counted(step, "minute"));
    let from_to = format!("from {first_hour:02}:{first_minute:02} to {last_hour:02}:{last_minute:02}");
    match (every_minutes, minutes.as_slice()) {
        (Some(every), _) if is_all_day => Some(Times::Every(every)),
        (Some(every), _) if is_contiguous(&hours) => Some(Times::Every(format!("{every} {from_to}"))),
        (None, [0]) if is_all_day => Some(Times::Every("every hour".to_owned())),
        (None, [1]) if is_all_day => Some(Times::Every("1 minute past every hour".to_owned())),
        (None, [minute]) if is_all_day => Some(Times::Every(format!("{minute} minutes past every hour"))),
        (None, [0]) if fields.is_interval() => {
            step(&hours, 24).map(|step| Times::Every(counted(step, "hour")))
        }
        (None, [minute]) if hours.len() <= MAX_TIMES && !fields.is_interval() => {
            let times: Vec<_> = hours.iter().map(|hour| format!("{hour:02}:{minute:02}")).collect();
            Some(Times::At(listed(&times)))
        }
        (None, [_]) if is_contiguous(&hours) => Some(Times::Every(format!("every hour {from_to}"))),
        _ => None,
    }
}

/// The days; the inner `None` means every day.
fn days(fields: &Fields) -> Option<Option<String>> {
    let of_month = values(fields.days_of_month, 1..=31);
    let of_week = values(fields.days_of_week, 0..=6);
    let months = values(fields.months, 1..=12);
    let is_any = (of_month.len() == 31, of_week.len() == 7, months.len() == 12);
    if fields.either_day() {
        return None;
    }
    let month_names = || -> Vec<_> {
        months
            .iter()
            .filter_map(|month| MONTHS.get(usize::from(*month) - 1))
            .copied()
            .map(str::to_owned)
            .collect()
    };
    match (is_any, of_month.as_slice()) {
        ((true, true, true), _) => Some(None),
        ((true, false, true), _) => Some(Some(days_of_week(&of_week))),
        ((false, true, true), [day]) => Some(Some(format!("on day {day} of each month"))),
        ((false, true, true), [_, _] | [_, _, _]) => {
            let days: Vec<_> = of_month.iter().map(ToString::to_string).collect();
            Some(Some(format!("on days {} of each month", listed(&days))))
        }
        ((false, true, false), [day]) if months.len() == 1 => {
            Some(Some(format!("on {day} {}", listed(&month_names()))))
        }
        ((false, true, false), [day]) if months.len() <= MAX_TIMES => {
            Some(Some(format!("on day {day} of {}", listed(&month_names()))))
        }
        _ => None,
    }
}

/// `Monday to Friday`, `on Sundays`, `on Mondays and Thursdays`.
fn days_of_week(days: &[u8]) -> String {
    // People think of Sunday as the end of the week.
    let mut days: Vec<u8> = days.iter().map(|day| if *day == 0 { 7 } else { *day }).collect();
    days.sort_unstable();
    let name = |day: &u8| DAYS[usize::from(*day % 7)];
    match days.as_slice() {
        [first, .., last] if days.len() > 2 && is_contiguous(&days) => {
            format!("{} to {}", name(first), name(last))
        }
        _ => {
            let names: Vec<_> = days.iter().map(|day| format!("{}s", name(day))).collect();
            format!("on {}", listed(&names))
        }
    }
}

fn values(set: ValueSet, range: std::ops::RangeInclusive<u8>) -> Vec<u8> {
    range.filter(|value| set.contains(*value)).collect()
}

/// The step of the values, if they begin at 0 and the step continues from one round to the next.
fn step(values: &[u8], round: u8) -> Option<u8> {
    let step = *values.get(1)?;
    let is_even = values.first() == Some(&0) && values.windows(2).all(|pair| pair[1] - pair[0] == step);
    (is_even && round.is_multiple_of(step) && values.len() == usize::from(round / step)).then_some(step)
}

fn is_contiguous(values: &[u8]) -> bool {
    values.windows(2).all(|pair| pair[1] - pair[0] == 1)
}

/// `every minute`, `every 15 minutes`.
fn counted(count: u8, unit: &str) -> String {
    if count == 1 { format!("every {unit}") } else { format!("every {count} {unit}s") }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [words @ .., last] => format!("{} and {last}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;
    use crate::schedule::fields::Fields;

    #[test]
    fn usual_schedules_are_said_in_words() {
        for (text, words) in [
            ("30 2 * * *", "every day at 02:30"),
            ("0 6,18 * * *", "every day at 06:00 and 18:00"),
            ("15 6,12,18 * * *", "every day at 06:15, 12:15 and 18:15"),
            ("0 6 * * mon-fri", "Monday to Friday at 06:00"),
            ("0 3 * * sun", "on Sundays at 03:00"),
            ("0 3 * * 1,4", "on Mondays and Thursdays at 03:00"),
            ("0 3 * * fri,sat,sun", "Friday to Sunday at 03:00"),
            ("0 3 1 * *", "on day 1 of each month at 03:00"),
            ("0 3 1,15 * *", "on days 1 and 15 of each month at 03:00"),
            ("0 6 1 1,4,7,10 *", "on day 1 of January, April, July and October at 06:00"),
            ("0 3 29 feb *", "on 29 February at 03:00"),
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("0,30 * * * *", "every 30 minutes"),
            ("*/15 8-18 * * *", "every 15 minutes from 08:00 to 18:45"),
            ("*/15 8-18 * * mon-fri", "every 15 minutes from 08:00 to 18:45, Monday to Friday"),
            ("5 8-18 * * *", "every hour from 08:05 to 18:05"),
            ("0 * * * *", "every hour"),
            ("20 * * * *", "20 minutes past every hour"),
            ("1 * * * 0", "1 minute past every hour, on Sundays"),
            ("0 */6 * * *", "every 6 hours"),
            ("0 0,6,12,18 * * *", "every day at 00:00, 06:00, 12:00 and 18:00"),
            ("@daily", "every day at 00:00"),
            ("@weekly", "on Sundays at 00:00"),
            ("@yearly", "on 1 January at 00:00"),
        ] {
            assert_eq!(in_words(&Fields::parse(text).unwrap()).as_deref(), Some(words), "{text}");
        }
    }

    #[test]
    fn a_schedule_without_short_words_has_none() {
        for text in [
            "0 3 1 * mon",
            "0 3 1-7 * */7",
            "0 3 * jan mon",
            "*/7 * * * *",
            "5,25 8 * * *",
            "0 1,3,5,7,9 * * *",
            "0 */5 * * *",
            "30 */6 * * *",
            "*/15 8,12 * * *",
            "0 3 1-31 * mon",
            "0 3 1,8,15,22 * *",
        ] {
            assert_eq!(in_words(&Fields::parse(text).unwrap()), None, "{text}");
        }
    }
}
