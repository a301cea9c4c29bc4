//! The tokens of WHERE, HAVING and ORDER BY, read against the fields of an object.

use super::functions::{EARTH_RADIUS_KM, KM_PER_MILE};
use super::{Chain, Condition, DateFunction, Distance, Operand, Order, Test};
use crate::demo_org::group::{Aggregate, AggregateFunction, Groups};
use crate::demo_org::literal::{Literal, Operator, Pattern, Wrong};
use crate::demo_org::plan::{Planner, Scope};
use crate::demo_org::refusal::Refusal;
use crate::demo_org::schema::Kind;
use crate::soql::{Token, TokenKind};

/// A reader of the tokens of one clause.
pub(in crate::demo_org) struct Reader<'p> {
    pub(in crate::demo_org) planner: &'p Planner<'p>,
    pub(in crate::demo_org) scope: &'p Scope,
    pub(in crate::demo_org) tokens: &'p [Token],
    pub(in crate::demo_org) at: usize,
    /// Where the clause ends in the text, for what is missing there.
    pub(in crate::demo_org) end: usize,
    /// The groups of a grouped query, once they are known.
    pub(in crate::demo_org) groups: Option<&'p mut Groups>,
}

impl<'p> Reader<'p> {
    /// A whole condition.
    pub(in crate::demo_org) fn condition(&mut self) -> Result<Condition, Refusal> {
        let condition = self.expression(0)?;
        self.expect_end()?;
        Ok(condition)
    }

    pub(in crate::demo_org) fn expect_end(&self) -> Result<(), Refusal> {
        if self.at < self.tokens.len() { Err(self.unexpected()) } else { Ok(()) }
    }

    fn expression(&mut self, depth: usize) -> Result<Condition, Refusal> {
        if depth > 50 {
            return Err(Refusal::new(
                "QUERY_TOO_COMPLICATED",
                "Query is either selecting too many fields or the filter conditions are too complicated",
            ));
        }
        let first = self.unary(depth)?;
        let Some(word) = ["AND", "OR"].into_iter().find(|word| self.peek_word(word)) else {
            return Ok(first);
        };
        let mut parts = vec![first];
        while self.eat_word(word) {
            parts.push(self.unary(depth)?);
        }
        // AND and OR side by side need parentheses; the other word is left over for the caller to refuse.
        Ok(if word == "AND" { Condition::All(parts) } else { Condition::Any(parts) })
    }

