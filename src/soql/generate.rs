//! An object's fields and a selection of them → the query that exports them.

use std::collections::HashSet;
use std::fmt;

/// A field of an object, as far as selecting it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectField {
    /// Its API name, in the org's spelling.
    pub name: String,
    /// The name that leads to the record it refers to: `Owner` of `OwnerId`.
    pub relationship: Option<String>,
    /// Whether patterns skip it, because its value is also in other fields or is not one that the API returns.
    pub by_name_only: bool,
}

/// Which fields of an object are exported: names (`Name`, `Owner.Name`), patterns (`*`, `*__c`) and exclusions
/// (`!*__pc`), without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSelection {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// A field, or a parent's field.
    Name(String),
    /// All fields whose names match.
    Pattern(String),
    /// None of the fields whose names match.
    Exclusion(String),
}

impl fmt::Display for FieldSelection {
    /// `*, !*__pc, Owner.Name`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            match term {
                Term::Name(text) | Term::Pattern(text) => write!(f, "{comma}{text}")?,
                Term::Exclusion(text) => write!(f, "{comma}!{text}")?,
            }
        }
        Ok(())
    }
}

impl FieldSelection {
    /// Reads the terms of a list. One that begins with an exclusion starts from all fields.
    ///
    /// # Errors
    /// The first term that is not one, and why.
    pub fn parse(texts: &[impl AsRef<str>]) -> Result<Self, TermError> {
        let mut terms = Vec::with_capacity(texts.len() + 1);
        for text in texts {
            let term = Term::parse(text.as_ref())?;
            if terms.is_empty() && matches!(term, Term::Exclusion(_)) {
                terms.push(Term::Pattern("*".to_owned()));
            }
            terms.push(term);
        }
        Ok(Self { terms })
    }

    /// Every field.
    #[must_use]
    pub fn all() -> Self {
        Self { terms: vec![Term::Pattern("*".to_owned())] }
    }

