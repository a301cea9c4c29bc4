//! Describes: the list of objects, and the fields and relationships of one, with every key that a real org sends, in
//! alphabetical order.

use std::sync::LazyLock;

use crate::demo_org::Org;
use crate::demo_org::fault::Fault;
use crate::demo_org::objects::numbered;
use crate::demo_org::query::Distortion;
use crate::demo_org::render::{json, push};
use crate::demo_org::schema::{Field, Kind, Object, Reference};

/// `/sobjects`
pub(super) fn list(org: &Org, version: &str) -> Vec<u8> {
    let mut out = b"{\"encoding\":\"UTF-8\",\"maxBatchSize\":200,\"sobjects\":[".to_vec();
    for (n, object) in org.data.catalog.visible().into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        summary(&mut out, object, version);
    }
    out.extend_from_slice(b"]}");
    out
}

/// `/sobjects/X`: the entry of the list by itself, and none of the records that the user has looked at.
pub(super) fn basic(object: &Object, version: &str) -> Vec<u8> {
    let mut out = b"{\"objectDescribe\":".to_vec();
    summary(&mut out, object, version);
    out.extend_from_slice(b",\"recentItems\":[]}");
    out
}

/// `/sobjects/X/describe`
pub(super) fn object(org: &Org, object: &Object, version: &str, faults: &[Fault]) -> Vec<u8> {
    let Facts { name, custom, label, prefix, queryable, hidden, changes, replicateable } = Facts::of(object);
    let mut out = Vec::with_capacity(1500 * object.fields.len());
    push(
        &mut out,
        format_args!(
            r#"{{"actionOverrides":[],"activateable":false,"associateEntityType":null,"associateParentEntity":null,"childRelationships":["#
        ),
    );
    children(&mut out, org, object);
    push(
        &mut out,
        format_args!(
            r#"],"compactLayoutable":{changes},"createable":{changes},"custom":{custom},"customSetting":false,"deepCloneable":false,"defaultImplementation":null,"deletable":{changes},"deprecatedAndHidden":{hidden},"extendedBy":null,"extendsInterfaces":null,"feedEnabled":false,"fields":["#
        ),
    );
    fields(&mut out, object, faults);
    push(
        &mut out,
        format_args!(
            r#"],"hasSubtypes":false,"implementedBy":null,"implementsInterfaces":null,"isInterface":false,"isSubtype":false,"keyPrefix":{prefix},"label":"{label}","labelPlural":"{label}s","layoutable":{changes},"listviewable":null,"lookupLayoutable":null,"mergeable":false,"mruEnabled":{changes},"name":"{name}","namedLayoutInfos":[],"networkScopeFieldName":null,"queryable":{queryable},"recordTypeInfos":[{{"active":true,"available":true,"defaultRecordTypeMapping":true,"developerName":"Master","master":true,"name":"Master","recordTypeId":"012000000000000AAA","urls":{{"layout":"/services/data/v{version}/sobjects/{name}/describe/layouts/012000000000000AAA"}}}}],"replicateable":{replicateable},"retrieveable":{queryable},"searchLayoutable":{changes},"searchable":{changes},"sobjectDescribeOption":"FULL","supportedScopes":[{{"label":"All {label}s","name":"everything"}}],"triggerable":{changes},"undeletable":{undeletable},"updateable":{changes},"urls":"#,
            undeletable = object.deletable,
        ),
    );
    urls(&mut out, name, version);
    out.push(b'}');
    out
}

/// The facts about an object that the list and its describe share.
struct Facts {
    name: &'static str,
    custom: bool,
    label: &'static str,
    /// As JSON.
    prefix: String,
    queryable: bool,
    hidden: bool,
    /// Whether its records can be made and changed: then it can also be searched, and has layouts.
    changes: bool,
    replicateable: bool,
}

impl Facts {
    fn of(object: &Object) -> Self {
        let name = object.name;
        let suffix = ["__c", "__x", "__b", "__e", "__mdt"].into_iter().find(|suffix| name.ends_with(suffix));
        Self {
            name,
            custom: suffix.is_some(),
            label: name.trim_end_matches(suffix.unwrap_or_default()),
            prefix: quoted(Some(object.prefix).filter(|prefix| *prefix != "000")),
            queryable: object.is_queryable(),
            hidden: object.is_deprecated(),
            changes: object.field("SystemModstamp").is_some(),
            replicateable: object.is_replicateable(),
        }
    }
}

