//! The types of objects, fields and relationships; `objects` lists those of the org.

use super::data::{DataSet, Row, Value};

/// An object of the org.
#[derive(Debug, Clone, Copy)]
pub struct Object {
    /// Its API name, in its canonical case.
    pub name: &'static str,
    /// The first three characters of its records' ids.
    pub prefix: &'static str,
    /// Its fields, in the order that describe gives them.
    pub fields: &'static [Field],
    /// The relationships to records that refer to it.
    pub children: &'static [ChildRelationship],
    /// How many records a data set holds of it, deleted ones included.
    pub(super) count: fn(&DataSet) -> usize,
    /// Whether some of its records are in the recycle bin.
    pub(super) deletable: bool,
    /// How it differs from an object that is simply queried.
    pub(super) quirks: Quirks,
}

/// How an object differs from one that is simply queried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quirks {
    /// Whether it is something other than an object that people keep records in.
    pub(super) is_odd: bool,
    pub(super) queryable: bool,
    /// Whether it is kept for old versions of the API: `deprecatedAndHidden`.
    pub(super) deprecated: bool,
    pub(super) refuses: Refuses,
    pub(super) counting: Counting,
    /// Whether Bulk API 2.0 takes its queries.
    pub(super) in_bulk: bool,
    /// Whether `updated` and `deleted` work if it has a stamp.
    pub(super) replicateable: bool,
}

impl Quirks {
    /// No difference.
    pub(super) const NONE: Self = Self {
        is_odd: false,
        queryable: true,
        deprecated: false,
        refuses: Refuses::Nothing,
        counting: Counting::Right,
        in_bulk: true,
        replicateable: true,
    };
}

/// Which queries of an object are refused.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refuses {
    Nothing,
    Everything(Said),
    /// Those without a filter that gives one of these fields a value or, with `lists`, one of several.
    Unfiltered {
        by: &'static [&'static str],
        lists: bool,
        said: Said,
    },
    /// Those without a LIMIT of at most so many rows.
    Unlimited(usize, Said),
    Aggregates(Said),
    /// Those that select anything but the access to a record.
    OtherThanAccess,
}

/// A refusal: status, code, message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said(pub(super) u16, pub(super) &'static str, pub(super) &'static str);

/// How `totalSize` relates to the records that are sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counting {
    Right,
    /// `totalSize` is -1.
    Never,
    /// A result with more rows than this lacks so many at its end.
    Short(usize),
}

impl Object {
    /// Whether it is described as queryable. It may refuse queries all the same.
    #[must_use]
    pub fn is_queryable(&self) -> bool {
        self.quirks.queryable
    }

    /// Whether it is kept for old versions of the API: `deprecatedAndHidden`.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        self.quirks.deprecated
    }

    /// Whether `updated` and `deleted` take it.
    #[must_use]
    pub fn is_replicateable(&self) -> bool {
        self.quirks.replicateable && self.field("SystemModstamp").is_some()
    }

    /// The field of this name, in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The reference whose parent relationship has this name, in any case.
    #[must_use]
    pub fn reference(&self, relationship: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| {
            field.reference.as_ref().is_some_and(|to| to.relationship.eq_ignore_ascii_case(relationship))
        })
    }

    /// The child relationship of this name, in any case.
    #[must_use]
    pub fn child(&self, relationship: &str) -> Option<&'static ChildRelationship> {
        self.children.iter().find(|child| child.name.eq_ignore_ascii_case(relationship))
    }
}

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its API name, in its canonical case.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Where it leads, if it is a reference.
    pub reference: Option<Reference>,
    /// Of a picklist: the values that describe lists.
    pub(super) values: &'static [&'static str],
    pub(super) calculated: bool,
    pub(super) deprecated: bool,
    /// Its value in a row.
    pub(super) make: fn(Row<'_>) -> Value,
}

