//! The text of a schedule → its minutes, hours, days and months, or what is wrong with it.

use std::fmt;

use super::ScheduleError;

/// What a schedule's five fields name.
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
            [] => return Err(ScheduleError(format!("it is empty; {FIVE_FIELDS}"))),
            [name, rest @ ..] if name.starts_with('@') => expand_macro(name, rest)?,
            &[minute, hour, day_of_month, month, day_of_week] => {
                [minute, hour, day_of_month, month, day_of_week]
            }
            words => return Err(wrong_count(words)),
        };
        let mut mistakes = Vec::new();
        let mut read = |field: Field, text| {
            read_field(field, text).unwrap_or_else(|mistake| {
                mistakes.push(format!("{field} field `{text}`: {mistake}"));
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
        if mistakes.is_empty() { Ok(fields) } else { Err(ScheduleError(mistakes.join("; and "))) }
    }

    /// Whether the hour field begins with `*`.
    pub(super) fn is_interval(&self) -> bool {
        self.interval
    }

    /// Whether a day needs only one of day of month and day of week: where neither field begins with `*`.
    pub(super) fn either_day(&self) -> bool {
        self.either_day
    }

    /// A text that is the same for every spelling of the same times.
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
    "five fields are expected: minute, hour, day of month, month, day of week, as in `0 2 * * *`";

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
    match (known, lower.as_str()) {
        (Some((_, fields)), _) if rest.is_empty() => Ok(*fields),
        (Some(_), _) => Err(ScheduleError(format!("`{name}` must be alone; remove `{}`", rest.join(" ")))),
        (None, "@reboot") => Err(ScheduleError(format!(
            "`{name}` is not a time of day; leave `schedule` out and run the job when the machine starts"
        ))),
        (None, "@every") => Err(ScheduleError(format!(
            "`{name}` is not cron; write the minutes or hours of the clock, as in `*/30 * * * *` or `0 */6 * * *`"
        ))),
        (None, _) => {
            let names: Vec<&str> = MACROS.iter().map(|(known, _)| *known).collect();
            Err(ScheduleError(format!("`{name}` is not known; the names are {}", names.join(", "))))
        }
    }
}

fn wrong_count(words: &[&str]) -> ScheduleError {
    let found = match words.len() {
        1 => "there is 1 field".to_owned(),
        count => format!("there are {count} fields"),
    };
    let first = words.first().copied().unwrap_or_default();
    let is_year = |word: &&str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let hint = match words {
        _ if first.starts_with("TZ=") || first.starts_with("CRON_TZ=") => {
            "; set the time zone with the key `timezone`"
        }
        [.., last] if words.len() == 6 && is_year(last) => {
            "; there is no field for the year, leave the last one out"
        }
        _ if words.len() == 6 => "; there is no field for seconds, leave the first one out",
        _ if words.len() == 7 => {
            "; there are no fields for seconds and the year, leave the first and the last one out"
        }
        _ => "",
    };
    ScheduleError(format!("{found}; {FIVE_FIELDS}{hint}"))
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
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
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
            // Sunday again.
            Self::DayOfWeek => 7,
        }
    }

    /// The number of values: a larger step would promise what no clock does, `*/90` every 90 minutes.
    fn largest_step(self) -> u8 {
        match self {
            Self::Minute => 60,
            Self::Hour => 24,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Minute => "a minute is 0 to 59",
            Self::Hour => "an hour is 0 to 23",
            Self::DayOfMonth => "a day of month is 1 to 31",
            Self::Month => "a month is 1 to 12 or jan to dec",
            Self::DayOfWeek => "a day of week is 0 to 7, where 0 and 7 are Sunday, or sun to sat",
        }
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

/// The values that one field's text names, or what is wrong with it.
fn read_field(field: Field, text: &str) -> Result<ValueSet, String> {
    let mut values = ValueSet::default();
    for item in text.split(',') {
        if item.is_empty() {
            return Err(format!("a value is missing before or after a comma; {}", field.allowed()));
        }
        let (first, last, step) = read_item(field, item)?;
        for value in (first..=last).step_by(step.into()) {
            let sunday_again = field == Field::DayOfWeek && value == 7;
            values.insert(if sunday_again { 0 } else { value });
        }
    }
    Ok(values)
}

/// `*`, a value or a range, the last and the first with a step or without: first, last and step.
fn read_item(field: Field, item: &str) -> Result<(u8, u8, u8), String> {
    let (span, step) = match item.split_once('/') {
        Some((span, step)) => (span, Some(step)),
        None => (item, None),
    };
    let (first, last) = read_span(field, item, span)?;
    let Some(step) = step else { return Ok((first, last, 1)) };
    let step = read_step(field, item, step)?;
    if span != "*" && !span.contains('-') {
        let last = field.largest();
        return Err(format!("`{item}` has a step without a range; write `{span}-{last}/{step}`"));
    }
    Ok((first, last, step))
}

fn read_step(field: Field, item: &str, step: &str) -> Result<u8, String> {
    let largest = field.largest_step();
    let allowed = format!("a step in this field is 1 to {largest}");
    if step.is_empty() {
        return Err(format!("`{item}` has no step after the slash; {allowed}"));
    }
    if !step.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{step}` in `{item}` is not a step; {allowed}"));
    }
    match step.parse() {
        Ok(0) => Err(format!("`{item}` has a step of zero; {allowed}")),
        Ok(step) if step <= largest => Ok(step),
        _ => {
            let hint = match field {
                Field::Minute => ": the count restarts every hour",
                Field::Hour => ": the count restarts every day",
                Field::DayOfMonth => ": the count restarts every month",
                Field::Month => ": the count restarts every year",
                Field::DayOfWeek => ": the count restarts every week",
            };
            Err(format!("`{item}` has a step of {step}; {allowed}{hint}"))
        }
    }
}

/// `*`, a value or a range, without a step: first and last.
fn read_span(field: Field, item: &str, span: &str) -> Result<(u8, u8), String> {
    if span == "*" {
        return Ok((field.smallest(), field.largest()));
    }
    if span.is_empty() {
        return Err(format!("`{item}` has nothing before the slash; write `*{item}`"));
    }
    let Some((first, last)) = span.split_once('-') else {
        let value = read_value(field, span)?;
        return Ok((value, value));
    };
    if first.is_empty() || last.is_empty() {
        return Err(format!("`{item}` lacks an end of its range; {}", field.allowed()));
    }
    if last.contains('-') {
        return Err(format!("`{item}` is a range with three ends; {}", field.allowed()));
    }
    let (from, mut to) = (read_value(field, first)?, read_value(field, last)?);
    // A week may end with Sunday by name, as it may by its second number.
    if field == Field::DayOfWeek && to == 0 && !last.starts_with('0') && from > 0 {
        to = 7;
    }
    if from > to {
        return Err(backwards(field, item, (first, from), (last, to)));
    }
    Ok((from, to))
}

fn backwards(field: Field, item: &str, (first, from): (&str, u8), (last, to): (&str, u8)) -> String {
    let (smallest, largest) = match field {
        Field::DayOfWeek => (0, 6),
        _ => (field.smallest(), field.largest()),
    };
    let instead = match field {
        _ if item.contains('/') => return format!("`{item}` runs backwards; the smaller end comes first"),
        Field::DayOfWeek if to == 0 => format!("{first}-7"),
        Field::DayOfWeek if from == 7 => format!("0-{last}"),
        _ => format!("{first}-{largest},{smallest}-{last}"),
    };
    format!("`{item}` runs backwards; write `{instead}`")
}

fn read_value(field: Field, text: &str) -> Result<u8, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(value) if (field.smallest()..=field.largest()).contains(&value) => Ok(value),
            _ => Err(format!("`{text}` is out of range; {}", field.allowed())),
        };
    }
    let lower = text.to_ascii_lowercase();
    let position = field.names().iter().position(|name| name[..3] == lower);
    match position.and_then(|position| u8::try_from(position).ok()) {
        Some(position) => Ok(position + field.smallest()),
        None => Err(no_value(field, text, &lower)),
    }
}

/// What to tell someone who wrote something that is neither a number nor a name of this field.
fn no_value(field: Field, text: &str, lower: &str) -> String {
    let allowed = field.allowed();
    let days = matches!(field, Field::DayOfMonth | Field::DayOfWeek);
    // `15W`, `5L`, `friL`
    let day_then = |letter| {
        lower.strip_suffix(letter).is_some_and(|day| {
            day.bytes().all(|byte| byte.is_ascii_digit()) || WEEKDAYS.iter().any(|name| name[..3] == *day)
        })
    };
    let begins_with_one_of =
        |names: &[&str]| lower.len() >= 3 && names.iter().any(|name| lower.starts_with(&name[..3]));
    if text == "?" {
        "`?` is not Unix cron; write `*`".to_owned()
    } else if text.contains('#') {
        format!("`{text}`: the nth weekday of a month is not supported; {allowed}")
    } else if days && (day_then('l') || lower == "lw") {
        format!("`{text}`: the last day of a month or week is not supported; {allowed}")
    } else if days && day_then('w') {
        format!("`{text}`: the weekday nearest to a date is not supported; {allowed}")
    } else if lower == "h" || lower.starts_with("h(") || text.contains('~') {
        format!("`{text}`: no value is chosen by chance, but the key `jitter` spreads starts; {allowed}")
    } else if text.contains('*') {
        format!("`{text}`: a `*` stands alone or before a step, as in `*/2`; {allowed}")
    } else if begins_with_one_of(field.names()) {
        format!("`{text}` is no name: names have three letters, as in `{}`; {allowed}", &lower[..3])
    } else if begins_with_one_of(&MONTHS) {
        format!("`{text}` is a month; months are the fourth field; {allowed}")
    } else if begins_with_one_of(&WEEKDAYS) {
        format!("`{text}` is a day of week; those are the fifth field; {allowed}")
    } else {
        format!("`{text}` is no value; {allowed}")
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
        // One field at a time, the others `*` or fixed.
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
    fn a_refusal_names_the_field_what_was_found_and_what_is_allowed() {
        let minute = "a minute is 0 to 59";
        let hour = "an hour is 0 to 23";
        let day = "a day of month is 1 to 31";
        let month = "a month is 1 to 12 or jan to dec";
        let weekday = "a day of week is 0 to 7, where 0 and 7 are Sunday, or sun to sat";
        let five =
            "five fields are expected: minute, hour, day of month, month, day of week, as in `0 2 * * *`";
        let cases = [
            // How many fields.
            ("", format!("it is empty; {five}")),
            ("  \n", format!("it is empty; {five}")),
            ("5", format!("there is 1 field; {five}")),
            ("0 2 * *", format!("there are 4 fields; {five}")),
            (
                "0 0 2 * * ?",
                format!("there are 6 fields; {five}; there is no field for seconds, leave the first one out"),
            ),
            (
                "0 2 * * * 2027",
                format!(
                    "there are 6 fields; {five}; there is no field for the year, leave the last one out"
                ),
            ),
            (
                "0 0 2 * * ? *",
                format!(
                    "there are 7 fields; {five}; there are no fields for seconds and the year, leave the first \
                     and the last one out"
                ),
            ),
            ("0 2 * * * a b c", format!("there are 8 fields; {five}")),
            (
                "TZ=Europe/Berlin 0 2 * * *",
                format!(
                    "there are 6 fields; {five}; set the time zone with the key `timezone`"
                ),
            ),
            // Macros.
            (
                "@reboot",
                "`@reboot` is not a time of day; leave `schedule` out and run the job when the machine starts".into(),
            ),
            (
                "@every 1h",
                "`@every` is not cron; write the minutes or hours of the clock, as in `*/30 * * * *` or `0 */6 * * *`"
                    .into(),
            ),
            (
                "@dayly",
                "`@dayly` is not known; the names are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, \
                 @annually"
                    .into(),
            ),
            ("@daily 5", "`@daily` must be alone; remove `5`".into()),
            // Values.
            ("60 2 * * *", format!("minute field `60`: `60` is out of range; {minute}")),
            ("0 24 * * *", format!("hour field `24`: `24` is out of range; {hour}")),
            ("0 2 0 * *", format!("day of month field `0`: `0` is out of range; {day}")),
            ("0 2 32 * *", format!("day of month field `32`: `32` is out of range; {day}")),
            ("0 2 * 0 *", format!("month field `0`: `0` is out of range; {month}")),
            ("0 2 * 13 *", format!("month field `13`: `13` is out of range; {month}")),
            ("0 2 * * 8", format!("day of week field `8`: `8` is out of range; {weekday}")),
            ("300 2 * * *", format!("minute field `300`: `300` is out of range; {minute}")),
            ("0 1-24 * * *", format!("hour field `1-24`: `24` is out of range; {hour}")),
            (
                "99999999999999999999 2 * * *",
                format!("minute field `99999999999999999999`: `99999999999999999999` is out of range; {minute}"),
            ),
            ("1.5 2 * * *", format!("minute field `1.5`: `1.5` is no value; {minute}")),
            ("+5 2 * * *", format!("minute field `+5`: `+5` is no value; {minute}")),
            ("５ 2 * * *", format!("minute field `５`: `５` is no value; {minute}")),
            ("ﬁﬁ 2 * * ééé", {
                format!(
                    "minute field `ﬁﬁ`: `ﬁﬁ` is no value; {minute}; and day of week field `ééé`: `ééé` is no value; \
                     {weekday}"
                )
            }),
            // Lists and ranges.
            (
                "1,,2 2 * * *",
                format!("minute field `1,,2`: a value is missing before or after a comma; {minute}"),
            ),
            (", 2 * * *", format!("minute field `,`: a value is missing before or after a comma; {minute}")),
            ("0 2, * * *", format!("hour field `2,`: a value is missing before or after a comma; {hour}")),
            ("0 -2 * * *", format!("hour field `-2`: `-2` lacks an end of its range; {hour}")),
            ("0 2- * * *", format!("hour field `2-`: `2-` lacks an end of its range; {hour}")),
            ("0 1-2-3 * * *", format!("hour field `1-2-3`: `1-2-3` is a range with three ends; {hour}")),
            ("0 22-6 * * *", "hour field `22-6`: `22-6` runs backwards; write `22-23,0-6`".into()),
            ("0 2 * nov-feb *", "month field `nov-feb`: `nov-feb` runs backwards; write `nov-12,1-feb`".into()),
            ("0 2 * * fri-mon", "day of week field `fri-mon`: `fri-mon` runs backwards; write `fri-6,0-mon`".into()),
            ("0 2 * * 6-0", "day of week field `6-0`: `6-0` runs backwards; write `6-7`".into()),
            ("0 2 * * 7-1", "day of week field `7-1`: `7-1` runs backwards; write `0-1`".into()),
            (
                "0 22-6/2 * * *",
                "hour field `22-6/2`: `22-6/2` runs backwards; the smaller end comes first".into(),
            ),
            ("0 1–5 * * *", format!("hour field `1–5`: `1–5` is no value; {hour}")),
            ("*-5 2 * * *", format!("minute field `*-5`: `*`: a `*` stands alone or before a step, as in `*/2`; {minute}")),
            ("*5 2 * * *", format!("minute field `*5`: `*5`: a `*` stands alone or before a step, as in `*/2`; {minute}")),
            // Steps.
            ("*/0 2 * * *", "minute field `*/0`: `*/0` has a step of zero; a step in this field is 1 to 60".into()),
            (
                "*/90 * * * *",
                "minute field `*/90`: `*/90` has a step of 90; a step in this field is 1 to 60: the count restarts \
                 every hour"
                    .into(),
            ),
            (
                "0 */36 * * *",
                "hour field `*/36`: `*/36` has a step of 36; a step in this field is 1 to 24: the count restarts \
                 every day"
                    .into(),
            ),
            (
                "0 2 */45 * *",
                "day of month field `*/45`: `*/45` has a step of 45; a step in this field is 1 to 31: the count \
                 restarts every month"
                    .into(),
            ),
            (
                "0 2 1 */18 *",
                "month field `*/18`: `*/18` has a step of 18; a step in this field is 1 to 12: the count restarts \
                 every year"
                    .into(),
            ),
            (
                "0 2 * * */14",
                "day of week field `*/14`: `*/14` has a step of 14; a step in this field is 1 to 7: the count restarts \
                 every week"
                    .into(),
            ),
            (
                "*/ 2 * * *",
                "minute field `*/`: `*/` has no step after the slash; a step in this field is 1 to 60".into(),
            ),
            (
                "*/5/2 2 * * *",
                "minute field `*/5/2`: `5/2` in `*/5/2` is not a step; a step in this field is 1 to 60".into(),
            ),
            ("/5 2 * * *", "minute field `/5`: `/5` has nothing before the slash; write `*/5`".into()),
            (
                "5/10 2 * * *",
                "minute field `5/10`: `5/10` has a step without a range; write `5-59/10`".into(),
            ),
            // Names.
            ("0 mon * * *", format!("hour field `mon`: `mon` is a day of week; those are the fifth field; {hour}")),
            ("0 2 * * jan", format!("day of week field `jan`: `jan` is a month; months are the fourth field; {weekday}")),
            ("0 2 * sun *", format!("month field `sun`: `sun` is a day of week; those are the fifth field; {month}")),
            (
                "0 2 * January *",
                format!("month field `January`: `January` is no name: names have three letters, as in `jan`; {month}"),
            ),
            (
                "0 2 * * Tues",
                format!("day of week field `Tues`: `Tues` is no name: names have three letters, as in `tue`; {weekday}"),
            ),
            // What other crons have.
            ("0 2 ? * 1", "day of month field `?`: `?` is not Unix cron; write `*`".into()),
            ("0 2 L * *", format!("day of month field `L`: `L`: the last day of a month or week is not supported; {day}")),
            ("0 2 LW * *", format!("day of month field `LW`: `LW`: the last day of a month or week is not supported; {day}")),
            ("0 2 * * 5L", format!("day of week field `5L`: `5L`: the last day of a month or week is not supported; {weekday}")),
            ("0 2 * * friL", format!("day of week field `friL`: `friL`: the last day of a month or week is not supported; {weekday}")),
            ("0 2 15W * *", format!("day of month field `15W`: `15W`: the weekday nearest to a date is not supported; {day}")),
            ("0 2 * * mon#1", format!("day of week field `mon#1`: `mon#1`: the nth weekday of a month is not supported; {weekday}")),
            (
                "H 2 * * *",
                format!("minute field `H`: `H`: no value is chosen by chance, but the key `jitter` spreads starts; {minute}"),
            ),
            (
                "0~30 2 * * *",
                format!("minute field `0~30`: `0~30`: no value is chosen by chance, but the key `jitter` spreads starts; {minute}"),
            ),
            // Several at once.
            (
                "60 25 * * *",
                format!("minute field `60`: `60` is out of range; {minute}; and hour field `25`: `25` is out of range; {hour}"),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), format!("refused: {expected}"), "{text}");
        }
    }
}
