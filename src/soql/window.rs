//! A query → the query of those of its records whose stamp is within a window. Its text is changed only where the
//! condition goes.

use std::fmt;

use jiff::Timestamp;

use super::columns::Roots;
use super::{Argument, Clause, ClauseKind, Item, Query, Statement, SyntaxError};

/// The records that a run of an incremental job asks for: those whose stamp is later than `after` and not later than
/// `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The field with the stamp, as the condition spells it.
    pub field: String,
    /// The last time before the window; `None`: it has no beginning.
    pub after: Option<Timestamp>,
    /// The last time of the window; `None`: it has no end.
    pub until: Option<Timestamp>,
}

impl Window {
    /// The condition as SOQL: `SystemModstamp > 2026-05-01T07:25:37Z`; `None` if the window has neither beginning nor end.
    #[must_use]
    pub fn condition(&self) -> Option<String> {
        let comparison = |operator, time: Option<Timestamp>| {
            time.map(|time| format!("{} {operator} {}", self.field, literal(time)))
        };
        let both: Vec<_> =
            [comparison(">", self.after), comparison("<=", self.until)].into_iter().flatten().collect();
        (!both.is_empty()).then(|| both.join(" AND "))
    }
}

/// A time as a SOQL literal, in UTC. The org's stamps have whole seconds, so finer parts are left out: the window then
/// begins and ends a little earlier.
fn literal(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Why a query cannot be exported incrementally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncrementalObstacle {
    /// It has a child query: a change of a child does not move its parent's stamp.
    ChildQuery,
    /// It has an aggregate function, or is `SELECT COUNT()`.
    Aggregate,
    /// It has GROUP BY or HAVING.
    GroupBy,
    /// It has LIMIT.
    Limit,
    /// It has OFFSET.
    Offset,
}

impl fmt::Display for IncrementalObstacle {
    /// A clause: `the query has a child query`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChildQuery => "the query has a child query",
            Self::Aggregate => "the query has an aggregate function",
            Self::GroupBy => "the query groups records",
            Self::Limit => "the query has LIMIT",
            Self::Offset => "the query has OFFSET",
        })
    }
}

impl Query {
    /// The query of those of its records that are within the window. The condition is added to WHERE; every other byte of
    /// the text stays as it is.
    ///
    /// # Errors
    /// If the query has WHERE twice. Which of the two would count is not for us to say.
    pub fn within(&self, window: &Window) -> Result<Self, SyntaxError> {
        let Some(condition) = window.condition() else { return Ok(self.clone()) };
        let Self { text, statement } = self;
        let wheres: Vec<_> =
            statement.clauses.iter().filter(|clause| clause.kind == ClauseKind::Where).collect();
        let text = match wheres.as_slice() {
            [] => {
                let (before, rest) = text.split_at(place_of_where(text, statement));
                format!("{before} WHERE {condition}{rest}")
            }
            [clause] => {
                let (start, end) = place(clause).unwrap_or((text.len(), text.len()));
                let (before, own, rest) = (&text[..start], &text[start..end], &text[end..]);
                // `WHERE Name = 'a'ORDER BY Name` is a valid query.
                let space = if rest.starts_with(|c: char| !c.is_whitespace()) { " " } else { "" };
                // OR binds less than AND, and SOQL does not accept a mix of them without parentheses.
                format!("{before}({own}) AND {condition}{space}{rest}")
            }
            [_, second, ..] => {
                let at = place(second).map_or(0, |(start, _)| start);
                return Err(SyntaxError::at(text, at, "the query has WHERE twice").hint("remove one of them"));
            }
        };
        Self::parse(&text)
    }

