//! Schedules against a slow reference: random schedules in zones whose clocks have been set in every way known,
//! walked through minute by minute around real transitions. The reference shares no code with `schedule`: it
//! makes each text together with the values it names, and decides by the rules. `croner` gives a second opinion
//! where its rules are ours; where they are not, the difference is pinned.
//!
//! The long run looks at a million occurrences and takes a minute:
//! `cargo test --test schedule_reference -- --ignored`

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use sfexport::schedule::Schedule;

/// Each for what its clocks did; the years are those that it is looked at in.
const ZONES: [(&str, i16, i16); 33] = [
    ("America/New_York", 1972, 2037),
    ("America/Los_Angeles", 1972, 2037),
    ("Europe/Berlin", 1980, 2037),
    // Summer time is its standard time.
    ("Europe/Dublin", 1972, 2037),
    ("Europe/Lisbon", 1976, 2037),
    // Moved to another zone and gave summer time up.
    ("Europe/Istanbul", 1972, 2020),
    ("Europe/Moscow", 1980, 2020),
    ("Europe/Volgograd", 1980, 2025),
    // Midnight is missing.
    ("Asia/Beirut", 1972, 2037),
    ("Africa/Cairo", 1972, 2037),
    ("America/Santiago", 1972, 2037),
    ("America/Sao_Paulo", 1972, 2025),
    ("America/Asuncion", 1972, 2030),
    ("America/Havana", 1972, 2037),
    ("Asia/Tehran", 1977, 2025),
    ("Asia/Amman", 1973, 2025),
    // Changed its mind in most years, and in Ramadan.
    ("Asia/Gaza", 1972, 2037),
    ("Africa/Casablanca", 1972, 2037),
    ("Africa/El_Aaiun", 1977, 2037),
    // Half an hour, a quarter, two hours, three and more.
    ("Australia/Lord_Howe", 1981, 2037),
    ("Asia/Pyongyang", 2010, 2020),
    ("America/Caracas", 1972, 2020),
    ("Asia/Kathmandu", 1980, 1990),
    ("Pacific/Chatham", 1974, 2037),
    ("Antarctica/Troll", 2005, 2037),
    ("Antarctica/Casey", 1972, 2025),
    ("Antarctica/Vostok", 1990, 2025),
    // Days that never were, and days that were twice.
    ("Pacific/Apia", 1972, 2021),
    ("Pacific/Fakaofo", 2010, 2013),
    ("Pacific/Kiritimati", 1978, 1996),
    ("Pacific/Kwajalein", 1992, 1995),
    // Set at odd hours, and across the day's border.
    ("America/Nuuk", 1980, 2037),
    ("America/Scoresbysund", 1981, 2037),
];

#[test]
fn schedules_agree_with_a_walk_through_the_minutes() {
    compare_with_the_walk(40_000);
}

#[test]
#[ignore = "takes a minute, so CI runs it as a separate step"]
fn schedules_agree_with_a_walk_through_a_million_occurrences() {
    compare_with_the_walk(1_000_000);
}

fn compare_with_the_walk(wanted: usize) {
    let mut random = Random(20_261_122);
    let windows: Vec<(&str, TimeZone, Vec<Window>)> = ZONES
        .iter()
        .map(|(name, from, to)| {
            let zone = TimeZone::get(name).unwrap();
            let windows = windows(&zone, *from, *to);
            assert!(!windows.is_empty(), "no transition in {name}");
            (*name, zone, windows)
        })
        .collect();
    let (mut seen, mut gaps, mut folds, mut fixed, mut intervals) = (0, 0, 0, 0, 0);
    for round in 0.. {
        let (name, zone, windows) = &windows[round % windows.len()];
        let window = random.one_of(windows);
        let Some(cron) = Cron::random(&mut random, zone.to_datetime(window.transition), true) else {
            continue;
        };
        let schedule = Schedule::parse(&cron.text, zone.clone())
            .unwrap_or_else(|error| panic!("`{}` is refused: {error}", cron.text));
        let start = window.transition - SignedDuration::from_mins(random.between(60, 36 * 60));
        let end = window.transition + SignedDuration::from_mins(random.between(25 * 60, 60 * 60));
        let expected = walk(&cron, zone, start, end);
        let about = || format!("`{}` in {name} from {start} to {end}", cron.text);

        let found: Vec<Timestamp> = schedule.occurrences(start, end).collect();
        assert_same(&found, &expected, zone, &about);
        assert_eq!(schedule.last_within(start, end), expected.last().copied(), "the last of {}", about());
        // Asked at any moment: inside a fold, and with a fraction of a second.
        for _ in 0..4 {
            let inside = end.duration_since(start).as_secs();
            let mut timestamp = start + SignedDuration::from_secs(random.between(0, inside));
            if random.one_in(2) {
                timestamp += SignedDuration::from_nanos(random.between(1, 999_999_999));
            }
            if let Some(next) = expected.iter().find(|occurrence| **occurrence > timestamp) {
                assert_eq!(schedule.next_after(timestamp), Some(*next), "after {timestamp}: {}", about());
            }
        }
        // At the transition itself, and in the second before it.
        for before in [0, 1] {
            let timestamp = window.transition - SignedDuration::from_secs(before);
            if let Some(next) = expected.iter().find(|occurrence| **occurrence > timestamp) {
                assert_eq!(schedule.next_after(timestamp), Some(*next), "after {timestamp}: {}", about());
            }
        }

        seen += expected.len();
        if !expected.is_empty() {
            *(if window.is_gap { &mut gaps } else { &mut folds }) += 1;
            *(if cron.hour.star { &mut intervals } else { &mut fixed }) += 1;
        }
        if seen >= wanted {
            break;
        }
    }
    // About a hundred occurrences a window, all kinds among them.
    for (kind, count) in [("gaps", gaps), ("folds", folds), ("fixed", fixed), ("intervals", intervals)] {
        assert!(count > wanted / 2_000, "only {count} windows with {kind} in {seen} occurrences");
    }
}

