//! The fields that a statement mentions in its select list and its clauses, as paths from the statement's object: for
//! messages about unknown fields.

use super::columns::Roots;
use super::{Argument, Call, Clause, ClauseKind, Item, Name, Path, Statement, TokenKind};

/// A field that is mentioned, or its TYPEOF branch's object and field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// Relationships, then the field, without the object's own name or alias.
    pub(crate) place: Vec<Name>,
    /// The object that the place is seen from, if it is not the statement's: that of a TYPEOF branch.
    pub(crate) object: Option<Name>,
}

impl Statement {
    /// The fields of this statement, not those of its child queries and semi-joins; the select list's first.
    pub(crate) fn mentions(&self) -> Vec<Mention> {
        let roots = Roots::of(&self.from);
        let own =
            |path: &Path| Mention { place: roots.place(path).0.into_iter().cloned().collect(), object: None };
        let mut mentions = Vec::new();
        for item in &self.select {
            match item {
                Item::Field { path, .. } => mentions.push(own(path)),
                Item::Function { call, .. } => {
                    mentions.extend(arguments(call).into_iter().map(own));
                }
                Item::Child(_) => {}
                Item::TypeOf { whens, .. } => {
                    for (object, fields) in whens {
                        mentions.extend(fields.iter().map(|field| Mention {
                            place: field.segments.clone(),
                            object: Some(object.clone()),
                        }));
                    }
                }
            }
        }
        for clause in &self.clauses {
            mentions.extend(in_clause(clause).iter().map(own));
        }
        mentions
    }
}

/// The paths that a call is made with, at any depth; `FIELDS(ALL)` has none.
fn arguments(call: &Call) -> Vec<&Path> {
    if call.name.eq_ignore_ascii_case("FIELDS") {
        return Vec::new();
    }
    fn of(argument: &Argument) -> Vec<&Path> {
        match argument {
            Argument::Path(path) => vec![path],
            Argument::Call(call) => arguments(call),
            Argument::Literal(_) => Vec::new(),
        }
    }
    call.arguments.iter().flat_map(of).collect()
}

/// The words of a clause that can only be fields: in a condition, those before an operator; in GROUP BY and ORDER BY,
/// those that begin an entry.
fn in_clause(clause: &Clause) -> Vec<Path> {
    const OPERATORS: [&str; 5] = ["LIKE", "IN", "NOT", "INCLUDES", "EXCLUDES"];
    let tokens = &clause.tokens;
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    let mut paths = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let opens_query =
            token.kind == TokenKind::Open && tokens.get(at + 1).is_some_and(|token| token.is_word("SELECT"));
        if opens_query {
            at = behind_parenthesis(clause, at);
            continue;
        }
        let is_field = token.kind == TokenKind::Word
            && match clause.kind {
                ClauseKind::Where | ClauseKind::Having => {
                    kind(at + 1) == Some(TokenKind::Operator)
                        || tokens
                            .get(at + 1)
                            .is_some_and(|next| OPERATORS.iter().any(|operator| next.is_word(operator)))
                            && !["AND", "OR", "NOT"].iter().any(|word| token.is_word(word))
                }
                ClauseKind::GroupBy | ClauseKind::OrderBy => {
                    let begins = at == 0 || matches!(kind(at - 1), Some(TokenKind::Comma | TokenKind::Open));
                    begins && kind(at + 1) != Some(TokenKind::Open)
                }
                _ => false,
            };
        if is_field {
            paths.push(Path::from(token));
        }
        at += 1;
    }
    paths
}

/// The place behind the parenthesis that opens here.
fn behind_parenthesis(clause: &Clause, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in clause.tokens.iter().enumerate().skip(open) {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close if depth == 1 => return at + 1,
            TokenKind::Close => depth -= 1,
            _ => {}
        }
    }
    clause.tokens.len()
}

#[cfg(test)]
mod tests {
    use super::super::Query;

    fn mentioned(text: &str) -> Vec<String> {
        let query = Query::parse(text).unwrap();
        let shown = |mention: super::Mention| {
            let place: Vec<_> = mention.place.iter().map(|name| name.text.clone()).collect();
            format!(
                "{}{}",
                mention.object.map_or_else(String::new, |object| format!("{object}:")),
                place.join(".")
            )
        };
        query.statement.mentions().into_iter().map(shown).collect()
    }

    #[test]
    fn the_fields_of_every_clause_are_mentioned() {
        assert_eq!(
            mentioned(
                "SELECT a.Id, toLabel(a.Owner.Name) n, COUNT_DISTINCT(Type), (SELECT Email FROM Contacts), \
                 DISTANCE(Place__c, GEOLOCATION(1, 2), 'mi'), TYPEOF What WHEN Account THEN Phone, x.y END FROM Account a \
                 WHERE (Name LIKE 'a' OR NOT Site = 'Wort') AND Id NOT IN (SELECT AccountId FROM Case WHERE Nope = 1) AND \
                 CALENDAR_YEAR(CreatedDate) = 2026 AND CloseDate = LAST_N_DAYS:3 AND a.Interests__c INCLUDES ('b') \
                 GROUP BY ROLLUP(Rating, Account.Tier__c) HAVING COUNT(Id) > 1 \
                 ORDER BY LastName DESC NULLS LAST, Owner.Alias LIMIT 5"
            ),
            [
                "Id",
                "Owner.Name",
                "Type",
                "Place__c",
                "Account:Phone",
                "Account:x.y",
                "Name",
                "Site",
                "Id",
                "CloseDate",
                "Interests__c",
                "Rating",
                "Tier__c",
                "LastName",
                "Owner.Alias",
            ]
        );
        assert_eq!(mentioned("SELECT FIELDS(ALL) FROM A LIMIT 200"), [""; 0]);
    }
}
