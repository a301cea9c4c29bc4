//! Parses the text of a schedule into minutes, hours, days and months, or says what is wrong with it.

use std::fmt;

use super::ScheduleError;

/// The values of a schedule's five fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) minutes: ValueSet,
    pub(super) hours: ValueSet,
    pub(super) days_of_month: ValueSet,
    pub(super) months: ValueSet,
    /// 0 is Sunday; 7 is not used.
    pub(super) days_of_week: ValueSet,
    interval: bool,
    either_day: bool,
}

impl Fields {
    /// Reads five fields or a macro.
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let words = match words.as_slice() {
            [] => return Err(ScheduleError::new("the schedule is empty", FIVE_FIELDS)),
            [name, rest @ ..] if name.starts_with('@') => expand_macro(name, rest)?,
            &[minute, hour, day_of_month, month, day_of_week] => {
                [minute, hour, day_of_month, month, day_of_week]
            }
            words => return Err(wrong_count(words)),
        };
        let mut wrong: Vec<String> = Vec::new();
        let mut hints: Vec<String> = Vec::new();
        let mut read = |field: Field, text| {
            read_field(field, text).unwrap_or_else(|FieldMistake { what, hint }| {
                wrong.push(format!("{field} field: {what}"));
                hints.push(hint);
                ValueSet::default()
            })
        };
        let [minute, hour, day_of_month, month, day_of_week] = words;
        let fields = Self {
            minutes: read(Field::Minute, minute),
            hours: read(Field::Hour, hour),
            days_of_month: read(Field::DayOfMonth, day_of_month),
            months: read(Field::Month, month),
            days_of_week: read(Field::DayOfWeek, day_of_week),
            interval: hour.starts_with('*'),
            either_day: !day_of_month.starts_with('*') && !day_of_week.starts_with('*'),
        };
        match wrong.is_empty() {
            true => Ok(fields),
            false => Err(ScheduleError::new(wrong.join("; "), hints.join("; "))),
        }
    }

    /// Whether the hour field begins with `*`.
    pub(super) fn is_interval(&self) -> bool {
        self.interval
    }

    /// Whether a day needs to match only one of day of month and day of week. That is so if neither field begins with `*`.
    pub(super) fn either_day(&self) -> bool {
        self.either_day
    }

    /// A text that does not depend on the spelling.
    pub(super) fn canonical(&self) -> String {
        let Self { minutes, hours, days_of_month, months, days_of_week, interval, either_day } = self;
        let kind = if *interval { "interval" } else { "fixed" };
        let days = if *either_day { "either" } else { "both" };
        format!("{minutes} {hours} {days_of_month} {months} {days_of_week} {kind} {days}")
    }
}

/// A set of values between 0 and 59.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ValueSet(u64);

impl ValueSet {
    pub(super) fn contains(self, value: u8) -> bool {
        self.0 & (1 << value) != 0
    }

    fn insert(&mut self, value: u8) {
        self.0 |= 1 << value;
    }
}

impl fmt::Display for ValueSet {
    /// `0,15,30,45`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for value in (0..60).filter(|value| self.contains(*value)) {
            write!(f, "{separator}{value}")?;
            separator = ",";
        }
        Ok(())
    }
}

const FIVE_FIELDS: &str =
    "write minute, hour, day of month, month and day of week, as in \"0 2 * * *\" for every day at 02:00";

const MACROS: [(&str, [&str; 5]); 7] = [
    ("@hourly", ["0", "*", "*", "*", "*"]),
    ("@daily", ["0", "0", "*", "*", "*"]),
    ("@midnight", ["0", "0", "*", "*", "*"]),
    ("@weekly", ["0", "0", "*", "*", "0"]),
    ("@monthly", ["0", "0", "1", "*", "*"]),
    ("@yearly", ["0", "0", "1", "1", "*"]),
    ("@annually", ["0", "0", "1", "1", "*"]),
];