#[test]
fn croner_agrees_where_its_rules_are_ours() {
    let mut random = Random(7);
    let (mut seen, mut gaps, mut folds, mut fixed, mut intervals) = (0, 0, 0, 0, 0);
    for round in 0..6_000 {
        let (name, from, to) = ZONES[round % ZONES.len()];
        let zone = TimeZone::get(name).unwrap();
        let windows = windows(&zone, from, to);
        let window = random.one_of(&windows);
        // It takes `*/2` in a field of days for a restriction; ours is Vixie cron's reading, that it is none.
        let Some(cron) = Cron::random(&mut random, zone.to_datetime(window.transition), false) else {
            continue;
        };
        let one_value = |field: &Named| field.text.parse::<u8>().is_ok();
        let is_fixed_there = one_value(&cron.minute) && one_value(&cron.hour);
        let zone = if cron.hour.star || (is_fixed_there && !window.crosses_midnight(&zone)) {
            *(if window.is_gap { &mut gaps } else { &mut folds }) += 1;
            zone
        } else {
            // Several fixed times are an interval there; without transitions that makes no difference.
            TimeZone::UTC
        };
        *(if cron.hour.star { &mut intervals } else { &mut fixed }) += 1;
        let schedule = Schedule::parse(&cron.text, zone.clone()).unwrap();
        let theirs: croner::Cron = cron.text.parse().unwrap();
        let mut timestamp = window.transition - SignedDuration::from_mins(random.between(60, 36 * 60));
        for _ in 0..20 {
            let expected = theirs.find_next_occurrence(&timestamp.to_zoned(zone.clone()), false).unwrap();
            let found = schedule.next_after(timestamp).unwrap();
            assert_eq!(found, expected.timestamp(), "`{}` in {name} after {timestamp}", cron.text);
            timestamp = found;
            seen += 1;
        }
    }
    assert!(seen > 100_000 && gaps > 500 && folds > 500 && fixed > 500 && intervals > 500);
}

#[test]
fn the_known_differences_from_croner_are_these() {
    let first_after = |text: &str, zone: &str, after: &str| {
        let zone = TimeZone::get(zone).unwrap();
        let after: Timestamp = after.parse().unwrap();
        let ours = Schedule::parse(text, zone.clone()).unwrap().next_after(after);
        let theirs = text.parse::<croner::Cron>().unwrap();
        let theirs = theirs.find_next_occurrence(&after.to_zoned(zone.clone()), false);
        let show = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M %:z").to_string();
        (show(ours.unwrap()), theirs.map_or_else(|error| error.to_string(), |at| show(at.timestamp())))
    };
    let differ = |text: &str, zone: &str, after: &str, ours: &str, theirs: &str| {
        assert_eq!(first_after(text, zone, after), (ours.to_owned(), theirs.to_owned()), "{text}");
    };
    // Only a single time of day is fixed there: two are an interval, which a gap swallows and a fold repeats.
    differ(
        "0,30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-29 03:00 +02:00",
        "2026-03-30 02:00 +02:00",
    );
    differ(
        "*/15 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-29 03:00 +02:00",
        "2026-03-30 02:00 +02:00",
    );
    differ(
        "0,30 2 * * *",
        "Europe/Berlin",
        "2026-10-25T00:30:00Z",
        "2026-10-26 02:00 +01:00",
        "2026-10-25 02:00 +01:00",
    );
    // A gap of more than two hours is given up.
    differ(
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-29T23:00:00Z",
        "2011-12-31 00:00 +14:00",
        "CronScheduler time search limit exceeded.",
    );
    // A run that a gap moves into the next day is lost, unless that day is named too.
    differ(
        "30 23 * * sat",
        "America/Nuuk",
        "2024-03-30T12:00:00Z",
        "2024-03-31 00:00 -01:00",
        "2024-04-06 23:30 -01:00",
    );
    // A step of `*` in a field of days restricts it there: either kind of day will do.
    differ(
        "0 0 */10 * mon",
        "UTC",
        "2026-11-22T00:00:00Z",
        "2026-12-21 00:00 +00:00",
        "2026-11-23 00:00 +00:00",
    );
    // What is refused here is read there, and looked for in vain.
    for text in ["1,,2 * * * *", "0 0 30 2 *", "0 0 L * *", "0 0 * * 5#2", "0 0 15W * *", "0 0 0 * * *"] {
        assert!(Schedule::parse(text, TimeZone::UTC).is_err(), "{text}");
        assert!(text.parse::<croner::Cron>().is_ok(), "{text}");
    }
    // And the other way round.
    assert!(Schedule::parse("@midnight", TimeZone::UTC).is_ok());
    assert!("@midnight".parse::<croner::Cron>().is_err());
}