    fn unary(&mut self, depth: usize) -> Result<Condition, Refusal> {
        if self.eat_word("NOT") {
            return Ok(Condition::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.eat(TokenKind::Open) {
            let inner = self.expression(depth + 1)?;
            self.expect(TokenKind::Close)?;
            return Ok(inner);
        }
        self.test()
    }

    fn test(&mut self) -> Result<Condition, Refusal> {
        let start = self.offset();
        let (operand, kind, name) = self.operand()?;
        let refuse = |code, reason: String| Err(Refusal::at(self.planner.query, start, code, &reason));
        if !kind.is_filterable() {
            return refuse("INVALID_FIELD", format!("field '{name}' can not be filtered in a query call"));
        }
        let operator_at = self.offset();
        let not = self.eat_word("NOT");
        if self.eat_word("IN") {
            let test = self.list(kind, &name)?;
            return Ok(negated(not, Condition::Test(operand, test)));
        }
        if not {
            return Err(self.unexpected());
        }
        if self.eat_word("LIKE") {
            let token = self.next()?;
            if token.kind != TokenKind::String || !kind.is_text() || kind == Kind::MultiPicklist {
                return refuse(
                    "INVALID_QUERY_FILTER_OPERATOR",
                    format!("invalid operator on {} field", kind.as_str()),
                );
            }
            return Ok(Condition::Test(operand, Test::Like(Pattern::read(&token.text))));
        }
        for (word, negate) in [("INCLUDES", false), ("EXCLUDES", true)] {
            if self.eat_word(word) {
                if kind != Kind::MultiPicklist {
                    return refuse(
                        "INVALID_QUERY_FILTER_OPERATOR",
                        format!("{} operator is valid only on multi-picklist fields", word.to_lowercase()),
                    );
                }
                return Ok(negated(negate, Condition::Test(operand, self.includes()?)));
            }
        }
        let token = self.next()?;
        let operator = Operator::read(&token.text)
            .filter(|_| token.kind == TokenKind::Operator)
            .ok_or_else(|| Refusal::unexpected(self.planner.query, operator_at))?;
        if matches!(operand, Operand::Distance(_)) && !matches!(operator, Operator::Less | Operator::Greater)
        {
            return refuse("INVALID_QUERY_FILTER_OPERATOR", "DISTANCE takes < and > only".to_owned());
        }
        let literal = self.literal(kind, &name)?;
        let refused = operator.is_range()
            && (literal == Literal::Null || matches!(kind, Kind::Boolean | Kind::MultiPicklist));
        if refused {
            return refuse(
                "INVALID_QUERY_FILTER_OPERATOR",
                format!("invalid operator on {} field", kind.as_str()),
            );
        }
        Ok(Condition::Test(operand, Test::Compare(operator, literal)))
    }

    fn literal(&mut self, kind: Kind, name: &str) -> Result<Literal, Refusal> {
        let start = self.offset();
        let token = self.next()?;
        Literal::read(token, kind, self.planner.data.clock().today()).map_err(|wrong| match wrong {
            Wrong::Unexpected => Refusal::unexpected(self.planner.query, start),
            Wrong::Id(text) => Refusal::at(
                self.planner.query,
                start,
                "INVALID_QUERY_FILTER_OPERATOR",
                &format!("invalid ID field: {text}"),
            ),
            Wrong::Type => {
                let quoted = if kind.is_text() || kind.is_id() { "should be" } else { "should not be" };
                let kind = match kind {
                    Kind::Datetime => "dateTime",
                    _ if kind.is_text() => "string",
                    _ if kind.is_id() => "reference",
                    _ => kind.as_str(),
                };
                let reason = format!(
                    "value of filter criterion for field '{name}' must be of type {kind} and {quoted} enclosed in quotes"
                );
                Refusal::at(self.planner.query, start, "INVALID_FIELD", &reason)
            }
        })
    }

    fn list(&mut self, kind: Kind, name: &str) -> Result<Test, Refusal> {
        self.expect(TokenKind::Open)?;
        if self.peek_word("SELECT") {
            return self.semi_join(kind, name);
        }
        let mut literals = vec![self.literal(kind, name)?];
        while self.eat(TokenKind::Comma) {
            literals.push(self.literal(kind, name)?);
        }
        self.expect(TokenKind::Close)?;
        Ok(Test::In(literals))
    }

    fn semi_join(&mut self, kind: Kind, name: &str) -> Result<Test, Refusal> {
        let start = self.offset();
        let mut depth = 1;
        while depth > 0 {
            match self.next()?.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth -= 1,
                _ => {}
            }
        }
        if !kind.is_id() {
            let reason = format!("semi join field '{name}' must be an ID or reference field");
            return Err(Refusal::at(self.planner.query, start, "INVALID_QUERY_FILTER_OPERATOR", &reason));
        }
        let end = self.tokens[self.at - 1].span.start;
        self.planner.ids(&self.planner.query[start..end]).map(Test::Among)
    }

    fn includes(&mut self) -> Result<Test, Refusal> {
        self.expect(TokenKind::Open)?;
        let mut wanted = Vec::new();
        loop {
            let Literal::Text(all) = self.literal(Kind::Text, "")? else { return Err(self.unexpected()) };
            wanted.push(all.split(';').map(|one| one.trim().to_owned()).collect());
            if !self.eat(TokenKind::Comma) {
                break;
            }
        }
        self.expect(TokenKind::Close)?;
        Ok(Test::Includes(wanted))
    }

    /// ORDER BY's entries.
    pub(in crate::demo_org) fn orders(&mut self) -> Result<Vec<Order>, Refusal> {
        let mut orders = Vec::new();
        loop {
            let start = self.offset();
            let (operand, kind, name) = self.operand()?;
            if !kind.is_sortable() {
                let reason = format!("field '{name}' can not be sorted in a query call");
                return Err(Refusal::at(self.planner.query, start, "INVALID_FIELD", &reason));
            }
            let descending = self.eat_word("DESC") || {
                self.eat_word("ASC");
                false
            };
            let nulls_last = if self.eat_word("NULLS") {
                let last = self.eat_word("LAST");
                if !last && !self.eat_word("FIRST") {
                    return Err(self.unexpected());
                }
                last
            } else {
                false
            };
            orders.push(Order { operand, descending, nulls_last });
            if !self.eat(TokenKind::Comma) {
                break;
            }
        }
        self.expect_end()?;
        Ok(orders)
    }

    /// A field, a function of one, or, in a grouped query, a key or an aggregate; with its kind and its name.
    pub(in crate::demo_org) fn operand(&mut self) -> Result<(Operand, Kind, String), Refusal> {
        let start = self.offset();
        let token = self.next()?;
        if token.kind != TokenKind::Word {
            return Err(Refusal::unexpected(self.planner.query, start));
        }
        if !self.eat(TokenKind::Open) {
            let chain = self.planner.chain_of_text(self.scope, &token.text, start)?;
            let (kind, name) = (chain.kind(), chain.key().to_owned());
            return Ok((self.keyed(Operand::Field(chain), start)?, kind, name));
        }
        let name = token.text.clone();
        if let Some(function) = DateFunction::read(&name) {
            let chain = self.date_argument()?;
            self.expect(TokenKind::Close)?;
            return Ok((self.keyed(Operand::Date(function, chain), start)?, function.kind(), name));
        }
        if name.eq_ignore_ascii_case("DISTANCE") {
            let distance = self.distance()?;
            return Ok((self.keyed(Operand::Distance(distance), start)?, Kind::Double, name));
        }
        if name.eq_ignore_ascii_case("toLabel") {
            let chain = self.chain()?;
            self.expect(TokenKind::Close)?;
            let (kind, key) = (chain.kind(), chain.key().to_owned());
            return Ok((self.keyed(Operand::Field(chain), start)?, kind, key));
        }
        let is_grouping = name.eq_ignore_ascii_case("GROUPING");
        let function = AggregateFunction::read(&name);
        if self.groups.is_none() || (function.is_none() && !is_grouping) {
            return Err(Refusal::unexpected(self.planner.query, start));
        }
        let chain = if self.eat(TokenKind::Close) {
            None
        } else {
            let chain = self.chain()?;
            self.expect(TokenKind::Close)?;
            Some(chain)
        };
        let query = self.planner.query;
        let (Some(groups), true) = (self.groups.as_deref_mut(), chain.is_some() || !is_grouping) else {
            return Err(Refusal::unexpected(query, start));
        };
        if let (true, Some(chain)) = (is_grouping, &chain) {
            let key = groups.key(&Operand::Field(chain.clone()));
            let key = key.ok_or_else(|| not_grouped(query, start, &chain.path))?;
            return Ok((Operand::Grouping(key), Kind::Int, name));
        }
        let Some(function) = function else { return Err(Refusal::unexpected(query, start)) };
        let aggregate = Aggregate::new(function, chain)
            .map_err(|reason| Refusal::at(query, start, "MALFORMED_QUERY", &reason))?;
        let kind = aggregate.kind();
        Ok((Operand::Aggregate(groups.aggregate(aggregate)), kind, name))
    }

    /// In a grouped query a field stands for the key that it is.
    fn keyed(&self, operand: Operand, start: usize) -> Result<Operand, Refusal> {
        match &self.groups {
            None => Ok(operand),
            Some(groups) => match groups.key(&operand) {
                Some(key) => Ok(Operand::Key(key)),
                None => {
                    let name = match &operand {
                        Operand::Field(chain) | Operand::Date(_, chain) => chain.path.clone(),
                        Operand::Distance(distance) => distance.from.path.clone(),
                        _ => String::new(),
                    };
                    Err(not_grouped(self.planner.query, start, &name))
                }
            },
        }
    }

    /// The argument of a date function: a field, or `convertTimezone(field)`, which changes nothing here.
    fn date_argument(&mut self) -> Result<Chain, Refusal> {
        let start = self.offset();
        let converted = self.peek_word("convertTimezone")
            && self.tokens.get(self.at + 1).is_some_and(|token| token.kind == TokenKind::Open);
        if converted {
            self.at += 2;
        }
        let chain = self.chain()?;
        if converted {
            self.expect(TokenKind::Close)?;
        }
        if matches!(chain.kind(), Kind::Date | Kind::Datetime) {
            Ok(chain)
        } else {
            let reason = format!("field '{}' is not a date", chain.path);
            Err(Refusal::at(self.planner.query, start, "INVALID_FIELD", &reason))
        }
    }

    /// The rest of `DISTANCE(field, GEOLOCATION(latitude, longitude), 'km')`.
    fn distance(&mut self) -> Result<Distance, Refusal> {
        let start = self.offset();
        let from = self.chain()?;
        if !matches!(from.kind(), Kind::Location | Kind::Address) {
            let reason = format!("field '{}' is not a location", from.path);
            return Err(Refusal::at(self.planner.query, start, "INVALID_FIELD", &reason));
        }
        self.expect(TokenKind::Comma)?;
        if !self.eat_word("GEOLOCATION") {
            return Err(self.unexpected());
        }
        self.expect(TokenKind::Open)?;
        let latitude = self.degrees(90.0)?;
        self.expect(TokenKind::Comma)?;
        let longitude = self.degrees(180.0)?;
        self.expect(TokenKind::Close)?;
        self.expect(TokenKind::Comma)?;
        let unit = self.offset();
        let token = self.next()?;
        let radius = match token.text.to_ascii_lowercase().as_str() {
            "'km'" => EARTH_RADIUS_KM,
            "'mi'" => EARTH_RADIUS_KM / KM_PER_MILE,
            _ => return Err(Refusal::unexpected(self.planner.query, unit)),
        };
        self.expect(TokenKind::Close)?;
        Ok(Distance { from, latitude, longitude, radius })
    }

    fn degrees(&mut self, most: f64) -> Result<f64, Refusal> {
        let start = self.offset();
        let token = self.next()?;
        let degrees = token.text.parse::<f64>().ok().filter(|degrees| degrees.abs() <= most);
        degrees
            .filter(|_| token.kind == TokenKind::Literal)
            .ok_or_else(|| Refusal::unexpected(self.planner.query, start))
    }

    fn chain(&mut self) -> Result<Chain, Refusal> {
        let start = self.offset();
        let token = self.next()?;
        if token.kind != TokenKind::Word {
            return Err(Refusal::unexpected(self.planner.query, start));
        }
        self.planner.chain_of_text(self.scope, &token.text, start)
    }

    fn next(&mut self) -> Result<&'p Token, Refusal> {
        let token = self.tokens.get(self.at).ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(token)
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |token| token.span.start)
    }

    pub(in crate::demo_org) fn unexpected(&self) -> Refusal {
        Refusal::unexpected(self.planner.query, self.offset())
    }

    fn peek_word(&self, word: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.is_word(word))
    }

    pub(in crate::demo_org) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.at += usize::from(found);
        found
    }

    pub(in crate::demo_org) fn eat(&mut self, kind: TokenKind) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|token| token.kind == kind);
        self.at += usize::from(found);
        found
    }

    pub(in crate::demo_org) fn expect(&mut self, kind: TokenKind) -> Result<(), Refusal> {
        if self.eat(kind) { Ok(()) } else { Err(self.unexpected()) }
    }
}

/// What the org says of a field that a grouped query neither groups by nor aggregates.
pub(in crate::demo_org) fn not_grouped(query: &str, at: usize, name: &str) -> Refusal {
    Refusal::at(query, at, "MALFORMED_QUERY", &format!("Field must be grouped or aggregated: {name}"))
}

fn negated(not: bool, condition: Condition) -> Condition {
    if not { Condition::Not(Box::new(condition)) } else { condition }
}
