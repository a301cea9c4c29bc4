//! A query → the queries that count its records, or those deleted since. They are cut from the query's text, so they
//! ask in the same words after FROM.

use super::{Clause, ClauseKind, Query, Statement, TokenKind};

/// A `SELECT COUNT()` query that counts the records of another query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CountQuery {
    /// Its text.
    pub(crate) soql: String,
    /// How many of the counted records the other query leaves out by its OFFSET.
    pub(crate) offset: u64,
}

impl Query {
    /// `SELECT COUNT()` over the same FROM, USING, WHERE and WITH, and as many records as LIMIT and OFFSET leave. FOR and
    /// UPDATE, which do something, are left out, and so is the order.
    ///
    /// `None` if the result is not a list of such records (it is grouped, or counts by itself), or if LIMIT or OFFSET is
    /// not a number.
    pub(crate) fn count(&self) -> Option<CountQuery> {
        let scope = Scope::of(self)?;
        let number = |kind| match self.statement.clause(kind) {
            None => Some(None),
            Some(clause) => match clause.tokens.as_slice() {
                [token] if token.kind == TokenKind::Literal => token.text.parse::<u64>().ok().map(Some),
                _ => None,
            },
        };
        let limit = number(ClauseKind::Limit)?;
        let offset = number(ClauseKind::Offset)?.unwrap_or(0);
        let mut soql = scope.count_where(&[]);
        if let Some(limit) = limit {
            soql.push_str(&format!(" LIMIT {}", limit.saturating_add(offset)));
        }
        Some(CountQuery { soql, offset })
    }

    /// `SELECT COUNT()` over all records that the query's FROM and WHERE select; `None` if its result is another number of
    /// records, because it groups, counts by itself, or has LIMIT or OFFSET.
    pub(crate) fn count_of_all(&self) -> Option<String> {
        self.has_all_records().then(|| Scope::of(self).map(|scope| scope.count_where(&[])))?
    }

    /// `SELECT COUNT()` over those records of [`Query::count_of_all`] that were deleted at `since` or later, to be sent as
    /// queryAll. `stamp` is the field that a deletion moves, `since` a SOQL datetime.
    pub(crate) fn count_of_deleted(&self, stamp: &str, since: &str) -> Option<String> {
        let conditions = ["IsDeleted = true".to_owned(), format!("{stamp} >= {since}")];
        self.has_all_records().then(|| Scope::of(self).map(|scope| scope.count_where(&conditions)))?
    }

    fn has_all_records(&self) -> bool {
        [ClauseKind::Limit, ClauseKind::Offset].iter().all(|kind| self.statement.clause(*kind).is_none())
    }
}

/// The parts of a query that decide which records it has, as they are written.
struct Scope<'q> {
    from: &'q str,
    using: Option<&'q str>,
    condition: Option<&'q str>,
    with: Vec<&'q str>,
}

impl<'q> Scope<'q> {
    /// `None` if the records of the result are not those that FROM and WHERE select.
    fn of(query: &'q Query) -> Option<Self> {
        let Query { text, statement } = query;
        if statement.is_grouped() || statement.is_count() || statement.clause(ClauseKind::Having).is_some() {
            return None;
        }
        let written = |clause: &Clause| {
            let (first, last) = (clause.tokens.first()?, clause.tokens.last()?);
            text.get(first.span.start..last.span.end)
        };
        let clauses = |kind| statement.clauses.iter().filter(move |clause| clause.kind == kind);
        let only = |kind| match clauses(kind).collect::<Vec<_>>().as_slice() {
            [] => Some(None),
            [clause] => written(clause).map(Some),
            // No query of an org has one twice; which of them would count is not for us to say.
            _ => None,
        };
        Some(Self {
            from: from(text, statement)?,
            using: only(ClauseKind::Using)?,
            condition: only(ClauseKind::Where)?,
            with: clauses(ClauseKind::With).map(written).collect::<Option<_>>()?,
        })
    }

    /// The query that counts these records, as far as they meet these conditions too.
    fn count_where(&self, more: &[String]) -> String {
        let mut soql = format!("SELECT COUNT() FROM {}", self.from);
        let mut push = |keyword: &str, text: &str| soql.push_str(&format!(" {keyword} {text}"));
        if let Some(using) = self.using {
            push("USING", using);
        }
        match (self.condition, more) {
            (None, []) => {}
            (None, more) => push("WHERE", &more.join(" AND ")),
            (Some(condition), []) => push("WHERE", condition),
            // OR binds less than AND.
            (Some(condition), more) => push("WHERE", &format!("({condition}) AND {}", more.join(" AND "))),
        }
        for with in &self.with {
            push("WITH", with);
        }
        soql
    }
}

