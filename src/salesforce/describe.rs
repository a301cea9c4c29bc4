//! `/sobjects` and `/sobjects/X/describe`: the objects that a user may see, and their fields.

use serde::Deserialize;

use super::call::Call;
use super::composite;
use crate::job::ObjectFacts;
use crate::soql::ValueKind;
use crate::value::FieldType;

/// An entry of the list of objects.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectSummary {
    /// Its API name.
    pub name: String,
    /// The name that people see.
    #[serde(default)]
    pub label: String,
    /// Whether it is custom: created in the org or by a package.
    #[serde(default)]
    pub custom: bool,
    /// Whether it can be queried, according to the org. Some objects that claim so refuse every query.
    #[serde(default)]
    pub queryable: bool,
    /// Whether it is kept for old versions of the API alone.
    #[serde(default)]
    pub deprecated_and_hidden: bool,
}

impl ObjectSummary {
    /// What a set of objects has to know of it.
    #[must_use]
    pub fn facts(&self) -> ObjectFacts<'_> {
        ObjectFacts {
            name: &self.name,
            is_queryable: self.queryable,
            is_deprecated: self.deprecated_and_hidden,
        }
    }

    /// Whether a job can export it.
    #[must_use]
    pub fn is_exportable(&self) -> bool {
        self.queryable && !self.deprecated_and_hidden
    }
}

/// An object as the user sees it, without the fields hidden from that user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDescription {
    /// Its API name, in the schema's spelling.
    pub name: String,
    /// Whether it can be queried, according to the org.
    #[serde(default = "yes")]
    pub queryable: bool,
    /// Whether the org lists its deleted records by their Ids. Every org says so; if one does not, that list will.
    #[serde(default = "yes")]
    pub replicateable: bool,
    /// Its fields.
    #[serde(default)]
    pub fields: Vec<FieldDescription>,
    /// The relationships to its children.
    #[serde(default)]
    pub child_relationships: Vec<ChildRelationship>,
}

/// What a description that leaves something out is taken to say: the org then refuses what it does not support, which is
/// better than an export that leaves it out.
fn yes() -> bool {
    true
}

impl ObjectDescription {
    /// The field that says when a record last changed, in the schema's spelling: SystemModstamp or LastModifiedDate, and
    /// CreatedDate or LoginTime for objects whose records never change. `None` if it has none that a condition may use.
    ///
    /// CreatedDate alone proves nothing: AsyncApexJob and OauthToken have it, and their records change.
    #[must_use]
    pub fn stamp(&self) -> Option<&str> {
        let usable = |name: &str| self.field(name).filter(|field| field.is_stamp());
        let moving = ["SystemModstamp", "LastModifiedDate"].into_iter().find_map(usable);
        let fixed = || ["CreatedDate", "LoginTime"].into_iter().find_map(usable);
        let field = moving.or_else(|| self.is_log().then(fixed).flatten());
        field.map(|field| field.name.as_str())
    }

    /// Whether its records are never changed after they were written.
    fn is_log(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        name.ends_with("history") || name == "setupaudittrail"
    }

    /// The field of this name, in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldDescription> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Whether its records say whether they are deleted.
    #[must_use]
    pub fn has_is_deleted(&self) -> bool {
        self.field("IsDeleted").is_some()
    }

    /// The columns that may hold old values until the next full export, although the records' stamps are right: what the
    /// org computes when it is asked. `names` are columns of an export, parents' fields with dots.
    pub fn unstamped<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
        /// Computed from dates, without being called calculated (SALESFORCE-MORE.md, 3.2).
        const STATUS: [&str; 3] = ["Contract", "ServiceContract", "ContractLineItem"];
        let has_status = STATUS.iter().any(|object| self.name.eq_ignore_ascii_case(object));
        let is_unstamped = |name: &&str| {
            name.contains('.') && !self.is_part_of_compound(name)
                || self.field(name).is_some_and(|field| field.calculated)
                || (has_status && name.eq_ignore_ascii_case("Status"))
        };
        names.into_iter().filter(is_unstamped).collect()
    }

    /// Whether a name names a part of one of its compound fields: `BillingAddress.city`.
    fn is_part_of_compound(&self, name: &str) -> bool {
        name.split_once('.').is_some_and(|(field, _)| self.field(field).is_some())
    }

    /// The description without what a query is not made of: labels, references and children. A set keeps dozens.
    #[must_use]
    pub fn of_fields(mut self) -> Self {
        self.child_relationships = Vec::new();
        for field in &mut self.fields {
            field.label = String::new();
            field.reference_to = None;
        }
        self.fields.shrink_to_fit();
        self
    }
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDescription {
    /// Its name.
    pub name: String,
    /// The name that people see.
    #[serde(default)]
    pub label: String,
    /// Whether the org computes it: a formula or a roll-up.
    #[serde(default)]
    pub calculated: bool,
    /// Whether a condition may use it.
    #[serde(default = "yes")]
    pub filterable: bool,
    /// Its type, as the org spells it: `string`, `address`, `base64`.
    #[serde(rename = "type", default)]
    pub field_type: String,
    /// The type of its value in the SOAP API: `xsd:string`, `urn:JunctionIdListNames`.
    #[serde(default)]
    pub soap_type: String,
    /// All digits of a number with a fraction, as declared.
    #[serde(default)]
    pub precision: u32,
    /// Those after the point.
    #[serde(default)]
    pub scale: u32,
    /// Whether it is kept for old versions of the API alone.
    #[serde(default)]
    pub deprecated_and_hidden: bool,
    /// The name of the relationship to the referenced record: `Owner` for `OwnerId`.
    #[serde(default)]
    pub relationship_name: Option<String>,
    /// The objects that the referenced record can belong to.
    #[serde(default)]
    pub reference_to: Option<Vec<String>>,
}

