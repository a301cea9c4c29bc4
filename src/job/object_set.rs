//! A set of objects: which of an org's objects a job exports, and what is special about some of them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::{CountCheck, ObjectName, ObjectSource};
use crate::soql::generate::{FieldSelection, matches};

/// Which objects a job exports: names (`Account`), patterns (`*`, `*__c`) and exclusions (`!*Share`), without regard to
/// case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSet {
    terms: Vec<ObjectTerm>,
    /// By name in lower case.
    settings: BTreeMap<String, ObjectSettings>,
}

/// What a job sets for one object of its set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSettings {
    /// The object's name, as written.
    pub object: ObjectName,
    /// Which of its fields.
    pub fields: FieldSelection,
    /// Which of its records: the text after WHERE.
    pub condition: Option<String>,
    /// The count check, if it differs from the job's.
    pub count_check: Option<CountCheck>,
}

/// One entry of the list of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectTerm {
    /// This object.
    Name(ObjectName),
    /// All objects whose names match.
    Pattern(String),
    /// None of the objects whose names match.
    Exclusion(String),
}

impl ObjectTerm {
    /// Reads an entry.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const HINT: &str = "write an object (Account), a pattern (*__c) or !pattern";
        let (name, is_exclusion) = match text.strip_prefix('!') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let is_pattern = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '*'));
        if !is_pattern {
            return Err(HINT);
        }
        Ok(match (is_exclusion, name.contains('*')) {
            (true, _) => Self::Exclusion(name.to_owned()),
            (false, true) => Self::Pattern(name.to_owned()),
            (false, false) => Self::Name(ObjectName::parse(name).map_err(|_| HINT)?),
        })
    }
}

impl fmt::Display for ObjectTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Pattern(pattern) => f.write_str(pattern),
            Self::Exclusion(pattern) => write!(f, "!{pattern}"),
        }
    }
}

impl fmt::Display for ObjectSet {
    /// `*, !*Share`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{term}")?;
        }
        Ok(())
    }
}

/// What an org says of one of its objects, as far as it decides whether a set has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectFacts<'o> {
    /// Its API name.
    pub name: &'o str,
    /// Whether the org says that it can be queried.
    pub is_queryable: bool,
    /// Whether it is kept for old versions of the API alone.
    pub is_deprecated: bool,
}

/// How a set comes to have an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inclusion {
    /// Its name is in the list.
    ByName,
    /// A pattern matches.
    ByPattern,
}

/// The objects of an org that a set exports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The objects to export, in alphabetical order without regard to case.
    pub chosen: Vec<Chosen>,
    /// The objects that only patterns match and that are left out all the same, in the org's order.
    pub left_out: Vec<LeftOut>,
    /// The names in the list that the org does not have, or not for this user.
    pub missing: Vec<ObjectName>,
    /// The patterns that match no object of the org.
    pub unmatched: Vec<String>,
}

/// An object to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its name in the org's spelling.
    pub name: ObjectName,
    /// Whether the list has its name, so a refusal is a failure even if no object of this kind can be exported.
    pub named_exactly: bool,
}

/// An object that a pattern matches and that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name in the org's spelling.
    pub name: String,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why patterns leave an object out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeftOutReason {
    /// The org says that it cannot be queried.
    NotQueryable,
    /// It is kept for old versions of the API alone.
    Deprecated,
    /// It describes events, which no query returns.
    ChangeEvent,
    /// Its records are in another system, which each query asks.
    External,
    /// Its name cannot be part of a path.
    OddName,
}

impl LeftOutReason {
    /// So many objects, in words: `3 not queryable`, `1 change event`.
    #[must_use]
    pub fn counted(self, number: u64) -> String {
        let noun = if number == 1 { "" } else { "s" };
        match self {
            Self::NotQueryable => format!("{number} not queryable"),
            Self::Deprecated => format!("{number} deprecated"),
            Self::ChangeEvent => format!("{number} change event{noun}"),
            Self::External => format!("{number} external"),
            Self::OddName => format!("{number} with unusual names"),
        }
    }

