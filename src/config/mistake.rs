//! What a user wrote wrongly: where, what was found, what was expected, and the nearest thing that is right.
//! Finding mistakes is the business of the readers; here they are worded and ordered.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Exit, Failure, plain, plain_lines};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it was written.
    pub origin: Origin,
    /// The dotted key that it is about.
    pub key: Option<String>,
    /// What was found and what was expected; further lines show the place in a query.
    pub what: String,
}

impl Mistake {
    pub(crate) fn new(origin: Origin, key: impl Into<Option<String>>, what: impl Into<String>) -> Self {
        Self { origin, key: key.into(), what: what.into() }
    }

    /// The same without the text at its place, which may hold the values of a query: for readers of a status page.
    fn redacted(&self) -> Self {
        let what = match self.what.contains('\n') {
            true => "this is not valid; `sfexport check --offline` shows the place".to_owned(),
            false => self.what.clone(),
        };
        Self { what, ..self.clone() }
    }
}

impl fmt::Display for Mistake {
    /// `jobs/accounts.toml:3: timezone: "Europe/Berln" is no time zone; did you mean "Europe/Berlin"?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Anywhere => {}
            origin => write!(f, "{}: ", plain(&origin.to_string()))?,
        }
        // A variable's name says the key already.
        if let (Some(key), false) = (&self.key, matches!(self.origin, Origin::Variable(_) | Origin::Flag(_)))
        {
            write!(f, "{}: ", plain(key))?;
        }
        f.write_str(&plain_lines(&self.what))
    }
}

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nowhere in particular: something is missing, or the command line asked for what is not there.
    Anywhere,
    /// A flag of the command line.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A file, as seen from the working directory; line and column count from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: Option<usize>,
        /// The column, in characters; only where the line alone does not say it.
        column: Option<usize>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => Ok(()),
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File { path, line, column } => {
                write!(f, "{}", path.display())?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
                column.map_or(Ok(()), |column| write!(f, ":{column}"))
            }
        }
    }
}

/// Every mistake of one reading, ordered by file and line; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// `None` where there are no mistakes.
    pub(crate) fn of(mut mistakes: Vec<Mistake>) -> Option<Self> {
        mistakes.sort();
        mistakes.dedup();
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }

    /// All of these together; `None` if there are none.
    #[must_use]
    pub fn together(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        Self::of(all.into_iter().flat_map(|mistakes| mistakes.0).collect())
    }

    pub(crate) fn one(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }

    /// The mistakes, ordered by file and line.
    #[must_use]
    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = if let [only] = self.0.as_slice() {
            return only.fmt(f);
        } else {
            // A job that was asked for and is not there is no mistake of the configuration's.
            let asked = |mistake: &Mistake| mistake.origin == Origin::Anywhere && mistake.key.is_none();
            let subject = if self.0.iter().any(asked) { "there are" } else { "the configuration has" };
            writeln!(f, "{subject} {} mistakes:", self.0.len())?;
            "  "
        };
        for (at, mistake) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            let text = mistake.to_string().replace('\n', &format!("\n{indent}"));
            write!(f, "{indent}{text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        let redacted = Mistakes(mistakes.0.iter().map(Mistake::redacted).collect());
        let redacted = (redacted != mistakes).then(|| redacted.to_string());
        Self { redacted, ..Self::new(Exit::Configuration, mistakes.to_string()) }
    }
}

/// The candidate that this text is most likely a misspelling of.
pub(crate) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A whole paragraph is no misspelled word, and its distance would be costly.
    if text.len() > 80 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let text = plain(text);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&text, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(text.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "accounts"?`, or nothing.
pub(crate) fn did_you_mean<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(text, candidates).map_or_else(String::new, |near| format!("; did you mean {}?", quoted(near)))
}

/// A value as a message shows it: quoted, on one line, not too long.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 80;
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_what_was_meant() {
        let keys = ["schedule", "timezone", "output", "org", "soql", "soql_file"];
        for (text, meant) in [
            ("shedule", Some("schedule")),
            ("time_zone", Some("timezone")),
            ("TimeZone", Some("timezone")),
            ("soql-file", Some("soql_file")),
            ("ogr", Some("org")),
            ("delimiter", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, keys), meant, "{text}");
        }
    }

    #[test]
    fn mistakes_are_listed_by_file_and_line() {
        let at = |path: &str, line| Origin::File { path: path.into(), line: Some(line), column: None };
        let mistakes = Mistakes::of(vec![
            Mistake::new(at("sfexport.toml", 9), "org.client_id".to_owned(), "b"),
            Mistake::new(at("jobs/a.toml", 2), None, "two\n  lines"),
            Mistake::new(Origin::Variable("SFEXPORT_ORG__KEY".into()), "org.key".to_owned(), "c"),
            Mistake::new(at("sfexport.toml", 1), "org".to_owned(), "a"),
        ])
        .unwrap();
        assert_eq!(
            mistakes.to_string(),
            "the configuration has 4 mistakes:\n  SFEXPORT_ORG__KEY: c\n  jobs/a.toml:2: two\n    lines\n  \
             sfexport.toml:1: org: a\n  sfexport.toml:9: org.client_id: b"
        );
        let failure = Failure::from(mistakes);
        assert_eq!(failure.exit.code(), 78);
        assert_eq!(
            failure.redacted.unwrap(),
            "the configuration has 4 mistakes:\n  SFEXPORT_ORG__KEY: c\n  jobs/a.toml:2: this is not valid; \
             `sfexport check --offline` shows the place\n  sfexport.toml:1: org: a\n  sfexport.toml:9: org.client_id: b"
        );
    }
}
