//! Objects that are not simply queried: how each is described, and how it refuses. The messages are those of real orgs.

use serde_json::{Value, json};
use sfexport::demo_org::DemoOrg;

use super::client::{get, login, options, query, query_target};

const REIFIED: &str = "a filter on a reified column is required";

/// Object, a field that a query names, status, code, message.
const REFUSALS: [(&str, &str, u16, &str, &str); 22] = [
    (
        "CategoryNode",
        "Id",
        400,
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        "insufficient access rights on cross-reference id",
    ),
    (
        "ContentDocumentLink",
        "Id",
        400,
        "MALFORMED_QUERY",
        "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or LinkedEntityId using the equals operator or multiple Id's using the IN operator.",
    ),
    (
        "ContentFolderItem",
        "Id",
        400,
        "MALFORMED_QUERY",
        "Implementation restriction: ContentFolderItem requires a filter by Id or ParentContentFolderId using the equals or 'IN' operator",
    ),
    (
        "ContentFolderMember",
        "Id",
        400,
        "MALFORMED_QUERY",
        "Implementation restriction: ContentFolderMember requires a filter by a single Id, ChildRecordId or ParentContentFolderId using the equals operator",
    ),
    (
        "ContentHubItem",
        "Id",
        400,
        "MALFORMED_QUERY",
        "ContentHubRepositoryId,ExternalId or Id must be specified in your query",
    ),
    (
        "DataStatistics",
        "StatType",
        400,
        "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
        "Where clauses should contain StatType",
    ),
    (
        "DatacloudAddress",
        "Id",
        400,
        "EXTERNAL_OBJECT_EXCEPTION",
        "SObject - DATACLOUD_ADDRESS : Transient queries are not implemented",
    ),
    (
        "DatacloudCompany",
        "Id",
        400,
        "DATACLOUD_API_DISABLED_EXCEPTION",
        "Your organization doesn't have permission to access the Data.com API",
    ),
    (
        "EntityParticle",
        "DurableId",
        400,
        "MALFORMED_QUERY",
        "EntityParticle: a filter on a reified column is required [EntityDefinitionId,FieldDefinitionId,DurableId]",
    ),
    (
        "EntitySubscription",
        "Id",
        400,
        "API_ERROR",
        "Implementation restriction: EntitySubscription only allows security evaluation for non-admin users when LIMIT is specified and at most 1000",
    ),
    (
        "FieldDefinition",
        "DurableId",
        400,
        "MALFORMED_QUERY",
        "FieldDefinition: a filter on a reified column is required [EntityDefinitionId,DurableId]",
    ),
    (
        "FieldHistoryArchive",
        "Id",
        400,
        "INVALID_TYPE",
        "sObject type 'FieldHistoryArchive' is not supported.",
    ),
    (
        "FlexQueueItem",
        "Id",
        400,
        "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
        "The WHERE clause must contain a JobType field expression.",
    ),
    (
        "IdeaComment",
        "Id",
        400,
        "MALFORMED_QUERY",
        "Implementation restriction. When querying the Idea Comment object, you must filter using the following syntax: CommunityId = [single ID], Id = [single ID], IdeaId = [single ID], Id IN [list of IDs], or IdeaId IN [list of IDs].",
    ),
    (
        "ListViewChartInstance",
        "Id",
        400,
        "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
        "Getting all ListViewChartInstances is unsupported",
    ),
    (
        "OutgoingEmail",
        "Id",
        400,
        "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
        "This query is not supported on the OutgoingEmail object.",
    ),
    (
        "PicklistValueInfo",
        "DurableId",
        400,
        "MALFORMED_QUERY",
        "PicklistValueInfo: a filter on a reified column is required [EntityParticleId,DurableId]",
    ),
    (
        "PlatformAction",
        "Id",
        400,
        "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
        "Getting all PlatformAction entities is unsupported",
    ),
    (
        "RecordActionHistory",
        "Id",
        500,
        "UNKNOWN_EXCEPTION",
        "An unexpected error occurred. Please include this ErrorId if you contact support: 243926966-107564 (1182868337)",
    ),
    (
        "UserRecordAccess",
        "Id",
        400,
        "INVALID_FIELD",
        "Can select only RecordId, a Has*Access field, and MaxAccessLevel",
    ),
    ("UserRecordAccess", "HasReadAccess", 400, "INVALID_FIELD", "RecordId field must be selected"),
    (
        "Vote",
        "Id",
        400,
        "MALFORMED_QUERY",
        "Implementation restriction: When querying the Vote object, you must filter using the following syntax: ParentId = [single ID], Parent.Type = [single Type], Id = [single ID], or Id IN [list of ID's].",
    ),
];