fn expand_macro(name: &str, rest: &[&str]) -> Result<[&'static str; 5], ScheduleError> {
    let lower = name.to_ascii_lowercase();
    let known = MACROS.iter().find(|(known, _)| *known == lower);
    let (what, hint) = match (known, lower.as_str()) {
        (Some((_, fields)), _) if rest.is_empty() => return Ok(*fields),
        (Some(_), _) => {
            (format!("there is more text after \"{name}\""), format!("remove \"{}\"", rest.join(" ")))
        }
        (None, "@reboot") => (
            format!("\"{name}\" is not a time"),
            "remove `schedule`, and run the job when the machine starts".to_owned(),
        ),
        (None, "@every") => (
            format!("\"{name}\" is not Unix cron"),
            "write minutes or hours of the clock, as in \"*/30 * * * *\" or \"0 */6 * * *\"".to_owned(),
        ),
        (None, _) => {
            let names: Vec<&str> = MACROS.iter().map(|(known, _)| *known).collect();
            (format!("\"{name}\" is unknown"), format!("choose one of {}", names.join(", ")))
        }
    };
    Err(ScheduleError::new(what, hint))
}

fn wrong_count(words: &[&str]) -> ScheduleError {
    let what = match words.len() {
        1 => "there is 1 field, but a schedule needs 5".to_owned(),
        count => format!("there are {count} fields, but a schedule needs 5"),
    };
    let first = words.first().copied().unwrap_or_default();
    let is_year = |word: &&str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let hint = match words {
        _ if first.starts_with("TZ=") || first.starts_with("CRON_TZ=") => {
            "set the time zone with the key `timezone`".to_owned()
        }
        [shorter @ .., last] if words.len() == 6 && is_year(last) => {
            format!("remove the year: \"{}\"", shorter.join(" "))
        }
        // In some dialects of cron, seconds come first. Anything else is not guessed: `0 2 * * * *` without its first field
        // would run every hour.
        [seconds, minute, hour, ..]
            if words.len() == 6 && [seconds, minute, hour].iter().all(|word| is_number(word)) =>
        {
            format!("remove the seconds: \"{}\"", words[1..].join(" "))
        }
        [seconds, shorter @ .., last]
            if words.len() == 7 && is_number(seconds) && (is_year(last) || *last == "*") =>
        {
            format!("remove the seconds and the year: \"{}\"", shorter.join(" "))
        }
        _ => FIVE_FIELDS.to_owned(),
    };
    ScheduleError::new(what, hint)
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
        })
    }
}

impl Field {
    fn smallest(self) -> u8 {
        match self {
            Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
        }
    }

    fn largest(self) -> u8 {
        match self {
            Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            // 7 is Sunday, like 0.
            Self::DayOfWeek => 7,
        }
    }

    /// The number of values. A larger step would suggest an interval that cron does not have, such as 90 minutes.
    fn largest_step(self) -> u8 {
        match self {
            Self::Minute => 60,
            Self::Hour => 24,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
        }
    }