    /// Whether the query selects this field of the object itself, by its name or by `FIELDS()`.
    #[must_use]
    pub fn selects(&self, field: &str) -> bool {
        let Statement { select, from, .. } = &self.statement;
        let roots = Roots::of(from);
        select.iter().any(|item| match item {
            Item::Field { path, alias: None } => {
                let (place, _) = roots.place(path);
                matches!(place.as_slice(), [only] if only.eq_ignore_ascii_case(field))
            }
            Item::Function { call, .. } if call.name.eq_ignore_ascii_case("FIELDS") => {
                let left_out = if field.contains("__") { "STANDARD" } else { "CUSTOM" };
                matches!(call.arguments.as_slice(), [Argument::Path(path)] if !path.last().eq_ignore_ascii_case(left_out))
            }
            _ => false,
        })
    }

    /// Why the query cannot be exported incrementally; `None` if it can, as far as its text shows.
    #[must_use]
    pub fn incremental_obstacle(&self) -> Option<IncrementalObstacle> {
        let Statement { select, .. } = &self.statement;
        let has = |kind| self.statement.clause(kind).is_some();
        let is_aggregate = |item: &Item| matches!(item, Item::Function { call, .. } if call.is_aggregate());
        if select.iter().any(|item| matches!(item, Item::Child(_))) {
            Some(IncrementalObstacle::ChildQuery)
        } else if has(ClauseKind::GroupBy) || has(ClauseKind::Having) {
            Some(IncrementalObstacle::GroupBy)
        } else if select.iter().any(is_aggregate) {
            Some(IncrementalObstacle::Aggregate)
        } else if has(ClauseKind::Limit) {
            Some(IncrementalObstacle::Limit)
        } else if has(ClauseKind::Offset) {
            Some(IncrementalObstacle::Offset)
        } else {
            None
        }
    }
}

/// Where a clause's text begins and ends, without its keyword.
fn place(clause: &Clause) -> Option<(usize, usize)> {
    Some((clause.tokens.first()?.span.start, clause.tokens.last()?.span.end))
}

