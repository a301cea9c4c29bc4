//! A statement → text that parses to the same statement; for messages and tests, never for the wire.

use std::fmt::{self, Display, Formatter};

use super::{Argument, Call, Clause, ClauseKind, Item, Name, Path, Source, Statement, Token, TokenKind};

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        list(f, &self.select)?;
        f.write_str(" FROM ")?;
        list(f, &self.from)?;
        self.clauses.iter().try_for_each(|clause| write!(f, " {clause}"))
    }
}

impl Display for Item {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { path, alias } => aliased(f, path, alias.as_ref()),
            Self::Function { call, alias } => aliased(f, call, alias.as_ref()),
            Self::Child(statement) => write!(f, "({statement})"),
            Self::TypeOf { relationship, whens, otherwise } => {
                write!(f, "TYPEOF {relationship}")?;
                for (object, fields) in whens {
                    write!(f, " WHEN {object} THEN ")?;
                    list(f, fields)?;
                }
                if let Some(fields) = otherwise {
                    f.write_str(" ELSE ")?;
                    list(f, fields)?;
                }
                f.write_str(" END")
            }
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        list(f, &self.arguments)?;
        f.write_str(")")
    }
}

impl Display for Argument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Call(call) => call.fmt(f),
            Self::Literal(text) => f.write_str(text),
        }
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            segment.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        aliased(f, &self.path, self.alias.as_ref())
    }
}

impl Display for Clause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ClauseKind::Using => "USING",
            ClauseKind::Where => "WHERE",
            ClauseKind::With => "WITH",
            ClauseKind::GroupBy => "GROUP BY",
            ClauseKind::Having => "HAVING",
            ClauseKind::OrderBy => "ORDER BY",
            ClauseKind::Limit => "LIMIT",
            ClauseKind::Offset => "OFFSET",
            ClauseKind::For => "FOR",
            ClauseKind::Update => "UPDATE",
        })?;
        let mut before: Option<&Token> = None;
        for token in &self.tokens {
            let tight = matches!(token.kind, TokenKind::Comma | TokenKind::Close)
                || before.is_some_and(|before| before.kind == TokenKind::Open);
            write!(f, "{}{}", if tight { "" } else { " " }, token.text)?;
            before = Some(token);
        }
        Ok(())
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn aliased(f: &mut Formatter<'_>, what: &dyn Display, alias: Option<&Name>) -> fmt::Result {
    match alias {
        Some(alias) => write!(f, "{what} {alias}"),
        None => what.fmt(f),
    }
}