    /// Its name for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotQueryable => "not_queryable",
            Self::Deprecated => "deprecated",
            Self::ChangeEvent => "change_event",
            Self::External => "external",
            Self::OddName => "odd_name",
        }
    }

    /// The objects that are left out for this reason, in words.
    #[must_use]
    pub fn of_kind(self) -> &'static str {
        match self {
            Self::NotQueryable => "objects that cannot be queried",
            Self::Deprecated => "deprecated objects",
            Self::ChangeEvent => "change events",
            Self::External => "external objects",
            Self::OddName => "objects with unusual names",
        }
    }

    /// The reason that lies in the name alone.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        if ObjectName::parse(name).is_err() {
            Some(Self::OddName)
        } else if matches("*ChangeEvent", name) {
            Some(Self::ChangeEvent)
        } else if matches("*__x", name) {
            Some(Self::External)
        } else {
            None
        }
    }
}

impl ObjectSet {
    /// A set of these terms, which must not be empty, with the settings of single objects. A list that begins with an
    /// exclusion starts from all objects.
    #[must_use]
    pub fn new(mut terms: Vec<ObjectTerm>, settings: Vec<ObjectSettings>) -> Self {
        if matches!(terms.first(), None | Some(ObjectTerm::Exclusion(_))) {
            terms.insert(0, ObjectTerm::Pattern("*".to_owned()));
        }
        let settings = settings
            .into_iter()
            .map(|settings| (settings.object.as_str().to_ascii_lowercase(), settings))
            .collect();
        Self { terms, settings }
    }

    /// The terms, with the `*` that a leading exclusion implies.
    #[must_use]
    pub fn terms(&self) -> &[ObjectTerm] {
        &self.terms
    }