    /// A mistake with a hint that says what the field may contain.
    fn mistake(self, what: String) -> FieldMistake {
        let hint = match self {
            Self::Minute => "write a minute, 0 to 59",
            Self::Hour => "write an hour, 0 to 23",
            Self::DayOfMonth => "write a day of the month, 1 to 31",
            Self::Month => "write a month, 1 to 12 or jan to dec",
            Self::DayOfWeek => "write a day of the week, 0 to 7 (0 and 7 are Sunday) or sun to sat",
        };
        FieldMistake { what, hint: hint.to_owned() }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Minute | Self::Hour | Self::DayOfMonth => &[],
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
        }
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// What is wrong with one item of a field, and what to do about it.
struct FieldMistake {
    what: String,
    hint: String,
}

/// The values that the text of a field names.
fn read_field(field: Field, text: &str) -> Result<ValueSet, FieldMistake> {
    let mut values = ValueSet::default();
    for item in text.split(',') {
        if item.is_empty() {
            return Err(FieldMistake {
                what: format!("\"{text}\" has a comma without a value before or after it"),
                hint: "remove the comma".to_owned(),
            });
        }
        let (first, last, step) = read_item(field, item)?;
        for value in (first..=last).step_by(step.into()) {
            let sunday_again = field == Field::DayOfWeek && value == 7;
            values.insert(if sunday_again { 0 } else { value });
        }
    }
    Ok(values)
}

/// The first value, the last value and the step of `*`, a value or a range.
fn read_item(field: Field, item: &str) -> Result<(u8, u8, u8), FieldMistake> {
    let (span, step) = match item.split_once('/') {
        Some((span, step)) => (span, Some(step)),
        None => (item, None),
    };
    let (first, last) = read_span(field, item, span)?;
    let Some(step) = step else { return Ok((first, last, 1)) };
    let step = read_step(field, item, step)?;
    if span != "*" && !span.contains('-') {
        let last = field.largest();
        return Err(FieldMistake {
            what: format!("\"{item}\" has a step without a range"),
            hint: format!("write \"{first}-{last}/{step}\""),
        });
    }
    Ok((first, last, step))
}

fn read_step(field: Field, item: &str, step: &str) -> Result<u8, FieldMistake> {
    let largest = field.largest_step();
    let wrong = |what, more: &str| {
        Err(FieldMistake { what, hint: format!("write a step in the range 1 to {largest}{more}") })
    };
    if step.is_empty() {
        return wrong(format!("\"{item}\" has no step after the slash"), "");
    }
    if !is_number(step) {
        return wrong(format!("\"{step}\" in \"{item}\" is not a step"), "");
    }
    match step.parse() {
        Ok(0) => wrong(format!("\"{item}\" has a step of zero"), ""),
        Ok(step) if step <= largest => Ok(step),
        _ => {
            let restart = match field {
                Field::Minute => "hour",
                Field::Hour => "day",
                Field::DayOfMonth => "month",
                Field::Month => "year",
                Field::DayOfWeek => "week",
            };
            wrong(
                format!("the step of \"{item}\" is out of range"),
                &format!(": the count restarts every {restart}"),
            )
        }
    }
}

/// The first and the last value of `*`, a value or a range without a step.
fn read_span(field: Field, item: &str, span: &str) -> Result<(u8, u8), FieldMistake> {
    if span == "*" {
        return Ok((field.smallest(), field.largest()));
    }
    if span.is_empty() {
        return Err(FieldMistake {
            what: format!("\"{item}\" has nothing before the slash"),
            hint: format!("write \"*{item}\""),
        });
    }
    let Some((first, last)) = span.split_once('-') else {
        let value = read_value(field, span)?;
        return Ok((value, value));
    };
    if first.is_empty() || last.is_empty() {
        return Err(field.mistake(format!("\"{item}\" is a range with one end missing")));
    }
    if last.contains('-') {
        return Err(field.mistake(format!("\"{item}\" is a range with more than two ends")));
    }
    let (from, mut to) = (read_value(field, first)?, read_value(field, last)?);
    // A week may end with Sunday, by its name as well as by its second number.
    if field == Field::DayOfWeek && to == 0 && !last.starts_with('0') && from > 0 {
        to = 7;
    }
    if from > to {
        return Err(backwards(field, item, (first, from), (last, to)));
    }
    Ok((from, to))
}

fn backwards(field: Field, item: &str, (first, from): (&str, u8), (last, to): (&str, u8)) -> FieldMistake {
    let (smallest, largest) = match field {
        Field::DayOfWeek => (0, 6),
        _ => (field.smallest(), field.largest()),
    };
    let hint = match field {
        _ if item.contains('/') => "write the smaller end first".to_owned(),
        Field::DayOfWeek if to == 0 => format!("write \"{first}-7\""),
        Field::DayOfWeek if from == 7 => format!("write \"0-{last}\""),
        _ => format!("write \"{first}-{largest},{smallest}-{last}\""),
    };
    FieldMistake { what: format!("\"{item}\" runs backwards"), hint }
}

fn read_value(field: Field, text: &str) -> Result<u8, FieldMistake> {
    if is_number(text) {
        return match text.parse() {
            Ok(value) if (field.smallest()..=field.largest()).contains(&value) => Ok(value),
            _ => Err(field.mistake(format!("\"{text}\" is out of range"))),
        };
    }
    let lower = text.to_ascii_lowercase();
    let position = field.names().iter().position(|name| name[..3] == lower);
    match position.and_then(|position| u8::try_from(position).ok()) {
        Some(position) => Ok(position + field.smallest()),
        None => Err(no_value(field, text, &lower)),
    }
}

/// The mistake of a value that is neither a number nor a name of this field.
fn no_value(field: Field, text: &str, lower: &str) -> FieldMistake {
    let hinted = |what: String, hint: String| FieldMistake { what, hint };
    let unsupported = |what: &str| field.mistake(format!("\"{text}\": {what} is not supported"));
    let days = matches!(field, Field::DayOfMonth | Field::DayOfWeek);
    // `15W`, `5L`, `friL`
    let day_then = |letter| {
        lower
            .strip_suffix(letter)
            .is_some_and(|day| is_number(day) || WEEKDAYS.iter().any(|name| name[..3] == *day))
    };
    let name = |names: &[&'static str]| {
        names.iter().find(|name| lower.len() >= 3 && lower.starts_with(&name[..3])).copied()
    };
    if text == "?" {
        hinted("\"?\" is not Unix cron".to_owned(), "write \"*\"".to_owned())
    } else if text.contains('#') {
        unsupported("the nth weekday of a month")
    } else if days && (day_then('l') || lower == "lw") {
        unsupported("the last day of a month or week")
    } else if days && day_then('w') {
        unsupported("the weekday nearest to a date")
    } else if lower == "h" || lower.starts_with("h(") || text.contains('~') {
        hinted(
            format!("\"{text}\": a value chosen by chance is not supported"),
            "choose one, and spread starts with the key `jitter`".to_owned(),
        )
    } else if text.contains('*') {
        hinted(
            format!("\"{text}\": a \"*\" cannot be part of a value or a range"),
            "write only \"*\", or add a step as in \"*/2\"".to_owned(),
        )
    } else if let Some(name) = name(field.names()) {
        hinted(format!("\"{text}\" is not a three-letter name"), format!("write \"{}\"", &name[..3]))
    } else if name(&MONTHS).is_some() {
        hinted(format!("\"{text}\" is a month"), "write months in the fourth field".to_owned())
    } else if name(&WEEKDAYS).is_some() {
        hinted(
            format!("\"{text}\" is a day of the week"),
            "write days of the week in the fifth field".to_owned(),
        )
    } else {
        field.mistake(format!("\"{text}\" is invalid"))
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    /// minutes, hours, days of month, months, days of week, kind of schedule and of day
    fn canonical(text: &str) -> String {
        Fields::parse(text).map_or_else(|error| format!("refused: {error}"), |fields| fields.canonical())
    }

    const ALL_MINUTES: &str = "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,\
                               31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59";
    const ALL_HOURS: &str = "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23";
    const ALL_DAYS: &str =
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31";
    const ALL_MONTHS: &str = "1,2,3,4,5,6,7,8,9,10,11,12";
    const ALL_WEEKDAYS: &str = "0,1,2,3,4,5,6";

    #[test]
    fn five_fields_name_the_minutes_hours_and_days_that_unix_cron_says() {
        // Only one field varies; the others are `*` or fixed.
        let minutes = [
            ("0", "0"),
            ("00", "0"),
            ("59", "59"),
            ("1,2,3", "1,2,3"),
            ("3,1,2,2", "1,2,3"),
            ("10-13", "10,11,12,13"),
            ("10-10", "10"),
            ("*/15", "0,15,30,45"),
            ("*/60", "0"),
            ("*/59", "0,59"),
            ("5-59/15", "5,20,35,50"),
            ("50-55/2,0", "0,50,52,54"),
            ("0-10/30", "0"),
            ("*", ALL_MINUTES),
            ("0-59", ALL_MINUTES),
            ("*/1", ALL_MINUTES),
        ];
        for (text, expected) in minutes {
            let expected = format!("{expected} 2 {ALL_DAYS} {ALL_MONTHS} {ALL_WEEKDAYS} fixed both");
            assert_eq!(canonical(&format!("{text} 2 * * *")), expected, "{text}");
        }
        let hours = [
            ("0", "0", "fixed"),
            ("23", "23", "fixed"),
            ("22-23,0-1", "0,1,22,23", "fixed"),
            ("*", ALL_HOURS, "interval"),
            ("*/6", "0,6,12,18", "interval"),
            ("*/24", "0", "interval"),
            ("*,3", ALL_HOURS, "interval"),
            ("3,*", ALL_HOURS, "fixed"),
            ("0-23", ALL_HOURS, "fixed"),
            ("0-23/6", "0,6,12,18", "fixed"),
        ];
        for (text, expected, kind) in hours {
            let expected = format!("30 {expected} {ALL_DAYS} {ALL_MONTHS} {ALL_WEEKDAYS} {kind} both");
            assert_eq!(canonical(&format!("30 {text} * * *")), expected, "{text}");
        }
        let months = [
            ("1", "1"),
            ("12", "12"),
            ("jan", "1"),
            ("DEC", "12"),
            ("Jan-mar,Oct", "1,2,3,10"),
            ("feb-12/5", "2,7,12"),
            ("*/3", "1,4,7,10"),
            ("jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec", ALL_MONTHS),
        ];
        for (text, expected) in months {
            let expected = format!("30 2 {ALL_DAYS} {expected} {ALL_WEEKDAYS} fixed both");
            assert_eq!(canonical(&format!("30 2 * {text} *")), expected, "{text}");
        }
        let weekdays = [
            ("0", "0"),
            ("7", "0"),
            ("sun", "0"),
            ("1-5", "1,2,3,4,5"),
            ("mon-fri", "1,2,3,4,5"),
            ("MON,Wed,6", "1,3,6"),
            ("0-7", ALL_WEEKDAYS),
            ("1-7", ALL_WEEKDAYS),
            ("5-7", "0,5,6"),
            ("sat-sun", "0,6"),
            ("sun-sat", ALL_WEEKDAYS),
            ("sun-tue", "0,1,2"),
            ("1-7/2", "0,1,3,5"),
            ("sun,mon,tue,wed,thu,fri,sat", ALL_WEEKDAYS),
            ("*/7", "0"),
            ("*/2", "0,2,4,6"),
        ];
        for (text, expected) in weekdays {
            let expected = format!("30 2 {ALL_DAYS} {ALL_MONTHS} {expected} fixed both");
            assert_eq!(canonical(&format!("30 2 * * {text}")), expected, "{text}");
        }
    }

    #[test]
    fn days_of_month_and_week_are_alternatives_only_where_neither_begins_with_a_star() {
        let cases = [
            ("1", "1", "1 1 either"),
            ("1-31", "1", "all 1 either"),
            ("13", "fri", "13 5 either"),
            ("*", "1", "all 1 both"),
            ("1", "*", "1 all both"),
            ("*/10", "1", "1,11,21,31 1 both"),
            ("1-7", "*/2", "1,2,3,4,5,6,7 0,2,4,6 both"),
            ("1-7", "*,1", "1,2,3,4,5,6,7 all both"),
            ("1,*", "1", "all 1 either"),
        ];
        for (day, weekday, expected) in cases {
            let fields = Fields::parse(&format!("0 2 {day} * {weekday}")).unwrap();
            let days = fields.days_of_month.to_string().replace(ALL_DAYS, "all");
            let weekdays = fields.days_of_week.to_string().replace(ALL_WEEKDAYS, "all");
            let rule = if fields.either_day() { "either" } else { "both" };
            assert_eq!(format!("{days} {weekdays} {rule}"), expected, "{day} {weekday}");
        }
    }

    #[test]
    fn a_macro_is_five_fields_written_short() {
        let cases = [
            ("@hourly", "0 * * * *"),
            ("@daily", "0 0 * * *"),
            ("@midnight", "0 0 * * *"),
            ("@weekly", "0 0 * * 0"),
            ("@monthly", "0 0 1 * *"),
            ("@yearly", "0 0 1 1 *"),
            ("@annually", "0 0 1 1 *"),
            ("  @Daily\n", "0 0 * * *"),
            ("\t0  0\t* * *\u{a0}", "0 0 * * *"),
        ];
        for (text, fields) in cases {
            assert!(Fields::parse(text).is_ok(), "{text}");
            assert_eq!(canonical(text), canonical(fields), "{text}");
        }
    }

    #[test]
    fn a_mistake_names_the_field_what_is_wrong_and_what_to_write() {
        let five = "write minute, hour, day of month, month and day of week, as in \"0 2 * * *\" for every day at 02:00";
        let minute = "write a minute, 0 to 59";
        let hour = "write an hour, 0 to 23";
        let day = "write a day of the month, 1 to 31";
        let month = "write a month, 1 to 12 or jan to dec";
        let weekday = "write a day of the week, 0 to 7 (0 and 7 are Sunday) or sun to sat";
        let by_chance = "choose one, and spread starts with the key `jitter`";
        let star = "write only \"*\", or add a step as in \"*/2\"";
        for (text, what, hint) in [
            // The number of fields.
            ("", "the schedule is empty", five),
            ("  \n", "the schedule is empty", five),
            ("5", "there is 1 field, but a schedule needs 5", five),
            ("0 2 * *", "there are 4 fields, but a schedule needs 5", five),
            (
                "0 0 2 * * ?",
                "there are 6 fields, but a schedule needs 5",
                "remove the seconds: \"0 2 * * ?\"",
            ),
            ("0 2 * * * *", "there are 6 fields, but a schedule needs 5", five),
            (
                "0 2 * * * 2027",
                "there are 6 fields, but a schedule needs 5",
                "remove the year: \"0 2 * * *\"",
            ),
            (
                "0 0 2 * * ? *",
                "there are 7 fields, but a schedule needs 5",
                "remove the seconds and the year: \"0 2 * * ?\"",
            ),
            ("0 2 * * * a b c", "there are 8 fields, but a schedule needs 5", five),
            (
                "TZ=Europe/Berlin 0 2 * * *",
                "there are 6 fields, but a schedule needs 5",
                "set the time zone with the key `timezone`",
            ),
            // Macros.
            (
                "@reboot",
                "\"@reboot\" is not a time",
                "remove `schedule`, and run the job when the machine starts",
            ),
            (
                "@every 1h",
                "\"@every\" is not Unix cron",
                "write minutes or hours of the clock, as in \"*/30 * * * *\" or \"0 */6 * * *\"",
            ),
            (
                "@dayly",
                "\"@dayly\" is unknown",
                "choose one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually",
            ),
            ("@daily 5", "there is more text after \"@daily\"", "remove \"5\""),
            // Values.
            ("60 2 * * *", "minute field: \"60\" is out of range", minute),
            ("0 24 * * *", "hour field: \"24\" is out of range", hour),
            ("0 2 0 * *", "day-of-month field: \"0\" is out of range", day),
            ("0 2 32 * *", "day-of-month field: \"32\" is out of range", day),
            ("0 2 * 0 *", "month field: \"0\" is out of range", month),
            ("0 2 * 13 *", "month field: \"13\" is out of range", month),
            ("0 2 * * 8", "day-of-week field: \"8\" is out of range", weekday),
            ("300 2 * * *", "minute field: \"300\" is out of range", minute),
            ("0 1-24 * * *", "hour field: \"24\" is out of range", hour),
            (
                "99999999999999999999 2 * * *",
                "minute field: \"99999999999999999999\" is out of range",
                minute,
            ),
            ("1.5 2 * * *", "minute field: \"1.5\" is invalid", minute),
            ("+5 2 * * *", "minute field: \"+5\" is invalid", minute),
            ("５ 2 * * *", "minute field: \"５\" is invalid", minute),
            (
                "ﬁﬁ 2 * * ééé",
                "minute field: \"ﬁﬁ\" is invalid; day-of-week field: \"ééé\" is invalid",
                "write a minute, 0 to 59; write a day of the week, 0 to 7 (0 and 7 are Sunday) or sun to sat",
            ),
            // Lists and ranges.
            (
                "1,,2 2 * * *",
                "minute field: \"1,,2\" has a comma without a value before or after it",
                "remove the comma",
            ),
            (
                ", 2 * * *",
                "minute field: \",\" has a comma without a value before or after it",
                "remove the comma",
            ),
            (
                "0 2, * * *",
                "hour field: \"2,\" has a comma without a value before or after it",
                "remove the comma",
            ),
            ("0 -2 * * *", "hour field: \"-2\" is a range with one end missing", hour),
            ("0 2- * * *", "hour field: \"2-\" is a range with one end missing", hour),
            ("0 1-2-3 * * *", "hour field: \"1-2-3\" is a range with more than two ends", hour),
            ("0 22-6 * * *", "hour field: \"22-6\" runs backwards", "write \"22-23,0-6\""),
            ("0 2 * nov-feb *", "month field: \"nov-feb\" runs backwards", "write \"nov-12,1-feb\""),
            ("0 2 * * fri-mon", "day-of-week field: \"fri-mon\" runs backwards", "write \"fri-6,0-mon\""),
            ("0 2 * * 6-0", "day-of-week field: \"6-0\" runs backwards", "write \"6-7\""),
            ("0 2 * * 7-1", "day-of-week field: \"7-1\" runs backwards", "write \"0-1\""),
            ("0 22-6/2 * * *", "hour field: \"22-6/2\" runs backwards", "write the smaller end first"),
            ("0 1–5 * * *", "hour field: \"1–5\" is invalid", hour),
            ("*-5 2 * * *", "minute field: \"*\": a \"*\" cannot be part of a value or a range", star),
            ("*5 2 * * *", "minute field: \"*5\": a \"*\" cannot be part of a value or a range", star),
            // Steps.
            ("*/0 2 * * *", "minute field: \"*/0\" has a step of zero", "write a step in the range 1 to 60"),
            (
                "*/90 * * * *",
                "minute field: the step of \"*/90\" is out of range",
                "write a step in the range 1 to 60: the count restarts every hour",
            ),
            (
                "0 */36 * * *",
                "hour field: the step of \"*/36\" is out of range",
                "write a step in the range 1 to 24: the count restarts every day",
            ),
            (
                "0 2 */45 * *",
                "day-of-month field: the step of \"*/45\" is out of range",
                "write a step in the range 1 to 31: the count restarts every month",
            ),
            (
                "0 2 1 */18 *",
                "month field: the step of \"*/18\" is out of range",
                "write a step in the range 1 to 12: the count restarts every year",
            ),
            (
                "0 2 * * */14",
                "day-of-week field: the step of \"*/14\" is out of range",
                "write a step in the range 1 to 7: the count restarts every week",
            ),
            (
                "*/ 2 * * *",
                "minute field: \"*/\" has no step after the slash",
                "write a step in the range 1 to 60",
            ),
            (
                "*/5/2 2 * * *",
                "minute field: \"5/2\" in \"*/5/2\" is not a step",
                "write a step in the range 1 to 60",
            ),
            ("/5 2 * * *", "minute field: \"/5\" has nothing before the slash", "write \"*/5\""),
            ("5/10 2 * * *", "minute field: \"5/10\" has a step without a range", "write \"5-59/10\""),
            // Names.
            (
                "0 mon * * *",
                "hour field: \"mon\" is a day of the week",
                "write days of the week in the fifth field",
            ),
            ("0 2 * * jan", "day-of-week field: \"jan\" is a month", "write months in the fourth field"),
            (
                "0 2 * sun *",
                "month field: \"sun\" is a day of the week",
                "write days of the week in the fifth field",
            ),
            ("0 2 * January *", "month field: \"January\" is not a three-letter name", "write \"jan\""),
            ("0 2 * * Tues", "day-of-week field: \"Tues\" is not a three-letter name", "write \"tue\""),
            // Extensions of other dialects.
            ("0 2 ? * 1", "day-of-month field: \"?\" is not Unix cron", "write \"*\""),
            ("0 2 L * *", "day-of-month field: \"L\": the last day of a month or week is not supported", day),
            (
                "0 2 LW * *",
                "day-of-month field: \"LW\": the last day of a month or week is not supported",
                day,
            ),
            (
                "0 2 * * 5L",
                "day-of-week field: \"5L\": the last day of a month or week is not supported",
                weekday,
            ),
            (
                "0 2 * * friL",
                "day-of-week field: \"friL\": the last day of a month or week is not supported",
                weekday,
            ),
            (
                "0 2 15W * *",
                "day-of-month field: \"15W\": the weekday nearest to a date is not supported",
                day,
            ),
            (
                "0 2 * * mon#1",
                "day-of-week field: \"mon#1\": the nth weekday of a month is not supported",
                weekday,
            ),
            ("H 2 * * *", "minute field: \"H\": a value chosen by chance is not supported", by_chance),
            ("0~30 2 * * *", "minute field: \"0~30\": a value chosen by chance is not supported", by_chance),
            // Several mistakes at once.
            (
                "60 25 * * *",
                "minute field: \"60\" is out of range; hour field: \"25\" is out of range",
                "write a minute, 0 to 59; write an hour, 0 to 23",
            ),
        ] {
            let error = Fields::parse(text).expect_err(text);
            assert_eq!((error.to_string().as_str(), error.hint().as_str()), (what, hint), "{text}");
        }
    }
}
