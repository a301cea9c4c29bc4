//! The list of objects and the describes, and how they change while the org runs.

use serde_json::{Value, json};
use sfexport::demo_org::{At, Catalog, DemoOrg, Fault, Options, Rule};

use super::client::{client, get, login, options, query, query_target};

async fn body(org: &DemoOrg, token: &str, target: &str) -> Value {
    serde_json::from_str(&get(org, token, target).await.text().await.unwrap()).unwrap()
}

/// The keys of a JSON object in the order in which they were sent.
fn keys(text: &str) -> Vec<String> {
    struct Keys(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Keys>(text).unwrap().0
}

/// The keys of a field in a real describe, in their order.
const FIELD_KEYS: &str = "aggregatable, aiPredictionField, autoNumber, byteLength, calculated, calculatedFormula, \
    cascadeDelete, caseSensitive, compoundFieldName, controllerName, createable, custom, defaultValue, \
    defaultValueFormula, defaultedOnCreate, dependentPicklist, deprecatedAndHidden, digits, \
    displayLocationInDecimal, encrypted, externalId, extraTypeInfo, filterable, filteredLookupInfo, \
    formulaTreatNullNumberAsZero, groupable, highScaleNumber, htmlFormatted, idLookup, inlineHelpText, label, length, \
    mask, maskType, name, nameField, namePointing, nillable, permissionable, picklistValues, polymorphicForeignKey, \
    precision, queryByDistance, referenceTargetField, referenceTo, relationshipName, relationshipOrder, \
    restrictedDelete, restrictedPicklist, scale, searchPrefilterable, soapType, sortable, type, unique, updateable, \
    writeRequiresMasterRead";

#[tokio::test]
async fn describes_have_every_key_of_a_real_org() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let text =
        get(&org, &token, "/services/data/v62.0/sobjects/Account/describe").await.text().await.unwrap();
    let raw: std::collections::HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(&text).unwrap();
    let fields: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(raw["fields"].get()).unwrap();
    assert_eq!(fields.len(), org.data().object("Account").unwrap().fields.len());
    for field in &fields {
        assert_eq!(keys(field.get()).join(", "), FIELD_KEYS);
    }
    // The keys are in alphabetical order.
    for text in [text.as_str(), fields[0].get()] {
        let found = keys(text);
        let mut sorted = found.clone();
        sorted.sort();
        assert_eq!(found, sorted);
    }
    let list = body(&org, &token, "/services/data/v62.0/sobjects").await;
    let account = &list["sobjects"][0];
    let basic = body(&org, &token, "/services/data/v62.0/sobjects/account").await;
    assert_eq!(basic, json!({"objectDescribe": account, "recentItems": []}));
    // The describe says what the list says.
    let described: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in account.as_object().unwrap() {
        assert_eq!(&described[key], value, "{key}");
    }
    let field = |name: &str| {
        described["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap().clone()
    };
    let rating = field("Rating");
    assert_eq!(
        rating["picklistValues"][2],
        json!({"active": true, "defaultValue": false, "label": "Cold", "validFor": null, "value": "Cold"})
    );
    assert_eq!(field("OwnerId")["referenceTo"], json!(["User"]));
    assert_eq!(field("BillingCity")["compoundFieldName"], "BillingAddress");
    assert_eq!(
        (&field("AnnualRevenue")["precision"], &field("AnnualRevenue")["scale"], &field("Name")["length"]),
        (&json!(18), &json!(2), &json!(255))
    );
}

#[tokio::test]
async fn a_describe_that_has_not_changed_is_not_sent_again() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    for target in ["/services/data/v62.0/sobjects", "/services/data/v62.0/sobjects/Account/describe"] {
        let since = async |date: &str| {
            let request = client().get(format!("{}{target}", org.url()));
            let request = request.header("Authorization", format!("Bearer {token}"));
            request.header("If-Modified-Since", date).send().await.unwrap()
        };
        let first = get(&org, &token, target).await;
        let date = first.headers()["last-modified"].to_str().unwrap().to_owned();
        assert!(date.ends_with(" GMT"), "{date}");
        let unchanged = since(&date).await;
        assert_eq!(unchanged.status(), 304);
        assert_eq!(unchanged.headers()["last-modified"], date.as_str());
        assert!(unchanged.text().await.unwrap().is_empty());
        assert_eq!(since("Mon, 01 Jan 2001 00:00:00 GMT").await.status(), 200);
        assert_eq!(since("yesterday").await.status(), 200);
        // A change at once, within the same second.
        org.add_field("Account", &format!("Added{}__c", target.len()));
        assert_eq!(since(&date).await.status(), 200);
    }
}

