//! The objects of the standard catalog and their fields. `values` says what a field holds; `odd`, `refusing`
//! and `wide` have what else a real org lists; `numbered` makes the many objects of the other catalog.

mod logs;
pub(super) mod numbered;
mod odd;
mod refusing;
mod values;
mod wide;

use super::data::{DataSet, RecordId, Value};
use super::schema::{ChildRelationship, Field, Kind, Object, Quirks};
use values::*;

/// The objects that people do not keep records in: sharing tables, events, and so on.
pub(super) fn odd() -> impl Iterator<Item = &'static Object> {
    odd::ALL.iter().chain(logs::ALL).chain(refusing::ALL).chain([&*wide::WIDE])
}

/// The object whose ids begin so; several have no such ids.
pub(super) fn with_prefix(prefix: [u8; 3]) -> Option<&'static Object> {
    let fits = |object: &&Object| object.prefix.as_bytes() == prefix && object.prefix != odd::NO_PREFIX;
    ALL.iter().find(fits).or_else(|| odd().find(fits))
}

/// Every object that people keep records in, in the order of their names.
pub(super) static ALL: &[Object] = &[
    Object {
        name: "Account",
        prefix: "001",
        count: DataSet::records,
        deletable: true,
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::new("Name", Kind::Text, account_name),
            Field::new("Type", Kind::Picklist, |row| maybe(row, 11, &TYPES)).of(&TYPES),
            Field::reference("ParentId", "Parent", &["Account"], account_parent),
            Field::new("BillingStreet", Kind::TextArea, |row| optional(street(row, 20))),
            Field::new("BillingCity", Kind::Text, |row| optional(place(row, 20).map(|at| at.city))),
            Field::new("BillingState", Kind::Text, |row| optional(place(row, 20).and_then(|at| at.state))),
            Field::new("BillingPostalCode", Kind::Text, |row| {
                optional(place(row, 20).map(|at| at.postal_code))
            }),
            Field::new("BillingCountry", Kind::Text, |row| optional(place(row, 20).map(|at| at.country))),
            Field::new("BillingLatitude", Kind::Double, |row| double(position(row, 20).map(|at| at.0))),
            Field::new("BillingLongitude", Kind::Double, |row| double(position(row, 20).map(|at| at.1))),
            Field::new("BillingGeocodeAccuracy", Kind::Picklist, |row| {
                optional(position(row, 20).map(|_| "Address"))
            })
            .of(&["Address"]),
            Field::new("BillingAddress", Kind::Address, |row| address(row, 20)),
            Field::new("Phone", Kind::Phone, |row| phone(row, 21)),
            Field::new("Fax", Kind::Phone, |row| phone(row, 22)),
            Field::new("AccountNumber", Kind::Text, |row| {
                format!("CC{:06}-{}", row.index, row.pick(23, 10)).into()
            }),
            Field::new("Website", Kind::Url, website),
            Field::new("Industry", Kind::Picklist, |row| maybe(row, 12, &INDUSTRIES)).of(&INDUSTRIES),
            Field::new("AnnualRevenue", Kind::Currency, annual_revenue),
            Field::new("NumberOfEmployees", Kind::Int, number_of_employees),
            Field::new("Ownership", Kind::Picklist, |row| {
                maybe(row, 13, &["Public", "Private", "Subsidiary", "Other"])
            })
            .of(&["Public", "Private", "Subsidiary", "Other"]),
            Field::new("Description", Kind::LongText, description),
            Field::new("Rating", Kind::Picklist, |row| maybe(row, 14, &["Hot", "Warm", "Cold"]))
                .of(&["Hot", "Warm", "Cold"]),
            Field::new("Site", Kind::Text, |row| maybe(row, 15, &AWKWARD)),
            Field::reference("OwnerId", "Owner", &["User"], user),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::reference("CreatedById", "CreatedBy", &["User"], creator),
            Field::new("LastModifiedDate", Kind::Datetime, modified_date),
            Field::reference("LastModifiedById", "LastModifiedBy", &["User"], modifier),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
            Field::new("LastActivityDate", Kind::Date, |row| day(row, 16)),
            Field::new("Active__c", Kind::Boolean, |row| Value::Bool(row.pick(30, 3) > 0)),
            Field::new("Score__c", Kind::Double, score),
            Field::new("Discount__c", Kind::Percent, discount),
            Field::new("FoundedOn__c", Kind::Date, |row| day(row, 31)),
            Field::new("Segments__c", Kind::MultiPicklist, segments).of(&SEGMENTS),
            Field::new("HeadOffice__Latitude__s", Kind::Double, |row| {
                double(position(row, 32).map(|at| at.0))
            }),
            Field::new("HeadOffice__Longitude__s", Kind::Double, |row| {
                double(position(row, 32).map(|at| at.1))
            }),
            Field::new("HeadOffice__c", Kind::Location, |row| location(row, 32)),
            Field::new("Remarks__c", Kind::LongText, |row| maybe(row, 33, &AWKWARD)),
            Field::new("History__c", Kind::LongText, |row| maybe(row, 34, &AWKWARD)),
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
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::reference("ParentId", "Parent", &["Account", "Contact"], |row| {
                if row.pick(40, 3) == 0 { Value::Id(contact_at(row, 41)) } else { account_at(row, 42) }
            }),
            Field::new("Name", Kind::Text, |row| edited(row, format!("scan {}.pdf", row.index))),
            Field::new("ContentType", Kind::Text, |row| maybe(row, 43, &["application/pdf", "image/png"])),
            Field::new("BodyLength", Kind::Int, |row| Value::Int(row.pick(44, 5_000_000) as i64)),
            Field::new("Body", Kind::Base64, |row| Value::Blob(row.id(), "Body")),
            Field::reference("OwnerId", "Owner", &["User"], user),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
        ],
        children: &[],
    },
    Object {
        name: "Contact",
        prefix: "003",
        count: DataSet::records,
        deletable: true,
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::reference("AccountId", "Account", &["Account"], contact_account),
            Field::new("LastName", Kind::Text, last_name),
            Field::new("FirstName", Kind::Text, |row| maybe(row, 51, &FIRST_NAMES)),
            Field::new("Salutation", Kind::Picklist, |row| maybe(row, 52, &["Mr.", "Ms.", "Dr.", "Prof."]))
                .of(&["Mr.", "Ms.", "Dr.", "Prof."]),
            Field::new("Name", Kind::Text, contact_name),
            Field::new("MailingStreet", Kind::TextArea, |row| optional(street(row, 53))),
            Field::new("MailingCity", Kind::Text, |row| optional(place(row, 53).map(|at| at.city))),
            Field::new("MailingState", Kind::Text, |row| optional(place(row, 53).and_then(|at| at.state))),
            Field::new("MailingPostalCode", Kind::Text, |row| {
                optional(place(row, 53).map(|at| at.postal_code))
            }),
            Field::new("MailingCountry", Kind::Text, |row| optional(place(row, 53).map(|at| at.country))),
            Field::new("MailingLatitude", Kind::Double, |row| double(position(row, 53).map(|at| at.0))),
            Field::new("MailingLongitude", Kind::Double, |row| double(position(row, 53).map(|at| at.1))),
            Field::new("MailingGeocodeAccuracy", Kind::Picklist, |row| {
                optional(position(row, 53).map(|_| "Address"))
            })
            .of(&["Address"]),
            Field::new("MailingAddress", Kind::Address, |row| address(row, 53)),
            Field::new("Phone", Kind::Phone, |row| phone(row, 54)),
            Field::new("MobilePhone", Kind::Phone, |row| phone(row, 55)),
            Field::reference("ReportsToId", "ReportsTo", &["Contact"], reports_to),
            Field::new("Email", Kind::Email, email),
            Field::new("Title", Kind::Text, |row| maybe(row, 56, &TITLES)),
            Field::new("Department", Kind::Text, |row| maybe(row, 57, &DEPARTMENTS)),
            Field::new("LeadSource", Kind::Picklist, |row| maybe(row, 58, &LEAD_SOURCES)).of(&LEAD_SOURCES),
            Field::new("Birthdate", Kind::Date, birthdate),
            Field::new("Description", Kind::LongText, description),
            Field::reference("OwnerId", "Owner", &["User"], user),
            Field::new("HasOptedOutOfEmail", Kind::Boolean, |row| Value::Bool(row.pick(59, 9) == 0)),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::reference("CreatedById", "CreatedBy", &["User"], creator),
            Field::new("LastModifiedDate", Kind::Datetime, modified_date),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
            Field::new("Level__c", Kind::Picklist, |row| {
                maybe(row, 60, &["Primary", "Secondary", "Tertiary"])
            })
            .of(&["Primary", "Secondary", "Tertiary"]),
            Field::new("Languages__c", Kind::MultiPicklist, segments).of(&SEGMENTS),
        ],
        children: &[child("Attachments", "Attachment", "ParentId"), child("Tasks", "Task", "WhoId")],
    },
    Object {
        name: "Opportunity",
        prefix: "006",
        count: DataSet::records,
        deletable: true,
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::reference("AccountId", "Account", &["Account"], |row| account_at(row, 70)),
            Field::new("Name", Kind::Text, |row| {
                edited(row, format!("{} {}", AWKWARD[row.pick(71, AWKWARD.len())], row.index))
            }),
            Field::new("Description", Kind::LongText, description),
            Field::new("StageName", Kind::Picklist, |row| STAGES[row.pick(72, STAGES.len())].0.into())
                .of(&STAGE_NAMES),
            Field::new("Amount", Kind::Currency, amount),
            Field::new("Probability", Kind::Percent, |row| {
                Value::Double(STAGES[row.pick(72, STAGES.len())].1)
            }),
            Field::new("ExpectedRevenue", Kind::Currency, |row| match amount(row) {
                Value::Double(amount) => Value::Double(amount * STAGES[row.pick(72, STAGES.len())].1 / 100.0),
                other => other,
            }),
            Field::new("TotalOpportunityQuantity", Kind::Double, score),
            Field::new("CloseDate", Kind::Date, close_date),
            Field::new("Type", Kind::Picklist, |row| {
                maybe(row, 74, &["New Customer", "Existing Customer - Upgrade"])
            })
            .of(&["New Customer", "Existing Customer - Upgrade"]),
            Field::new("NextStep", Kind::Text, |row| maybe(row, 75, &AWKWARD)),
            Field::new("LeadSource", Kind::Picklist, |row| maybe(row, 76, &LEAD_SOURCES)).of(&LEAD_SOURCES),
            Field::new("IsClosed", Kind::Boolean, |row| {
                Value::Bool(row.pick(72, STAGES.len()) >= STAGES.len() - 2)
            }),
            Field::new("IsWon", Kind::Boolean, |row| {
                Value::Bool(row.pick(72, STAGES.len()) == STAGES.len() - 2)
            }),
            Field::reference("OwnerId", "Owner", &["User"], user),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::reference("CreatedById", "CreatedBy", &["User"], creator),
            Field::new("LastModifiedDate", Kind::Datetime, modified_date),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
        ],
        children: &[child("Tasks", "Task", "WhatId")],
    },
    Object {
        name: "Organization",
        prefix: "00D",
        count: |_| 1,
        deletable: false,
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("Name", Kind::Text, |_| "Demo Org".into()),
            Field::new("InstanceName", Kind::Text, |_| "DEMO1".into()),
            Field::new("IsSandbox", Kind::Boolean, |_| Value::Bool(false)),
            Field::new("NamespacePrefix", Kind::Text, |_| Value::Null),
            Field::new("OrganizationType", Kind::Picklist, |_| "Developer Edition".into())
                .of(&["Developer Edition"]),
            Field::new("TrialExpirationDate", Kind::Datetime, |_| Value::Null),
            Field::new("CreatedDate", Kind::Datetime, created_date),
        ],
        children: &[],
    },
    Object {
        name: "Task",
        prefix: "00T",
        count: |data| data.records() / 2,
        deletable: true,
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::reference("WhoId", "Who", &["Contact"], |row| {
                if row.pick(80, 4) == 0 { Value::Null } else { Value::Id(contact_at(row, 81)) }
            }),
            Field::reference("WhatId", "What", &["Account", "Opportunity"], task_what),
            Field::new("Subject", Kind::Text, |row| {
                maybe(row, 84, &["Call", "Send Letter", "Send Quote", "Other, \"odd\""])
            }),
            Field::new("ActivityDate", Kind::Date, |row| day(row, 85)),
            Field::new("Status", Kind::Picklist, |row| {
                ["Not Started", "In Progress", "Completed"][row.pick(86, 3)].into()
            })
            .of(&["Not Started", "In Progress", "Completed"]),
            Field::new("Priority", Kind::Picklist, |row| ["High", "Normal", "Low"][row.pick(87, 3)].into())
                .of(&["High", "Normal", "Low"]),
            Field::new("Description", Kind::LongText, description),
            Field::new("CallDurationInSeconds", Kind::Int, |row| match row.pick(88, 3) {
                0 => Value::Null,
                _ => Value::Int(row.pick(89, 4000) as i64),
            }),
            Field::reference("OwnerId", "Owner", &["User"], user),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
        ],
        children: &[],
    },
    Object {
        name: "User",
        prefix: "005",
        count: |_| USERS,
        deletable: false,
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("Username", Kind::Text, |row| match row.index {
                0 => row.data.username().to_owned().into(),
                index => format!("user{index}@example.com").into(),
            }),
            Field::new("LastName", Kind::Text, |row| LAST_NAMES[row.index % LAST_NAMES.len()].into()),
            Field::new("FirstName", Kind::Text, |row| maybe(row, 91, &FIRST_NAMES)),
            Field::new("Name", Kind::Text, |row| {
                let last = LAST_NAMES[row.index % LAST_NAMES.len()];
                full_name(maybe(row, 91, &FIRST_NAMES), last)
            }),
            Field::new("Email", Kind::Email, |row| format!("user{}@example.com", row.index).into()),
            Field::new("Alias", Kind::Text, |row| format!("u{}", row.index).into()),
            // One of the few fields for which a real org sends an empty string.
            Field::new("BadgeText", Kind::Text, |_| "".into()),
            Field::new("IsActive", Kind::Boolean, |row| Value::Bool(row.index % 6 != 5)),
            Field::new("Title", Kind::Text, |row| maybe(row, 92, &TITLES)),
            Field::new("TimeZoneSidKey", Kind::Picklist, |row| {
                ["Europe/Berlin", "America/New_York"][row.index % 2].into()
            })
            .of(&["Europe/Berlin", "America/New_York"]),
            Field::new("UserType", Kind::Picklist, |_| "Standard".into()).of(&["Standard"]),
            Field::reference("ProfileId", "Profile", &["Profile"], |row| {
                Value::Id(RecordId::new("00e", row.index % PROFILES.len()))
            }),
            Field::reference("ManagerId", "Manager", &["User"], |row| match row.index {
                0 => Value::Null,
                index => Value::Id(RecordId::new("005", (index - 1) / 4)),
            }),
            Field::new("LastLoginDate", Kind::Datetime, |row| {
                if row.index % 6 == 5 { Value::Null } else { modified_date(row) }
            }),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
        ],
        children: &[],
    },
    Object {
        name: "Profile",
        prefix: "00e",
        count: |_| PROFILES.len(),
        deletable: false,
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("Name", Kind::Text, |row| PROFILES[row.index].into()),
        ],
        children: &[],
    },
    Object {
        name: "Warehouse__c",
        prefix: "a06",
        count: |data| data.records() / 4 + 1,
        deletable: false,
        quirks: Quirks::NONE,
        fields: &[
            Field::new("Id", Kind::Id, id),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::new("Name", Kind::Text, |row| {
                edited(row, format!("{} Depot {}", place_at(row.index).city, row.index))
            }),
            Field::reference("OwnerId", "Owner", &["User"], user),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
            Field::reference("Account__c", "Account__r", &["Account"], |row| account_at(row, 100)),
            Field::new("Location__Latitude__s", Kind::Double, |row| {
                double(position(row, 101).map(|at| at.0))
            }),
            Field::new("Location__Longitude__s", Kind::Double, |row| {
                double(position(row, 101).map(|at| at.1))
            }),
            Field::new("Location__c", Kind::Location, |row| location(row, 101)),
            Field::new("Capacity__c", Kind::Double, score),
            Field::new("Opened__c", Kind::Date, |row| day(row, 102)),
            Field::new("Features__c", Kind::MultiPicklist, segments).of(&SEGMENTS),
        ],
        children: &[],
    },
];

const fn child(name: &'static str, object: &'static str, field: &'static str) -> ChildRelationship {
    ChildRelationship { name, object, field }
}