/// What is written between FROM and the first clause.
fn from<'q>(text: &'q str, statement: &Statement) -> Option<&'q str> {
    let (first, last) = (statement.from.first()?, statement.from.last()?);
    let start = first.path.segments.first()?.span.start;
    let name = last.alias.as_ref().or_else(|| last.path.segments.last())?;
    text.get(start..name.span.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_query_is_counted_by_its_own_from_and_where() {
        for (text, expected) in [
            ("SELECT Id, Name FROM Account", Some(("SELECT COUNT() FROM Account", 0))),
            (
                "SELECT Id FROM Contact c, c.Account a WHERE a.Name = 'x  ORDER BY y' ORDER BY Id LIMIT 10 OFFSET 3",
                Some((
                    "SELECT COUNT() FROM Contact c, c.Account a WHERE a.Name = 'x  ORDER BY y' LIMIT 13",
                    3,
                )),
            ),
            (
                "SELECT Id, (SELECT Id FROM Contacts WHERE Email != null) FROM Account using  SCOPE mine\nWHERE X = 1 \
                 OR\n Y = 2 WITH SECURITY_ENFORCED ORDER BY Id FOR VIEW",
                Some((
                    "SELECT COUNT() FROM Account USING SCOPE mine WHERE X = 1 OR\n Y = 2 WITH SECURITY_ENFORCED",
                    0,
                )),
            ),
            ("SELECT Id FROM Account FOR UPDATE", Some(("SELECT COUNT() FROM Account", 0))),
            ("SELECT COUNT() FROM Account", None),
            ("SELECT COUNT(Id) FROM Account", None),
            ("SELECT StageName FROM Opportunity GROUP BY StageName", None),
            ("SELECT Id FROM Account LIMIT x", None),
        ] {
            let count = query(text).count();
            let count = count.as_ref().map(|count| (count.soql.as_str(), count.offset));
            assert_eq!(count, expected, "{text}");
        }
    }

    #[test]
    fn deleted_records_are_counted_within_the_same_where() {
        const DELETED: &str = "IsDeleted = true AND SystemModstamp >= 2026-11-22T01:00:00Z";
        for (text, expected) in [
            ("SELECT Id FROM Account", Some(format!("FROM Account WHERE {DELETED}"))),
            (
                "SELECT Id FROM Account a WHERE a.X = 1 OR a.Y IN (SELECT Z FROM B WHERE C = 'a) OR (b') ORDER BY Id",
                Some(format!(
                    "FROM Account a WHERE (a.X = 1 OR a.Y IN (SELECT Z FROM B WHERE C = 'a) OR (b')) AND {DELETED}"
                )),
            ),
            (
                "select Id from Account USING SCOPE Delegated WHERE N = 'ü' WITH SECURITY_ENFORCED FOR REFERENCE",
                Some(format!(
                    "FROM Account USING SCOPE Delegated WHERE (N = 'ü') AND {DELETED} WITH SECURITY_ENFORCED"
                )),
            ),
            (
                "SELECT Id FROM K WITH DATA CATEGORY Geo__c AT usa__c",
                Some(format!("FROM K WHERE {DELETED} WITH DATA CATEGORY Geo__c AT usa__c")),
            ),
            ("SELECT Id FROM Account LIMIT 5", None),
            ("SELECT Id FROM Account OFFSET 5", None),
            ("SELECT COUNT() FROM Account", None),
            ("SELECT MAX(Amount) m FROM Opportunity", None),
            ("SELECT Name FROM Account GROUP BY Name HAVING COUNT(Id) > 1", None),
            ("SELECT Id FROM Account WHERE X = 1 WHERE Y = 2", None),
        ] {
            let expected = expected.map(|text| format!("SELECT COUNT() {text}"));
            let query = query(text);
            assert_eq!(query.count_of_deleted("SystemModstamp", "2026-11-22T01:00:00Z"), expected, "{text}");
            assert_eq!(query.count_of_all().is_some(), expected.is_some(), "{text}");
        }
    }

    #[test]
    fn what_counts_a_query_is_a_query_that_counts() {
        for text in [
            "SELECT Id FROM Account a, a.Owner o WHERE o.Name LIKE '%\\'%' WITH USER_MODE",
            "SELECT Id FROM Group",
            "SELECT Id FROM Order WHERE (A = 1 AND (B = 2 OR NOT C = 3))",
        ] {
            let query = query(text);
            let counts =
                [query.count_of_all(), query.count_of_deleted("LastModifiedDate", "2026-11-22T01:00:00Z")];
            for soql in counts {
                let soql = soql.expect(text);
                assert!(Query::parse(&soql).expect(&soql).statement.is_count(), "{soql}");
            }
        }
    }
}