#[tokio::test]
async fn a_field_comes_and_goes_in_describes_and_queries() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let names = async || {
        let described = body(&org, &token, "/services/data/v62.0/sobjects/Account/describe").await;
        let fields = described["fields"].as_array().unwrap().clone();
        fields.iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = names().await;
    org.add_field("Account", "New__c");
    org.remove_field("account", "site");
    let after = names().await;
    assert_eq!(after.last().unwrap(), "New__c");
    assert!(before.contains(&"Site".to_owned()) && !after.contains(&"Site".to_owned()));
    let (status, added) = query(&org, "SELECT New__c FROM Account LIMIT 1").await;
    assert_eq!(status, 200);
    assert!(added.ends_with(r#""New__c":"added to row 0"}]}"#), "{added}");
    let row = org.data().rows("Account").next().unwrap();
    assert_eq!(row.value("New__c").unwrap().as_str(), Some("added to row 0"));
    let (status, removed) = query(&org, "SELECT Site FROM Account LIMIT 1").await;
    assert_eq!(status, 400);
    assert!(removed.contains("No such column 'Site' on entity 'Account'"), "{removed}");
    org.restore_object("Account");
    assert_eq!(names().await, before);
}

#[tokio::test]
async fn a_hidden_object_is_gone_from_everything() {
    let org = DemoOrg::start(options(50)).await.unwrap();
    let token = login(&org).await;
    org.hide_object("User");
    let list = body(&org, &token, "/services/data/v62.0/sobjects").await;
    assert!(!list["sobjects"].as_array().unwrap().iter().any(|object| object["name"] == "User"));
    assert_eq!(get(&org, &token, "/services/data/v62.0/sobjects/User/describe").await.status(), 404);
    let (_, refused) = query(&org, "SELECT Id FROM User").await;
    assert!(refused.contains(r#""errorCode":"INVALID_TYPE""#), "{refused}");
    let (_, refused) = query(&org, "SELECT Owner.Name FROM Account").await;
    assert!(refused.contains("Didn't understand relationship 'Owner' in field path"), "{refused}");
    org.restore_object("User");
    assert_eq!(query(&org, "SELECT Owner.Name FROM Account").await.0, 200);
}

#[tokio::test]
async fn an_object_refuses_its_queries_as_it_is_told_to() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    org.refuse_queries("Contact", 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.");
    let refusal = r#"[{"message":"An unexpected error occurred.","errorCode":"UNKNOWN_EXCEPTION"}]"#;
    assert_eq!(query(&org, "SELECT Id FROM Contact").await, (500, refusal.to_owned()));
    assert_eq!(query(&org, "SELECT Id FROM Account").await.0, 200);
    let token = login(&org).await;
    let described = get(&org, &token, "/services/data/v62.0/sobjects/Contact/describe").await;
    assert_eq!(described.status(), 200);
    org.restore_object("Contact");
    assert_eq!(query(&org, "SELECT Id FROM Contact").await.0, 200);
}

#[tokio::test]
async fn numbered_objects_have_long_describes_and_few_rows() {
    let options = Options { catalog: Catalog::Numbered(400), ..options(200) };
    let org = DemoOrg::start(options).await.unwrap();
    let token = login(&org).await;
    let list = body(&org, &token, "/services/data/v62.0/sobjects").await;
    let list = list["sobjects"].as_array().unwrap();
    assert_eq!(list.iter().filter(|object| object["name"].as_str().unwrap().starts_with("Obj")).count(), 400);
    for name in ["Obj000__c", "Obj399__c"] {
        let target = format!("/services/data/v62.0/sobjects/{name}/describe");
        let text = get(&org, &token, &target).await.text().await.unwrap();
        assert!((262_000..282_000).contains(&text.len()), "{} bytes", text.len());
        let described: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&described["name"], described["fields"].as_array().unwrap().len()), (&json!(name), 15));
        let soql = format!("SELECT Id, Name, First_Choice__c, Owner.Name FROM {name}");
        let page = body(&org, &token, &query_target(&soql)).await;
        assert_eq!(page["totalSize"], 200);
        for (row, record) in org.data().rows(name).zip(page["records"].as_array().unwrap()) {
            assert_eq!(record["Id"], row.id().to_string());
            assert_eq!(record["First_Choice__c"].as_str(), row.value("First_Choice__c").unwrap().as_str());
            let owner = row.parent("Owner").unwrap().value("Name").unwrap();
            assert_eq!(record["Owner"]["Name"].as_str(), owner.as_str());
        }
    }
    assert_eq!(query(&org, "SELECT Id FROM Obj400__c").await.0, 400);
}

#[tokio::test]
async fn hidden_fields_make_a_describe_new() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let target = "/services/data/v62.0/sobjects/Account/describe";
    let date = get(&org, &token, target).await.headers()["last-modified"].to_str().unwrap().to_owned();
    org.script(Rule::always(
        At::Containing("/Account/describe".to_owned()),
        Fault::HiddenFields(vec!["Site"]),
    ));
    let request = client().get(format!("{}{target}", org.url()));
    let request = request.header("Authorization", format!("Bearer {token}"));
    let answer = request.header("If-Modified-Since", date).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.text().await.unwrap().contains(r#""name":"Site""#));
}