impl FieldDescription {
    /// Whether a record's changes can be found by it: it is a datetime that a condition may use.
    #[must_use]
    pub fn is_stamp(&self) -> bool {
        self.filterable && self.field_type.eq_ignore_ascii_case("datetime")
    }

    /// Whether the REST API returns its value, and in no other field. Components of addresses and locations are
    /// fields themselves, a base64 field only returns a URL, and values of the other excluded types have never been
    /// observed.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        const OTHERS: [&str; 6] = ["address", "location", "base64", "json", "complexvalue", "junctionidlist"];
        !self.deprecated_and_hidden
            && !OTHERS.iter().any(|other| self.field_type.eq_ignore_ascii_case(other))
            && !self.soap_type.starts_with("urn:")
    }

    /// The decimal type of a number with a fraction, by its declared digits; `None` of any other field.
    #[must_use]
    pub fn decimal(&self) -> Option<FieldType> {
        let is_double = self.kind() == ValueKind::Plain(FieldType::Double);
        let (precision, scale) = (u8::try_from(self.precision).ok()?, u8::try_from(self.scale).ok()?);
        let fits = (1..=FieldType::MAX_PRECISION).contains(&precision) && scale <= precision;
        (is_double && fits).then_some(FieldType::Decimal { precision, scale })
    }

    /// What its value is. The digits that the org declares for a number are not part of it, because the org stores numbers
    /// as doubles anyway.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        let plain = ValueKind::Plain;
        match self.field_type.to_ascii_lowercase().as_str() {
            "id"
            | "reference"
            | "string"
            | "textarea"
            | "picklist"
            | "multipicklist"
            | "combobox"
            | "email"
            | "phone"
            | "url"
            | "encryptedstring"
            | "datacategorygroupreference" => plain(FieldType::Text),
            "boolean" => plain(FieldType::Boolean),
            "int" => plain(FieldType::Integer),
            "long" => plain(FieldType::Long),
            "double" | "currency" | "percent" => plain(FieldType::Double),
            "date" => plain(FieldType::Date),
            "datetime" => plain(FieldType::DateTime),
            "time" => plain(FieldType::Time),
            "base64" => plain(FieldType::Base64),
            "json" | "complexvalue" => plain(FieldType::Json),
            "anytype" => plain(FieldType::Any),
            "address" => ValueKind::Address,
            "location" => ValueKind::Location,
            _ => ValueKind::Unknown,
        }
    }
}

/// A relationship to children.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildRelationship {
    /// The relationship's name, for a child query's FROM; some relationships have none.
    #[serde(default)]
    pub relationship_name: Option<String>,
    /// The children's object.
    #[serde(rename = "childSObject")]
    pub object: String,
}

/// The path of an object's describe.
#[must_use]
pub fn path(api_version: &str, object: &str) -> String {
    format!("{}/{object}/describe", list_path(api_version))
}

/// The path of the list of objects.
#[must_use]
pub fn list_path(api_version: &str) -> String {
    format!("/services/data/v{api_version}/sobjects")
}

/// A batch of the describes of these objects, at most [`composite::MAX_REQUESTS`].
#[must_use]
pub fn batch(api_version: &str, objects: &[&str]) -> Call<'static> {
    let paths: Vec<_> = objects.iter().map(|object| path(api_version, object)).collect();
    composite::batch(api_version, &paths).about("the descriptions of the objects")
}

/// Reads an object's describe; `None` if the response is something else.
#[must_use]
pub fn read(body: &[u8]) -> Option<ObjectDescription> {
    serde_json::from_slice(body).ok()
}

