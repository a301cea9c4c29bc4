//! What a job says about the columns of its files: how they are named, and which types they have instead of those that the
//! org reports.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::{Columns, Entry, Node};
use crate::value::FieldType;

/// How a job names its columns, and the types that it sets. Original names are those of [`Columns::qualified`], in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnRules {
    /// How names are derived from the query's.
    pub names: ColumnNames,
    /// New names of single columns, by their original names.
    pub renames: Vec<(String, String)>,
    /// The types of single columns, by their original names.
    pub types: Vec<(String, FieldType)>,
    /// Whether a column that holds the records of a child query keeps the relationship's name: it does in JSON Lines.
    pub child_arrays_keep_names: bool,
    /// Whether a rule may be for no column: the rules of a set are for whichever objects have such a column.
    pub is_for_several_objects: bool,
    /// The rules that may be for no column, because they are defaults of many jobs: the original names, in any case.
    pub optional: Vec<(Rule, String)>,
}

/// How the names of columns are derived from those of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColumnNames {
    /// They are the same.
    #[default]
    AsWritten,
    /// By [`snake`].
    Snake,
}

impl ColumnRules {
    /// Whether a column may have another name than in the query.
    #[must_use]
    pub fn rename(&self) -> bool {
        self.names != ColumnNames::AsWritten || !self.renames.is_empty()
    }

    /// Whether a rule is one of [`ColumnRules::optional`].
    fn is_optional(&self, rule: Rule, original: &str) -> bool {
        self.optional.iter().any(|(of, name)| *of == rule && name.eq_ignore_ascii_case(original))
    }
}

/// A column of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputColumn<'c> {
    /// Its name in the query.
    pub original: &'c str,
    /// Its name in the file.
    pub name: &'c str,
    /// Its type, by `[types]` or by the org; `None` if the org was not asked, or does not say.
    pub field_type: Option<FieldType>,
}

/// Why a job's rules do not fit its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnError {
    /// A rule is for a column that does not exist.
    Unknown {
        /// Which rules.
        rule: Rule,
        /// The name in the rule.
        name: String,
        /// The names of the columns that exist.
        known: Vec<String>,
    },
    /// A new name is for a field of a child query whose records are JSON in a column.
    InChildArray {
        /// The name in the rule.
        name: String,
        /// Whether the file is JSON Lines, which have no other place for those records.
        is_json_lines: bool,
    },
    /// A new name is for a child query's array in JSON Lines.
    ChildArray {
        /// The name in the rule.
        name: String,
    },
    /// Two columns of one file have the same name, without regard to case.
    SameName {
        /// The original names of the two.
        originals: [String; 2],
        /// Their name.
        name: String,
    },
}

/// The two tables of rules for single columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `[columns]`
    Name,
    /// `[types]`
    Type,
}

impl Rule {
    /// The table in a job's file.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Name => "columns",
            Self::Type => "types",
        }
    }
}

impl fmt::Display for ColumnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { rule, name, .. } => {
                write!(f, "\"{name}\" in [{}] is not a column of the export", rule.table())
            }
            Self::InChildArray { name, .. } => {
                write!(f, "\"{name}\" in [columns] is not a column, but a field of a child query's records")
            }
            Self::ChildArray { name } => {
                write!(f, "\"{name}\" in [columns] is a child query, which keeps its name in JSON Lines")
            }
            Self::SameName { originals: [first, second], name } => {
                write!(f, "the columns \"{first}\" and \"{second}\" are both named \"{name}\"")
            }
        }
    }
}

impl std::error::Error for ColumnError {}

impl ColumnError {
    /// What to do about it; `near` is the known name closest to an unknown one.
    #[must_use]
    pub fn hint(&self, near: Option<&str>) -> String {
        match (self, near) {
            (Self::Unknown { .. }, Some(near)) => format!("did you mean \"{near}\"?"),
            (Self::Unknown { name, known, .. }, None) => match behind_a_path(name, known) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "write the column's name as in the query, or remove the line".to_owned(),
            },
            (Self::InChildArray { is_json_lines: false, .. }, _) => {
                "remove the line, or set children = \"files\" to give the child query a file with columns"
                    .to_owned()
            }
            (Self::InChildArray { .. } | Self::ChildArray { .. }, _) => "remove the line".to_owned(),
            (Self::SameName { originals: [_, second], .. }, _) => {
                format!("give one of them another name in [columns], as in \"{second}\" = \"...\"")
            }
        }
    }
}