/// Where WHERE goes in a statement without it: behind FROM, and behind USING SCOPE if that follows.
fn place_of_where(text: &str, statement: &Statement) -> usize {
    let last = statement.from.last();
    let name = last.and_then(|last| last.alias.as_ref().or_else(|| last.path.segments.last()));
    let using = statement.clauses.iter().take_while(|clause| clause.kind == ClauseKind::Using);
    let end_of_using = using.filter_map(place).map(|(_, end)| end).last();
    end_of_using.or_else(|| name.map(|name| name.span.end)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::soql::tokens;

    const AFTER: &str = "SystemModstamp > 2026-11-22T01:00:00Z";

    fn window() -> Window {
        let after = Some("2026-11-22T01:00:00.9Z".parse().unwrap());
        Window { field: "SystemModstamp".to_owned(), after, until: None }
    }

    fn query(text: &str) -> Query {
        Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_condition_goes_where_soql_has_it() {
        // The condition goes where `@` is.
        for (text, expected) in [
            ("SELECT Id FROM Account", "SELECT Id FROM Account WHERE @"),
            ("SELECT Id FROM Account ;", "SELECT Id FROM Account WHERE @"),
            ("SELECT Id FROM Account a\n  ORDER BY Id", "SELECT Id FROM Account a WHERE @\n  ORDER BY Id"),
            ("SELECT Id FROM Account AS a FOR VIEW", "SELECT Id FROM Account AS a WHERE @ FOR VIEW"),
            ("SELECT Id FROM Contact c, c.Account a", "SELECT Id FROM Contact c, c.Account a WHERE @"),
            ("SELECT Id FROM A a , a . B\tFOR VIEW", "SELECT Id FROM A a , a . B WHERE @\tFOR VIEW"),
            ("select Id from A where X = 1", "select Id from A where (X = 1) AND @"),
            (
                "SELECT Id FROM A WHERE\n X = 1\n OR Y = 'a) OR (b'\n\nORDER BY Id",
                "SELECT Id FROM A WHERE\n (X = 1\n OR Y = 'a) OR (b') AND @\n\nORDER BY Id",
            ),
            ("SELECT Id FROM A WHERE(X = 1)AND(Y = 2)", "SELECT Id FROM A WHERE((X = 1)AND(Y = 2)) AND @"),
            (
                "SELECT Id FROM A WHERE N = 'ü'ORDER BY Id",
                "SELECT Id FROM A WHERE (N = 'ü') AND @ ORDER BY Id",
            ),
            (
                "SELECT Id FROM A WHERE B IN (SELECT C FROM D WHERE E = 1 LIMIT 5)",
                "SELECT Id FROM A WHERE (B IN (SELECT C FROM D WHERE E = 1 LIMIT 5)) AND @",
            ),
            (
                "SELECT Id FROM A USING SCOPE mine WITH SECURITY_ENFORCED",
                "SELECT Id FROM A USING SCOPE mine WHERE @ WITH SECURITY_ENFORCED",
            ),
            (
                "SELECT Id FROM A USING SCOPE mine WHERE X = 1 WITH USER_MODE ORDER BY Id",
                "SELECT Id FROM A USING SCOPE mine WHERE (X = 1) AND @ WITH USER_MODE ORDER BY Id",
            ),
            (
                "SELECT Id FROM K WITH DATA CATEGORY Geo__c AT usa__c",
                "SELECT Id FROM K WHERE @ WITH DATA CATEGORY Geo__c AT usa__c",
            ),
        ] {
            let within = query(text).within(&window()).unwrap();
            assert_eq!(within.text, expected.replace('@', AFTER), "{text}");
        }
    }

    #[test]
    fn a_window_has_a_beginning_an_end_or_both() {
        let window = |after: Option<&str>, until: Option<&str>| Window {
            field: "CreatedDate".to_owned(),
            after: after.map(|time| time.parse().unwrap()),
            until: until.map(|time| time.parse().unwrap()),
        };
        let (early, late) = (Some("2026-11-22T01:00:00+01:00"), Some("2026-11-22T01:00:00Z"));
        for (window, expected) in [
            (window(early, None), "SELECT Id FROM A WHERE CreatedDate > 2026-11-22T00:00:00Z"),
            (window(None, late), "SELECT Id FROM A WHERE CreatedDate <= 2026-11-22T01:00:00Z"),
            (
                window(early, late),
                "SELECT Id FROM A WHERE CreatedDate > 2026-11-22T00:00:00Z AND CreatedDate <= 2026-11-22T01:00:00Z",
            ),
            (window(None, None), "SELECT Id FROM A"),
        ] {
            assert_eq!(query("SELECT Id FROM A").within(&window).unwrap().text, expected);
        }
    }

    #[test]
    fn a_second_where_is_an_error_at_its_place() {
        let error = query("SELECT Id FROM A WHERE X = 1 WHERE Y = 2").within(&window()).unwrap_err();
        assert_eq!((error.line, error.column, error.reason.as_str()), (1, 36, "the query has WHERE twice"));
    }

    #[test]
    fn queries_without_a_stamp_for_each_record_are_obstacles() {
        for (text, expected) in [
            (
                "SELECT Id, (SELECT Id FROM Contacts) FROM Account LIMIT 5",
                Some("the query has a child query"),
            ),
            ("SELECT COUNT() FROM A", Some("the query has an aggregate function")),
            ("SELECT MAX(Amount) m FROM A", Some("the query has an aggregate function")),
            ("SELECT Name, COUNT(Id) n FROM A GROUP BY Name", Some("the query groups records")),
            ("SELECT Name FROM A GROUP BY Name", Some("the query groups records")),
            ("SELECT Id FROM A HAVING X = 1", Some("the query groups records")),
            ("SELECT Id FROM A LIMIT 5 OFFSET 5", Some("the query has LIMIT")),
            ("SELECT Id FROM A OFFSET 5", Some("the query has OFFSET")),
            (
                "SELECT Id, TYPEOF What WHEN Account THEN Name END, toLabel(X) FROM A ORDER BY Id FOR VIEW",
                None,
            ),
            ("SELECT Id FROM A WHERE B IN (SELECT C FROM D LIMIT 5)", None),
        ] {
            let found = query(text).incremental_obstacle().map(|obstacle| obstacle.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_field_is_selected_by_its_name_or_by_fields() {
        for (text, is_selected) in [
            ("SELECT isdeleted FROM A", true),
            ("SELECT a.IsDeleted FROM A a", true),
            ("SELECT A.IsDeleted FROM A", true),
            ("SELECT FIELDS(standard) FROM A", true),
            ("SELECT FIELDS(ALL) FROM A", true),
            ("SELECT FIELDS(CUSTOM) FROM A", false),
            ("SELECT Owner.IsDeleted FROM A", false),
            ("SELECT b.IsDeleted FROM A a, a.B b", false),
            ("SELECT toLabel(IsDeleted) FROM A", false),
            ("SELECT Id FROM A WHERE IsDeleted = true", false),
        ] {
            assert_eq!(query(text).selects("IsDeleted"), is_selected, "{text}");
        }
        assert!(query("SELECT FIELDS(CUSTOM) FROM A").selects("Stamp__c"));
    }

    fn clause(keyword: &'static str, text: &'static str) -> impl Strategy<Value = String> {
        let space = prop::sample::select(vec![" ", "\n", "\t ", " \r\n  "]);
        (space.clone(), space, any::<bool>()).prop_map(move |(before, after, is_written)| {
            if is_written { format!("{before}{keyword}{after}{text}") } else { String::new() }
        })
    }

    /// Queries with any of the clauses, with the white space that people write.
    fn queries() -> impl Strategy<Value = String> {
        let conditions = [
            "X = 1",
            "(X = 1)",
            "X = 1 OR Y = ') AND ('",
            "NOT X = 1",
            "N LIKE 'ü%'",
            "A IN ('a', 'b') AND B = 1",
        ];
        let from =
            prop::sample::select(vec!["A", "A a", "A AS a", "A a, a.B b", "a . b", "Group", "Order o"]);
        let condition = prop::sample::select(conditions.to_vec());
        (
            from,
            clause("USING", "SCOPE mine"),
            condition.prop_flat_map(|condition| clause("where", condition)),
            clause("WITH", "SECURITY_ENFORCED"),
            clause("ORDER BY", "Name NULLS LAST"),
            clause("FOR", "VIEW"),
        )
            .prop_map(|(from, using, condition, with, order, last)| {
                format!("SELECT Id,  Name FROM {from}{using}{condition}{with}{order}{last}")
            })
    }

    proptest! {
        #[test]
        fn only_the_condition_is_added(text in queries()) {
            let query = query(&text);
            let within = query.within(&window()).unwrap();
            // Nothing is lost or moved: without what was added, the text is the old one.
            let without = match query.statement.clause(ClauseKind::Where) {
                None => within.text.replacen(&format!(" WHERE {AFTER}"), "", 1),
                Some(own) => {
                    let (start, end) = place(own).unwrap();
                    let condition = &text[start..end];
                    within.text.replacen(&format!("({condition}) AND {AFTER}"), condition, 1)
                }
            };
            prop_assert_eq!(&without, &query.text);
            // The other clauses are the same, and the condition is the last part of WHERE.
            let others = |query: &Query| {
                let clauses = query.statement.clauses.iter();
                clauses.filter(|clause| clause.kind != ClauseKind::Where).cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(others(&within), others(&query));
            prop_assert_eq!(&within.statement.from, &query.statement.from);
            let mut expected = Vec::new();
            if let Some(own) = query.statement.clause(ClauseKind::Where) {
                expected.extend(tokens("(").unwrap());
                expected.extend(own.tokens.iter().cloned());
                expected.extend(tokens(") AND").unwrap());
            }
            expected.extend(tokens(AFTER).unwrap());
            prop_assert_eq!(&within.statement.clause(ClauseKind::Where).unwrap().tokens, &expected);
            let kinds: Vec<_> = within.statement.clauses.iter().map(|clause| clause.kind).collect();
            prop_assert!(kinds.is_sorted(), "{}", within.text);
        }
    }
}
