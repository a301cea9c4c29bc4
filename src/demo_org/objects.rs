//! The org's objects, and how each of their fields comes from a row's number. The texts and numbers here are
//! the ones that exports have been seen to get wrong.

use jiff::civil::date;
use jiff::{Timestamp, ToSpan};

use super::data::{Address, DELETED_AT, DELETED_EVERY, DataSet, RecordId, Row, TODAY, Value};
use super::schema::{ChildRelationship, Field, Kind, Object, Reference};

/// Every object, in the order of their names.
pub(super) static ALL: &[Object] = &[
    Object {
        name: "Account",
        prefix: "001",
        count: DataSet::records,
        deletable: true,
        fields: &[
            field("Id", Kind::Id, id),
            field("IsDeleted", Kind::Boolean, is_deleted),
            field("Name", Kind::Text, account_name),
            field("Type", Kind::Picklist, |row| maybe(row, 11, &TYPES)),
            reference("ParentId", "Parent", &["Account"], account_parent),
            field("BillingStreet", Kind::TextArea, |row| optional(street(row, 20))),
            field("BillingCity", Kind::Text, |row| optional(place(row, 20).map(|at| at.city))),
            field("BillingState", Kind::Text, |row| optional(place(row, 20).and_then(|at| at.state))),
            field("BillingPostalCode", Kind::Text, |row| optional(place(row, 20).map(|at| at.postal_code))),
            field("BillingCountry", Kind::Text, |row| optional(place(row, 20).map(|at| at.country))),
            field("BillingLatitude", Kind::Double, |row| double(position(row, 20).map(|at| at.0))),
            field("BillingLongitude", Kind::Double, |row| double(position(row, 20).map(|at| at.1))),
            field("BillingGeocodeAccuracy", Kind::Picklist, |row| {
                optional(position(row, 20).map(|_| "Address"))
            }),
            field("BillingAddress", Kind::Address, |row| address(row, 20)),
            field("Phone", Kind::Phone, |row| phone(row, 21)),
            field("Fax", Kind::Phone, |row| phone(row, 22)),
            field("AccountNumber", Kind::Text, |row| {
                format!("CC{:06}-{}", row.index, row.pick(23, 10)).into()
            }),
            field("Website", Kind::Url, website),
            field("Industry", Kind::Picklist, |row| maybe(row, 12, &INDUSTRIES)),
            field("AnnualRevenue", Kind::Currency, annual_revenue),
            field("NumberOfEmployees", Kind::Int, number_of_employees),
            field("Ownership", Kind::Picklist, |row| {
                maybe(row, 13, &["Public", "Private", "Subsidiary", "Other"])
            }),
            field("Description", Kind::LongText, description),
            field("Rating", Kind::Picklist, |row| maybe(row, 14, &["Hot", "Warm", "Cold"])),
            field("Site", Kind::Text, |row| maybe(row, 15, &AWKWARD)),
            reference("OwnerId", "Owner", &["User"], user),
            field("CreatedDate", Kind::Datetime, created_date),
            reference("CreatedById", "CreatedBy", &["User"], user),
            field("LastModifiedDate", Kind::Datetime, modified_date),
            reference("LastModifiedById", "LastModifiedBy", &["User"], modifier),
            field("SystemModstamp", Kind::Datetime, modified_date),
            field("LastActivityDate", Kind::Date, |row| day(row, 16)),
            field("Active__c", Kind::Boolean, |row| Value::Bool(row.pick(30, 3) > 0)),
            field("Score__c", Kind::Double, score),
            field("Discount__c", Kind::Percent, discount),
            field("FoundedOn__c", Kind::Date, |row| day(row, 31)),
            field("Segments__c", Kind::MultiPicklist, segments),
            field("HeadOffice__Latitude__s", Kind::Double, |row| double(position(row, 32).map(|at| at.0))),
            field("HeadOffice__Longitude__s", Kind::Double, |row| double(position(row, 32).map(|at| at.1))),
            field("HeadOffice__c", Kind::Location, |row| location(row, 32)),
            field("Remarks__c", Kind::LongText, |row| maybe(row, 33, &AWKWARD)),
            field("History__c", Kind::LongText, |row| maybe(row, 34, &AWKWARD)),
        ],
        children: &[
            child("Attachments", "Attachment", "ParentId"),
            child("ChildAccounts", "Account", "ParentId"),
            child("Contacts", "Contact", "AccountId"),
            child("Opportunities", "Opportunity", "AccountId"),
            child("Tasks", "Task", "WhatId"),
            child("Warehouses__r", "Warehouse__c", "Account__c"),
        ],
    },
    Object {
        name: "Attachment",
        prefix: "00P",
        count: |data| data.records() / 10,
        deletable: false,
        fields: &[
            field("Id", Kind::Id, id),
            field("IsDeleted", Kind::Boolean, is_deleted),
            reference("ParentId", "Parent", &["Account", "Contact"], |row| {
                if row.pick(40, 3) == 0 { Value::Id(contact_at(row, 41)) } else { account_at(row, 42) }
            }),
            field("Name", Kind::Text, |row| format!("scan {}.pdf", row.index).into()),
            field("ContentType", Kind::Text, |row| maybe(row, 43, &["application/pdf", "image/png"])),
            field("BodyLength", Kind::Int, |row| Value::Int(row.pick(44, 5_000_000) as i64)),
            field("Body", Kind::Base64, |row| Value::Blob(row.id(), "Body")),
            reference("OwnerId", "Owner", &["User"], user),
            field("CreatedDate", Kind::Datetime, created_date),
            field("SystemModstamp", Kind::Datetime, modified_date),
        ],
        children: &[],
    },
    Object {
        name: "Contact",
        prefix: "003",
        count: DataSet::records,
        deletable: true,
        fields: &[
            field("Id", Kind::Id, id),
            field("IsDeleted", Kind::Boolean, is_deleted),
            reference("AccountId", "Account", &["Account"], contact_account),
            field("LastName", Kind::Text, |row| LAST_NAMES[row.pick(50, LAST_NAMES.len())].into()),
            field("FirstName", Kind::Text, |row| maybe(row, 51, &FIRST_NAMES)),
            field("Salutation", Kind::Picklist, |row| maybe(row, 52, &["Mr.", "Ms.", "Dr.", "Prof."])),
            field("Name", Kind::Text, contact_name),
            field("MailingStreet", Kind::TextArea, |row| optional(street(row, 53))),
            field("MailingCity", Kind::Text, |row| optional(place(row, 53).map(|at| at.city))),
            field("MailingState", Kind::Text, |row| optional(place(row, 53).and_then(|at| at.state))),
            field("MailingPostalCode", Kind::Text, |row| optional(place(row, 53).map(|at| at.postal_code))),
            field("MailingCountry", Kind::Text, |row| optional(place(row, 53).map(|at| at.country))),
            field("MailingLatitude", Kind::Double, |row| double(position(row, 53).map(|at| at.0))),
            field("MailingLongitude", Kind::Double, |row| double(position(row, 53).map(|at| at.1))),
            field("MailingGeocodeAccuracy", Kind::Picklist, |row| {
                optional(position(row, 53).map(|_| "Address"))
            }),
            field("MailingAddress", Kind::Address, |row| address(row, 53)),
            field("Phone", Kind::Phone, |row| phone(row, 54)),
            field("MobilePhone", Kind::Phone, |row| phone(row, 55)),
            reference("ReportsToId", "ReportsTo", &["Contact"], reports_to),
            field("Email", Kind::Email, email),
            field("Title", Kind::Text, |row| maybe(row, 56, &TITLES)),
            field("Department", Kind::Text, |row| maybe(row, 57, &DEPARTMENTS)),
            field("LeadSource", Kind::Picklist, |row| maybe(row, 58, &LEAD_SOURCES)),
            field("Birthdate", Kind::Date, birthdate),
            field("Description", Kind::LongText, description),
            reference("OwnerId", "Owner", &["User"], user),
            field("HasOptedOutOfEmail", Kind::Boolean, |row| Value::Bool(row.pick(59, 9) == 0)),
            field("CreatedDate", Kind::Datetime, created_date),
            reference("CreatedById", "CreatedBy", &["User"], user),
            field("LastModifiedDate", Kind::Datetime, modified_date),
            field("SystemModstamp", Kind::Datetime, modified_date),
            field("Level__c", Kind::Picklist, |row| maybe(row, 60, &["Primary", "Secondary", "Tertiary"])),
            field("Languages__c", Kind::MultiPicklist, segments),
        ],
        children: &[child("Attachments", "Attachment", "ParentId"), child("Tasks", "Task", "WhoId")],
    },
    Object {
        name: "Opportunity",
        prefix: "006",
        count: DataSet::records,
        deletable: true,
        fields: &[
            field("Id", Kind::Id, id),
            field("IsDeleted", Kind::Boolean, is_deleted),
            reference("AccountId", "Account", &["Account"], |row| account_at(row, 70)),
            field("Name", Kind::Text, |row| {
                format!("{} {}", AWKWARD[row.pick(71, AWKWARD.len())], row.index).into()
            }),
            field("Description", Kind::LongText, description),
            field("StageName", Kind::Picklist, |row| STAGES[row.pick(72, STAGES.len())].0.into()),
            field("Amount", Kind::Currency, amount),
            field("Probability", Kind::Percent, |row| Value::Double(STAGES[row.pick(72, STAGES.len())].1)),
            field("ExpectedRevenue", Kind::Currency, |row| match amount(row) {
                Value::Double(amount) => Value::Double(amount * STAGES[row.pick(72, STAGES.len())].1 / 100.0),
                other => other,
            }),
            field("TotalOpportunityQuantity", Kind::Double, score),
            field("CloseDate", Kind::Date, close_date),
            field("Type", Kind::Picklist, |row| {
                maybe(row, 74, &["New Customer", "Existing Customer - Upgrade"])
            }),
            field("NextStep", Kind::Text, |row| maybe(row, 75, &AWKWARD)),
            field("LeadSource", Kind::Picklist, |row| maybe(row, 76, &LEAD_SOURCES)),
            field("IsClosed", Kind::Boolean, |row| {
                Value::Bool(row.pick(72, STAGES.len()) >= STAGES.len() - 2)
            }),
            field("IsWon", Kind::Boolean, |row| Value::Bool(row.pick(72, STAGES.len()) == STAGES.len() - 2)),
            reference("OwnerId", "Owner", &["User"], user),
            field("CreatedDate", Kind::Datetime, created_date),
            reference("CreatedById", "CreatedBy", &["User"], user),
            field("LastModifiedDate", Kind::Datetime, modified_date),
            field("SystemModstamp", Kind::Datetime, modified_date),
        ],
        children: &[child("Tasks", "Task", "WhatId")],
    },
    Object {
        name: "Organization",
        prefix: "00D",
        count: |_| 1,
        deletable: false,
        fields: &[
            field("Id", Kind::Id, id),
            field("Name", Kind::Text, |_| "Demo Org".into()),
            field("InstanceName", Kind::Text, |_| "DEMO1".into()),
            field("IsSandbox", Kind::Boolean, |_| Value::Bool(false)),
            field("NamespacePrefix", Kind::Text, |_| Value::Null),
            field("OrganizationType", Kind::Picklist, |_| "Developer Edition".into()),
            field("TrialExpirationDate", Kind::Datetime, |_| Value::Null),
            field("CreatedDate", Kind::Datetime, created_date),
        ],
        children: &[],
    },
    Object {
        name: "Task",
        prefix: "00T",
        count: |data| data.records() / 2,
        deletable: true,
        fields: &[
            field("Id", Kind::Id, id),
            field("IsDeleted", Kind::Boolean, is_deleted),
            reference("WhoId", "Who", &["Contact"], |row| {
                if row.pick(80, 4) == 0 { Value::Null } else { Value::Id(contact_at(row, 81)) }
            }),
            reference("WhatId", "What", &["Account", "Opportunity"], task_what),
            field("Subject", Kind::Text, |row| {
                maybe(row, 84, &["Call", "Send Letter", "Send Quote", "Other, \"odd\""])
            }),
            field("ActivityDate", Kind::Date, |row| day(row, 85)),
            field("Status", Kind::Picklist, |row| {
                ["Not Started", "In Progress", "Completed"][row.pick(86, 3)].into()
            }),
            field("Priority", Kind::Picklist, |row| ["High", "Normal", "Low"][row.pick(87, 3)].into()),
            field("Description", Kind::LongText, description),
            field("CallDurationInSeconds", Kind::Int, |row| match row.pick(88, 3) {
                0 => Value::Null,
                _ => Value::Int(row.pick(89, 4000) as i64),
            }),
            reference("OwnerId", "Owner", &["User"], user),
            field("CreatedDate", Kind::Datetime, created_date),
            field("SystemModstamp", Kind::Datetime, modified_date),
        ],
        children: &[],
    },
    Object {
        name: "User",
        prefix: "005",
        count: |_| USERS,
        deletable: false,
        fields: &[
            field("Id", Kind::Id, id),
            field("Username", Kind::Text, |row| match row.index {
                0 => row.data.username().to_owned().into(),
                index => format!("user{index}@example.com").into(),
            }),
            field("LastName", Kind::Text, |row| LAST_NAMES[row.index % LAST_NAMES.len()].into()),
            field("FirstName", Kind::Text, |row| maybe(row, 91, &FIRST_NAMES)),
            field("Name", Kind::Text, |row| {
                let last = LAST_NAMES[row.index % LAST_NAMES.len()];
                full_name(maybe(row, 91, &FIRST_NAMES), last)
            }),
            field("Email", Kind::Email, |row| format!("user{}@example.com", row.index).into()),
            field("Alias", Kind::Text, |row| format!("u{}", row.index).into()),
            // One of the few fields that a real org answers with an empty string.
            field("BadgeText", Kind::Text, |_| "".into()),
            field("IsActive", Kind::Boolean, |row| Value::Bool(row.index % 6 != 5)),
            field("Title", Kind::Text, |row| maybe(row, 92, &TITLES)),
            field("TimeZoneSidKey", Kind::Picklist, |row| {
                ["Europe/Berlin", "America/New_York"][row.index % 2].into()
            }),
            field("UserType", Kind::Picklist, |_| "Standard".into()),
            // An object that this user may not read: the id is there, `Profile` is null.
            reference("ProfileId", "Profile", &["Profile"], |row| {
                Value::Id(RecordId::new("00e", row.index % 3))
            }),
            reference("ManagerId", "Manager", &["User"], |row| match row.index {
                0 => Value::Null,
                index => Value::Id(RecordId::new("005", (index - 1) / 4)),
            }),
            field("LastLoginDate", Kind::Datetime, |row| {
                if row.index % 6 == 5 { Value::Null } else { modified_date(row) }
            }),
            field("CreatedDate", Kind::Datetime, created_date),
            field("SystemModstamp", Kind::Datetime, modified_date),
        ],
        children: &[],
    },
    Object {
        name: "Profile",
        prefix: "00e",
        count: |_| 0,
        deletable: false,
        fields: &[field("Id", Kind::Id, id), field("Name", Kind::Text, |_| "Standard User".into())],
        children: &[],
    },
    Object {
        name: "Warehouse__c",
        prefix: "a06",
        count: |data| data.records() / 4 + 1,
        deletable: false,
        fields: &[
            field("Id", Kind::Id, id),
            field("IsDeleted", Kind::Boolean, is_deleted),
            field("Name", Kind::Text, |row| {
                format!("{} Depot {}", place_at(row.index).city, row.index).into()
            }),
            reference("OwnerId", "Owner", &["User"], user),
            field("CreatedDate", Kind::Datetime, created_date),
            field("SystemModstamp", Kind::Datetime, modified_date),
            reference("Account__c", "Account__r", &["Account"], |row| account_at(row, 100)),
            field("Location__Latitude__s", Kind::Double, |row| double(position(row, 101).map(|at| at.0))),
            field("Location__Longitude__s", Kind::Double, |row| double(position(row, 101).map(|at| at.1))),
            field("Location__c", Kind::Location, |row| location(row, 101)),
            field("Capacity__c", Kind::Double, score),
            field("Opened__c", Kind::Date, |row| day(row, 102)),
            field("Features__c", Kind::MultiPicklist, segments),
        ],
        children: &[],
    },
];