/// The only column with this name behind a path: `Contacts.LastName` for `LastName`.
fn behind_a_path<'k>(name: &str, known: &'k [String]) -> Option<&'k String> {
    let is_same =
        |known: &&String| known.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case(name));
    let mut same = known.iter().filter(is_same);
    same.next().filter(|_| same.next().is_none())
}

impl Columns {
    /// The same columns with a job's names and types.
    ///
    /// # Errors
    /// If a rule is for a column that does not exist, or two columns of a file would have the same name.
    pub fn with_rules(mut self, rules: &ColumnRules) -> Result<Self, ColumnError> {
        if !rules.rename() && rules.types.is_empty() {
            return Ok(self);
        }
        let mut application = Application::of(rules);
        application.apply(&mut self, true)?;
        if !rules.is_for_several_objects {
            application.all_used(&self)?;
        }
        Ok(self)
    }

    /// The columns of the file, in order.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = OutputColumn<'_>> {
        let names = self.names.iter().zip(self.output_names()).zip(&self.types);
        names.map(|((original, name), field_type)| OutputColumn { original, name, field_type: *field_type })
    }

    /// The names of the columns in the file, in order.
    #[must_use]
    pub fn output_names(&self) -> &[String] {
        self.output_names.as_deref().unwrap_or(&self.names)
    }

    /// Whether a job's rules may give columns other names than the query has.
    #[must_use]
    pub fn is_renamed(&self) -> bool {
        self.output_names.is_some()
    }

    /// The name of a column as a job's rules have it: that of a child query's column begins with the relationship's name,
    /// as in `Contacts.LastName`.
    #[must_use]
    pub fn qualified(&self, column: usize) -> String {
        format!("{}{}", self.prefix, self.names.get(column).map_or("", String::as_str))
    }

    /// The first column, here or in a child query, whose type is not known.
    #[must_use]
    pub fn untyped(&self) -> Option<String> {
        let own = self.types.iter().position(Option::is_none).map(|column| self.qualified(column));
        own.or_else(|| self.children().find_map(|(_, columns, _)| columns.untyped()))
    }

    /// The child queries: the key, the columns, and whether they have a table of their own.
    fn children(&self) -> impl Iterator<Item = (&Entry, &Arc<Self>, bool)> {
        self.shape.entries.iter().filter_map(|entry| match &entry.node {
            Node::Children { columns, table, .. } => Some((entry, columns, table.is_some())),
            _ => None,
        })
    }

    /// Whether a column holds the records of a child query.
    fn is_child_array(&self, column: usize) -> bool {
        self.shape.entries.iter().any(
            |entry| matches!(entry.node, Node::Children { column: own, table: None, .. } if own == column),
        )
    }

    fn all_qualified(&self, names: &mut Vec<String>) {
        names.extend((0..self.names.len()).map(|column| self.qualified(column)));
        self.children().for_each(|(_, columns, _)| columns.all_qualified(names));
    }
}

/// The rules of a set's job that no object's columns have needed so far.
#[derive(Debug)]
pub struct UnusedRules(Vec<(Rule, String)>);

impl UnusedRules {
    /// All rules for single columns that are not optional.
    #[must_use]
    pub fn of(rules: &ColumnRules) -> Self {
        let renames = rules.renames.iter().map(|(name, _)| (Rule::Name, name.clone()));
        let types = rules.types.iter().map(|(name, _)| (Rule::Type, name.clone()));
        Self(renames.chain(types).filter(|(rule, name)| !rules.is_optional(*rule, name)).collect())
    }

    /// Whether all rules are used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes the rules for these columns, whose names are those in the query.
    pub fn remove(&mut self, columns: &[String]) {
        self.0.retain(|(_, name)| !columns.iter().any(|column| column.eq_ignore_ascii_case(name)));
    }

    /// The table of each rule and the name in it.
    pub fn iter(&self) -> impl Iterator<Item = (Rule, &str)> {
        self.0.iter().map(|(rule, name)| (*rule, name.as_str()))
    }
}