impl Field {
    /// A field that is not a reference.
    pub(super) const fn new(name: &'static str, kind: Kind, make: fn(Row<'_>) -> Value) -> Self {
        Self { name, kind, reference: None, values: &[], calculated: false, deprecated: false, make }
    }

    /// A reference.
    pub(super) const fn reference(
        name: &'static str,
        relationship: &'static str,
        to: &'static [&'static str],
        make: fn(Row<'_>) -> Value,
    ) -> Self {
        let reference = Some(Reference { relationship, to });
        Self { reference, ..Self::new(name, Kind::Reference, make) }
    }

    /// The same picklist, with the values that describe lists.
    pub(super) const fn of(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }

    /// The same field, as a formula.
    pub(super) const fn calculated(mut self) -> Self {
        self.calculated = true;
        self
    }

    /// The same field, kept for old versions of the API.
    pub(super) const fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }

    /// Whether it is kept for old versions of the API: `deprecatedAndHidden`.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        self.deprecated
    }

    /// Whether it is one of the customer's own.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.name.ends_with("__c") || self.name.ends_with("__s")
    }
}

/// Where a reference leads.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// The parent relationship's name: `Account` for `AccountId`.
    pub relationship: &'static str,
    /// The objects that it may refer to; more than one makes it polymorphic.
    pub to: &'static [&'static str],
}

/// The records of another object that refer to this one.
#[derive(Debug)]
pub struct ChildRelationship {
    /// Its name, as a child query's FROM says it.
    pub name: &'static str,
    /// The object of the children.
    pub object: &'static str,
    /// The field of the children that holds the parent's id.
    pub field: &'static str,
}

/// The types of fields, named as describe does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// id
    Id,
    /// reference
    Reference,
    /// string
    Text,
    /// picklist
    Picklist,
    /// multipicklist: values with `;` between them
    MultiPicklist,
    /// boolean, never null
    Boolean,
    /// int
    Int,
    /// double
    Double,
    /// currency
    Currency,
    /// percent
    Percent,
    /// date
    Date,
    /// datetime
    Datetime,
    /// textarea of up to 255 characters
    TextArea,
    /// textarea of more: no filter, no sorting, and smaller pages
    LongText,
    /// email
    Email,
    /// phone
    Phone,
    /// url
    Url,
    /// address, compound
    Address,
    /// location, compound
    Location,
    /// base64: a response holds a URL
    Base64,
    /// anyType: whatever another field holds
    Any,
}

impl Kind {
    /// The type's name in describe.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Reference => "reference",
            Self::Text => "string",
            Self::Picklist => "picklist",
            Self::MultiPicklist => "multipicklist",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Double => "double",
            Self::Currency => "currency",
            Self::Percent => "percent",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::TextArea | Self::LongText => "textarea",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Url => "url",
            Self::Address => "address",
            Self::Location => "location",
            Self::Base64 => "base64",
            Self::Any => "anyType",
        }
    }

    /// Whether a WHERE clause may name it.
    #[must_use]
    pub fn is_filterable(self) -> bool {
        !matches!(self, Self::LongText | Self::Address | Self::Location | Self::Base64 | Self::Any)
    }

    /// Whether ORDER BY may name it.
    #[must_use]
    pub fn is_sortable(self) -> bool {
        self.is_filterable() && self != Self::MultiPicklist
    }

    /// Whether GROUP BY may name it.
    #[must_use]
    pub fn is_groupable(self) -> bool {
        self.is_sortable() && !matches!(self, Self::Double | Self::Currency | Self::Percent | Self::Datetime)
    }

    /// Whether it holds a number.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Currency | Self::Percent)
    }

    /// Whether it holds an id.
    #[must_use]
    pub fn is_id(self) -> bool {
        matches!(self, Self::Id | Self::Reference)
    }

    /// Whether it holds text.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(
            self,
            Self::Text
                | Self::Picklist
                | Self::MultiPicklist
                | Self::TextArea
                | Self::LongText
                | Self::Email
                | Self::Phone
                | Self::Url
        )
    }
}
