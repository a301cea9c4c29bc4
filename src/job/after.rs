//! The command that runs after each export, with its template fields. `export` runs it.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::job::JobName;
use crate::org::OrgName;

/// A command to run after each export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The program and its arguments, as written; [`After::expand`] fills in their fields.
    pub command: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What one run puts into the fields.
#[derive(Debug, Clone, Copy)]
pub struct AfterFields<'a> {
    /// `{path}`: the export or, for a set, its manifest.
    pub path: &'a Path,
    /// `{job}`
    pub job: &'a JobName,
    /// `{org}`
    pub org: &'a OrgName,
    /// `{run_id}`
    pub run_id: &'a str,
}

/// The names of the fields.
pub const AFTER_FIELDS: [&str; 4] = ["path", "job", "org", "run_id"];

impl After {
    /// Expands the fields in the program and its arguments. `{{` and `}}` are literal braces.
    #[must_use]
    pub fn expand(&self, fields: &AfterFields<'_>) -> Vec<OsString> {
        let expanded = |text: &String| {
            let mut argument = OsString::new();
            // `config` has checked the braces.
            for piece in pieces(text).unwrap_or_default() {
                match piece {
                    Piece::Literal(literal) => argument.push(literal),
                    Piece::Field("path") => argument.push(fields.path),
                    Piece::Field("job") => argument.push(fields.job.as_str()),
                    Piece::Field("org") => argument.push(fields.org.as_str()),
                    Piece::Field(_) => argument.push(fields.run_id),
                }
            }
            argument
        };
        self.command.iter().map(expanded).collect()
    }
}

/// A part of an argument.
enum Piece<'t> {
    Literal(&'t str),
    /// One of [`AFTER_FIELDS`].
    Field(&'static str),
}

/// Why an argument is not a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AfterError {
    /// It has a field of this name.
    UnknownField(String),
    /// It has a `{` without its `}`.
    Unclosed,
    /// It has a `}` without its `{`.
    Unopened,
}

/// Checks the fields of an argument.
pub(crate) fn check(argument: &str) -> Result<(), AfterError> {
    pieces(argument).map(drop)
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, AfterError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(Piece::Literal(&rest[..at]));
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            pieces.push(Piece::Literal(brace));
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(AfterError::Unopened);
        }
        let (name, after) = rest.split_once('}').ok_or(AfterError::Unclosed)?;
        let field = AFTER_FIELDS.into_iter().find(|field| *field == name);
        pieces.push(Piece::Field(field.ok_or_else(|| AfterError::UnknownField(name.to_owned()))?));
        rest = after;
    }
    pieces.push(Piece::Literal(rest));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_argument_has_its_fields_filled_in() {
        let command = ["up", "--to=s3://b/{org}/{job}", "{path}", "{{{run_id}}}", "", "a{{b}}"];
        let after = After { command: command.map(str::to_owned).to_vec(), timeout: Duration::from_secs(1) };
        let fields = AfterFields {
            path: Path::new("/exports/a b.csv"),
            job: &JobName::parse("accounts").unwrap(),
            org: &OrgName::parse("emea").unwrap(),
            run_id: "r1",
        };
        assert_eq!(
            after.expand(&fields),
            ["up", "--to=s3://b/emea/accounts", "/exports/a b.csv", "{r1}", "", "a{b}"]
        );
    }

    #[test]
    fn unknown_fields_and_single_braces_are_refused() {
        for (bad, expected) in [
            ("{object}", AfterError::UnknownField("object".to_owned())),
            ("{}", AfterError::UnknownField(String::new())),
            ("{ path }", AfterError::UnknownField(" path ".to_owned())),
            ("a{path", AfterError::Unclosed),
            ("a}", AfterError::Unopened),
        ] {
            assert_eq!(check(bad), Err(expected), "{bad}");
        }
        assert_eq!(check("{path}{{x}}"), Ok(()));
    }
}