/// The application of rules to a query's columns and those of its child queries.
struct Application<'r> {
    rules: &'r ColumnRules,
    /// By original name in lower case.
    renames: HashMap<String, &'r str>,
    types: HashMap<String, FieldType>,
    /// The original names in lower case that were found.
    renamed: HashSet<String>,
    typed: HashSet<String>,
}

impl<'r> Application<'r> {
    fn of(rules: &'r ColumnRules) -> Self {
        let lower = |name: &String| name.to_ascii_lowercase();
        Self {
            rules,
            renames: rules.renames.iter().map(|(original, new)| (lower(original), new.as_str())).collect(),
            types: rules.types.iter().map(|(original, field_type)| (lower(original), *field_type)).collect(),
            renamed: HashSet::new(),
            typed: HashSet::new(),
        }
    }

    /// Applies the rules; `is_file` says whether the columns are those of a file.
    fn apply(&mut self, columns: &mut Columns, is_file: bool) -> Result<(), ColumnError> {
        let mut names = Vec::with_capacity(columns.names.len());
        for column in 0..columns.names.len() {
            let key = columns.qualified(column).to_ascii_lowercase();
            if let Some(field_type) = self.types.get(&key) {
                columns.types[column] = Some(*field_type);
                self.typed.insert(key.clone());
            }
            let keeps_name = self.rules.child_arrays_keep_names && columns.is_child_array(column);
            let rename = self.renames.get(&key).copied();
            // A default for columns does not fit what is not a column here.
            let rename =
                rename.filter(|_| (is_file && !keeps_name) || !self.rules.is_optional(Rule::Name, &key));
            if rename.is_some() && !is_file {
                let name = columns.qualified(column);
                let is_json_lines = self.rules.child_arrays_keep_names;
                return Err(ColumnError::InChildArray { name, is_json_lines });
            }
            let original = &columns.names[column];
            names.push(match (rename, self.rules.names) {
                (Some(_), _) if keeps_name => {
                    return Err(ColumnError::ChildArray { name: columns.qualified(column) });
                }
                (Some(new), _) => {
                    self.renamed.insert(key);
                    new.to_owned()
                }
                (None, ColumnNames::Snake) if !keeps_name => snake(original),
                (None, _) => original.clone(),
            });
        }
        if is_file && self.rules.rename() {
            distinct(&names, columns)?;
            columns.output_names = Some(names);
        }
        let mut applied = Vec::new();
        for (entry, child, is_table) in columns.children() {
            let mut child = Columns::clone(child);
            self.apply(&mut child, is_file && is_table)?;
            applied.push((entry.key.clone(), Arc::new(child)));
        }
        let shapes =
            std::iter::once(&mut columns.shape).chain(columns.own_shapes.iter_mut().map(|(_, shape)| shape));
        for entry in shapes.flat_map(|shape| &mut shape.entries) {
            if let Node::Children { columns, .. } = &mut entry.node
                && let Some((_, child)) = applied.iter().find(|(key, _)| key.eq_ignore_ascii_case(&entry.key))
            {
                *columns = Arc::clone(child);
            }
        }
        Ok(())
    }

    /// Whether each rule was for a column.
    fn all_used(&self, columns: &Columns) -> Result<(), ColumnError> {
        let ColumnRules { renames, types, .. } = self.rules;
        let unused = |rule, name: &&String, found: &HashSet<String>| {
            !found.contains(&name.to_ascii_lowercase()) && !self.rules.is_optional(rule, name)
        };
        let rename =
            renames.iter().map(|(name, _)| name).find(|name| unused(Rule::Name, name, &self.renamed));
        let field_type =
            types.iter().map(|(name, _)| name).find(|name| unused(Rule::Type, name, &self.typed));
        let unknown = rename.map(|name| (Rule::Name, name)).or(field_type.map(|name| (Rule::Type, name)));
        let Some((rule, name)) = unknown else { return Ok(()) };
        let mut known = Vec::new();
        columns.all_qualified(&mut known);
        Err(ColumnError::Unknown { rule, name: name.clone(), known })
    }
}

/// Whether no two columns of a file have the same name. Many databases don't distinguish upper and lower case.
fn distinct(names: &[String], columns: &Columns) -> Result<(), ColumnError> {
    let mut seen = HashMap::new();
    for (column, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name.to_lowercase(), column) {
            let originals = [columns.qualified(first), columns.qualified(column)];
            return Err(ColumnError::SameName { originals, name: name.clone() });
        }
    }
    Ok(())
}

