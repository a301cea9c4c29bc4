//! The select list, GROUP BY and HAVING of a grouped query.

use super::{Planner, Scope, dotted, place};
use crate::demo_org::condition::{DateFunction, Operand, not_grouped};
use crate::demo_org::group::{Aggregate, AggregateFunction, GroupColumn, Groups, Subtotals};
use crate::demo_org::refusal::Refusal;
use crate::soql::{Argument, Call, Clause, ClauseKind, Item, Name, Statement, TokenKind};

impl Planner<'_> {
    /// What a grouped query asks for.
    pub(super) fn groups(&self, statement: &Statement, scope: &Scope, end: usize) -> Result<Groups, Refusal> {
        let mut groups = Groups::default();
        if let Some(clause) = statement.clause(ClauseKind::GroupBy) {
            self.keys(&mut groups, scope, clause, end)?;
        }
        let mut unnamed = 0;
        for item in &statement.select {
            let (at, column) = match item {
                Item::Field { path, alias } => {
                    let chain = self.path(scope, path)?;
                    let at = place(path);
                    let key = groups.key(&Operand::Field(chain.clone()));
                    let key = key.ok_or_else(|| not_grouped(self.query, at, &chain.path))?;
                    let name = alias.as_ref().map_or(chain.key(), Name::as_str).to_owned();
                    let column = GroupColumn {
                        key: name,
                        operand: Operand::Key(key),
                        text: dotted(path),
                        is_field: true,
                        formatted: false,
                    };
                    (at, column)
                }
                Item::Function { call, alias } => {
                    let (operand, formatted) = self.group_function(&mut groups, scope, call)?;
                    let key = match alias {
                        Some(alias) => alias.text.clone(),
                        None => {
                            unnamed += 1;
                            format!("expr{}", unnamed - 1)
                        }
                    };
                    let text = printed(call);
                    (call.name.span.start, GroupColumn { key, operand, text, is_field: false, formatted })
                }
                Item::Child(child) => {
                    return Err(Refusal::unexpected(self.query, place(&child.from[0].path)));
                }
                Item::TypeOf { relationship, .. } => {
                    return Err(Refusal::unexpected(self.query, place(relationship)));
                }
            };
            if groups.columns.iter().any(|known| known.key.eq_ignore_ascii_case(&column.key)) {
                let reason = format!("duplicate alias: {}", column.key);
                return Err(Refusal::at(self.query, at, "MALFORMED_QUERY", &reason));
            }
            groups.columns.push(column);
        }
        if let Some(clause) = statement.clause(ClauseKind::Having) {
            let having = self.reader(scope, clause, end, Some(&mut groups)).condition()?;
            groups.having = Some(having);
        }
        Ok(groups)
    }

    fn keys(&self, groups: &mut Groups, scope: &Scope, clause: &Clause, end: usize) -> Result<(), Refusal> {
        let mut reader = self.reader(scope, clause, end, None);
        let second_opens = clause.tokens.get(1).is_some_and(|token| token.kind == TokenKind::Open);
        if second_opens && reader.eat_word("ROLLUP") {
            groups.subtotals = Subtotals::Rollup;
        } else if second_opens && reader.eat_word("CUBE") {
            groups.subtotals = Subtotals::Cube;
        }
        let wrapped = groups.subtotals != Subtotals::None;
        if wrapped {
            reader.expect(TokenKind::Open)?;
        }
        loop {
            let start = clause.tokens.get(reader.at).map_or(end, |token| token.span.start);
            let (operand, kind, name) = reader.operand()?;
            if !kind.is_groupable() {
                let reason = format!("field '{name}' can not be grouped in a query call");
                return Err(Refusal::at(self.query, start, "MALFORMED_QUERY", &reason));
            }
            if groups.key(&operand).is_none() {
                groups.keys.push(operand);
            }
            if !reader.eat(TokenKind::Comma) {
                break;
            }
        }
        if wrapped {
            reader.expect(TokenKind::Close)?;
            // The documentation allows three.
            if groups.keys.len() > 3 {
                return Err(Refusal::new(
                    "MALFORMED_QUERY",
                    "GROUP BY ROLLUP and CUBE take at most three fields",
                ));
            }
        }
        reader.expect_end()
    }

    fn group_function(
        &self,
        groups: &mut Groups,
        scope: &Scope,
        call: &Call,
    ) -> Result<(Operand, bool), Refusal> {
        let at = call.name.span.start;
        let name = &call.name.text;
        if name.eq_ignore_ascii_case("FORMAT") || name.eq_ignore_ascii_case("convertCurrency") {
            let [Argument::Call(inner)] = call.arguments.as_slice() else {
                return Err(Refusal::unexpected(self.query, at));
            };
            let (operand, _) = self.group_function(groups, scope, inner)?;
            return Ok((operand, name.eq_ignore_ascii_case("FORMAT")));
        }
        let chain = match call.arguments.as_slice() {
            [] => None,
            [Argument::Path(path)] => Some(self.path(scope, path)?),
            // convertTimezone(f) inside a date function changes nothing: the org's zone is UTC.
            [Argument::Call(inner)] if inner.name.eq_ignore_ascii_case("convertTimezone") => {
                match inner.arguments.as_slice() {
                    [Argument::Path(path)] => Some(self.path(scope, path)?),
                    _ => return Err(Refusal::unexpected(self.query, at)),
                }
            }
            _ => return Err(Refusal::unexpected(self.query, at)),
        };
        if let Some(function) = DateFunction::read(name) {
            let chain = chain.ok_or_else(|| Refusal::unexpected(self.query, at))?;
            let path = chain.path.clone();
            let key = groups.key(&Operand::Date(function, chain));
            return Ok((Operand::Key(key.ok_or_else(|| not_grouped(self.query, at, &path))?), false));
        }
        if name.eq_ignore_ascii_case("GROUPING") {
            let chain = chain.ok_or_else(|| Refusal::unexpected(self.query, at))?;
            let path = chain.path.clone();
            let key = groups.key(&Operand::Field(chain));
            return Ok((Operand::Grouping(key.ok_or_else(|| not_grouped(self.query, at, &path))?), false));
        }
        let function = AggregateFunction::read(name).ok_or_else(|| Refusal::unexpected(self.query, at))?;
        let aggregate = Aggregate::new(function, chain)
            .map_err(|reason| Refusal::at(self.query, at, "MALFORMED_QUERY", &reason))?;
        Ok((Operand::Aggregate(groups.aggregate(aggregate)), false))
    }
}

/// A call as written, for the metadata of columns.
fn printed(call: &Call) -> String {
    let arguments: Vec<String> = call
        .arguments
        .iter()
        .map(|argument| match argument {
            Argument::Path(path) => dotted(path),
            Argument::Call(call) => printed(call),
            Argument::Literal(text) => text.clone(),
        })
        .collect();
    format!("{}({})", call.name.text, arguments.join(", "))
}
