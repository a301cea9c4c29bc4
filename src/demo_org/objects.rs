//! The org's objects and their fields; `values` says what a field holds.

mod values;

use super::data::{DataSet, RecordId, Row, Value};
use super::schema::{ChildRelationship, Field, Kind, Object, Reference};
use values::*;

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
            // One of the few fields for which a real org sends an empty string.
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
