//! Tokens → a statement: the grammar of the SOQL reference, complete up to FROM, and clause by clause after it.

use super::lexer::{Token, TokenKind, no_star, tokens};
use super::{Argument, Call, Clause, ClauseKind, Item, Name, Path, Source, Statement, SyntaxError};

/// Orgs accept five levels of child queries and explain it best if there are more. Without a bound, a text of nothing
/// but parentheses could exhaust the stack.
const MAX_DEPTH: usize = 16;

/// What to do without joins.
pub(crate) const INSTEAD_OF_JOIN: &str =
    "name a parent's field by its path, as in Account.Name, and select children with a query in parentheses";

pub(super) fn parse(text: &str) -> Result<Statement, SyntaxError> {
    not_another_language(text)?;
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens: &tokens, at: 0, depth: 0 };
    if tokens.is_empty() {
        return Err(parser.error("the query is empty").hint("write a query that begins with SELECT"));
    }
    let statement = parser.statement()?;
    match parser.peek() {
        None => Ok(statement),
        Some(_) => Err(parser.error("this closing parenthesis has no opening one").hint("remove it")),
    }
}

/// Rejects a text whose first word is from another language, before an error is found elsewhere in it.
fn not_another_language(text: &str) -> Result<(), SyntaxError> {
    let start = text.len() - text.trim_start().len();
    let rest = &text[start..];
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    let (reason, hint) = match word.to_ascii_uppercase().as_str() {
        "FIND" => ("this is SOSL, a search", "write a SOQL query, which begins with SELECT"),
        "INSERT" | "UPDATE" | "UPSERT" | "DELETE" | "MERGE" => {
            ("sfexport only reads from the org", "write a query that begins with SELECT")
        }
        "" if rest.starts_with('[') => ("only Apex has brackets around a query", "remove them"),
        _ => return Ok(()),
    };
    Err(SyntaxError::at(text, start, reason).hint(hint))
}