/// Reads the list of objects; `None` if the response is something else.
#[must_use]
pub fn read_list(body: &[u8]) -> Option<Vec<ObjectSummary>> {
    #[derive(Deserialize)]
    struct List {
        sobjects: Vec<ObjectSummary>,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    Some(list.sobjects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_a_field_is_known() {
        use FieldType::*;
        use ValueKind::Plain;
        // The types of the field reference, and one that it does not have.
        for (text, expected) in [
            ("id string textarea reference picklist multipicklist combobox email phone url", Plain(Text)),
            ("encryptedstring datacategorygroupreference", Plain(Text)),
            ("boolean", Plain(Boolean)),
            ("int", Plain(Integer)),
            ("long", Plain(Long)),
            ("double currency percent", Plain(Double)),
            ("date", Plain(Date)),
            ("datetime", Plain(DateTime)),
            ("time", Plain(Time)),
            ("base64", Plain(Base64)),
            ("json complexvalue", Plain(Json)),
            ("anyType", Plain(Any)),
            ("address", ValueKind::Address),
            ("location", ValueKind::Location),
            ("hologram", ValueKind::Unknown),
        ] {
            for name in text.split(' ') {
                let body = format!(r#"{{"name":"A","fields":[{{"name":"F","type":"{name}"}}]}}"#);
                assert_eq!(read(body.as_bytes()).unwrap().fields[0].kind(), expected, "{name}");
            }
        }
    }

    #[test]
    fn a_description_is_read_despite_unknown_keys() {
        let body = br#"{"actionOverrides":[],"childRelationships":[{"cascadeDelete":true,"childSObject":"Contact","field":"AccountId","relationshipName":"Contacts"},{"childSObject":"AIError","field":"x","relationshipName":null}],
            "fields":[{"name":"Id","referenceTo":[],"relationshipName":null,"type":"id"},{"name":"OwnerId","referenceTo":["User"],"relationshipName":"Owner"}],"name":"Account","queryable":true}"#;
        let object = read(body).unwrap();
        assert_eq!(object.name, "Account");
        assert_eq!(object.fields[1].relationship_name.as_deref(), Some("Owner"));
        assert_eq!(object.fields[1].reference_to.as_deref(), Some(&["User".to_owned()][..]));
        assert_eq!(object.child_relationships[0].object, "Contact");
        assert_eq!(object.child_relationships[1].relationship_name, None);
        let list = br#"{"encoding":"UTF-8","maxBatchSize":200,"sobjects":[{"name":"Account","label":"x"},{"name":"Case"}]}"#;
        let names: Vec<_> = read_list(list).unwrap().into_iter().map(|object| object.name).collect();
        assert_eq!(names, ["Account", "Case"]);
        assert_eq!((read(b"<html>"), read_list(b"[]")), (None, None));
        assert_eq!(path("62.0", "Account"), "/services/data/v62.0/sobjects/Account/describe");
    }

    #[test]
    fn the_stamp_is_the_best_field_that_a_condition_may_use() {
        let described = |name: &str, fields: &[(&str, &str, bool)]| {
            let fields = fields.iter().map(|(name, field_type, filterable)| {
                serde_json::json!({"name": name, "type": field_type, "filterable": filterable})
            });
            let body = serde_json::json!({"name": name, "fields": fields.collect::<Vec<_>>()});
            read(body.to_string().as_bytes()).unwrap()
        };
        let datetime = |name: &'static str| (name, "datetime", true);
        let (modstamp, modified) = (datetime("SystemModstamp"), datetime("LastModifiedDate"));
        let (created, login) = (datetime("CreatedDate"), datetime("LoginTime"));
        for (object, fields, expected) in [
            ("Account", &[created, modified, modstamp][..], Some("SystemModstamp")),
            ("AccountShare", &[created, modified], Some("LastModifiedDate")),
            ("Odd", &[("SystemModstamp", "datetime", false), modified], Some("LastModifiedDate")),
            ("Odd", &[("SystemModstamp", "string", true)], None),
            ("LeadHistory", &[created], Some("CreatedDate")),
            ("Sample__History", &[created], Some("CreatedDate")),
            ("OpportunityHistory", &[created, modstamp], Some("SystemModstamp")),
            ("LoginHistory", &[login], Some("LoginTime")),
            ("SetupAuditTrail", &[created], Some("CreatedDate")),
            // Its records change.
            ("AsyncApexJob", &[created], None),
            ("TabDefinition", &[], None),
        ] {
            assert_eq!(described(object, fields).stamp(), expected, "{object} {fields:?}");
        }
    }

    #[test]
    fn what_the_org_computes_is_known_by_its_description() {
        let body = br#"{"name":"Contract","replicateable":false,"fields":[{"name":"Id"},{"name":"Status"},
            {"name":"Sum__c","calculated":true},{"name":"BillingAddress","type":"address"},{"name":"isdeleted"}]}"#;
        let contract = read(body).unwrap();
        let names = ["Id", "status", "Sum__c", "Owner.Name", "BillingAddress.city", "Gone__c"];
        assert_eq!(contract.unstamped(names), ["status", "Sum__c", "Owner.Name"]);
        let account = ObjectDescription { name: "Account".to_owned(), ..contract.clone() };
        assert_eq!(account.unstamped(names), ["Sum__c", "Owner.Name"]);
        assert!(contract.has_is_deleted() && !contract.replicateable);
        let silent = read(br#"{"name":"A","fields":[{"name":"Id"}]}"#).unwrap();
        assert!(silent.replicateable && silent.fields[0].filterable && !silent.has_is_deleted());
    }
}