const fn field(name: &'static str, kind: Kind, make: fn(Row<'_>) -> Value) -> Field {
    Field { name, kind, reference: None, make }
}

const fn reference(
    name: &'static str,
    relationship: &'static str,
    to: &'static [&'static str],
    make: fn(Row<'_>) -> Value,
) -> Field {
    Field { name, kind: Kind::Reference, reference: Some(Reference { relationship, to }), make }
}

const fn child(name: &'static str, object: &'static str, field: &'static str) -> ChildRelationship {
    ChildRelationship { name, object, field }
}

/// How many users an org has, whatever its size.
pub(super) const USERS: usize = 25;
/// From this size on, account number 1 has the contacts numbered `MANY` and no other account has so many.
const BIG: usize = 3000;
const MANY: std::ops::Range<usize> = 100..2450;

const AWKWARD: [&str; 40] = [
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

const TYPES: [&str; 5] =
    ["Prospect", "Customer - Direct", "Customer - Channel", "Installation Partner", "Other"];
const INDUSTRIES: [&str; 8] = [
    "Agriculture",
    "Banking",
    "Chemicals",
    "Education",
    "Energy",
    "Food & Beverage",
    "Not For Profit",
    "Technology",
];
const FIRST_NAMES: [&str; 14] = [
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
const LAST_NAMES: [&str; 16] = [
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
const TITLES: [&str; 5] = ["CEO", "VP, Sales", "Buyer", "\"Head\" of IT", "SVP; Finance"];
const DEPARTMENTS: [&str; 5] = ["Finance", "Procurement", "Technology", "Internal Operations", "Forschung"];
const LEAD_SOURCES: [&str; 5] = ["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"];
const STAGES: [(&str, f64); 6] = [
    ("Prospecting", 10.0),
    ("Qualification", 10.0),
    ("Needs Analysis", 20.0),
    ("Negotiation/Review", 90.0),
    ("Closed Won", 100.0),
    ("Closed Lost", 0.0),
];

/// A place for addresses and locations.
struct Place {
    city: &'static str,
    state: Option<&'static str>,
    postal_code: &'static str,
    country: &'static str,
    latitude: f64,
    longitude: f64,
}

const PLACES: [Place; 8] = [
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

fn id(row: Row<'_>) -> Value {
    Value::Id(row.id())
}

fn is_deleted(row: Row<'_>) -> Value {
    Value::Bool(row.is_deleted())
}

/// One of these in four rows of five, else null.
fn maybe(row: Row<'_>, salt: u64, texts: &[&'static str]) -> Value {
    match row.pick(salt, texts.len() + texts.len() / 4 + 1) {
        n if n < texts.len() => texts[n].into(),
        _ => Value::Null,
    }
}

fn optional(text: Option<impl Into<Value>>) -> Value {
    text.map_or(Value::Null, Into::into)
}

fn double(number: Option<f64>) -> Value {
    number.map_or(Value::Null, Value::Double)
}

fn account_name(row: Row<'_>) -> Value {
    format!("{} {}", AWKWARD[(row.index + row.index / 40) % AWKWARD.len()], row.index).into()
}

/// A hierarchy of several levels; one reference in a dozen is to an account that the user may not see.
fn account_parent(row: Row<'_>) -> Value {
    match row.pick(17, 12) {
        0 => Value::Id(RecordId::new("001", row.data.records() + row.pick(18, 1000))),
        1..=4 if row.index > 0 => Value::Id(RecordId::new("001", live(row.pick(19, row.index)))),
        _ => Value::Null,
    }
}

/// This row number, or the one before it if that is deleted: no reference leads into the recycle bin.
fn live(index: usize) -> usize {
    if index % DELETED_EVERY == DELETED_AT { index - 1 } else { index }
}

/// An account, unevenly: of five, two are never picked and one is picked three times as often.
fn account_at(row: Row<'_>, salt: u64) -> Value {
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

fn contact_at(row: Row<'_>, salt: u64) -> RecordId {
    RecordId::new("003", live(row.pick(salt, row.data.records().max(1))))
}

fn contact_account(row: Row<'_>) -> Value {
    if row.data.records() >= BIG && MANY.contains(&row.index) {
        Value::Id(RecordId::new("001", 1))
    } else {
        account_at(row, 61)
    }
}

fn reports_to(row: Row<'_>) -> Value {
    if row.index == 0 || row.pick(62, 3) > 0 {
        Value::Null
    } else {
        Value::Id(RecordId::new("003", live(row.pick(63, row.index))))
    }
}

fn task_what(row: Row<'_>) -> Value {
    match row.pick(82, 3) {
        0 => Value::Null,
        1 => account_at(row, 83),
        _ => Value::Id(RecordId::new("006", live(row.pick(83, row.data.records().max(1))))),
    }
}

fn user(row: Row<'_>) -> Value {
    Value::Id(RecordId::new("005", row.pick(1, USERS)))
}

fn modifier(row: Row<'_>) -> Value {
    Value::Id(RecordId::new("005", row.pick(2, USERS)))
}

fn full_name(first: Value, last: &str) -> Value {
    match first {
        Value::Text(first) => format!("{first} {last}").into(),
        _ => last.to_owned().into(),
    }
}

fn contact_name(row: Row<'_>) -> Value {
    full_name(maybe(row, 51, &FIRST_NAMES), LAST_NAMES[row.pick(50, LAST_NAMES.len())])
}

fn email(row: Row<'_>) -> Value {
    if row.pick(64, 6) == 0 { Value::Null } else { format!("contact{}@example.com", row.index).into() }
}

fn website(row: Row<'_>) -> Value {
    match row.pick(24, 4) {
        0 => Value::Null,
        n => format!("https://www.example.com/{}?a={n}&b=%20", row.index).into(),
    }
}

fn phone(row: Row<'_>, salt: u64) -> Value {
    match row.pick(salt, 1_250_000) {
        n if n < 1_000_000 => format!("+1 (415) {:03}-{:04}", n / 1000, n % 10_000).into(),
        _ => Value::Null,
    }
}

/// A quarter null; a row in 500 fills the field; the rest is what breaks CSV.
fn description(row: Row<'_>) -> Value {
    if row.index % 500 == 17 {
        return "0123456789 äöü 🎈,\"\n".repeat(1500).into();
    }
    maybe(row, 25, &AWKWARD)
}

fn annual_revenue(row: Row<'_>) -> Value {
    match row.pick(26, 10) {
        0 | 1 => Value::Null,
        2 => Value::Double(0.0),
        3 => {
            Value::Double([1.0e7, 9_999_999.99, 1.39e8, 9.9213206e7, 1.614_780_582_439_7e13][row.pick(27, 5)])
        }
        _ => Value::Double(row.pick(27, 1_000_000_000) as f64 / 100.0),
    }
}

fn amount(row: Row<'_>) -> Value {
    match row.pick(73, 9) {
        0 => Value::Null,
        1 => Value::Double(0.0),
        2 => Value::Double(row.pick(77, 900) as f64 * 1.0e6),
        _ => Value::Double(row.pick(77, 100_000_000) as f64 / 100.0),
    }
}

fn number_of_employees(row: Row<'_>) -> Value {
    match row.pick(28, 6) {
        0 => Value::Null,
        1 => Value::Int([0, 1, -1, 99_999_999][row.pick(29, 4)]),
        _ => Value::Int(row.pick(29, 50_000) as i64),
    }
}

/// Doubles over the whole range, the hard ones often.
fn score(row: Row<'_>) -> Value {
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

fn discount(row: Row<'_>) -> Value {
    match row.pick(37, 5) {
        0 => Value::Null,
        _ => Value::Double(row.pick(38, 201) as f64 / 2.0),
    }
}

fn segments(row: Row<'_>) -> Value {
    const ALL: [&str; 4] = ["Enterprise", "Public Sector", "Retail", "Wholesale"];
    let bits = row.pick(39, 20);
    if bits == 0 || bits > 15 {
        return Value::Null;
    }
    let chosen: Vec<&str> = (0..4).filter(|bit| bits >> bit & 1 == 1).map(|bit| ALL[bit]).collect();
    chosen.join(";").into()
}

/// A day within some years of [`TODAY`], or null.
fn day(row: Row<'_>, salt: u64) -> Value {
    match row.pick(salt, 2500) {
        n if n < 2000 => Value::Date(TODAY.saturating_sub((n as i64 - 300).days())),
        _ => Value::Null,
    }
}

fn close_date(row: Row<'_>) -> Value {
    Value::Date(TODAY.saturating_sub((row.pick(78, 1000) as i64 - 300).days()))
}

fn birthdate(row: Row<'_>) -> Value {
    match row.pick(65, 30_000) {
        n if n < 24_000 => Value::Date(date(1935, 1, 1).saturating_add((n as i64).days())),
        // Days that break a two-digit year or a leap year's count.
        n if n < 25_000 => Value::Date([date(1900, 3, 1), date(2000, 2, 29), date(1969, 12, 31)][n % 3]),
        _ => Value::Null,
    }
}

/// Milliseconds from 1970 of the first record's creation, 2020-01-01.
const FIRST_CREATED: i64 = 1_577_836_800_000;

fn created(row: Row<'_>) -> i64 {
    // A little over five years, to the second: several records share a timestamp in a large org.
    FIRST_CREATED + row.pick(3, 180_000_000) as i64 * 1000
}

fn timestamp(milliseconds: i64) -> Value {
    Timestamp::from_millisecond(milliseconds).map_or(Value::Null, Value::Datetime)
}

fn created_date(row: Row<'_>) -> Value {
    timestamp(created(row))
}

fn modified_date(row: Row<'_>) -> Value {
    if let Some(at) = row.deleted_at() {
        return Value::Datetime(at);
    }
    timestamp(created(row) + row.pick(4, 15_000_000_000) as i64)
}

fn place_at(n: usize) -> &'static Place {
    &PLACES[n % PLACES.len()]
}

/// Three addresses in four.
fn place(row: Row<'_>, salt: u64) -> Option<&'static Place> {
    match row.pick(salt, PLACES.len() * 4 / 3) {
        n if n < PLACES.len() => Some(place_at(n)),
        _ => None,
    }
}

fn street(row: Row<'_>, salt: u64) -> Option<String> {
    place(row, salt).map(|at| match row.pick(salt + 500, 3) {
        0 => format!("{} Market St\nSuite {}", row.index + 1, row.index % 90),
        1 => format!("Hauptstraße {}, \"Hof\"\r\n{}", row.index % 300, at.city),
        _ => format!("{} 1st Ave", row.index + 1),
    })
}

/// Degrees, for half of the addresses.
fn position(row: Row<'_>, salt: u64) -> Option<(f64, f64)> {
    place(row, salt).filter(|_| row.pick(salt + 501, 3) > 0).map(|at| (at.latitude, at.longitude))
}

fn address(row: Row<'_>, salt: u64) -> Value {
    let at = place(row, salt);
    let position = position(row, salt);
    // A real org answers rows without an address with an object of nulls.
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

fn location(row: Row<'_>, salt: u64) -> Value {
    position(row, salt).map_or(Value::Null, |(latitude, longitude)| Value::Location { latitude, longitude })
}