/// The minutes at which a schedule is due after `start` and up to `end`, found by looking at each.
fn walk(cron: &Cron, zone: &TimeZone, start: Timestamp, end: Timestamp) -> Vec<Timestamp> {
    let first = start.as_second().div_euclid(60) * 60;
    let mut latest_shown = zone.to_datetime(Timestamp::from_second(first).unwrap());
    let mut due = Vec::new();
    for second in (first + 60..=end.as_second()).step_by(60) {
        let timestamp = Timestamp::from_second(second).unwrap();
        let shown = zone.to_datetime(timestamp);
        let is_due = if cron.hour.star {
            cron.matches(shown)
        } else {
            // A fixed time is due when the clock first shows it, or first passes it by.
            let mut passed = false;
            while latest_shown < shown {
                latest_shown += 1.minute();
                passed |= cron.matches(latest_shown);
            }
            passed
        };
        if is_due && timestamp > start {
            due.push(timestamp);
        }
    }
    due
}

fn assert_same(found: &[Timestamp], expected: &[Timestamp], zone: &TimeZone, about: &dyn Fn() -> String) {
    if found == expected {
        return;
    }
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    let show = |at: Option<&Timestamp>| at.map(|at| at.to_zoned(zone.clone()).to_string());
    panic!(
        "{}: after {same} that agree, found {:?}, expected {:?}",
        about(),
        show(found.get(same)),
        show(expected.get(same))
    );
}

/// A transition with nothing but itself in the days around it.
struct Window {
    transition: Timestamp,
    is_gap: bool,
}

impl Window {
    /// Whether a gap leaves out the end of a day.
    fn crosses_midnight(&self, zone: &TimeZone) -> bool {
        let last_shown = zone.to_datetime(self.transition - SignedDuration::from_secs(1)) + 1.second();
        self.is_gap && last_shown.date() != zone.to_datetime(self.transition).date()
    }
}

fn windows(zone: &TimeZone, from: i16, to: i16) -> Vec<Window> {
    let start = zone.to_timestamp(jiff::civil::date(from, 1, 1).at(0, 0, 0, 0)).unwrap();
    let end = zone.to_timestamp(jiff::civil::date(to + 1, 1, 1).at(0, 0, 0, 0)).unwrap();
    let mut offset = zone.to_offset(start);
    let mut found = Vec::new();
    for transition in zone.following(start).take_while(|transition| transition.timestamp() < end) {
        let is_gap = transition.offset() > offset;
        if transition.offset() != offset {
            found.push(Window { transition: transition.timestamp(), is_gap });
        }
        offset = transition.offset();
    }
    // The walk learns what the clock has shown from its first minute on.
    let crowded = |window: &Window| {
        found.iter().any(|other| {
            let before = window.transition.duration_since(other.transition);
            before.is_positive() && before < SignedDuration::from_hours(62)
        })
    };
    let alone: Vec<bool> = found.iter().map(|window| !crowded(window)).collect();
    found.into_iter().zip(alone).filter_map(|(window, alone)| alone.then_some(window)).collect()
}

/// A schedule's text, and what it names; neither is made from the other.
struct Cron {
    text: String,
    minute: Named,
    hour: Named,
    day: Named,
    month: Named,
    weekday: Named,
}

struct Named {
    text: String,
    values: [bool; 60],
    star: bool,
}