struct Parser<'t> {
    text: &'t str,
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    /// `SELECT list FROM sources clauses`, up to the end or an unmatched `)`.
    fn statement(&mut self) -> Result<Statement, SyntaxError> {
        if !self.eat_word("SELECT") {
            return Err(self.expected("SELECT").hint("write a query that begins with SELECT"));
        }
        self.no_sql_quantifier()?;
        let mut select = vec![self.item()?];
        while self.eat(TokenKind::Comma) {
            select.push(self.item()?);
        }
        if !self.eat_word("FROM") {
            return Err(self.no_from());
        }
        let mut from = vec![self.source()?];
        while self.eat(TokenKind::Comma) {
            from.push(self.source()?);
        }
        let mut clauses = Vec::new();
        while self.peek().is_some_and(|token| token.kind != TokenKind::Close) {
            clauses.push(self.clause()?);
        }
        Ok(Statement { select, from, clauses })
    }

    /// The error of a select list without FROM after it.
    fn no_from(&self) -> SyntaxError {
        let error = self.expected("a comma or FROM");
        match self.at.checked_sub(1).and_then(|before| self.tokens.get(before)) {
            Some(before) if is_misspelt_from(&before.text) => {
                error.hint(format!("write FROM instead of {:?}", before.text))
            }
            _ => error,
        }
    }

    /// Rejects SQL's words between SELECT and its list, which look like fields with an alias.
    fn no_sql_quantifier(&self) -> Result<(), SyntaxError> {
        let is_next = |kind| self.kind_at(1) == Some(kind);
        let (reason, hint) = match self.peek() {
            Some(token) if token.is_word("DISTINCT") && is_next(TokenKind::Word) => (
                "SOQL has no DISTINCT",
                "group the records instead, as in SELECT Name FROM Account GROUP BY Name",
            ),
            Some(token) if token.is_word("TOP") && is_next(TokenKind::Literal) => {
                ("SOQL has no TOP", "write LIMIT at the end of the query")
            }
            _ => return Ok(()),
        };
        // `SELECT Distinct FROM x` would be a field.
        let field = self.tokens.get(self.at + 1).is_some_and(|token| token.is_word("FROM"));
        if field { Ok(()) } else { Err(self.error(reason).hint(hint)) }
    }

    fn item(&mut self) -> Result<Item, SyntaxError> {
        if self.eat(TokenKind::Open) {
            let child = self.nested(Self::statement)?;
            if !self.eat(TokenKind::Close) {
                return Err(self.error("the child query has no closing parenthesis").hint("add a )"));
            }
            return Ok(Item::Child(Box::new(child)));
        }
        if self.peek().is_some_and(|token| token.is_word("FROM")) {
            let after_comma = self.at > 0 && self.tokens[self.at - 1].kind == TokenKind::Comma;
            let hint =
                if after_comma { "remove the comma before FROM" } else { "list the fields before FROM" };
            return Err(self.expected("a field").hint(hint));
        }
        if self.peek().is_some_and(|token| token.is_word("TYPEOF"))
            && self.kind_at(1) == Some(TokenKind::Word)
        {
            return self.type_of();
        }
        if self.kind_at(1) == Some(TokenKind::Open) {
            let call = self.call()?;
            return Ok(Item::Function { call, alias: self.alias()? });
        }
        let path = self.path("a field")?;
        Ok(Item::Field { path, alias: self.alias()? })
    }

    /// `TYPEOF relationship WHEN type THEN fields ... [ELSE fields] END`
    fn type_of(&mut self) -> Result<Item, SyntaxError> {
        self.at += 1;
        let relationship = self.path("a relationship after TYPEOF")?;
        let mut whens = Vec::new();
        while self.eat_word("WHEN") {
            let object = self.name("an object after WHEN")?;
            self.expect_word("THEN", "THEN")?;
            whens.push((object, self.paths()?));
        }
        if whens.is_empty() {
            return Err(self.expected("WHEN"));
        }
        let otherwise = if self.eat_word("ELSE") { Some(self.paths()?) } else { None };
        self.expect_word("END", "a comma, WHEN, ELSE or END")?;
        Ok(Item::TypeOf { relationship, whens, otherwise })
    }

    fn paths(&mut self) -> Result<Vec<Path>, SyntaxError> {
        let mut paths = vec![self.path("a field")?];
        while self.eat(TokenKind::Comma) {
            paths.push(self.path("a field")?);
        }
        Ok(paths)
    }

    /// `NAME(arguments)`
    fn call(&mut self) -> Result<Call, SyntaxError> {
        let name = self.name("a function")?;
        self.expect(TokenKind::Open, "an opening parenthesis")?;
        let mut arguments = Vec::new();
        if self.peek().is_some_and(|token| token.kind != TokenKind::Close) {
            arguments.push(self.nested(Self::argument)?);
            while self.eat(TokenKind::Comma) {
                arguments.push(self.nested(Self::argument)?);
            }
        }
        self.expect(TokenKind::Close, "a comma or a closing parenthesis")?;
        Ok(Call { name, arguments })
    }

    fn argument(&mut self) -> Result<Argument, SyntaxError> {
        let Some(token) = self.peek() else { return Err(self.expected("an argument")) };
        if token.is_word("DISTINCT") && self.kind_at(1) == Some(TokenKind::Word) {
            return Err(self
                .error("SOQL has no DISTINCT")
                .hint("count distinct values with COUNT_DISTINCT(Name)"));
        }
        if token.text == "*" {
            return Err(self.error("SOQL has no COUNT(*)").hint("write COUNT() or COUNT(Id)"));
        }
        match token.kind {
            TokenKind::Word if self.kind_at(1) == Some(TokenKind::Open) => self.call().map(Argument::Call),
            TokenKind::Word => self.path("an argument").map(Argument::Path),
            TokenKind::String | TokenKind::Literal => {
                self.at += 1;
                Ok(Argument::Literal(token.text.clone()))
            }
            _ => Err(self.expected("an argument")),
        }
    }

    /// The alias after a select item: the next word, unless the list continues or ends there.
    fn alias(&mut self) -> Result<Option<Name>, SyntaxError> {
        match self.peek() {
            Some(token) if may_be_alias(token) => {
                if token.is_word("AS") {
                    let hint = "write the alias directly after its expression";
                    return Err(self.error("SOQL has no AS").hint(hint));
                }
                self.name("an alias").map(Some)
            }
            _ => Ok(None),
        }
    }

    fn source(&mut self) -> Result<Source, SyntaxError> {
        let path = self.path("an object after FROM")?;
        self.no_sql_join()?;
        // `AS` is not documented here, but harmless, and the org judges it.
        let as_word = self.eat_word("AS");
        if !as_word {
            self.no_all_rows()?;
        }
        let alias = match self.peek() {
            Some(token) if may_be_alias(token) && (as_word || self.clause_start().is_none()) => {
                Some(self.name("an alias")?)
            }
            _ if as_word => return Err(self.expected("an alias after AS")),
            _ => None,
        };
        self.no_sql_join()?;
        Ok(Source { path, alias })
    }

    /// Rejects SQL's joins and unions, whose first word looks like an alias.
    fn no_sql_join(&self) -> Result<(), SyntaxError> {
        const JOINS: [&str; 6] = ["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS"];
        const SET_OPERATORS: [&str; 4] = ["UNION", "INTERSECT", "EXCEPT", "MINUS"];
        let is = |ahead: usize, words: &[&str]| {
            let token = self.tokens.get(self.at + ahead);
            token.is_some_and(|token| words.iter().any(|word| token.is_word(word)))
        };
        let outer = is(0, &JOINS) && is(1, &["JOIN", "OUTER"]);
        let plain =
            is(0, &["JOIN"]) && self.kind_at(1) == Some(TokenKind::Word) && self.clause_at(1).is_none();
        if outer || plain {
            return Err(self.error("SOQL has no JOIN").hint(INSTEAD_OF_JOIN));
        }
        let set_operator = SET_OPERATORS.iter().find(|word| is(0, &[word]));
        if let Some(word) = set_operator
            && is(1, &["SELECT", "ALL", "DISTINCT"])
        {
            return Err(self
                .error(format!("SOQL has no {word}"))
                .hint("write a job for each query and combine their files"));
        }
        Ok(())
    }

    /// Rejects Apex's `ALL ROWS`, as a clause or at the end of one.
    fn no_all_rows(&self) -> Result<(), SyntaxError> {
        let all_rows = self.peek().is_some_and(|token| token.is_word("ALL"))
            && self.tokens.get(self.at + 1).is_some_and(|token| token.is_word("ROWS"))
            && self.kind_at(2).is_none_or(|kind| kind == TokenKind::Close);
        if all_rows {
            return Err(self
                .error("only Apex has ALL ROWS")
                .hint("set all_rows = true in the job, or run `sfexport query` with --all-rows"));
        }
        Ok(())
    }

    /// A clause's keyword and the tokens up to the next one on the same level.
    fn clause(&mut self) -> Result<Clause, SyntaxError> {
        self.no_all_rows()?;
        let Some((kind, words)) = self.clause_start() else {
            return Err(self.expected("WHERE, GROUP BY, ORDER BY, LIMIT or another clause"));
        };
        self.at += words;
        let start = self.at;
        let mut open = Vec::new();
        while let Some(token) = self.peek() {
            match token.kind {
                TokenKind::Open => open.push(self.at),
                TokenKind::Close if open.pop().is_none() => break,
                _ if open.is_empty() && self.clause_start().is_some() => break,
                _ if open.is_empty() => self.no_all_rows()?,
                _ => {}
            }
            self.at += 1;
        }
        if let Some(unclosed) = open.pop() {
            self.at = unclosed;
            return Err(self.error("this parenthesis is not closed").hint("add the closing one"));
        }
        if self.at == start {
            let keyword = kind.keyword();
            return Err(self
                .error(format!("the {keyword} clause is empty"))
                .hint(format!("complete it, or remove {keyword}")));
        }
        Ok(Clause { kind, tokens: self.tokens[start..self.at].to_vec() })
    }

    /// The kind of the clause that begins here, and the number of its keywords.
    fn clause_start(&self) -> Option<(ClauseKind, usize)> {
        self.clause_at(0)
    }

    /// The same for the token this far ahead.
    fn clause_at(&self, ahead: usize) -> Option<(ClauseKind, usize)> {
        let at = self.at + ahead;
        let token = self.tokens.get(at)?;
        if token.kind != TokenKind::Word {
            return None;
        }
        let by = || self.tokens.get(at + 1).is_some_and(|next| next.is_word("BY"));
        Some(match token.text.to_ascii_uppercase().as_str() {
            "USING" => (ClauseKind::Using, 1),
            "WHERE" => (ClauseKind::Where, 1),
            "WITH" => (ClauseKind::With, 1),
            // Without BY they may be names: the objects Group and Order exist.
            "GROUP" if by() => (ClauseKind::GroupBy, 2),
            "HAVING" => (ClauseKind::Having, 1),
            "ORDER" if by() => (ClauseKind::OrderBy, 2),
            "LIMIT" => (ClauseKind::Limit, 1),
            "OFFSET" => (ClauseKind::Offset, 1),
            "FOR" => (ClauseKind::For, 1),
            "UPDATE" => {
                // FOR UPDATE is one clause.
                let after_for = at > 0 && self.tokens[at - 1].is_word("FOR");
                if after_for {
                    return None;
                }
                (ClauseKind::Update, 1)
            }
            _ => return None,
        })
    }

    fn path(&mut self, expected: &str) -> Result<Path, SyntaxError> {
        self.expect(TokenKind::Word, expected).map(Path::from)
    }

    fn name(&mut self, expected: &str) -> Result<Name, SyntaxError> {
        let at = self.at;
        let token = self.expect(TokenKind::Word, expected)?;
        if token.text.contains('.') {
            self.at = at;
            return Err(self.expected(expected));
        }
        Ok(Name { text: token.text.clone(), span: token.span })
    }

    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error("this is nested too deeply").hint("split the query"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn kind_at(&self, ahead: usize) -> Option<TokenKind> {
        self.tokens.get(self.at + ahead).map(|token| token.kind)
    }

    fn eat(&mut self, kind: TokenKind) -> bool {
        let found = self.kind_at(0) == Some(kind);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_word(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, kind: TokenKind, expected: &str) -> Result<&'t Token, SyntaxError> {
        match self.peek() {
            Some(token) if token.kind == kind => {
                self.at += 1;
                Ok(token)
            }
            _ => Err(self.expected(expected)),
        }
    }

    fn expect_word(&mut self, word: &str, expected: &str) -> Result<(), SyntaxError> {
        if self.eat_word(word) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// An error at the current token or the end of the text, which is not what the grammar expects there.
    fn expected(&self, what: &str) -> SyntaxError {
        match self.peek() {
            Some(token) if token.text == "*" => no_star(self.text, token.span.start),
            Some(token) => self.error(format!("expected {what}, found {:?}", shortened(&token.text))),
            None => self.error(format!("expected {what}, but the query ends here")),
        }
    }

    /// An error at the current token or the end of the text.
    fn error(&self, reason: impl AsRef<str>) -> SyntaxError {
        let at = self.peek().map_or(self.text.len(), |token| token.span.start);
        SyntaxError::at(self.text, at, reason.as_ref())
    }
}

/// Whether a word is FROM with two letters swapped or one missing.
fn is_misspelt_from(word: &str) -> bool {
    const FROM: &str = "FROM";
    let word = word.to_ascii_uppercase();
    let sorted = |text: &str| {
        let mut letters: Vec<_> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let without = |skipped: usize| format!("{}{}", &FROM[..skipped], &FROM[skipped + 1..]);
    word != FROM && sorted(&word) == sorted(FROM) || (0..FROM.len()).any(|skipped| word == without(skipped))
}

/// A word that the reference does not reserve.
fn may_be_alias(token: &Token) -> bool {
    const RESERVED: [&str; 21] = [
        "AND", "ASC", "DESC", "EXCLUDES", "FIRST", "FROM", "GROUP", "HAVING", "IN", "INCLUDES", "LAST",
        "LIKE", "LIMIT", "NOT", "NULL", "NULLS", "OR", "SELECT", "USING", "WHERE", "WITH",
    ];
    token.kind == TokenKind::Word && !RESERVED.iter().any(|word| token.is_word(word))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(30) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Query;
    use super::*;

    fn printed(text: &str) -> String {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
    }

    fn refused(text: &str) -> (usize, usize, String) {
        let error = parse(text).expect_err(text);
        (error.line, error.column, error.reason)
    }

    #[test]
    fn every_kind_of_select_item_is_understood() {
        let statement = parse(
            "select Id, Account.Owner.Name, COUNT(Id) n, format( convertCurrency(Amount) ) a, FIELDS(STANDARD),\n\
             (SELECT Id, (SELECT Id FROM Cases) FROM Contacts WHERE Name = 'a, (b' LIMIT 2),\n\
             TYPEOF What WHEN Account THEN Phone, Owner.Name WHEN Opportunity THEN Amount ELSE Name END,\n\
             DISTANCE(Location__c, GEOLOCATION(37.775, -122.418), 'mi') FROM Event",
        )
        .unwrap();
        let items: Vec<_> = statement
            .select
            .iter()
            .map(|item| match item {
                Item::Field { .. } => format!("field {item}"),
                Item::Function { .. } => format!("function {item}"),
                Item::Child(_) => format!("child {item}"),
                Item::TypeOf { .. } => item.to_string(),
            })
            .collect();
        assert_eq!(
            items,
            [
                "field Id",
                "field Account.Owner.Name",
                "function COUNT(Id) n",
                "function format(convertCurrency(Amount)) a",
                "function FIELDS(STANDARD)",
                "child (SELECT Id, (SELECT Id FROM Cases) FROM Contacts WHERE Name = 'a, (b' LIMIT 2)",
                "TYPEOF What WHEN Account THEN Phone, Owner.Name WHEN Opportunity THEN Amount ELSE Name END",
                "function DISTANCE(Location__c, GEOLOCATION(37.775, -122.418), 'mi')",
            ]
        );
    }

    #[test]
    fn from_and_the_clauses_after_it_keep_their_tokens() {
        let text = "SELECT c.Name FROM Contact c, c.Account a USING SCOPE mine WHERE a.Name LIKE 'x%' AND \
                    (NOT Id IN (SELECT Id FROM Order WHERE x = 'ORDER BY')) WITH SECURITY_ENFORCED GROUP BY \
                    ROLLUP (c.Name) HAVING COUNT (Id) >= 2 ORDER BY c.Name DESC NULLS LAST LIMIT 10 OFFSET 5 FOR UPDATE";
        assert_eq!(printed(text), text);
        let kinds: Vec<_> = parse(text).unwrap().clauses.iter().map(|clause| clause.kind).collect();
        use ClauseKind as K;
        let expected =
            [K::Using, K::Where, K::With, K::GroupBy, K::Having, K::OrderBy, K::Limit, K::Offset, K::For];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn objects_named_like_keywords_and_any_white_space_are_understood() {
        assert_eq!(printed("SELECT Id FROM Order ORDER BY Id"), "SELECT Id FROM Order ORDER BY Id");
        assert_eq!(printed("SELECT Id FROM Group GROUP BY Id"), "SELECT Id FROM Group GROUP BY Id");
        assert_eq!(
            printed("\tSELECT\r\nAccount . Name,COUNT ( Id )x\u{a0}FROM Account AS a"),
            "SELECT Account.Name, COUNT(Id) x FROM Account a"
        );
        assert_eq!(
            printed(
                "SELECT Id FROM A WHERE D=LAST_N_DAYS:30 AND C>USD5000.50 AND T<2026-01-01T00:00:00+01:00"
            ),
            "SELECT Id FROM A WHERE D = LAST_N_DAYS:30 AND C > USD5000.50 AND T < 2026-01-01T00:00:00+01:00"
        );
    }

    #[test]
    fn an_object_that_is_no_path_from_the_root_is_found() {
        for (from, expected) in [
            ("Account", None),
            ("Contact c, c.Account a, A.Owner", None),
            ("Contact, CONTACT.Account a", None),
            ("Account, Contact", Some(("Account", "Contact"))),
            ("Account a, Contact c", Some(("Account", "Contact"))),
            ("Contact c, c.Account a, b.Owner", Some(("Contact", "b"))),
        ] {
            let statement = parse(&format!("SELECT Id FROM {from}")).unwrap();
            let found = statement.unrelated_object().map(|(root, other)| (root.as_str(), other.as_str()));
            assert_eq!(found, expected, "{from}");
        }
    }

    #[test]
    fn an_error_names_its_place_and_what_was_expected() {
        let cases = [
            ("", 1, 1, "the query is empty"),
            ("DELETE FROM Account", 1, 1, "sfexport only reads from the org"),
            ("SHOW Account", 1, 1, "expected SELECT, found \"SHOW\""),
            ("SELECT FROM Account", 1, 8, "expected a field, found \"FROM\""),
            ("SELECT Id,\n  Näme FROM Account", 2, 4, "expected a comma or FROM, found \"ä\""),
            ("SELECT Id, FROM Account", 1, 12, "expected a field, found \"FROM\""),
            ("SELECT * FROM Account", 1, 8, "SOQL has no *"),
            ("SELECT Id FORM Account", 1, 16, "expected a comma or FROM, found \"Account\""),
            ("SELECT Id FROM", 1, 15, "expected an object after FROM, but the query ends here"),
            ("SELECT Id AS x FROM A", 1, 11, "SOQL has no AS"),
            ("SELECT Id FROM A; SELECT Id FROM B", 1, 17, "there is text after the semicolon"),
            ("SELECT Id FROM A WHERE Name = 'it", 1, 31, "this string has no closing quote"),
            ("SELECT Id FROM A WHERE Name = \"x\"", 1, 31, "SOQL does not use double quotes"),
            ("SELECT Id FROM A WHERE Name = ‘x’", 1, 31, "this is not a straight single quote"),
            (r"SELECT Id FROM A WHERE Name = 'a\'", 1, 31, "this string has no closing quote"),
            ("SELECT Id,\u{200b} Name FROM A", 1, 11, "there is an invisible character here, U+200B"),
            ("SELECT Id FROM A WHERE x\u{feff} = 1", 1, 25, "there is an invisible character here, U+FEFF"),
            ("SELECT Id FROM A WHERE (x = 1", 1, 24, "this parenthesis is not closed"),
            ("SELECT Id FROM A WHERE x = 1)", 1, 29, "this closing parenthesis has no opening one"),
            ("SELECT Id FROM A WHERE", 1, 23, "the WHERE clause is empty"),
            (
                "SELECT Id FROM A a b",
                1,
                20,
                "expected WHERE, GROUP BY, ORDER BY, LIMIT or another clause, found \"b\"",
            ),
            ("SELECT Id FROM A -- all", 1, 18, "SOQL has no comments"),
            ("// all\nSELECT Id FROM A", 1, 1, "SOQL has no comments"),
            ("SELECT Id /* it */ FROM A", 1, 11, "SOQL has no comments"),
            ("SELECT COUNT(*) FROM A", 1, 14, "SOQL has no COUNT(*)"),
            ("SELECT a.* FROM A a", 1, 10, "SOQL has no *"),
            ("SELECT DISTINCT Name FROM A", 1, 8, "SOQL has no DISTINCT"),
            ("SELECT COUNT(DISTINCT Name) FROM A", 1, 14, "SOQL has no DISTINCT"),
            ("SELECT TOP 10 Name FROM A", 1, 8, "SOQL has no TOP"),
            ("SELECT Id FROM A LEFT JOIN B ON x = y", 1, 18, "SOQL has no JOIN"),
            ("SELECT Id FROM A JOIN B ON x = y", 1, 18, "SOQL has no JOIN"),
            ("SELECT Id FROM A a INNER JOIN B b ON x = y", 1, 20, "SOQL has no JOIN"),
            ("SELECT Id FROM A UNION SELECT Id FROM B", 1, 18, "SOQL has no UNION"),
            ("SELECT Id FROM A a EXCEPT ALL SELECT Id FROM B", 1, 20, "SOQL has no EXCEPT"),
            ("FIND {it's} IN ALL FIELDS RETURNING Account", 1, 1, "this is SOSL, a search"),
            ("[SELECT Id FROM A]", 1, 1, "only Apex has brackets around a query"),
            ("UPDATE A SET x = 1", 1, 1, "sfexport only reads from the org"),
            ("SELECT Id FROM A ALL ROWS", 1, 18, "only Apex has ALL ROWS"),
            ("SELECT Id FROM A a ALL ROWS", 1, 20, "only Apex has ALL ROWS"),
            ("SELECT Id FROM A WHERE x = 1 LIMIT 5 all rows", 1, 38, "only Apex has ALL ROWS"),
            ("SELECT (SELECT Id FROM Bs ALL ROWS) FROM A", 1, 27, "only Apex has ALL ROWS"),
            ("SELECT Id FROM A WHERE Id = :id", 1, 29, "only Apex has bind variables"),
            ("SELECT Account., Id FROM A", 1, 16, "a dot is not followed by a name"),
            ("SELECT TYPEOF What THEN Phone END FROM Event", 1, 20, "expected WHEN, found \"THEN\""),
            ("SELECT (SELECT Id FROM Contacts FROM Account", 1, 33, "expected WHERE, GROUP BY"),
        ];
        for (text, line, column, reason) in cases {
            let found = refused(text);
            assert!(found.2.starts_with(reason), "{text}: {found:?}");
            assert_eq!((found.0, found.1), (line, column), "{text}: {}", found.2);
        }
        let error = parse("SELECT Id,\n\tNäme FROM Account").expect_err("not ASCII");
        assert_eq!(
            error.to_string(),
            "line 2, column 3: expected a comma or FROM, found \"ä\"\n  \tNäme FROM Account\n  \t ^"
        );
    }

    #[test]
    fn a_misspelt_from_is_named_in_the_hint() {
        for (text, hint) in [
            ("SELECT Id FORM Account", Some("write FROM instead of \"FORM\"")),
            ("SELECT Id, Name frm Account", Some("write FROM instead of \"frm\"")),
            ("SELECT Id Name Account", None),
        ] {
            assert_eq!(parse(text).expect_err(text).hint.as_deref(), hint, "{text}");
        }
    }

    #[test]
    fn of_a_long_line_the_part_around_the_mistake_is_shown() {
        let text = format!("SELECT Id, {}Na!me, {}C FROM Account", "A, ".repeat(3_000), "B, ".repeat(3_000));
        let shown = Query::parse(&text).expect_err("no query").to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[0].starts_with("line 1, column 9014: "), "{}", lines[0]);
        assert_eq!(lines[1].chars().count(), 2 + 160);
        assert_eq!(lines[1].find('!'), lines[2].find('^'));
    }

    #[test]
    fn nesting_without_end_is_refused_and_exhausts_nothing() {
        let deep = format!("SELECT {} FROM A", "(SELECT ".repeat(20_000));
        assert_eq!(refused(&deep).2, "this is nested too deeply");
        let calls = format!("SELECT {} FROM A", "f(".repeat(20_000));
        assert_eq!(refused(&calls).2, "this is nested too deeply");
    }

    #[test]
    fn the_text_loses_white_space_and_one_semicolon_at_its_end() {
        for text in ["\n SELECT  Id\nFROM A \n", "SELECT  Id\nFROM A;", "SELECT  Id\nFROM A\n ;\n"] {
            assert_eq!(Query::parse(text).unwrap().text, "SELECT  Id\nFROM A");
        }
        assert!(Query::parse("SELECT Id FROM A;;").is_err());
        let string = "SELECT Id FROM A WHERE Name = ';'";
        assert_eq!(Query::parse(string).unwrap().text, string);
    }

    #[test]
    fn what_follows_from_is_left_to_the_org() {
        for (text, read) in [
            ("SELECT Id FROM A WHERE D = LAST_N_DAYS: 30", "SELECT Id FROM A WHERE D = LAST_N_DAYS:30"),
            ("SELECT Id FROM A WHERE D >= NEXT_N_WEEKS :2", "SELECT Id FROM A WHERE D >= NEXT_N_WEEKS:2"),
            ("SELECT Id FROM A WHERE D < LAST_N_YEARS\n:\n3", "SELECT Id FROM A WHERE D < LAST_N_YEARS:3"),
            ("SELECT Id FROM A WHERE N > - 5", "SELECT Id FROM A WHERE N > -5"),
            (
                "SELECT Id FROM A WHERE DISTANCE(L, GEOLOCATION(37.7, - 122.4), 'mi') < 20",
                "SELECT Id FROM A WHERE DISTANCE ( L, GEOLOCATION ( 37.7, -122.4), 'mi') < 20",
            ),
            ("SELECT Id FROM A WHERE N = +  1", "SELECT Id FROM A WHERE N = +1"),
            (r"SELECT Id FROM A WHERE N = 'a\-\é\u12'", r"SELECT Id FROM A WHERE N = 'a\-\é\u12'"),
            (
                "SELECT Id FROM A WHERE N = 5 % 2 AND Ä ~ {x}",
                "SELECT Id FROM A WHERE N = 5 % 2 AND Ä ~ { x }",
            ),
            ("SELECT Id FROM A WHERE N = 1 SOMETHING NEW", "SELECT Id FROM A WHERE N = 1 SOMETHING NEW"),
        ] {
            let statement = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let spaced = |text: &str| {
                text.replace(['(', ')', ','], " ").split_whitespace().collect::<Vec<_>>().join(" ")
            };
            assert_eq!(spaced(&statement.to_string()), spaced(read), "{text}");
            // The org gets the text as it was written.
            assert_eq!(Query::parse(text).unwrap().text, text);
        }
    }

    #[test]
    fn a_signed_number_in_the_select_list_is_one_literal() {
        let statement = parse("SELECT DISTANCE(L__c, GEOLOCATION(37.7, - 122.4), 'mi') d FROM A").unwrap();
        assert_eq!(statement.select[0].to_string(), "DISTANCE(L__c, GEOLOCATION(37.7, -122.4), 'mi') d");
    }

    #[test]
    fn fields_and_objects_may_be_called_like_sqls_words() {
        for text in [
            "SELECT Distinct FROM A",
            "SELECT Distinct, Id FROM A",
            "SELECT Top FROM A",
            "SELECT Id FROM Left l",
            "SELECT Id FROM A Left",
            "SELECT Id FROM A All",
            "SELECT Id FROM A WHERE All = 'x' AND Rows = 'y'",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    /// Texts that look like SOQL: words, keywords, punctuation and strings in any order.
    fn soql_like() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "SELECT",
            "FROM",
            "Id",
            "Account.Name",
            "COUNT",
            "(",
            ")",
            ",",
            "WHERE",
            "TYPEOF",
            "WHEN",
            "THEN",
            "ELSE",
            "END",
            "'it\\'s'",
            "=",
            "GROUP",
            "BY",
            "FIELDS",
            "ALL",
            "x",
            "5",
            "'",
            "\\",
            ".",
            "AS",
            "FOR",
            "UPDATE",
        ]);
        prop::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
    }

    /// Statements by construction, so that printing and reading meet real depth.
    fn statement() -> impl Strategy<Value = String> {
        let path = "[A-Za-z][A-Za-z0-9_]{0,5}(\\.[A-Za-z][a-z0-9]{0,3}){0,3}";
        let flat = prop::collection::vec(path, 1..4)
            .prop_map(|fields| format!("SELECT {} FROM Q", fields.join(", ")));
        flat.prop_recursive(4, 16, 3, move |inner| {
            (prop::collection::vec(inner, 1..3), path, "[a-z ,()]{0,12}").prop_map(|(children, path, text)| {
                let children: Vec<_> = children.iter().map(|child| format!("({child})")).collect();
                format!(
                    "SELECT {}, max({path}) m, TYPEOF W WHEN A THEN x, {path} END FROM Q q WHERE a = '{text}' LIMIT 3",
                    children.join(", ")
                )
            })
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_order_of_words_makes_it_panic_and_what_it_reads_it_prints(text in soql_like()) {
            if let Ok(statement) = parse(&text) {
                prop_assert_eq!(parse(&statement.to_string()).expect("its own print"), statement);
            }
        }

        #[test]
        fn what_it_prints_parses_to_the_same(text in statement()) {
            // A random name may be a keyword; then the text is no query, and says so.
            if let Ok(statement) = parse(&text) {
                prop_assert_eq!(parse(&statement.to_string()).expect("its own print"), statement);
            }
        }
    }
}