/// A name in lower case with `_` between its words: `account_owner_name` for `Account.Owner.Name`. Words begin after
/// anything that is neither a letter nor a digit, at a capital after a small letter or a digit (`CreatedById`), and at the
/// last of several capitals if a small letter follows (`HTTPSUrl`). The examples in docs/records.md are frozen: a change here
/// would rename the columns of existing exports.
#[must_use]
pub fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + name.len() / 4);
    let mut before: Option<char> = None;
    let mut characters = name.chars().peekable();
    while let Some(c) = characters.next() {
        if !c.is_alphanumeric() {
            before = None;
            continue;
        }
        let begins_word = match before {
            None => true,
            Some(before) if c.is_uppercase() => {
                let is_last_capital = characters.peek().is_some_and(|next| next.is_lowercase());
                !before.is_uppercase() || is_last_capital
            }
            Some(_) => false,
        };
        if begins_word && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
        before = Some(c);
    }
    // A name without any letter or digit cannot be a column's.
    if snake.is_empty() { name.to_owned() } else { snake }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::soql::{Layout, Query};

    fn columns(soql: &str, layout: Layout) -> Columns {
        Columns::laid_out(&Query::parse(soql).unwrap(), layout, None).unwrap()
    }

    const FILES: Layout = Layout { child_tables: true, compound_parts: false };

    fn rules(renames: &[(&str, &str)], types: &[(&str, FieldType)]) -> ColumnRules {
        ColumnRules {
            renames: renames.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            types: types.iter().map(|(a, b)| ((*a).to_owned(), *b)).collect(),
            ..ColumnRules::default()
        }
    }

    const SNAKE: ColumnRules = ColumnRules {
        names: ColumnNames::Snake,
        renames: Vec::new(),
        types: Vec::new(),
        child_arrays_keep_names: false,
        is_for_several_objects: false,
        optional: Vec::new(),
    };

    #[test]
    fn the_documented_names_in_snake_case_are_frozen() {
        let page = include_str!("../../../docs/records.md");
        let table = page.split_once("| in the query | `snake` |").expect("the table").1;
        let rows: Vec<_> = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let cells: Vec<_> = line.split('`').collect();
                (cells[1], cells[3])
            })
            .collect();
        assert_eq!(rows.len(), 17);
        for (name, expected) in rows {
            assert_eq!(snake(name), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_snake_case_name_stays_as_it_is(name in "[A-Za-z][A-Za-z0-9_.]{0,20}") {
            let once = snake(&name);
            prop_assert_eq!(snake(&once), once.clone());
            prop_assert!(once.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{}", once);
            let letters = |text: &str| text.to_ascii_lowercase().replace(['_', '.'], "");
            prop_assert_eq!(letters(&once), letters(&name));
        }
    }

    #[test]
    fn single_names_win_over_snake_case() {
        let rules = ColumnRules { renames: vec![("account.NAME".into(), "Company".into())], ..SNAKE };
        let columns = columns("SELECT Id, Account.Name, CreatedById FROM Contact", Layout::default());
        let columns = columns.with_rules(&rules).unwrap();
        assert_eq!(columns.output_names(), ["id", "Company", "created_by_id"]);
        assert_eq!(columns.names(), ["Id", "Account.Name", "CreatedById"]);
    }

    /// The output names of each table, the main one first, and all types that are known.
    fn named(columns: &Columns) -> Vec<Vec<&str>> {
        let tables = columns.tables();
        let all = std::iter::once(columns).chain(tables.iter().map(|table| table.columns));
        all.map(|columns| columns.outputs().map(|column| column.name).collect()).collect()
    }

    const NESTED: &str =
        "SELECT Id, (SELECT Id, LastName, (SELECT Subject FROM Tasks) FROM Contacts) FROM Account";

    #[test]
    fn rules_reach_the_files_of_child_queries() {
        let mut rules = rules(
            &[("Contacts.LastName", "surname"), ("contacts.tasks.Contacts.Id", "contact")],
            &[("Contacts.Tasks.Subject", FieldType::Date)],
        );
        rules.names = ColumnNames::Snake;
        let columns = columns(NESTED, FILES).with_rules(&rules).unwrap();
        assert_eq!(
            named(&columns),
            [vec!["id"], vec!["account_id", "id", "surname"], vec!["contact", "subject"]]
        );
        assert_eq!(columns.tables()[1].columns.types(), [Some(FieldType::Text), Some(FieldType::Date)]);
        assert_eq!(columns.untyped().as_deref(), Some("Id"));
    }

    #[test]
    fn records_in_a_column_keep_their_names_and_get_types() {
        let inner = rules(&[("Contacts.LastName", "surname")], &[]);
        let nested = || columns(NESTED, Layout::default());
        let name = "Contacts.LastName".to_owned();
        let error = ColumnError::InChildArray { name, is_json_lines: false };
        assert_eq!(nested().with_rules(&inner), Err(error));
        let types = rules(
            &[("Contacts", "people")],
            &["Id", "Contacts.Id", "Contacts.LastName", "Contacts.Tasks.Subject"]
                .map(|name| (name, FieldType::Text)),
        );
        let typed = nested().with_rules(&types).unwrap();
        assert_eq!((named(&typed), typed.untyped()), (vec![vec!["Id", "people"]], None));
        // In JSON Lines a child query keeps its name.
        let mut keeping = ColumnRules { child_arrays_keep_names: true, ..SNAKE };
        assert_eq!(named(&nested().with_rules(&keeping).unwrap()), [["id", "Contacts"]]);
        keeping.renames = types.renames;
        let name = "Contacts".to_owned();
        assert_eq!(nested().with_rules(&keeping), Err(ColumnError::ChildArray { name }));
    }

    #[test]
    fn a_child_querys_types_reach_the_shape_of_its_own_object() {
        let soql =
            "SELECT Id, (SELECT Id, Contact.Born, (SELECT Done FROM Tasks) FROM Contacts) FROM Account";
        let types = rules(&[], &[("Contacts.Tasks.Done", FieldType::Date)]);
        let columns = columns(soql, Layout::default()).with_rules(&types).unwrap();
        let (_, contacts, _) = columns.children().next().unwrap();
        let inner = |level: &super::super::Level| {
            let children = level.entries().iter().find_map(|entry| match &entry.node {
                Node::Children { columns, .. } => Some(columns.types().to_vec()),
                _ => None,
            });
            children.unwrap()
        };
        assert!(contacts.depend_on_object());
        for object in ["Contact", "Case"] {
            assert_eq!(inner(contacts.shape_of(object.as_bytes())), [Some(FieldType::Date)], "{object}");
        }
    }

    #[test]
    fn two_columns_of_one_name_are_an_error() {
        let clash = |first: &str, second: &str, name: &str| {
            Err(ColumnError::SameName {
                originals: [first.to_owned(), second.to_owned()],
                name: name.to_owned(),
            })
        };
        let soql = "SELECT Id, OwnerId, Owner.Id, (SELECT AccountId FROM Contacts) FROM Account";
        let flat = columns(soql, Layout::default());
        assert_eq!(flat.clone().with_rules(&SNAKE), clash("OwnerId", "Owner.Id", "owner_id"));
        // Upper and lower case are no difference.
        assert_eq!(flat.with_rules(&rules(&[("OwnerId", "ID")], &[])), clash("Id", "OwnerId", "ID"));
        let files = columns("SELECT Id, (SELECT AccountId FROM Contacts) FROM Account", FILES);
        let (first, second) = ("Contacts.Account.Id", "Contacts.AccountId");
        assert_eq!(files.clone().with_rules(&SNAKE), clash(first, second, "account_id"));
        // Files do not share their names.
        assert!(files.with_rules(&rules(&[("Contacts.AccountId", "Id")], &[])).is_ok());
    }

    #[test]
    fn a_rule_for_no_column_is_an_error_with_the_known_names() {
        let soql = "SELECT Id, (SELECT LastName FROM Contacts) FROM Account";
        for (rules, rule) in [
            (rules(&[("Nmae", "x")], &[]), Rule::Name),
            (rules(&[], &[("Nmae", FieldType::Text)]), Rule::Type),
        ] {
            let known = ["Id", "Contacts", "Contacts.LastName"].map(str::to_owned).to_vec();
            assert_eq!(
                columns(soql, Layout::default()).with_rules(&rules),
                Err(ColumnError::Unknown { rule, name: "Nmae".to_owned(), known })
            );
        }
    }
}