    /// Whether which fields it selects depends on the org.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, Term::Pattern(_)))
    }

    /// Whether it names fields of parents, which the object's description does not confirm.
    #[must_use]
    pub fn has_parents(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, Term::Name(name) if name.contains('.')))
    }

    /// The names that it selects of any object, as written; `None` if it has patterns, or leaves nothing.
    #[must_use]
    pub fn written(&self) -> Option<Vec<String>> {
        let field = |term: &Term| match term {
            Term::Name(name) => {
                let (relationship, is_parents) =
                    name.split_once('.').map_or((name.as_str(), false), |(first, _)| (first, true));
                Some(ObjectField {
                    name: name.clone(),
                    relationship: is_parents.then(|| relationship.to_owned()),
                    by_name_only: false,
                })
            }
            Term::Pattern(_) | Term::Exclusion(_) => None,
        };
        let fields: Vec<_> = self.terms.iter().filter_map(field).collect();
        if self.has_patterns() { None } else { self.select(&fields, &[], &[]).ok() }
    }

    /// The exclusions that name no field of the object, such as a misspelled `!SSN_c`. Patterns may match nothing.
    pub fn unknown_exclusions<'s>(&'s self, fields: &'s [ObjectField]) -> impl Iterator<Item = &'s str> {
        let is_known = |name: &str| {
            fields.iter().any(|field| field.name.eq_ignore_ascii_case(name))
                || self
                    .terms
                    .iter()
                    .any(|term| matches!(term, Term::Name(named) if named.eq_ignore_ascii_case(name)))
        };
        self.terms.iter().filter_map(move |term| match term {
            Term::Exclusion(name) if !name.contains('*') && !is_known(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The names that it selects of an object's fields, in the order of their columns and in the org's spelling.
    ///
    /// Written names come in their written place, and fields that only a pattern selects in alphabetical order in the
    /// pattern's; an Id that is not written comes first. If the selection has patterns, the fields that `remembered` has
    /// come first instead, in its order, and the others after them. Those of the `required` fields that the object has are
    /// added at the end, even if they are excluded.
    ///
    /// # Errors
    /// Each written name that is not a field of the object and each pattern that matches none, in their order; if there
    /// are none of these, but no field is left, that.
    pub fn select(
        &self,
        fields: &[ObjectField],
        remembered: &[String],
        required: &[&str],
    ) -> Result<Vec<String>, Vec<SelectionError>> {
        let excluded = |name: &str| {
            self.terms.iter().any(|term| matches!(term, Term::Exclusion(pattern) if matches(pattern, name)))
        };
        let errors = self.errors(fields);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut places: Vec<Vec<String>> = Vec::with_capacity(self.terms.len());
        let mut taken = HashSet::new();
        for term in &self.terms {
            let name = match term {
                Term::Name(name) => spelled(name, fields),
                Term::Pattern(_) | Term::Exclusion(_) => None,
            };
            let Some(name) = name else {
                places.push(Vec::new());
                continue;
            };
            let is_wanted = !excluded(&name) && taken.insert(name.to_ascii_lowercase());
            places.push(if is_wanted { vec![name] } else { Vec::new() });
        }
        for (term, place) in self.terms.iter().zip(&mut places) {
            let Term::Pattern(pattern) = term else { continue };
            let mut names: Vec<_> = of_pattern(pattern, fields)
                .filter(|field| !excluded(&field.name) && taken.insert(field.name.to_ascii_lowercase()))
                .map(|field| field.name.clone())
                .collect();
            names.sort_by_key(|name| name.to_ascii_lowercase());
            *place = names;
        }
        let is_written = |name: &str| {
            self.terms
                .iter()
                .any(|term| matches!(term, Term::Name(written) if written.eq_ignore_ascii_case(name)))
        };
        let mut names: Vec<String> = places.into_iter().flatten().collect();
        if names.is_empty() {
            return Err(vec![SelectionError::Nothing]);
        }
        let required = required.iter().filter_map(|name| spelled(name, fields));
        names.extend(required.filter(|name| taken.insert(name.to_ascii_lowercase())));
        if let Some(id) = names.iter().position(|name| name.eq_ignore_ascii_case("Id"))
            && !is_written("Id")
        {
            names[..=id].rotate_right(1);
        }
        Ok(if self.has_patterns() { as_remembered(names, remembered) } else { names })
    }

    /// The terms that select nothing, in their order.
    fn errors(&self, fields: &[ObjectField]) -> Vec<SelectionError> {
        let error = |term: &Term| match term {
            Term::Name(name) if spelled(name, fields).is_none() => Some(match name.split_once('.') {
                Some((relationship, _)) => SelectionError::UnknownRelationship(relationship.to_owned()),
                None => SelectionError::UnknownField(name.clone()),
            }),
            Term::Pattern(pattern) if of_pattern(pattern, fields).next().is_none() => {
                Some(SelectionError::NothingMatches(pattern.clone()))
            }
            Term::Name(_) | Term::Pattern(_) | Term::Exclusion(_) => None,
        };
        let mut errors: Vec<SelectionError> = Vec::new();
        for error in self.terms.iter().filter_map(error) {
            // Several fields of one unknown parent are one mistake.
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        errors
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, TermError> {
        let wrong = |reason| TermError { term: text.to_owned(), reason };
        let (name, is_exclusion) = match text.strip_prefix('!') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let is_name = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '*'))
        };
        if name.is_empty() || !name.split('.').all(is_name) {
            return Err(wrong(
                "write a field (Name), a parent's field (Owner.Name), a pattern (*__c) or !pattern",
            ));
        }
        Ok(match (is_exclusion, name.contains('*'), name.contains('.')) {
            (true, ..) => Self::Exclusion(name.to_owned()),
            (false, true, true) => {
                return Err(wrong(
                    "a pattern selects fields of the object itself; name each field of a parent",
                ));
            }
            (false, true, false) => Self::Pattern(name.to_owned()),
            (false, false, _) => Self::Name(name.to_owned()),
        })
    }
}

/// A name in the org's spelling, if the org has it; of a parent's field, only the first relationship is known here.
fn spelled(name: &str, fields: &[ObjectField]) -> Option<String> {
    let Some((relationship, rest)) = name.split_once('.') else {
        let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        return field.map(|field| field.name.clone());
    };
    let mut known = fields.iter().filter_map(|field| field.relationship.as_deref());
    let known = known.find(|known| known.eq_ignore_ascii_case(relationship))?;
    Some(format!("{known}.{rest}"))
}

/// The fields that a pattern selects.
fn of_pattern<'f>(pattern: &str, fields: &'f [ObjectField]) -> impl Iterator<Item = &'f ObjectField> {
    fields.iter().filter(move |field| !field.by_name_only && matches(pattern, &field.name))
}

