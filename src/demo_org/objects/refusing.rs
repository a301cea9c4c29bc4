//! Objects that are described as queryable but refuse a plain query, each with the message that real orgs send.

use super::odd::{NO_PREFIX, durable_id, few, odd, zero_id};
use super::values::{account_at, id, modified_date, user};
use crate::demo_org::data::{RecordId, Row, Value};
use crate::demo_org::schema::{Field, Kind, Object, Refuses, Said};

const fn refusing(object: Object, refuses: Refuses) -> Object {
    let mut object = object;
    object.quirks.refuses = refuses;
    object
}

/// An object that refuses every query.
const fn closed(name: &'static str, prefix: &'static str, said: Said) -> Object {
    refusing(odd(name, prefix, few, CLOSED), Refuses::Everything(said))
}

/// An object whose queries have to filter by certain fields.
const fn filtered(
    name: &'static str,
    prefix: &'static str,
    fields: &'static [Field],
    by: &'static [&'static str],
    message: &'static str,
) -> Object {
    let said = Said(400, "MALFORMED_QUERY", message);
    refusing(odd(name, prefix, few, fields), Refuses::Unfiltered { by, lists: true, said })
}

/// The same, but `IN` is not enough.
const fn by_one(object: Object) -> Object {
    let mut object = object;
    if let Refuses::Unfiltered { by, said, .. } = object.quirks.refuses {
        object.quirks.refuses = Refuses::Unfiltered { by, lists: false, said };
    }
    object
}

const EXTERNAL: &str = "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION";