impl Cron {
    /// A random schedule, likely due near a civil time; `None` where what came up is never due.
    fn random(random: &mut Random, near: DateTime, star_steps: bool) -> Option<Self> {
        let step = if star_steps { 12 } else { 0 };
        let minute = Named::random(random, (0, 59), 1, step / 2, &[], |random| random.between(0, 59));
        // Clocks are set at night.
        let hour = Named::random(random, (0, 23), 20, step, &[], |random| match random.between(0, 9) {
            0..5 => random.between(0, 4),
            5 | 6 => 23,
            _ => random.between(0, 23),
        });
        let nearby = |random: &mut Random, here: i8, min, max| match random.between(0, 2) {
            0 => random.between(min, max),
            _ => (i64::from(here) + random.between(-1, 1)).clamp(min, max),
        };
        let day = Named::random(random, (1, 31), 45, step, &[], |random| nearby(random, near.day(), 1, 31));
        let month =
            Named::random(random, (1, 12), 45, 12, &MONTHS, |random| nearby(random, near.month(), 1, 12));
        let mut weekday = Named::random(random, (0, 7), 45, step, &WEEKDAYS, |random| random.between(0, 7));
        weekday.values[0] |= weekday.values[7];
        let text = [&minute, &hour, &day, &month, &weekday].map(|field| field.text.as_str()).join(" ");
        let cron = Self { text, minute, hour, day, month, weekday };
        cron.ever_due().then_some(cron)
    }

    fn ever_due(&self) -> bool {
        let mut date = jiff::civil::date(2000, 1, 1);
        // A leap year's days, twice: weekdays come round to each within a few years.
        (0..366 * 28).any(|_| {
            date = date.tomorrow().unwrap();
            self.day_matches(date)
        })
    }

    fn matches(&self, shown: DateTime) -> bool {
        self.minute.has(shown.minute()) && self.hour.has(shown.hour()) && self.day_matches(shown.date())
    }

    fn day_matches(&self, date: jiff::civil::Date) -> bool {
        let day = self.day.has(date.day());
        let weekday = self.weekday.has(date.weekday().to_sunday_zero_offset());
        let either = !self.day.star && !self.weekday.star;
        self.month.has(date.month()) && if either { day || weekday } else { day && weekday }
    }
}

const MONTHS: [&str; 13] =
    ["", "jan", "Feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 8] = ["sun", "mon", "TUE", "wed", "Thu", "fri", "sat", "sun"];

impl Named {
    /// `*` in `stars` cases of 60, `*/N` in `star_steps` of the rest, else a list; with names where there are some.
    fn random(
        random: &mut Random,
        (min, max): (i64, i64),
        stars: i64,
        star_steps: i64,
        names: &[&str],
        mut value: impl FnMut(&mut Random) -> i64,
    ) -> Self {
        let mut named = Self { text: String::new(), values: [false; 60], star: false };
        if random.between(1, 60) <= stars {
            named.star = true;
            named.text = "*".to_owned();
            named.add(min, max, 1);
            return named;
        }
        let steps = if max == 7 { 7 } else { max + 1 - min };
        if random.between(1, 60) <= star_steps {
            let step = random.between(1, steps);
            named.star = true;
            named.text = format!("*/{step}");
            named.add(min, max, step);
            if random.one_in(4) {
                let extra = value(random);
                named.text += &format!(",{extra}");
                named.add(extra, extra, 1);
            }
            return named;
        }
        for item in 0..random.between(1, 3) {
            if item > 0 {
                named.text.push(',');
            }
            let first = value(random);
            let last = if random.one_in(4) { random.between(first, max) } else { first };
            // Sunday's name is its 0 before a range's dash and its 7 after one, unless it is both.
            let named_ends = max != 7 || (1..=6).contains(&first) || first == last;
            let mut spelled = |value: i64| match names.get(value as usize) {
                Some(name) if named_ends && random.one_in(2) => (*name).to_owned(),
                _ if random.one_in(8) => format!("{value:02}"),
                _ => value.to_string(),
            };
            named.text += &spelled(first);
            if last > first {
                named.text += &format!("-{}", spelled(last));
            }
            let step = if last > first && random.one_in(2) { random.between(1, steps) } else { 1 };
            if step > 1 {
                named.text += &format!("/{step}");
            }
            named.add(first, last, step);
        }
        named
    }

    fn add(&mut self, first: i64, last: i64, step: i64) {
        let mut value = first;
        while value <= last {
            self.values[value as usize] = true;
            value += step;
        }
    }

    fn has(&self, value: i8) -> bool {
        self.values[value as usize]
    }
}

/// SplitMix64: the same schedules in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Both ends included.
    fn between(&mut self, first: i64, last: i64) -> i64 {
        first + (self.next() % (last - first + 1) as u64) as i64
    }

    fn one_in(&mut self, count: i64) -> bool {
        self.between(1, count) == 1
    }

    fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.between(0, items.len() as i64 - 1) as usize]
    }
}
