//! How field values are derived from a row's number. The texts and numbers are those that exports are known to get
//! wrong.

use jiff::civil::date;
use jiff::{Timestamp, ToSpan};

use crate::demo_org::data::{Address, DELETED_AT, DELETED_EVERY, RecordId, Row, TODAY, Value};

/// How many users an org has, whatever its size.
pub(super) const USERS: usize = 25;
/// From this size on, account number 1 has the contacts numbered `MANY` and no other account has so many.
pub(super) const BIG: usize = 3000;
pub(super) const MANY: std::ops::Range<usize> = 100..2450;

pub(super) const AWKWARD: [&str; 40] = [
    "plain text",
    "comma, comma",
    "two \"quoted\" words",
    "semi;colon",
    "first line\nsecond line",
    "first line\r\nsecond line\r\n",
    "tab\there",
    "  spaces around  ",
    "=1+1",
    "+49 30 1234",
    "-1",
    "@SUM(A1:A2)",
    "O'Neil \\ backslash \\n",
    "Zürich, Straße 5",
    "Ελληνικά",
    "Привет, мир",
    "日本語のテキスト",
    "한국어 문장",
    "עברית מימין לשמאל",
    "العربية",
    "हिन्दी में",
    "e\u{301}a\u{308} combining",
    "😀 👩‍👩‍👧 🇩🇪",
    "line\u{2028}separator\u{2029}",
    "nul\u{0}inside",
    "\u{feff}mark",
    "\u{1}\u{1f}\u{7f}\u{85} controls \u{8}\u{c}",
    "<a href=\"/x\">&amp;</a>",
    "null",
    "N/A",
    "true",
    "\"",
    ",",
    "\r",
    "'",
    "\u{fffd}\u{10ffff}",
    "100 %",
    "under_score",
    "0012",
    "1E5",
];

pub(super) const TYPES: [&str; 5] =
    ["Prospect", "Customer - Direct", "Customer - Channel", "Installation Partner", "Other"];
pub(super) const INDUSTRIES: [&str; 8] = [
    "Agriculture",
    "Banking",
    "Chemicals",
    "Education",
    "Energy",
    "Food & Beverage",
    "Not For Profit",
    "Technology",
];
pub(super) const FIRST_NAMES: [&str; 14] = [
    "Ada",
    "Björn",
    "Chloé",
    "Δήμητρα",
    "Egon",
    "Fatima",
    "Giulia",
    "花子",
    "Иван",
    "Jean Marie",
    "Søren",
    "יעל",
    "Zoë",
    "O'",
];
pub(super) const LAST_NAMES: [&str; 16] = [
    "Lovelace",
    "Müller",
    "D'Angelo",
    "Παππά",
    "van der Berg",
    "al-Khwarizmi",
    "Rossi",
    "山田",
    "Петров",
    "Nguyễn",
    "Smith, Jr.",
    "כהן",
    "Øster",
    "García Márquez",
    "O'Brien",
    "李",
];
pub(super) const TITLES: [&str; 5] = ["CEO", "VP, Sales", "Buyer", "\"Head\" of IT", "SVP; Finance"];
pub(super) const DEPARTMENTS: [&str; 5] =
    ["Finance", "Procurement", "Technology", "Internal Operations", "Forschung"];
pub(super) const LEAD_SOURCES: [&str; 5] =
    ["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"];
pub(super) const STAGES: [(&str, f64); 6] = [
    ("Prospecting", 10.0),
    ("Qualification", 10.0),
    ("Needs Analysis", 20.0),
    ("Negotiation/Review", 90.0),
    ("Closed Won", 100.0),
    ("Closed Lost", 0.0),
];

pub(super) const STAGE_NAMES: [&str; 6] =
    [STAGES[0].0, STAGES[1].0, STAGES[2].0, STAGES[3].0, STAGES[4].0, STAGES[5].0];
pub(super) const PROFILES: [&str; 3] = ["Integration", "Standard User", "System Administrator"];
pub(super) const SEGMENTS: [&str; 4] = ["Enterprise", "Public Sector", "Retail", "Wholesale"];

/// A place for addresses and locations.
pub(super) struct Place {
    pub(super) city: &'static str,
    pub(super) state: Option<&'static str>,
    pub(super) postal_code: &'static str,
    pub(super) country: &'static str,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
}