pub(super) static ALL: &[Object] = &[
    // The message was recorded, the code is a guess.
    closed(
        "CategoryNode",
        "02o",
        Said(
            400,
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "insufficient access rights on cross-reference id",
        ),
    ),
    filtered(
        "ContentDocumentLink",
        "06A",
        &[
            Field::new("Id", Kind::Id, id),
            Field::reference("ContentDocumentId", "ContentDocument", &["ContentDocument"], |row| {
                Value::Id(RecordId::new("069", row.index))
            }),
            Field::reference("LinkedEntityId", "LinkedEntity", &["Account"], |row| account_at(row, 211)),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
        ],
        &["ContentDocumentId", "LinkedEntityId"],
        "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or \
         LinkedEntityId using the equals operator or multiple Id's using the IN operator.",
    ),
    filtered(
        "ContentFolderItem",
        "07J",
        &[
            Field::new("Id", Kind::Id, id),
            Field::reference("ParentContentFolderId", "ParentContentFolder", &["ContentFolder"], folder),
            Field::new("Title", Kind::Text, durable_id),
        ],
        &["Id", "ParentContentFolderId"],
        "Implementation restriction: ContentFolderItem requires a filter by Id or ParentContentFolderId using the \
         equals or 'IN' operator",
    ),
    by_one(filtered(
        "ContentFolderMember",
        "07I",
        &[
            Field::new("Id", Kind::Id, id),
            Field::reference("ParentContentFolderId", "ParentContentFolder", &["ContentFolder"], folder),
            Field::reference("ChildRecordId", "ChildRecord", &["ContentDocument"], |row| {
                Value::Id(RecordId::new("069", row.index))
            }),
        ],
        &["Id", "ChildRecordId", "ParentContentFolderId"],
        "Implementation restriction: ContentFolderMember requires a filter by a single Id, ChildRecordId or \
         ParentContentFolderId using the equals operator",
    )),
    filtered(
        "ContentHubItem",
        "0CI",
        &[Field::new("Id", Kind::Id, id), Field::new("ExternalId", Kind::Text, durable_id)],
        &["Id", "ExternalId"],
        "ContentHubRepositoryId,ExternalId or Id must be specified in your query",
    ),
    refusing(
        odd(
            "DataStatistics",
            NO_PREFIX,
            few,
            &[
                Field::new("Id", Kind::Id, zero_id),
                Field::new("StatType", Kind::Picklist, |_| "Usage".into()).of(&["Usage", "User"]),
            ],
        ),
        Refuses::Unfiltered {
            by: &["StatType"],
            lists: true,
            said: Said(400, EXTERNAL, "Where clauses should contain StatType"),
        },
    ),
    closed(
        "DatacloudAddress",
        "09K",
        Said(
            400,
            "EXTERNAL_OBJECT_EXCEPTION",
            "SObject - DATACLOUD_ADDRESS : Transient queries are not implemented",
        ),
    ),
    closed(
        "DatacloudCompany",
        "09N",
        Said(
            400,
            "DATACLOUD_API_DISABLED_EXCEPTION",
            "Your organization doesn't have permission to access the Data.com API",
        ),
    ),
    filtered(
        "EntityParticle",
        NO_PREFIX,
        REIFIED,
        &["EntityDefinitionId", "FieldDefinitionId", "DurableId"],
        "EntityParticle: a filter on a reified column is required [EntityDefinitionId,FieldDefinitionId,DurableId]",
    ),
    refusing(
        odd(
            "EntitySubscription",
            "0E8",
            few,
            &[
                Field::new("Id", Kind::Id, id),
                Field::reference("SubscriberId", "Subscriber", &["User"], user),
            ],
        ),
        Refuses::Unlimited(
            1000,
            Said(
                400,
                "API_ERROR",
                "Implementation restriction: EntitySubscription only allows security evaluation for non-admin users \
                 when LIMIT is specified and at most 1000",
            ),
        ),
    ),
    filtered(
        "FieldDefinition",
        NO_PREFIX,
        REIFIED,
        &["EntityDefinitionId", "DurableId"],
        "FieldDefinition: a filter on a reified column is required [EntityDefinitionId,DurableId]",
    ),
    // It is known to refuse; how it does is a guess.
    closed(
        "FieldHistoryArchive",
        "0FH",
        Said(400, "INVALID_TYPE", "sObject type 'FieldHistoryArchive' is not supported."),
    ),
    refusing(
        odd(
            "FlexQueueItem",
            "0Fq",
            few,
            &[
                Field::new("Id", Kind::Id, id),
                Field::new("JobType", Kind::Picklist, |_| "BatchApex".into()).of(&["BatchApex"]),
            ],
        ),
        Refuses::Unfiltered {
            by: &["JobType"],
            lists: true,
            said: Said(400, EXTERNAL, "The WHERE clause must contain a JobType field expression."),
        },
    ),
    filtered(
        "IdeaComment",
        "00a",
        &[
            Field::new("Id", Kind::Id, id),
            Field::reference("IdeaId", "Idea", &["Idea"], |row| Value::Id(RecordId::new("087", row.index))),
            Field::reference("CommunityId", "Community", &["Community"], |_| {
                Value::Id(RecordId::new("09a", 0))
            }),
        ],
        &["CommunityId", "Id", "IdeaId"],
        "Implementation restriction. When querying the Idea Comment object, you must filter using the following \
         syntax: CommunityId = [single ID], Id = [single ID], IdeaId = [single ID], Id IN [list of IDs], or IdeaId IN \
         [list of IDs].",
    ),
    closed(
        "ListViewChartInstance",
        "0Dg",
        Said(400, EXTERNAL, "Getting all ListViewChartInstances is unsupported"),
    ),
    closed(
        "OutgoingEmail",
        "0Oe",
        Said(400, EXTERNAL, "This query is not supported on the OutgoingEmail object."),
    ),
    filtered(
        "PicklistValueInfo",
        NO_PREFIX,
        REIFIED,
        &["EntityParticleId", "DurableId"],
        "PicklistValueInfo: a filter on a reified column is required [EntityParticleId,DurableId]",
    ),
    closed(
        "PlatformAction",
        "0JV",
        Said(400, EXTERNAL, "Getting all PlatformAction entities is unsupported"),
    ),
    closed(
        "RecordActionHistory",
        "0mZ",
        Said(
            500,
            "UNKNOWN_EXCEPTION",
            "An unexpected error occurred. Please include this ErrorId if you contact support: 243926966-107564 \
             (1182868337)",
        ),
    ),
    refusing(
        odd(
            "UserRecordAccess",
            NO_PREFIX,
            few,
            &[
                Field::new("Id", Kind::Id, zero_id),
                Field::reference("RecordId", "Record", &["Account"], |row| account_at(row, 212)),
                Field::new("HasReadAccess", Kind::Boolean, |_| Value::Bool(true)),
                Field::new("MaxAccessLevel", Kind::Picklist, |_| "All".into()),
            ],
        ),
        Refuses::OtherThanAccess,
    ),
    filtered(
        "Vote",
        "083",
        &[
            Field::new("Id", Kind::Id, id),
            Field::reference("ParentId", "Parent", &["Account", "Contact"], |row| account_at(row, 213)),
            Field::new("Type", Kind::Picklist, |_| "Up".into()).of(&["Up", "Down"]),
        ],
        &["ParentId", "Parent.Type", "Id"],
        "Implementation restriction: When querying the Vote object, you must filter using the following syntax: \
         ParentId = [single ID], Parent.Type = [single Type], Id = [single ID], or Id IN [list of ID's].",
    ),
];

/// The fields of objects that cannot be read.
const CLOSED: &[Field] =
    &[Field::new("Id", Kind::Id, id), Field::new("SystemModstamp", Kind::Datetime, modified_date)];

fn folder(row: Row<'_>) -> Value {
    Value::Id(RecordId::new("07H", row.index / 2))
}

/// The fields of objects that are metadata in the form of records.
const REIFIED: &[Field] = &[
    Field::new("Id", Kind::Id, zero_id),
    Field::new("DurableId", Kind::Text, durable_id),
    Field::new("EntityDefinitionId", Kind::Text, |_| "Account".into()),
    Field::new("FieldDefinitionId", Kind::Text, |row| format!("Account.{}", row.index).into()),
    Field::new("EntityParticleId", Kind::Text, |row| format!("Account.{}", row.index).into()),
];