/// The names in the order in which they were remembered, then those that were not.
fn as_remembered(names: Vec<String>, remembered: &[String]) -> Vec<String> {
    if remembered.is_empty() {
        return names;
    }
    let places: std::collections::HashMap<String, usize> =
        remembered.iter().enumerate().map(|(place, name)| (name.to_ascii_lowercase(), place)).collect();
    let mut names = names;
    // Stable: new names keep their order.
    names.sort_by_key(|name| places.get(&name.to_ascii_lowercase()).copied().unwrap_or(usize::MAX));
    names
}

/// What to remember of the order: the former names in their places, those that are not selected now too, and then the
/// new ones.
#[must_use]
pub fn remember(names: &[String], remembered: Vec<String>) -> Vec<String> {
    let known: HashSet<_> = remembered.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut all = remembered;
    all.extend(names.iter().filter(|name| !known.contains(&name.to_ascii_lowercase())).cloned());
    all
}

/// The query of these fields of an object, of the records that `condition` selects.
#[must_use]
pub fn query(object: &str, names: &[String], condition: Option<&str>) -> String {
    let query = format!("SELECT {} FROM {object}", names.join(", "));
    match condition {
        Some(condition) => format!("{query} WHERE {condition}"),
        None => query,
    }
}

/// Whether a name matches a pattern, in which `*` matches any number of characters.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The leftmost place leaves the most for the parts that follow.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A term of a list that is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermError {
    /// The term.
    pub term: String,
    /// What to write instead.
    pub reason: &'static str,
}