fn summary(out: &mut Vec<u8>, object: &Object, version: &str) {
    let Facts { name, custom, label, prefix, queryable, hidden, changes, replicateable } = Facts::of(object);
    push(
        out,
        format_args!(
            r#"{{"activateable":false,"associateEntityType":null,"associateParentEntity":null,"createable":{changes},"custom":{custom},"customSetting":false,"deepCloneable":false,"deletable":{changes},"deprecatedAndHidden":{hidden},"feedEnabled":false,"hasSubtypes":false,"isInterface":false,"isSubtype":false,"keyPrefix":{prefix},"label":"{label}","labelPlural":"{label}s","layoutable":{changes},"mergeable":false,"mruEnabled":{changes},"name":"{name}","queryable":{queryable},"replicateable":{replicateable},"retrieveable":{queryable},"searchable":{changes},"triggerable":{changes},"undeletable":{undeletable},"updateable":{changes},"urls":"#,
            undeletable = object.deletable,
        ),
    );
    urls(out, name, version);
    out.push(b'}');
}

fn urls(out: &mut Vec<u8>, name: &str, version: &str) {
    push(
        out,
        format_args!(
            r#"{{"describe":"/services/data/v{version}/sobjects/{name}/describe","rowTemplate":"/services/data/v{version}/sobjects/{name}/{{ID}}","sobject":"/services/data/v{version}/sobjects/{name}"}}"#
        ),
    );
}

fn children(out: &mut Vec<u8>, org: &Org, object: &Object) {
    let visible = object.children.iter().filter(|child| org.data.object(child.object).is_some());
    for (n, child) in visible.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        push(
            out,
            format_args!(
                r#"{{"cascadeDelete":false,"childSObject":"{}","deprecatedAndHidden":false,"field":"{}","junctionIdListNames":[],"junctionReferenceTo":[],"relationshipName":"{}","restrictedDelete":false}}"#,
                child.object, child.field, child.name
            ),
        );
    }
}

fn fields(out: &mut Vec<u8>, object: &Object, faults: &[Fault]) {
    let is_hidden = |name: &str| {
        faults.iter().any(|fault| matches!(fault, Fault::HiddenFields(names) if names.contains(&name)))
    };
    let mut first = true;
    let mut one = |field: &Described<'_>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        field.write(out);
    };
    for field in object.fields.iter().filter(|field| !is_hidden(field.name)) {
        one(&Described::of(object, field));
    }
    for n in 0..Distortion::of(faults).extra_columns {
        one(&Described::made_up(&json::extra_column(n)));
    }
}

/// The facts about a field that describe gives.
struct Described<'f> {
    name: &'f str,
    kind: Kind,
    custom: bool,
    compound: Option<&'static str>,
    reference: Option<Reference>,
    values: &'static [&'static str],
    calculated: bool,
    deprecated: bool,
}

impl<'f> Described<'f> {
    fn of(object: &Object, field: &Field) -> Self {
        Self {
            name: field.name,
            kind: field.kind,
            custom: field.is_custom(),
            compound: compound_of(object, field),
            reference: field.reference,
            values: field.values,
            calculated: field.calculated,
            deprecated: field.deprecated,
        }
    }

    fn made_up(name: &'f str) -> Self {
        Self {
            name,
            kind: Kind::Text,
            custom: true,
            compound: None,
            reference: None,
            values: &[],
            calculated: false,
            deprecated: false,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { name, kind, custom, reference, calculated, deprecated, .. } = self;
        let is_compound = matches!(kind, Kind::Address | Kind::Location);
        // What the org itself fills in.
        let is_system = matches!(
            *name,
            "Id" | "IsDeleted"
                | "CreatedDate"
                | "CreatedById"
                | "LastModifiedDate"
                | "LastModifiedById"
                | "SystemModstamp"
        );
        let changes = !is_system && !is_compound && !calculated;
        let is_boolean = *kind == Kind::Boolean;
        let nillable = !matches!(kind, Kind::Id | Kind::Boolean) && !is_system;
        let numbers = Numbers::of(*kind);
        let polymorphic = reference.is_some_and(|reference| reference.to.len() > 1);
        let compound = quoted(self.compound);
        push(
            out,
            format_args!(
                r#"{{"aggregatable":{sortable},"aiPredictionField":false,"autoNumber":false,"byteLength":{bytes},"calculated":{calculated},"calculatedFormula":{formula},"cascadeDelete":false,"caseSensitive":false,"compoundFieldName":{compound},"controllerName":null,"createable":{changes},"custom":{custom},"defaultValue":{default},"defaultValueFormula":null,"defaultedOnCreate":{defaulted},"dependentPicklist":false,"deprecatedAndHidden":{deprecated},"digits":{digits},"displayLocationInDecimal":{is_location},"encrypted":false,"externalId":false,"extraTypeInfo":{extra},"filterable":{filterable},"filteredLookupInfo":null,"formulaTreatNullNumberAsZero":false,"groupable":{groupable},"highScaleNumber":false,"htmlFormatted":false,"idLookup":{id_lookup},"inlineHelpText":null,"label":"{name}","length":{length},"mask":null,"maskType":null,"name":"{name}","nameField":{name_field},"namePointing":{polymorphic},"nillable":{nillable},"permissionable":{permissionable},"picklistValues":["#,
                sortable = kind.is_sortable(),
                bytes = numbers.bytes,
                // No client here reads the formula.
                formula = quoted(calculated.then_some("0")),
                default = if is_boolean { "false" } else { "null" },
                defaulted = is_system || is_boolean,
                digits = numbers.digits,
                is_location = *kind == Kind::Location,
                extra = quoted(matches!(kind, Kind::TextArea | Kind::LongText).then_some("plaintextarea")),
                filterable = kind.is_filterable(),
                groupable = kind.is_groupable(),
                id_lookup = matches!(kind, Kind::Id | Kind::Email),
                length = numbers.length,
                name_field = *name == "Name",
                permissionable = changes && nillable,
            ),
        );
        picklist(out, self.values);
        push(
            out,
            format_args!(
                r#"],"polymorphicForeignKey":{polymorphic},"precision":{},"queryByDistance":{is_compound},"referenceTargetField":null,"referenceTo":["#,
                numbers.precision
            ),
        );
        for (n, to) in reference.iter().flat_map(|reference| reference.to).enumerate() {
            push(out, format_args!("{}\"{to}\"", if n > 0 { "," } else { "" }));
        }
        push(
            out,
            format_args!(
                r#"],"relationshipName":{},"relationshipOrder":null,"restrictedDelete":false,"restrictedPicklist":false,"scale":{},"searchPrefilterable":{},"soapType":"{}","sortable":{},"type":"{}","unique":false,"updateable":{changes},"writeRequiresMasterRead":false}}"#,
                quoted(reference.map(|reference| reference.relationship)),
                numbers.scale,
                reference.is_some(),
                soap_type(*kind),
                kind.is_sortable(),
                kind.as_str(),
            ),
        );
    }
}

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| format!("\"{text}\""))
}