pub(super) const PLACES: [Place; 8] = [
    town("San Francisco", Some("CA"), "94105", "USA", 37.79302, -122.394507),
    town("München", None, "80331", "Deutschland", 48.137154, 11.576124),
    town("東京", None, "100-0001", "日本", 35.689487, 139.691706),
    town("São Paulo", Some("SP"), "01310-100", "Brasil", -23.55052, -46.633309),
    town("Washington, D.C.", Some("DC"), "20500", "USA", 38.897, -77.0365),
    town("Reykjavík", None, "101", "Ísland", 64.0, -21.9),
    town("القاهرة", None, "11511", "مصر", 30.044420, 31.235712),
    town("Null Island", None, "0", "-", 0.0, 0.0005),
];

const fn town(
    city: &'static str,
    state: Option<&'static str>,
    postal_code: &'static str,
    country: &'static str,
    latitude: f64,
    longitude: f64,
) -> Place {
    Place { city, state, postal_code, country, latitude, longitude }
}

pub(super) fn id(row: Row<'_>) -> Value {
    Value::Id(row.id())
}

pub(super) fn is_deleted(row: Row<'_>) -> Value {
    Value::Bool(row.is_deleted())
}

/// One of these in four rows of five, else null.
pub(super) fn maybe(row: Row<'_>, salt: u64, texts: &[&'static str]) -> Value {
    match row.pick(salt, texts.len() + texts.len() / 4 + 1) {
        n if n < texts.len() => texts[n].into(),
        _ => Value::Null,
    }
}

pub(super) fn optional(text: Option<impl Into<Value>>) -> Value {
    text.map_or(Value::Null, Into::into)
}

pub(super) fn double(number: Option<f64>) -> Value {
    number.map_or(Value::Null, Value::Double)
}

pub(super) fn account_name(row: Row<'_>) -> Value {
    edited(row, format!("{} {}", AWKWARD[(row.index + row.index / 40) % AWKWARD.len()], row.index))
}

/// A text that differs from version to version of its row; the first one has it as it is.
pub(super) fn edited(row: Row<'_>, text: String) -> Value {
    match row.version() {
        0 => text.into(),
        version => format!("{text} v{version}").into(),
    }
}

/// A hierarchy of several levels; one reference in a dozen is to an account that the user may not see.
pub(super) fn account_parent(row: Row<'_>) -> Value {
    match row.pick(17, 12) {
        0 => Value::Id(RecordId::new("001", row.data.records() + row.pick(18, 1000))),
        1..=4 if row.index > 0 => Value::Id(RecordId::new("001", live(row.pick(19, row.index)))),
        _ => Value::Null,
    }
}

/// This row number, or the one before it if that is deleted: no reference leads into the recycle bin.
pub(super) fn live(index: usize) -> usize {
    if index % DELETED_EVERY == DELETED_AT { index - 1 } else { index }
}

/// An account, unevenly: of five, two are never picked and one is picked three times as often.
pub(super) fn account_at(row: Row<'_>, salt: u64) -> Value {
    let records = row.data.records();
    if records == 0 || row.pick(salt, 16) == 0 {
        return Value::Null;
    }
    let picked = row.pick(salt + 1000, records);
    let picked = match picked % 5 {
        0 | 3 => picked.saturating_sub(1),
        _ => picked,
    };
    Value::Id(RecordId::new("001", live(picked)))
}

pub(super) fn contact_at(row: Row<'_>, salt: u64) -> RecordId {
    RecordId::new("003", live(row.pick(salt, row.data.records().max(1))))
}

pub(super) fn contact_account(row: Row<'_>) -> Value {
    if row.data.records() >= BIG && MANY.contains(&row.index) {
        Value::Id(RecordId::new("001", 1))
    } else {
        account_at(row, 61)
    }
}

pub(super) fn reports_to(row: Row<'_>) -> Value {
    if row.index == 0 || row.pick(62, 3) > 0 {
        Value::Null
    } else {
        Value::Id(RecordId::new("003", live(row.pick(63, row.index))))
    }
}