/// Why a selection does not fit an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectionError {
    /// The object has no such field that the user may see.
    UnknownField(String),
    /// No field of the object leads to such a parent.
    UnknownRelationship(String),
    /// No field's name matches the pattern.
    NothingMatches(String),
    /// Every field is excluded.
    Nothing,
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField(name) => write!(f, "no field \"{name}\""),
            Self::UnknownRelationship(name) => write!(f, "no relationship \"{name}\""),
            Self::NothingMatches(pattern) => write!(f, "no field that matches \"{pattern}\""),
            Self::Nothing => f.write_str("no field that is not excluded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<ObjectField> {
        ["Phone", "Id", "Name", "BillingAddress", "BillingCity", "OwnerId", "SIC", "b__c", "a__c", "x__pc"]
            .into_iter()
            .map(|name| ObjectField {
                name: name.to_owned(),
                relationship: (name == "OwnerId").then(|| "Owner".to_owned()),
                by_name_only: name == "BillingAddress",
            })
            .collect()
    }

    fn selected(terms: &[&str], remembered: &str) -> String {
        let remembered: Vec<_> = remembered.split_whitespace().map(str::to_owned).collect();
        let selection = FieldSelection::parse(terms).unwrap();
        selection.select(&fields(), &remembered, &[]).unwrap().join(" ")
    }

    #[test]
    fn names_come_where_written_and_patterns_fill_in() {
        for (terms, expected) in [
            (&["*"][..], "Id a__c b__c BillingCity Name OwnerId Phone SIC x__pc"),
            (&["!*__pc"], "Id a__c b__c BillingCity Name OwnerId Phone SIC"),
            (&["*", "!*__PC", "!name"], "Id a__c b__c BillingCity OwnerId Phone SIC"),
            (&["sic", "name"], "SIC Name"),
            (&["Name", "Id", "*__c"], "Name Id a__c b__c"),
            (&["Name", "*"], "Id Name a__c b__c BillingCity OwnerId Phone SIC x__pc"),
            (&["*", "Name"], "Id a__c b__c BillingCity OwnerId Phone SIC x__pc Name"),
            (&["B*", "billingaddress"], "b__c BillingCity BillingAddress"),
            (&["owner.name", "Id", "ID"], "Owner.name Id"),
            (&["Name", "!Name", "Id"], "Id"),
            (&["*a*c*", "i*d"], "Id a__c"),
        ] {
            assert_eq!(selected(terms, ""), expected, "{terms:?}");
        }
    }

    #[test]
    fn a_remembered_order_holds_and_new_fields_go_to_the_end() {
        assert_eq!(selected(&["*__c", "SIC", "Id"], "SIC Gone a__c"), "SIC a__c b__c Id");
        assert_eq!(selected(&["*__c", "SIC", "Id"], "sic b__c a__c id"), "SIC b__c a__c Id");
        // Written names alone are in the written order, whatever it was.
        assert_eq!(selected(&["Name", "Id"], "Id Name"), "Name Id");
    }

    #[test]
    fn required_fields_are_added_and_keep_their_places() {
        let selected = |terms: &[&str], remembered: &str, required: &[&str]| {
            let remembered: Vec<_> = remembered.split_whitespace().map(str::to_owned).collect();
            FieldSelection::parse(terms).unwrap().select(&fields(), &remembered, required).unwrap().join(" ")
        };
        assert_eq!(selected(&["Name"], "", &["id", "sic"]), "Id Name SIC");
        assert_eq!(selected(&["Name", "Id"], "", &["Id", "Name"]), "Name Id");
        // An object that lacks one is not refused for that.
        assert_eq!(selected(&["Name"], "", &["Unknown"]), "Name");
        // Excluded or not, a column stays where earlier runs had it.
        let kept = selected(&["*__c", "Name", "SIC", "!sic"], "Id SIC Name a__c", &["Id", "SIC"]);
        assert_eq!(kept, "Id SIC Name a__c b__c");
        let nothing = FieldSelection::parse(&["!*"]).unwrap().select(&fields(), &[], &["Id"]);
        assert_eq!(nothing, Err(vec![SelectionError::Nothing]));
    }

    #[test]
    fn a_field_that_is_gone_keeps_its_place_in_memory() {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(remember(&names("Id New b"), names("Id Gone B")), names("Id Gone B New"));
        assert_eq!(remember(&names("Id"), Vec::new()), names("Id"));
    }

    #[test]
    fn an_exclusion_that_names_no_field_is_found() {
        let unknown = |terms: &[&str]| -> Vec<String> {
            let selection = FieldSelection::parse(terms).unwrap();
            selection.unknown_exclusions(&fields()).map(str::to_owned).collect()
        };
        assert_eq!(unknown(&["!b_c", "!PHONE", "!*__x", "!Nope"]), ["b_c", "Nope"]);
        assert_eq!(unknown(&["*", "Owner.Name", "!owner.name", "!Owner.Phone"]), ["Owner.Phone"]);
    }

    #[test]
    fn what_an_object_does_not_have_is_an_error() {
        let errors =
            |terms: &[&str]| FieldSelection::parse(terms).unwrap().select(&fields(), &[], &[]).unwrap_err();
        assert_eq!(errors(&["Nmae"]), [SelectionError::UnknownField("Nmae".to_owned())]);
        assert_eq!(errors(&["Ownr.Name"]), [SelectionError::UnknownRelationship("Ownr".to_owned())]);
        assert_eq!(errors(&["Id", "*__x"]), [SelectionError::NothingMatches("*__x".to_owned())]);
        assert_eq!(errors(&["!*"]), [SelectionError::Nothing]);
        assert_eq!(
            errors(&["BillingAddress*"]),
            [SelectionError::NothingMatches("BillingAddress*".to_owned())]
        );
    }

    #[test]
    fn all_terms_that_select_nothing_are_reported_once() {
        let terms = ["Nmae", "Id", "Ownr.Name", "*__x", "Ownr.Email", "Zorblax", "!Name"];
        let errors = FieldSelection::parse(&terms).unwrap().select(&fields(), &[], &[]).unwrap_err();
        let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "no field \"Nmae\"",
                "no relationship \"Ownr\"",
                "no field that matches \"*__x\"",
                "no field \"Zorblax\""
            ]
        );
    }

    #[test]
    fn a_term_is_a_name_a_pattern_or_an_exclusion() {
        for good in ["Id", "*", "ns__F__c", "Owner.Profile.Name", "!*__pc", "!Owner.*", "a*b"] {
            assert!(FieldSelection::parse(&[good]).is_ok(), "{good}");
        }
        for bad in
            ["", "!", "Na me", "Owner.", ".Name", "COUNT()", "FIELDS(ALL)", "Näme", "Owner.*", "!!Id", "1st"]
        {
            assert_eq!(FieldSelection::parse(&["Id", bad]).unwrap_err().term, bad);
        }
    }

    #[test]
    fn the_query_selects_the_fields_in_their_order() {
        let names = ["Id".to_owned(), "Owner.Name".to_owned()];
        assert_eq!(query("Account", &names, None), "SELECT Id, Owner.Name FROM Account");
        assert_eq!(
            query("Account", &names, Some("Name LIKE 'a%' OR Id = null")),
            "SELECT Id, Owner.Name FROM Account WHERE Name LIKE 'a%' OR Id = null"
        );
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*Share", "AccountShare", true),
            ("*share", "AccountShared", false),
            ("Account", "account", true),
            ("Account", "AccountShare", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*bc*c", "abc", false),
            ("**", "x", true),
            ("*aa*aa*", "aaa", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
