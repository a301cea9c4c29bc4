//! What people write in conditions because SQL and other languages have it, for hints on queries that an org refused. The org
//! judges the query: an alias or a field may have such a name.

use super::{ClauseKind, Statement, Token, TokenKind};

/// What to write instead, if the statement contains something of another language.
pub(crate) fn habit_of_sql(statement: &Statement) -> Option<&'static str> {
    statement.clauses.iter().find_map(|clause| match clause.kind {
        ClauseKind::Where | ClauseKind::Having => in_condition(&clause.tokens),
        ClauseKind::Limit => not_a_number(&clause.tokens).then_some("write a whole number after LIMIT"),
        ClauseKind::Offset => not_a_number(&clause.tokens).then_some("write a whole number after OFFSET"),
        _ => None,
    })
}

fn in_condition(tokens: &[Token]) -> Option<&'static str> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let is_equals = |at: usize| {
        tokens.get(at).is_some_and(|token| token.kind == TokenKind::Operator && token.text == "=")
    };
    let found = (0..tokens.len()).find_map(|at| match at {
        _ if is(at, "IS") && is(at + 1, "NOT") && is(at + 2, "NULL") => {
            Some("write != null instead of IS NOT NULL")
        }
        _ if is(at, "IS") && is(at + 1, "NULL") => Some("write = null instead of IS NULL"),
        _ if is(at, "BETWEEN") => Some("write two conditions, with >= and <=, instead of BETWEEN"),
        _ if is_equals(at) && is_equals(at + 1) => Some("write = instead of =="),
        _ => None,
    });
    let is_unfinished = |token: &Token| ["AND", "OR", "NOT"].iter().any(|word| token.is_word(word));
    let last = tokens.last().filter(|token| is_unfinished(token));
    found.or(last.map(|_| "complete the last condition, or remove the word before it"))
}

fn not_a_number(tokens: &[Token]) -> bool {
    !matches!(tokens, [token] if token.text.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soql::Query;

    #[test]
    fn what_soql_lacks_is_found() {
        for (clauses, expected) in [
            ("WHERE Name IS NOT NULL", Some("write != null instead of IS NOT NULL")),
            ("WHERE (Type = 'x' AND Name is null)", Some("write = null instead of IS NULL")),
            ("WHERE Name == 'x'", Some("write = instead of ==")),
            (
                "WHERE Amount BETWEEN 1 AND 2",
                Some("write two conditions, with >= and <=, instead of BETWEEN"),
            ),
            ("WHERE Name = 'x' AND", Some("complete the last condition, or remove the word before it")),
            ("LIMIT ten", Some("write a whole number after LIMIT")),
            ("LIMIT 5, 10", Some("write a whole number after LIMIT")),
            ("LIMIT 5 OFFSET x", Some("write a whole number after OFFSET")),
            ("WHERE Name = 'IS NOT NULL' AND Is__c != null LIMIT 10 OFFSET 5", None),
            ("WHERE Name != null ORDER BY Name", None),
        ] {
            let query = Query::parse(&format!("SELECT Id FROM Account {clauses}")).unwrap();
            assert_eq!(habit_of_sql(&query.statement), expected, "{clauses}");
        }
    }
}