pub(super) fn task_what(row: Row<'_>) -> Value {
    match row.pick(82, 3) {
        0 => Value::Null,
        1 => account_at(row, 83),
        _ => Value::Id(RecordId::new("006", live(row.pick(83, row.data.records().max(1))))),
    }
}

pub(super) fn user(row: Row<'_>) -> Value {
    Value::Id(RecordId::new("005", row.pick(1, USERS)))
}

/// Who created it; unlike the owner, always the same.
pub(super) fn creator(row: Row<'_>) -> Value {
    user(row.as_made())
}

pub(super) fn modifier(row: Row<'_>) -> Value {
    Value::Id(RecordId::new("005", row.pick(2, USERS)))
}

pub(super) fn last_name(row: Row<'_>) -> Value {
    edited(row, LAST_NAMES[row.pick(50, LAST_NAMES.len())].to_owned())
}

pub(super) fn full_name(first: Value, last: &str) -> Value {
    match first {
        Value::Text(first) => format!("{first} {last}").into(),
        _ => last.to_owned().into(),
    }
}

pub(super) fn contact_name(row: Row<'_>) -> Value {
    full_name(maybe(row, 51, &FIRST_NAMES), last_name(row).as_str().unwrap_or_default())
}

pub(super) fn email(row: Row<'_>) -> Value {
    if row.pick(64, 6) == 0 { Value::Null } else { format!("contact{}@example.com", row.index).into() }
}

pub(super) fn website(row: Row<'_>) -> Value {
    match row.pick(24, 4) {
        0 => Value::Null,
        n => format!("https://www.example.com/{}?a={n}&b=%20", row.index).into(),
    }
}

pub(super) fn phone(row: Row<'_>, salt: u64) -> Value {
    match row.pick(salt, 1_250_000) {
        n if n < 1_000_000 => format!("+1 (415) {:03}-{:04}", n / 1000, n % 10_000).into(),
        _ => Value::Null,
    }
}

/// A quarter null; a row in 500 fills the field; the rest is what breaks CSV.
pub(super) fn description(row: Row<'_>) -> Value {
    if row.index % 500 == 17 {
        return "0123456789 äöü 🎈,\"\n".repeat(1500).into();
    }
    maybe(row, 25, &AWKWARD)
}

pub(super) fn annual_revenue(row: Row<'_>) -> Value {
    match row.pick(26, 10) {
        0 | 1 => Value::Null,
        2 => Value::Double(0.0),
        3 => {
            Value::Double([1.0e7, 9_999_999.99, 1.39e8, 9.9213206e7, 1.614_780_582_439_7e13][row.pick(27, 5)])
        }
        _ => Value::Double(row.pick(27, 1_000_000_000) as f64 / 100.0),
    }
}

pub(super) fn amount(row: Row<'_>) -> Value {
    match row.pick(73, 9) {
        0 => Value::Null,
        1 => Value::Double(0.0),
        2 => Value::Double(row.pick(77, 900) as f64 * 1.0e6),
        _ => Value::Double(row.pick(77, 100_000_000) as f64 / 100.0),
    }
}

pub(super) fn number_of_employees(row: Row<'_>) -> Value {
    match row.pick(28, 6) {
        0 => Value::Null,
        1 => Value::Int([0, 1, -1, 99_999_999][row.pick(29, 4)]),
        _ => Value::Int(row.pick(29, 50_000) as i64),
    }
}

/// Doubles over the whole range, the hard ones often.
pub(super) fn score(row: Row<'_>) -> Value {
    const HARD: [f64; 18] = [
        1.614_780_582_439_7e13,
        1.0e-5,
        -0.0,
        9.99e20,
        0.1,
        0.001,
        0.000_999_999,
        1.0e7,
        9_999_999.999_999_998,
        -123_456_789.125,
        1.0e18,
        9_007_199_254_740_993.0,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        0.3,
        -1.5e-7,
        2e23,
    ];
    match row.pick(35, 4) {
        0 => Value::Null,
        1 => Value::Double(HARD[row.pick(36, HARD.len())]),
        _ => Value::Double((row.pick(36, 20_000_000) as f64 - 10_000_000.0) / 1000.0),
    }
}

pub(super) fn discount(row: Row<'_>) -> Value {
    match row.pick(37, 5) {
        0 => Value::Null,
        _ => Value::Double(row.pick(38, 201) as f64 / 2.0),
    }
}

