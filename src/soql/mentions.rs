//! The fields that a statement mentions in its select list and its clauses, as paths from the statement's object: for
//! messages about unknown fields.

use super::columns::Roots;
use super::{Argument, Call, Clause, ClauseKind, Item, Name, Path, Query, Statement, TokenKind};

/// A field that is mentioned, or its TYPEOF branch's object and field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// Relationships, then the field, without the object's own name or alias.
    pub(crate) place: Vec<Name>,
    /// The object that the place is seen from, if it is not the statement's: that of a TYPEOF branch.
    pub(crate) object: Option<Name>,
    /// Whether the place ends with a relationship: that of TYPEOF, or one in FROM.
    pub(crate) is_relationship: bool,
}

/// A query within a condition, whose places are seen from its own beginning.
pub(crate) struct SemiJoin {
    pub(crate) query: Query,
    /// Where it begins in the text, in bytes.
    pub(crate) start: usize,
}

impl Statement {
    /// The fields of this statement, not those of its child queries and semi-joins; the select list's first.
    pub(crate) fn mentions(&self) -> Vec<Mention> {
        let roots = Roots::of(&self.from);
        let own = |path: &Path| Mention {
            place: roots.place(path).0.into_iter().cloned().collect(),
            object: None,
            is_relationship: false,
        };
        let relationship = |path: &Path| Mention { is_relationship: true, ..own(path) };
        let mut mentions = Vec::new();
        for item in &self.select {
            match item {
                Item::Field { path, .. } => mentions.push(own(path)),
                Item::Function { call, .. } => {
                    mentions.extend(arguments(call).into_iter().map(own));
                }
                Item::Child(_) => {}
                Item::TypeOf { relationship: path, whens, .. } => {
                    mentions.push(relationship(path));
                    for (object, fields) in whens {
                        mentions.extend(fields.iter().map(|field| Mention {
                            place: field.segments.clone(),
                            object: Some(object.clone()),
                            is_relationship: false,
                        }));
                    }
                }
            }
        }
        mentions.extend(self.from.iter().skip(1).map(|source| relationship(&source.path)));
        for clause in &self.clauses {
            mentions.extend(in_clause(clause).iter().map(own));
        }
        mentions
    }

    /// Whether it has fields that no [`Mention`] has: those of `TYPEOF ... ELSE`, which belong to objects that are not named.
    pub(crate) fn mentions_less(&self) -> bool {
        self.select.iter().any(|item| matches!(item, Item::TypeOf { otherwise: Some(_), .. }))
    }

    /// The queries in its conditions, not those nested in them. `text` is the statement's.
    pub(crate) fn semi_joins(&self, text: &str) -> Vec<SemiJoin> {
        let mut found = Vec::new();
        for clause in &self.clauses {
            let mut at = 0;
            while at < clause.tokens.len() {
                if !opens_query(clause, at) {
                    at += 1;
                    continue;
                }
                let behind = behind_parenthesis(clause, at);
                let inner = clause.tokens.get(at + 1..behind - 1).unwrap_or_default();
                at = behind;
                let (Some(first), Some(last)) = (inner.first(), inner.last()) else { continue };
                let start = first.span.start;
                let query = text.get(start..last.span.end).and_then(|text| Query::parse(text).ok());
                found.extend(query.map(|query| SemiJoin { query, start }));
            }
        }
        found
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

/// The words of a clause that can only be fields: in a condition, those before an operator and the first argument of a
/// function; in GROUP BY and ORDER BY, those that begin an entry.
fn in_clause(clause: &Clause) -> Vec<Path> {
    const OPERATORS: [&str; 5] = ["LIKE", "IN", "NOT", "INCLUDES", "EXCLUDES"];
    let tokens = &clause.tokens;
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    let mut paths = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if opens_query(clause, at) {
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
                        || is_argument(clause, at)
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

/// Whether a word is the first argument of a function, as in `CALENDAR_YEAR(CreatedDate)`.
fn is_argument(clause: &Clause, at: usize) -> bool {
    const OTHERS: [&str; 6] = ["AND", "OR", "NOT", "IN", "INCLUDES", "EXCLUDES"];
    let tokens = &clause.tokens;
    let [Some(function), Some(open)] = [2, 1].map(|back| at.checked_sub(back).and_then(|at| tokens.get(at)))
    else {
        return false;
    };
    open.kind == TokenKind::Open
        && function.kind == TokenKind::Word
        && !OTHERS.iter().any(|other| function.is_word(other))
        && matches!(tokens.get(at + 1).map(|next| next.kind), Some(TokenKind::Comma | TokenKind::Close))
}

/// Whether a query in parentheses begins here.
fn opens_query(clause: &Clause, at: usize) -> bool {
    let token = |at: usize| clause.tokens.get(at);
    token(at).is_some_and(|token| token.kind == TokenKind::Open)
        && token(at + 1).is_some_and(|token| token.is_word("SELECT"))
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
                "What",
                "Account:Phone",
                "Account:x.y",
                "Name",
                "Site",
                "Id",
                "CreatedDate",
                "CloseDate",
                "Interests__c",
                "Rating",
                "Tier__c",
                "Id",
                "LastName",
                "Owner.Alias",
            ]
        );
        assert_eq!(mentioned("SELECT FIELDS(ALL) FROM A LIMIT 200"), [""; 0]);
        assert_eq!(mentioned("SELECT a.Phone FROM Contact c, c.Account a"), ["Account.Phone", "Account"]);
        assert_eq!(
            mentioned("SELECT Id FROM A WHERE (NOT(B = 1)) AND C IN (TODAY) AND D = 2"),
            ["Id", "B", "C", "D"]
        );
    }

    #[test]
    fn the_queries_in_a_condition_are_found_with_their_place() {
        let text = "SELECT Id FROM A WHERE B IN (SELECT C FROM D WHERE E IN (SELECT F FROM G)) AND H NOT IN (SELECT I FROM J)";
        let statement = Query::parse(text).unwrap().statement;
        let found = statement.semi_joins(text).into_iter().map(|inner| (inner.start, inner.query.text));
        let place = |inner: &str| (text.find(inner).unwrap(), inner.to_owned());
        assert_eq!(
            found.collect::<Vec<_>>(),
            [place("SELECT C FROM D WHERE E IN (SELECT F FROM G)"), place("SELECT I FROM J")]
        );
        assert_eq!(
            Query::parse("SELECT Id FROM A").unwrap().statement.semi_joins("SELECT Id FROM A").len(),
            0
        );
    }
}
