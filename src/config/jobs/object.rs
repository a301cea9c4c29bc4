//! `object`, `fields` and `where`: an object whose query is generated at each run.

use super::{RawJob, Reading};
use crate::config::layer::{Section, TextFile};
use crate::config::mistake::{Origin, Problem, quoted};
use crate::job::{
    Format, Incremental, ObjectName, ObjectSource, QueryOrigin, Shape, SoqlSource, SourceError,
};
use crate::soql::generate::{self, FieldSelection};
use crate::soql::{ClauseKind, Query};

impl Reading {
    /// The object to export; `None` if something about it is a mistake.
    pub(super) fn object(&mut self, file: &TextFile, section: &Section<RawJob>) -> Option<ObjectSource> {
        let typed = &section.typed;
        let written = typed.object.as_deref()?;
        let object = match ObjectName::parse(written) {
            Ok(object) => Some(object),
            Err(error) => {
                let what = format!("{} is not an object's API name", quoted(written));
                self.mistake(file, section, "object", Problem::new(what, error.to_string()));
                None
            }
        };
        let fields = match typed.fields.as_deref().map_or_else(|| Ok(FieldSelection::all()), selection) {
            Ok(fields) => Some(fields),
            Err(problem) => {
                self.mistake(file, section, "fields", problem);
                None
            }
        };
        let condition = match typed.condition.as_deref().map(condition).transpose() {
            Ok(condition) => Some(condition),
            Err(problem) => {
                self.mistake(file, section, "where", problem);
                None
            }
        };
        if let Some(Origin::File { path, line: Some(line), .. }) = section.origin("object") {
            let line_of = |key| match section.origin(key) {
                Some(Origin::File { path: file, line, .. }) if file == path => line,
                _ => None,
            };
            let (fields_line, condition_line) = (line_of("fields"), line_of("where"));
            self.query_origin =
                Some(QueryOrigin { file: path.clone(), line, is_exact: false, fields_line, condition_line });
        }
        Some(ObjectSource { object: object?, fields: fields?, condition: condition? })
    }

    /// Checks names and types of columns against written fields. If there are patterns, only the org knows the columns.
    /// `None` if there is a mistake.
    pub(super) fn check_columns_of(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        object: &ObjectSource,
        shape: &Shape,
        (format, incremental): (Format, Option<&Incremental>),
    ) -> Option<()> {
        let Some(mut names) = object.fields.written() else { return Some(()) };
        // An incremental export has these too; which of the stamps, only the org knows.
        for name in incremental.map(Incremental::added_columns).unwrap_or_default() {
            if !names.iter().any(|written| written.eq_ignore_ascii_case(name)) {
                names.push(name.to_owned());
            }
        }
        let text = generate::query(object.object.as_str(), &names, None);
        let Ok(query) = Query::parse(&text) else { return Some(()) };
        match SoqlSource::new(query, shape.layout(format), &shape.columns) {
            Err(SourceError::Columns(error)) => {
                self.column_mistake(file, section, &error);
                None
            }
            // The org's spelling may change what the query's text rules out.
            Err(SourceError::Query(_)) | Ok(_) => Some(()),
        }
    }

    /// Keys that only an object can have.
    pub(super) fn only_of_objects(&mut self, file: &TextFile, section: &Section<RawJob>) {
        for key in ["fields", "where"].into_iter().filter(|key| section.is_written(key)) {
            let problem =
                Problem::new("this key has no effect without `object`", "write it in the query instead");
            self.mistake(file, section, key, problem);
        }
    }
}

/// Reads a selection of fields.
pub(super) fn selection(terms: &[String]) -> Result<FieldSelection, Problem> {
    if terms.is_empty() {
        return Err(Problem::new("the list is empty", "remove this key to export all fields"));
    }
    FieldSelection::parse(terms).map_err(|error| {
        let hint = match error.term.contains(',') {
            true => {
                let terms: Vec<_> = error.term.split(',').map(|term| quoted(term.trim())).collect();
                format!("write a list: [{}]", terms.join(", "))
            }
            false => error.reason.to_owned(),
        };
        Problem::new(format!("{} does not select fields", quoted(&error.term)), hint)
    })
}

/// Reads a condition, the text after WHERE.
pub(super) fn condition(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let first = text.split_whitespace().next().unwrap_or_default();
    if first.eq_ignore_ascii_case("WHERE") {
        return Err(Problem::new("the condition begins with WHERE", "remove WHERE"));
    }
    if first.eq_ignore_ascii_case("SELECT") {
        let hint = "write only the condition, or write the whole query in `soql`";
        return Err(Problem::new("this is a query, not a condition", hint));
    }
    const BEFORE: &str = "SELECT Id FROM Object WHERE ";
    let query = Query::parse(&format!("{BEFORE}{text}")).map_err(|error| {
        // The error's place refers to a query that the user has not written.
        Problem::hinted(format!("this is not a condition: {}", error.reason), error.hint)
    })?;
    match query.statement.clauses.as_slice() {
        [clause] if clause.kind == ClauseKind::Where && !clause.tokens.is_empty() => {
            Ok(query.text[BEFORE.len()..].to_owned())
        }
        [] | [_] => Err(Problem::new("this is not a condition", "write one as in \"Industry = 'Energy'\"")),
        [_, clause, ..] => Err(Problem::new(
            format!("the condition contains {}", clause.kind.keyword()),
            "write the whole query in `soql` instead",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::condition;

    #[test]
    fn a_condition_is_the_text_after_where() {
        for good in [
            "Name = 'a'",
            "A = 1 AND (B = 2 OR C LIKE '%x')",
            "Id IN (SELECT AccountId FROM Contact LIMIT 5)",
        ] {
            assert_eq!(condition(&format!(" {good};")).unwrap(), good);
        }
        for (bad, expected) in [
            ("WHERE Name = 'a'", "begins with WHERE"),
            ("SELECT Id FROM Account", "this is a query"),
            ("", "is not a condition"),
            ("Name = 'a' LIMIT 5", "contains LIMIT"),
            ("Name = 'a' ORDER BY Name", "contains ORDER BY"),
            ("A = 1) OR (B = 2", "has no opening one"),
            ("Name = 'a", "is not a condition"),
        ] {
            let found = condition(bad).expect_err(bad).what;
            assert!(found.contains(expected), "{bad}: {found}");
        }
    }
}