pub(super) fn segments(row: Row<'_>) -> Value {
    let bits = row.pick(39, 20);
    if bits == 0 || bits > 15 {
        return Value::Null;
    }
    let chosen: Vec<&str> = (0..4).filter(|bit| bits >> bit & 1 == 1).map(|bit| SEGMENTS[bit]).collect();
    chosen.join(";").into()
}

/// A day within some years of [`TODAY`], or null.
pub(super) fn day(row: Row<'_>, salt: u64) -> Value {
    match row.pick(salt, 2500) {
        n if n < 2000 => Value::Date(TODAY.saturating_sub((n as i64 - 300).days())),
        _ => Value::Null,
    }
}

pub(super) fn close_date(row: Row<'_>) -> Value {
    Value::Date(TODAY.saturating_sub((row.pick(78, 1000) as i64 - 300).days()))
}

pub(super) fn birthdate(row: Row<'_>) -> Value {
    match row.pick(65, 30_000) {
        n if n < 24_000 => Value::Date(date(1935, 1, 1).saturating_add((n as i64).days())),
        // Days that break a two-digit year or a leap year's count.
        n if n < 25_000 => Value::Date([date(1900, 3, 1), date(2000, 2, 29), date(1969, 12, 31)][n % 3]),
        _ => Value::Null,
    }
}

/// Milliseconds from 1970 of the first record's creation, 2020-01-01.
pub(super) const FIRST_CREATED: i64 = 1_577_836_800_000;

pub(super) fn created(row: Row<'_>) -> i64 {
    if let Some(created) = row.state.created {
        return created.as_millisecond();
    }
    // A little over five years, to the second: several records share a timestamp in a large org.
    FIRST_CREATED + row.as_made().pick(3, 180_000_000) as i64 * 1000
}

pub(super) fn timestamp(milliseconds: i64) -> Value {
    Timestamp::from_millisecond(milliseconds).map_or(Value::Null, Value::Datetime)
}

pub(super) fn created_date(row: Row<'_>) -> Value {
    timestamp(created(row))
}

pub(super) fn modified_date(row: Row<'_>) -> Value {
    if let Some(stamp) = row.state.stamp {
        return Value::Datetime(stamp);
    }
    timestamp(created(row) + row.pick(4, 15_000_000_000) as i64)
}

pub(super) fn place_at(n: usize) -> &'static Place {
    &PLACES[n % PLACES.len()]
}

/// Three addresses in four.
pub(super) fn place(row: Row<'_>, salt: u64) -> Option<&'static Place> {
    match row.pick(salt, PLACES.len() * 4 / 3) {
        n if n < PLACES.len() => Some(place_at(n)),
        _ => None,
    }
}

pub(super) fn street(row: Row<'_>, salt: u64) -> Option<String> {
    place(row, salt).map(|at| match row.pick(salt + 500, 3) {
        0 => format!("{} Market St\nSuite {}", row.index + 1, row.index % 90),
        1 => format!("Hauptstraße {}, \"Hof\"\r\n{}", row.index % 300, at.city),
        _ => format!("{} 1st Ave", row.index + 1),
    })
}

/// Degrees, for half of the addresses.
pub(super) fn position(row: Row<'_>, salt: u64) -> Option<(f64, f64)> {
    place(row, salt).filter(|_| row.pick(salt + 501, 3) > 0).map(|at| (at.latitude, at.longitude))
}

pub(super) fn address(row: Row<'_>, salt: u64) -> Value {
    let at = place(row, salt);
    let position = position(row, salt);
    // Real orgs send an object of nulls for rows without an address, and sometimes null: `Fault::NullAddresses`.
    Value::Address(Box::new(Address {
        city: at.map(|at| at.city),
        country: at.map(|at| at.country),
        geocode_accuracy: position.map(|_| "Address"),
        latitude: position.map(|at| at.0),
        longitude: position.map(|at| at.1),
        postal_code: at.map(|at| at.postal_code),
        state: at.and_then(|at| at.state),
        street: street(row, salt),
    }))
}

pub(super) fn location(row: Row<'_>, salt: u64) -> Value {
    position(row, salt).map_or(Value::Null, |(latitude, longitude)| Value::Location { latitude, longitude })
}