#[tokio::test]
async fn each_object_refuses_a_plain_query_in_its_own_words() {
    let org = DemoOrg::start(options(40)).await.unwrap();
    let token = login(&org).await;
    let list: Value =
        serde_json::from_str(&get(&org, &token, "/services/data/v62.0/sobjects").await.text().await.unwrap())
            .unwrap();
    let listed = |name: &str| {
        let objects = list["sobjects"].as_array().unwrap();
        objects.iter().find(|object| object["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    for (object, field, status, code, message) in REFUSALS {
        assert_eq!(listed(object)["queryable"], true, "{object}");
        let answer = get(&org, &token, &query_target(&format!("SELECT {field} FROM {object}"))).await;
        assert_eq!(answer.status().as_u16(), status, "{object}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body, json!([{"message": message, "errorCode": code}]));
    }
    // None of those that refuse is left out here.
    let refusing = org.data().odd_objects().into_iter().filter(|object| object.is_queryable());
    for object in refusing {
        let field = object.fields[0].name;
        let (status, _) = query(&org, &format!("SELECT {field} FROM {} LIMIT 2", object.name)).await;
        let is_known = REFUSALS.iter().any(|(name, ..)| *name == object.name);
        let is_limited = object.name == "EntitySubscription";
        assert_eq!(status == 200, !is_known || is_limited, "{}", object.name);
    }
}

#[tokio::test]
async fn objects_that_are_not_queryable_say_so() {
    let org = DemoOrg::start(options(40)).await.unwrap();
    let token = login(&org).await;
    for name in ["AccountChangeEvent", "AggregateResult", "Name", "Order_Placed__e", "OpenActivity"] {
        let target = format!("/services/data/v62.0/sobjects/{name}/describe");
        let described: Value =
            serde_json::from_str(&get(&org, &token, &target).await.text().await.unwrap()).unwrap();
        assert_eq!(
            (&described["queryable"], &described["keyPrefix"]),
            (&json!(false), &Value::Null),
            "{name}"
        );
        let message = format!("entity type {name} does not support query");
        let refusal = json!([{"message": message, "errorCode": "INVALID_TYPE_FOR_OPERATION"}]).to_string();
        let (status, body) = query(&org, &format!("SELECT Id FROM {name}")).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body.to_string()), (400, refusal));
    }
}

#[tokio::test]
async fn a_query_that_is_narrow_enough_is_answered() {
    let org = DemoOrg::start(options(40)).await.unwrap();
    let link = org.data().rows("ContentDocumentLink").next().unwrap();
    let document = match link.value("ContentDocumentId").unwrap() {
        sfexport::demo_org::Value::Id(id) => id.to_string(),
        other => panic!("{other:?}"),
    };
    let folder =
        org.data().rows("ContentFolderMember").next().unwrap().value("ParentContentFolderId").unwrap();
    let sfexport::demo_org::Value::Id(folder) = folder else { panic!("{folder:?}") };
    for (soql, rows) in [
        (format!("SELECT Id FROM ContentDocumentLink WHERE ContentDocumentId = '{document}'"), 1),
        (
            format!(
                "SELECT Id FROM ContentDocumentLink WHERE ContentDocumentId IN ('{document}') AND Id != null"
            ),
            1,
        ),
        (format!("SELECT Id FROM ContentFolderMember WHERE ParentContentFolderId = '{folder}'"), 2),
        ("SELECT DurableId FROM EntityParticle WHERE EntityDefinitionId = 'Account'".to_owned(), 5),
        ("SELECT Id FROM FlexQueueItem WHERE JobType = 'BatchApex'".to_owned(), 5),
        ("SELECT Id FROM EntitySubscription LIMIT 1000".to_owned(), 5),
        ("SELECT RecordId, HasReadAccess, MaxAccessLevel FROM UserRecordAccess".to_owned(), 5),
    ] {
        let (status, body) = query(&org, &soql).await;
        assert_eq!(status, 200, "{soql}: {body}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["totalSize"], rows, "{soql}");
    }
    for soql in [
        format!("SELECT Id FROM ContentDocumentLink WHERE ContentDocumentId != '{document}'"),
        format!("SELECT Id FROM ContentDocumentLink WHERE ContentDocumentId = '{document}' OR Id != null"),
        "SELECT Id FROM ContentDocumentLink WHERE LinkedEntityId IN (SELECT Id FROM Account)".to_owned(),
        format!("SELECT Id FROM ContentFolderMember WHERE ParentContentFolderId IN ('{folder}')"),
        "SELECT Id FROM EntitySubscription LIMIT 1001".to_owned(),
        "SELECT COUNT() FROM ContentDocumentLink".to_owned(),
    ] {
        assert_eq!(query(&org, &soql).await.0, 400, "{soql}");
    }
    assert!(query(&org, "SELECT Id FROM PicklistValueInfo").await.1.contains(REIFIED));
}

#[tokio::test]
async fn counts_and_ids_can_be_odd() {
    let org = DemoOrg::start(options(40)).await.unwrap();
    let page = async |soql: &str| {
        let (status, body) = query(&org, soql).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    // A big object's rows are not counted, and not grouped.
    let big = page("SELECT Id, Device__c FROM Reading__b").await;
    assert_eq!((&big["totalSize"], big["records"].as_array().unwrap().len()), (&json!(-1), 5));
    let (status, refused) = query(&org, "SELECT COUNT() FROM Reading__b").await;
    assert_eq!(status, 400);
    assert!(refused.contains(r#""errorCode":"BIG_OBJECT_UNSUPPORTED_OPERATION""#), "{refused}");
    // A result that ends before its count.
    let short = page("SELECT Id FROM FieldPermissions").await;
    assert_eq!((&short["totalSize"], &short["done"]), (&json!(12), &json!(true)));
    assert_eq!(short["records"].as_array().unwrap().len(), 9);
    assert_eq!(page("SELECT COUNT() FROM FieldPermissions").await["totalSize"], 12);
    // Rows that share one id.
    let apps = page("SELECT Id, DurableId FROM AppDefinition").await;
    let apps = apps["records"].as_array().unwrap();
    assert!(apps.iter().all(|app| app["Id"] == "000000000000000AAA"));
    assert_eq!(apps[4]["DurableId"], "AppDefinition.4");
    let url = "/services/data/v62.0/sobjects/AppDefinition/000000000000000AAA";
    assert_eq!(apps[0]["attributes"]["url"], url);
    // Values of any type.
    let changes = page("SELECT Field, OldValue, NewValue FROM AccountHistory LIMIT 4").await;
    let values: Vec<_> =
        changes["records"].as_array().unwrap().iter().map(|row| row["NewValue"].clone()).collect();
    assert_eq!(values, [Value::Null, json!("Hot"), json!(1.5e7), json!(true)]);
}

#[tokio::test]
async fn hidden_objects_and_formulas_are_described_as_such() {
    let org = DemoOrg::start(options(40)).await.unwrap();
    let token = login(&org).await;
    let describe = async |name: &str| {
        let target = format!("/services/data/v62.0/sobjects/{name}/describe");
        serde_json::from_str::<Value>(&get(&org, &token, &target).await.text().await.unwrap()).unwrap()
    };
    assert_eq!(describe("Retired__c").await["deprecatedAndHidden"], true);
    assert_eq!(describe("Account").await["deprecatedAndHidden"], false);
    assert_eq!(describe("Supplier__x").await["custom"], true);
    let history = describe("AccountHistory").await;
    let value = &history["fields"][7];
    assert_eq!(
        (&value["name"], &value["type"], &value["soapType"], &value["filterable"]),
        (&json!("NewValue"), &json!("anyType"), &json!("xsd:anyType"), &json!(false))
    );
    let wide = describe("Wide__c").await;
    let fields = wide["fields"].as_array().unwrap();
    let field = |name: &str| fields.iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(field("Former__c")["deprecatedAndHidden"], true);
    let formula = field("Twice_the_Index__c");
    assert_eq!((&formula["calculated"], &formula["createable"]), (&json!(true), &json!(false)));
    // A query of all its fields does not fit a URL, and its values are those of the data set.
    let names: Vec<_> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
    let target = query_target(&format!("SELECT {} FROM Wide__c", names.join(",")));
    assert_eq!(get(&org, &token, &target).await.status(), 414);
}