    /// Whether the org decides which objects the set has.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, ObjectTerm::Pattern(_)))
    }

    /// The objects with settings of their own, by name.
    pub fn settings(&self) -> impl Iterator<Item = &ObjectSettings> {
        self.settings.values()
    }

    /// Whether the set has an object of this name if an org has it, and why. What the org would say of it is not known
    /// here.
    #[must_use]
    pub fn includes(&self, name: &str) -> Option<Inclusion> {
        if self.exclusion_of(name).is_some() {
            return None;
        }
        let is_named = |term: &ObjectTerm| matches!(term, ObjectTerm::Name(known) if known.as_str().eq_ignore_ascii_case(name));
        if self.terms.iter().any(is_named) {
            return Some(Inclusion::ByName);
        }
        (self.matches_pattern(name) && LeftOutReason::of_name(name).is_none()).then_some(Inclusion::ByPattern)
    }

    /// The exclusion that keeps objects of this name out of the set.
    #[must_use]
    pub fn exclusion_of(&self, name: &str) -> Option<&ObjectTerm> {
        self.terms
            .iter()
            .find(|term| matches!(term, ObjectTerm::Exclusion(pattern) if matches(pattern, name)))
    }

    fn matches_pattern(&self, name: &str) -> bool {
        self.terms.iter().any(|term| matches!(term, ObjectTerm::Pattern(pattern) if matches(pattern, name)))
    }

    /// Chooses from all objects of an org.
    #[must_use]
    pub fn select<'o>(&self, objects: impl IntoIterator<Item = ObjectFacts<'o>>) -> Selection {
        let objects: Vec<_> = objects.into_iter().collect();
        let mut selection = Selection::default();
        let mut taken = HashSet::new();
        for object in &objects {
            let inclusion = self.includes(object.name);
            let is_wanted = self.matches_pattern(object.name) && self.exclusion_of(object.name).is_none();
            let reason = LeftOutReason::of_name(object.name)
                .or((!object.is_queryable).then_some(LeftOutReason::NotQueryable))
                .or(object.is_deprecated.then_some(LeftOutReason::Deprecated));
            match (inclusion, reason, ObjectName::parse(object.name)) {
                // An org that lists an object twice has it once.
                (Some(Inclusion::ByName), _, Ok(name)) | (Some(Inclusion::ByPattern), None, Ok(name))
                    if taken.insert(object.name) =>
                {
                    let named_exactly = inclusion == Some(Inclusion::ByName);
                    selection.chosen.push(Chosen { name, named_exactly });
                }
                (_, Some(reason), _) if is_wanted && inclusion != Some(Inclusion::ByName) => {
                    selection.left_out.push(LeftOut { name: object.name.to_owned(), reason });
                }
                _ => {}
            }
        }
        // Names that differ by case alone keep one order too.
        selection.chosen.sort_by_cached_key(|chosen| {
            (chosen.name.as_str().to_ascii_lowercase(), chosen.name.as_str().to_owned())
        });
        for term in &self.terms {
            let has = |wanted: &dyn Fn(&str) -> bool| objects.iter().any(|object| wanted(object.name));
            match term {
                ObjectTerm::Name(name) if !has(&|known| known.eq_ignore_ascii_case(name.as_str())) => {
                    selection.missing.push(name.clone());
                }
                ObjectTerm::Pattern(pattern) if !has(&|known| matches(pattern, known)) => {
                    selection.unmatched.push(pattern.clone());
                }
                _ => {}
            }
        }
        selection
    }

    /// What is exported of one object of the set.
    #[must_use]
    pub fn source_of(&self, object: &ObjectName) -> ObjectSource {
        let settings = self.settings.get(&object.as_str().to_ascii_lowercase());
        ObjectSource {
            object: object.clone(),
            fields: settings.map_or_else(FieldSelection::all, |settings| settings.fields.clone()),
            condition: settings.and_then(|settings| settings.condition.clone()),
        }
    }

    /// The count check of one object, if it differs from the job's.
    #[must_use]
    pub fn count_check_of(&self, object: &ObjectName) -> Option<CountCheck> {
        self.settings.get(&object.as_str().to_ascii_lowercase()).and_then(|settings| settings.count_check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(terms: &[&str]) -> ObjectSet {
        ObjectSet::new(terms.iter().map(|term| ObjectTerm::parse(term).unwrap()).collect(), Vec::new())
    }

    /// The objects of an org; `-` before a name says that it is not queryable, `~` that it is deprecated.
    fn select(terms: &[&str], org: &str) -> Selection {
        set(terms).select(org.split_whitespace().map(|word| ObjectFacts {
            name: word.trim_start_matches(['-', '~']),
            is_queryable: !word.starts_with('-'),
            is_deprecated: word.starts_with('~'),
        }))
    }

    const ORG: &str = "Contact Account AccountShare -AcceptedEventRelation ~Old AccountChangeEvent Order__x \
                       Invoice__c AccountFeed";

    fn chosen(terms: &[&str]) -> String {
        let names: Vec<_> =
            select(terms, ORG).chosen.into_iter().map(|chosen| chosen.name.to_string()).collect();
        names.join(" ")
    }

    #[test]
    fn patterns_and_exclusions_choose_objects() {
        for (terms, expected) in [
            (&["*"][..], "Account AccountFeed AccountShare Contact Invoice__c"),
            (&["*", "!*Share", "!*Feed"], "Account Contact Invoice__c"),
            (&["!*share"], "Account AccountFeed Contact Invoice__c"),
            (&["*__C"], "Invoice__c"),
            (&["contact", "ACCOUNT"], "Account Contact"),
            (&["Contact", "*__c"], "Contact Invoice__c"),
            (&["Account*", "!AccountShare"], "Account AccountFeed"),
            // An exclusion wins wherever it is.
            (&["!Account", "Account"], "AccountFeed AccountShare Contact Invoice__c"),
        ] {
            assert_eq!(chosen(terms), expected, "{terms:?}");
        }
    }

    #[test]
    fn a_name_in_the_list_is_taken_whatever_its_kind() {
        let named = "AcceptedEventRelation Account AccountChangeEvent Old Order__x";
        assert_eq!(chosen(&named.to_ascii_lowercase().split(' ').collect::<Vec<_>>()), named);
        let selection = select(&["*", "order__x"], ORG);
        let by_name: Vec<_> = selection
            .chosen
            .iter()
            .filter(|chosen| chosen.named_exactly)
            .map(|chosen| &chosen.name)
            .collect();
        assert_eq!(by_name, [&ObjectName::parse("Order__x").unwrap()]);
    }

    #[test]
    fn what_patterns_leave_out_is_told_with_its_reason() {
        let left_out = |terms: &[&str], org: &str| -> Vec<_> {
            select(terms, org).left_out.into_iter().map(|left| (left.name, left.reason)).collect()
        };
        let named = |name: &str, reason| (name.to_owned(), reason);
        assert_eq!(
            left_out(&["*"], ORG),
            [
                named("AcceptedEventRelation", LeftOutReason::NotQueryable),
                named("Old", LeftOutReason::Deprecated),
                named("AccountChangeEvent", LeftOutReason::ChangeEvent),
                named("Order__x", LeftOutReason::External),
            ]
        );
        assert_eq!(left_out(&["*", "!Old", "!*__x", "AccountChangeEvent"], ORG).len(), 1);
        assert_eq!(left_out(&["*"], "a/../b Account"), [named("a/../b", LeftOutReason::OddName)]);
    }

    #[test]
    fn terms_that_the_org_cannot_satisfy_are_told() {
        let selection = select(&["Account", "Lead", "*__kav", "Acc*", "!*Nothing"], ORG);
        assert_eq!(selection.missing, [ObjectName::parse("Lead").unwrap()]);
        assert_eq!(selection.unmatched, ["*__kav"]);
    }

    #[test]
    fn an_object_listed_twice_is_exported_once() {
        let names = |org| select(&["*"], org).chosen.len();
        assert_eq!(names("Account Account Contact"), 2);
        // Names that differ by case alone are two objects to the org; their paths collide.
        assert_eq!(names("Account ACCOUNT"), 2);
    }

    #[test]
    fn a_set_knows_its_objects_without_an_org() {
        let backup = set(&["*", "!*Share", "Order__x"]);
        for (name, inclusion) in [
            ("account", Some(Inclusion::ByPattern)),
            ("ORDER__X", Some(Inclusion::ByName)),
            ("Other__x", None),
            ("AccountShare", None),
            ("AccountChangeEvent", None),
        ] {
            assert_eq!(backup.includes(name), inclusion, "{name}");
        }
        assert_eq!(backup.to_string(), "*, !*Share, Order__x");
        assert_eq!(set(&["!*Share"]).to_string(), "*, !*Share");
    }

    #[test]
    fn settings_hold_for_their_object_alone() {
        let name = |text| ObjectName::parse(text).unwrap();
        let settings = ObjectSettings {
            object: name("account"),
            fields: FieldSelection::parse(&["Id", "Name"]).unwrap(),
            condition: Some("Name != null".to_owned()),
            count_check: Some(CountCheck::Warn),
        };
        let set = ObjectSet::new(vec![ObjectTerm::parse("*").unwrap()], vec![settings]);
        let source = set.source_of(&name("Account"));
        assert_eq!(source.object.as_str(), "Account");
        assert_eq!(source.fields.to_string(), "Id, Name");
        assert_eq!(source.condition.as_deref(), Some("Name != null"));
        assert_eq!(set.count_check_of(&name("Account")), Some(CountCheck::Warn));
        assert_eq!(set.source_of(&name("Contact")).fields, FieldSelection::all());
        assert_eq!(set.count_check_of(&name("Contact")), None);
    }

    #[test]
    fn a_term_is_an_object_a_pattern_or_an_exclusion() {
        for good in ["Account", "*", "ns__Invoice__c", "!*Share", "!Account", "Acc*", "*a*"] {
            assert_eq!(ObjectTerm::parse(good).unwrap().to_string(), good);
        }
        for bad in
            ["", "!", " Account", "Owner.Name", "!!A", "Account,Contact", "[A]", "Ä", "1A", "A?", "__c"]
        {
            assert!(ObjectTerm::parse(bad).is_err(), "{bad}");
        }
    }
}