/// The numbers that describe gives for a field's type.
struct Numbers {
    length: u32,
    bytes: u32,
    digits: u32,
    precision: u32,
    scale: u32,
}

impl Numbers {
    fn of(kind: Kind) -> Self {
        let none = Self { length: 0, bytes: 0, digits: 0, precision: 0, scale: 0 };
        // A character takes up to three bytes.
        let text = |length| Self { length, bytes: 3 * length, ..none };
        let number = |precision, scale| Self { precision, scale, ..none };
        match kind {
            Kind::Id | Kind::Reference => Self { length: 18, bytes: 18, ..none },
            Kind::Text | Kind::Picklist | Kind::TextArea | Kind::Url => text(255),
            Kind::MultiPicklist => text(4099),
            Kind::LongText => text(32_000),
            Kind::Email => text(80),
            Kind::Phone => text(40),
            Kind::Int => Self { digits: 8, ..none },
            Kind::Double => number(18, 3),
            Kind::Currency | Kind::Percent => number(18, 2),
            _ => none,
        }
    }
}

fn picklist(out: &mut Vec<u8>, values: &'static [&'static str]) {
    /// Those of the numbered objects: many, and asked for often.
    static CHOICES: LazyLock<Vec<u8>> = LazyLock::new(|| rendered(numbered::choices()));
    if values.len() > 100 && std::ptr::eq(values, numbered::choices()) {
        out.extend_from_slice(&CHOICES);
    } else {
        out.extend_from_slice(&rendered(values));
    }
}

fn rendered(values: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"active":true,"defaultValue":false,"label":"#);
        json::string(&mut out, value);
        out.extend_from_slice(br#","validFor":null,"value":"#);
        json::string(&mut out, value);
        out.push(b'}');
    }
    out
}

/// The compound field that a field is a part of.
fn compound_of(object: &Object, field: &Field) -> Option<&'static str> {
    if field.kind == Kind::Address {
        return None;
    }
    let parts =
        ["Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude", "GeocodeAccuracy"];
    object.fields.iter().find_map(|compound| {
        let of_location = compound.kind == Kind::Location
            && field.name.starts_with(compound.name.trim_end_matches("__c"))
            && field.name.ends_with("__s");
        let of_address = compound.kind == Kind::Address
            && field
                .name
                .strip_prefix(compound.name.trim_end_matches("Address"))
                .is_some_and(|part| parts.contains(&part));
        (of_location || of_address).then_some(compound.name)
    })
}

fn soap_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Id | Kind::Reference => "tns:ID",
        Kind::Boolean => "xsd:boolean",
        Kind::Int => "xsd:int",
        Kind::Double | Kind::Currency | Kind::Percent => "xsd:double",
        Kind::Date => "xsd:date",
        Kind::Datetime => "xsd:dateTime",
        Kind::Address => "urn:address",
        Kind::Location => "urn:location",
        Kind::Base64 => "xsd:base64Binary",
        Kind::Any => "xsd:anyType",
        _ => "xsd:string",
    }
}
