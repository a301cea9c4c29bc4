//! Reads each source of the configuration into a layer of checked values with their places, and merges the layers.
//! Rules that involve several keys are left to the modules that use them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::FlagValue;
use super::keys::{self, Key, Kind, Table, Unwritten};
use super::mistake::{Mistake, Origin, Problem, nearest, quoted};
use super::syntax;
use super::value::{self, Raw};
use crate::fs::read_small;
use crate::org::OrgName;

/// The prefix of all our environment variables.
const PREFIX: &str = "SFEXPORT_";

/// Variables that other modules read.
const OTHERS: [&str; 4] = ["CONFIG", "LOG", "LOG_FORMAT", "LOG_LEVEL"];

/// The values of one source by full dotted key (`org.login_url`, `orgs.emea.key_file`, `http.attempts`).
#[derive(Default)]
pub(crate) struct Layer {
    label: &'static str,
    found: BTreeMap<String, Found>,
    /// The entries of tables whose keys are the names of columns: `types.Account.Name`.
    columns: BTreeMap<String, Origin>,
    /// The orgs with a table or a variable in this source, each with the place of the first one.
    orgs: BTreeMap<OrgName, Origin>,
    /// The tables `[objects_with.NAME]` of this source by name, each with its place.
    objects: BTreeMap<String, Origin>,
    unread: bool,
}

/// A key and, unless it is wrong, its value.
#[derive(Clone)]
struct Found {
    origin: Origin,
    value: Option<Value>,
}

/// A text file and its name in messages.
pub(crate) struct TextFile {
    /// As seen from the working directory.
    pub(crate) shown: PathBuf,
    /// The directory where relative paths in it start.
    pub(crate) directory: PathBuf,
    pub(crate) text: String,
    /// Whether only its owner can read it.
    pub(crate) is_private: bool,
}

impl TextFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is not a small regular file, cannot be read, or is not UTF-8.
    pub(crate) fn read(path: &Path, working_dir: &Path) -> Result<Self, Box<Mistake>> {
        let shown = shown(path, working_dir);
        let whole = Origin::File { path: shown.clone(), line: None, column: None };
        let (bytes, metadata) =
            read_small(path).map_err(|error| Box::new(Mistake::new(whole, None, error.to_string())))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            let origin = Origin::File { path: shown.clone(), line: Some(line), column: None };
            Box::new(Mistake::new(
                origin,
                None,
                Problem::new("the text is not UTF-8", "save the file as UTF-8"),
            ))
        })?;
        // Some editors begin a file with a byte order mark, which would move the columns of the first line.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { shown, directory, text, is_private: metadata.mode() & 0o077 == 0 })
    }

    /// The whole file.
    pub(crate) fn whole(&self) -> Origin {
        Origin::File { path: self.shown.clone(), line: None, column: None }
    }

    /// One of its lines, counted from 1.
    pub(crate) fn line(&self, line: usize) -> Origin {
        Origin::File { path: self.shown.clone(), line: Some(line), column: None }
    }

    fn line_at(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn origin_at(&self, offset: usize) -> Origin {
        self.line(self.line_at(offset))
    }
}

/// A path as seen from the working directory.
pub(crate) fn shown(path: &Path, working_dir: &Path) -> PathBuf {
    match path.strip_prefix(working_dir) {
        Ok(below) if !below.as_os_str().is_empty() => below.to_owned(),
        _ => path.to_owned(),
    }
}

impl Layer {
    /// Reads `sfexport.toml`.
    pub(crate) fn of_shared_file(file: &TextFile, mistakes: &mut Vec<Mistake>) -> Self {
        let mut reader = FileReader { file, layer: Self::labelled("file"), mistakes };
        let (root, sound) = reader.parse();
        if !sound {
            // The parts between the errors may still say where the jobs are. Mistakes found there are dropped, since
            // the errors may have caused them.
            let mut echoes = Vec::new();
            let mut reader = FileReader { file, layer: reader.layer, mistakes: &mut echoes };
            reader.layer.unread = true;
            reader.shared(&root);
            return reader.layer;
        }
        reader.shared(&root);
        reader.layer
    }

    /// Reads a job file.
    pub(crate) fn of_job_file(file: &TextFile, mistakes: &mut Vec<Mistake>) -> Self {
        let mut reader = FileReader { file, layer: Self::labelled("file"), mistakes };
        let (root, sound) = reader.parse();
        if sound {
            reader.job(&root, "");
        }
        reader.layer.unread = !sound;
        reader.layer
    }

    /// Reads the environment. Unknown variables of an org are mistakes. Others that look misspelled are warnings.
    pub(crate) fn of_environment(
        environment: &[(OsString, OsString)],
        working_dir: &Path,
        mistakes: &mut Vec<Mistake>,
        warnings: &mut Vec<Mistake>,
    ) -> Self {
        let mut layer = Self::labelled("environment");
        for (name, text) in environment {
            // The names of our variables are all UTF-8.
            let Some(name) = name.to_str() else { continue };
            let origin = Origin::Variable(name.to_owned());
            let Some(rest) = name.strip_prefix(PREFIX) else {
                let capitals = name.to_ascii_uppercase();
                let is_ours = capitals.strip_prefix(PREFIX).is_some_and(|rest| variable(rest).is_ok());
                if is_ours && !text.is_empty() {
                    let problem = Problem::new(IGNORED_VARIABLE, format!("rename it to {capitals}"));
                    warnings.push(Mistake::new(origin, None, problem));
                }
                continue;
            };
            if text.is_empty() || OTHERS.contains(&rest) {
                continue;
            }
            match variable(rest) {
                Ok((path, key, org)) => {
                    if let Some(org) = org {
                        layer.orgs.entry(org).or_insert_with(|| origin.clone());
                    }
                    let Some(text) = text.to_str() else {
                        mistakes.push(Mistake::new(origin.clone(), path.clone(), "the value is not UTF-8"));
                        layer.found.insert(path, Found { origin, value: None });
                        continue;
                    };
                    // Mounted or pasted secrets often end in a line break.
                    let text = if matches!(key.kind, Kind::Secret | Kind::Literal) {
                        text.trim_end_matches(['\r', '\n'])
                    } else {
                        text.trim()
                    };
                    if !text.is_empty() {
                        layer.add(path, key, &Raw::Text(text), origin, working_dir, mistakes);
                    }
                }
                Err(UnknownVariable::Mistake(problem)) => mistakes.push(Mistake::new(origin, None, problem)),
                Err(UnknownVariable::Near(near)) => {
                    let problem = Problem::new(IGNORED_VARIABLE, format!("did you mean {near}?"));
                    warnings.push(Mistake::new(origin, None, problem));
                }
                Err(UnknownVariable::Ignored) => {}
            }
        }
        layer
    }

    /// Reads the flags.
    pub(crate) fn of_flags(flags: &[FlagValue], working_dir: &Path, mistakes: &mut Vec<Mistake>) -> Self {
        let mut layer = Self::labelled("flags");
        for flag in flags {
            if let Some(key) = keys::find(Table::Settings, flag.key) {
                let origin = Origin::Flag(flag.flag.to_owned());
                layer.add(key.name.to_owned(), key, &Raw::Text(&flag.value), origin, working_dir, mistakes);
            }
        }
        layer
    }

    /// The defaults of a table, with its keys under this prefix.
    pub(crate) fn of_defaults(table: Table, prefix: &str, base: &Path) -> Self {
        let mut layer = Self::labelled("default");
        for key in keys::keys().filter(|key| key.table == table) {
            if let Unwritten::Is(text) = key.default {
                let path = format!("{prefix}{}", key.name);
                layer.add(path, key, &Raw::Text(text), Origin::Anywhere, base, &mut Vec::new());
            }
        }
        layer
    }

    /// The orgs that it mentions.
    pub(crate) fn orgs(&self) -> &BTreeMap<OrgName, Origin> {
        &self.orgs
    }

    /// The names of the objects with a table, each with its place.
    pub(crate) fn objects(&self) -> &BTreeMap<String, Origin> {
        &self.objects
    }

    /// Whether its text is not valid TOML, so some of it is unknown.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    /// The values of `[defaults]`, as a job's file would have them.
    pub(crate) fn defaults(&self) -> Self {
        fn below<T: Clone>(map: &BTreeMap<String, T>) -> BTreeMap<String, T> {
            let below =
                |(path, value): (&String, &T)| Some((path.strip_prefix(DEFAULTS)?.to_owned(), value.clone()));
            map.iter().filter_map(below).collect()
        }
        Self {
            label: "file",
            found: below(&self.found),
            columns: below(&self.columns),
            objects: self.objects.clone(),
            ..Self::default()
        }
    }

    /// The same as the defaults of a job with this file, without the keys that do not fit it. Names of columns and objects
    /// are equal to the job's without regard to case.
    pub(crate) fn as_defaults_of(&self, job: &Self, fits: impl Fn(&str) -> bool) -> Self {
        let mut defaults = Self { label: SHARED, ..Self::default() };
        let spelled = |path: &str| {
            let Some(rest) = path.strip_prefix(OBJECTS_WITH).and_then(|rest| rest.strip_prefix('.')) else {
                return path.to_owned();
            };
            let (name, key) = rest.split_once('.').unwrap_or((rest, ""));
            let own = job.objects.keys().find(|own| own.eq_ignore_ascii_case(name));
            format!("{OBJECTS_WITH}.{}.{key}", own.map_or(name, String::as_str))
        };
        for (path, found) in self.found.iter().filter(|(path, _)| fits(path)) {
            let mut found = found.clone();
            if let Some(Value::Dict(_, entries)) = &mut found.value {
                entries.retain(|column, _| !job.has_column(&format!("{path}.{column}")));
            }
            defaults.found.insert(spelled(path), found);
        }
        let columns = self.columns.iter().filter(|(path, _)| fits(path) && !job.has_column(path));
        defaults.columns = columns.map(|(path, origin)| (path.clone(), origin.clone())).collect();
        if fits(OBJECTS_WITH) {
            defaults.objects = self.objects.clone();
            defaults.objects.retain(|name, _| !job.objects.keys().any(|own| own.eq_ignore_ascii_case(name)));
        }
        defaults
    }

    fn has_column(&self, path: &str) -> bool {
        self.columns.keys().any(|own| own.eq_ignore_ascii_case(path))
    }

    /// Forgets the value of a key that is a mistake.
    pub(crate) fn mark_mistaken(&mut self, key: &str) {
        if let Some(found) = self.found.get_mut(key) {
            found.value = None;
        }
    }

    /// Whether it sets a key, validly or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.found.contains_key(key)
    }

    /// The value of a key that is text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.found.get(key)?.value.as_ref()?.as_str()
    }

    /// Whether the value of a key is `true`.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.found.get(key).and_then(|found| found.value.as_ref()?.to_bool()) == Some(true)
    }

    fn labelled(label: &'static str) -> Self {
        Self { label, ..Self::default() }
    }

    fn add(
        &mut self,
        path: String,
        key: &Key,
        raw: &Raw<'_>,
        origin: Origin,
        base: &Path,
        mistakes: &mut Vec<Mistake>,
    ) {
        let value = match value::read(key.kind, raw, base) {
            Ok(value) => Some(value),
            Err(mut problem) => {
                if key.kind == Kind::Secret {
                    let variable = format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase());
                    problem = secret(key.name, &variable);
                }
                if key.kind == Kind::TableOrFalse {
                    problem.hint = Some(format!("write `[{path}]` on a separate line, with its keys below"));
                }
                mistakes.push(Mistake::new(origin.clone(), path.clone(), problem));
                None
            }
        };
        self.found.insert(path, Found { origin, value });
    }
}

/// Reads a file's tables into a layer.
struct FileReader<'a> {
    file: &'a TextFile,
    layer: Layer,
    mistakes: &'a mut Vec<Mistake>,
}

type Entry<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

impl<'a> FileReader<'a> {
    /// The root table, and whether the whole file could be parsed.
    fn parse(&mut self) -> (DeTable<'a>, bool) {
        let (root, mut errors) = DeTable::parse_recoverable(&self.file.text);
        let sound = errors.is_empty();
        // The parser reports errors in the structure before errors in values.
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let mut last_line = 0;
        let mut open = false;
        for error in errors {
            let start = error.span().map_or(0, |span| span.start).min(self.file.text.len());
            let line = self.file.line_at(start);
            let written = self.file.text.lines().nth(line - 1).unwrap_or_default();
            // An error usually causes the further errors on its line. A missing closing quote also causes those on the
            // lines that follow.
            if line == last_line || (open && !syntax::is_a_new_entry(written)) {
                continue;
            }
            open = syntax::leaves_text_open(written);
            last_line = line;
            let found = start..error.span().map_or(start, |span| span.end.max(start));
            let (at, problem) = syntax::explain(&self.file.text, found, error.message());
            let before = self.file.text.get(..at).unwrap_or_default();
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let line_of_mistake = self.file.line_at(at);
            let origin = Origin::File {
                path: self.file.shown.clone(),
                line: Some(line_of_mistake),
                column: Some(column),
            };
            self.mistakes.push(Mistake::new(origin, None, problem));
            // A list without its end takes everything below for its elements.
            if line_of_mistake < line {
                break;
            }
        }
        (root.into_inner(), sound)
    }

    fn shared(&mut self, root: &DeTable<'_>) {
        let mut settings = Vec::new();
        for (name, value) in root.iter() {
            match name.get_ref().as_ref() {
                "org" => {
                    if let Some(table) = self.expect_table("org", name, value) {
                        let origin = self.file.origin_at(name.span().start);
                        self.layer.orgs.entry(OrgName::default_org()).or_insert(origin);
                        self.table(table, Table::Org, "org.", "");
                    }
                }
                "orgs" => {
                    let Some(orgs) = self.expect_table("orgs", name, value) else { continue };
                    for (name, value) in orgs.iter() {
                        self.further_org(name, value);
                    }
                }
                "defaults" => {
                    if let Some(table) = self.expect_table("defaults", name, value) {
                        self.job(table, DEFAULTS);
                    }
                }
                _ => settings.push((name, value)),
            }
        }
        self.entries(settings, Table::Settings, "", "");
    }

    /// Reads the keys of a job, or of `[defaults]`; `prefix` is the path of the table.
    fn job(&mut self, root: &DeTable<'_>, prefix: &str) {
        let mut entries = Vec::new();
        for (name, value) in root.iter() {
            if !prefix.is_empty() && !keys::may_be_default(name.get_ref()) {
                let origin = self.file.origin_at(name.span().start);
                let problem = not_a_default(name.get_ref());
                self.mistakes.push(Mistake::new(origin, format!("{prefix}{}", name.get_ref()), problem));
                continue;
            }
            if name.get_ref() != OBJECTS_WITH {
                entries.push((name, value));
                continue;
            }
            let Some(objects) = self.expect_table(OBJECTS_WITH, name, value) else { continue };
            for (name, value) in objects.iter() {
                let path = format!("{prefix}{OBJECTS_WITH}.{}", name.get_ref());
                let Some(table) = self.expect_table(&path, name, value) else { continue };
                let origin = self.file.origin_at(name.span().start);
                self.layer.objects.insert(name.get_ref().to_string(), origin);
                self.table(table, Table::Object, &format!("{path}."), "");
            }
        }
        self.entries(entries, Table::Job, prefix, "");
    }

    fn further_org(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let path = format!("orgs.{}", name.get_ref());
        let origin = self.file.origin_at(name.span().start);
        let Ok(org) = OrgName::parse(name.get_ref()) else {
            let known = keys::find(Table::Org, name.get_ref()).is_some();
            let problem = if known {
                Problem::new(UNNAMED_ORG, UNNAMED_ORG_HINT)
            } else {
                not_an_org_name(name.get_ref())
            };
            self.mistakes.push(Mistake::new(origin, path, problem));
            return;
        };
        if org.as_str() == OrgName::DEFAULT {
            let problem = Problem::new("\"default\" is the name of the `[org]` table", "write `[org]`");
            self.mistakes.push(Mistake::new(origin, path, problem));
            return;
        }
        let Some(table) = self.expect_table(&path, name, value) else { return };
        self.layer.orgs.entry(org).or_insert(origin);
        self.table(table, Table::Org, &format!("{path}."), "");
    }

    fn expect_table<'t, 'i>(
        &mut self,
        path: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &'t Spanned<DeValue<'i>>,
    ) -> Option<&'t DeTable<'i>> {
        if let DeValue::Table(table) = value.get_ref() {
            return Some(table);
        }
        let is_known = |table| keys::find(table, name.get_ref()).is_some();
        let problem = if path.starts_with("orgs.") && is_known(Table::Org) {
            Problem::new(UNNAMED_ORG, UNNAMED_ORG_HINT)
        } else if path.starts_with(OBJECTS_WITH) && is_known(Table::Object) {
            let hint = "write `[objects_with.NAME]` above its keys, with the object's name";
            Problem::new("the object has no name", hint)
        } else {
            let head = match path {
                "orgs" => "orgs.NAME",
                OBJECTS_WITH => "objects_with.NAME",
                path => path,
            };
            let hint = format!("write `[{head}]` on a separate line, with its keys below");
            Problem::new("this is the name of a table, not a key", hint)
        };
        self.mistakes.push(Mistake::new(self.file.origin_at(name.span().start), path.to_owned(), problem));
        None
    }

    /// Reads a table of keys; `prefix` is its full path, `inner` its path in this kind of table.
    fn table(&mut self, table: &DeTable<'_>, kind: Table, prefix: &str, inner: &str) {
        self.entries(table.iter(), kind, prefix, inner);
    }

    fn entries<'e, 'i: 'e>(
        &mut self,
        entries: impl IntoIterator<Item = Entry<'e, 'i>>,
        kind: Table,
        prefix: &str,
        inner: &str,
    ) {
        for (name, value) in entries {
            let origin = self.file.origin_at(name.span().start);
            let (path, own) = (format!("{prefix}{}", name.get_ref()), format!("{inner}{}", name.get_ref()));
            if let Some(key) = keys::find(kind, &own)
                && matches!(key.kind, Kind::ColumnTypes | Kind::ColumnNames)
            {
                self.by_column(path, key, name, value);
            } else if let Some(key) = keys::find(kind, &own) {
                let written = self.file.text.get(value.span()).unwrap_or_default();
                let raw = Raw::Toml(value.get_ref(), written);
                self.layer.add(path.clone(), key, &raw, origin, &self.file.directory, self.mistakes);
                if let (Kind::TableOrFalse, DeValue::Table(table)) = (key.kind, value.get_ref()) {
                    self.table(table, kind, &format!("{path}."), &format!("{own}."));
                }
            } else if !keys::children(kind, &format!("{own}.")).is_empty() {
                if let Some(table) = self.expect_table(&path, name, value) {
                    self.table(table, kind, &format!("{path}."), &format!("{own}."));
                }
            } else {
                let is_table = matches!(value.get_ref(), DeValue::Table(_));
                self.mistakes.push(Mistake::new(
                    origin,
                    path,
                    unknown(kind, prefix, inner, name.get_ref(), is_table),
                ));
            }
        }
    }
}

/// The table with a table for each object of a set that has special keys.
pub(crate) const OBJECTS_WITH: &str = "objects_with";

/// The path of the table with defaults for jobs.
pub(crate) const DEFAULTS: &str = "defaults.";

/// The label of a layer with the defaults of the shared file.
const SHARED: &str = "defaults of the shared file";

impl FileReader<'_> {
    /// Reads a table whose keys are the names of columns.
    fn by_column(
        &mut self,
        path: String,
        key: &Key,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let origin = self.file.origin_at(name.span().start);
        let (mut dict, before) = (Dict::new(), self.mistakes.len());
        let table = self.expect_table(&path, name, value);
        let mut entries: Vec<_> = table.into_iter().flat_map(|table| table.iter()).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut columns: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in entries {
            let column = name.get_ref().as_ref();
            let (origin, entry) = (self.file.origin_at(name.span().start), format!("{path}.{column}"));
            let written = self.file.text.get(value.span()).unwrap_or_default();
            let read =
                column_value(key.kind, column, &Raw::Toml(value.get_ref(), written), &self.file.directory);
            let same = columns.insert(column.to_ascii_lowercase(), column.to_owned());
            let read = match same {
                Some(same) => {
                    let what =
                        format!("this is the column {} again, which has a line already", quoted(&same));
                    Err(Problem::new(what, "remove one of them"))
                }
                None => read,
            };
            match read {
                Ok(value) => {
                    dict.insert(column.to_owned(), value);
                }
                Err(problem) => self.mistakes.push(Mistake::new(origin.clone(), entry.clone(), problem)),
            }
            self.layer.columns.insert(entry, origin);
        }
        let value = (self.mistakes.len() == before).then(|| Value::from(dict));
        self.layer.found.insert(path, Found { origin, value });
    }
}

/// The value of a column's line.
fn column_value(kind: Kind, column: &str, raw: &Raw<'_>, base: &Path) -> Result<Value, Problem> {
    if let Raw::Toml(DeValue::Table(inner), _) = raw {
        let inner = inner.iter().next().map_or("Name", |(name, _)| name.get_ref().as_ref());
        let hint = format!("write the column's name in quotes, as in \"{column}.{inner}\" = \"...\"");
        return Err(Problem::new("this is a table, not a column", hint));
    }
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !column.split('.').all(is_name) {
        let what = format!("{} is not the name of a column", quoted(column));
        return Err(Problem::new(what, "write it as in the query: \"Name\" or \"Account.Name\""));
    }
    value::read(kind, raw, base)
}

const UNNAMED_ORG: &str = "the org has no name";
const UNNAMED_ORG_HINT: &str = "write `[orgs.NAME]` above its keys, or `[org]` if it is the only org";
const IGNORED_VARIABLE: &str = "this variable is ignored";

fn not_an_org_name(name: &str) -> Problem {
    let what = format!("{} is not an org's name", quoted(name));
    Problem::new(what, "use lowercase letters, digits and single underscores")
}

/// The mistake of a key that says what or from where a job exports.
fn not_a_default(name: &str) -> Problem {
    let what = match name {
        "orgs" => "this key is not a default, because it decides whether `output` needs {org}",
        _ => "this key says what a job exports, and is not a default",
    };
    Problem::new(what, format!("write `{name}` in a job's file"))
}

/// The mistake of a key that does not exist.
fn unknown(kind: Table, prefix: &str, inner: &str, name: &str, is_table: bool) -> Problem {
    let is_default = prefix.starts_with(DEFAULTS);
    let what = if is_table { "unknown table" } else { "unknown key" };
    let mut known = keys::children(kind, inner);
    if kind == Table::Settings && inner.is_empty() {
        known.extend(["org", "orgs", "defaults"]);
    }
    if kind == Table::Job && inner.is_empty() {
        known.push(OBJECTS_WITH);
    }
    if is_default && inner.is_empty() {
        known.retain(|key| keys::may_be_default(key));
    }
    // In TOML, a key belongs to the table above it, regardless of blank lines. A key of another table has most likely
    // been separated from its table.
    let homes: Vec<(Table, String)> = keys::keys()
        // A job has each of these keys too.
        .filter(|key| key.table != Table::Object)
        .filter_map(|key| {
            let (table, own) = key.name.rsplit_once('.').unwrap_or(("", key.name));
            let home = || match is_default && matches!(key.table, Table::Job | Table::Object) {
                true => home_in_defaults(key.table, table),
                false if kind == Table::Settings && key.table == Table::Job && keys::may_be_default(name) => {
                    format!(
                        "{} or {}",
                        home_in_defaults(key.table, table),
                        home(key.table, table, kind, inner)
                    )
                }
                false => home(key.table, table, kind, inner),
            };
            (own == name).then(|| (key.table, home()))
        })
        .collect();
    let mut of_this_name = keys::keys().filter(|key| key.name.rsplit('.').next() == Some(name)).peekable();
    if of_this_name.peek().is_some() && of_this_name.all(|key| key.kind == Kind::Secret) {
        return secret(name, &format!("{PREFIX}ORG__{}", name.to_ascii_uppercase()));
    }
    if let Some((table, _)) = homes.first() {
        let is_same_file = *table == kind || (*table == Table::Job && kind == Table::Object);
        let here = if is_same_file { " here" } else { "" };
        let homes: Vec<_> = homes.iter().map(|(_, home)| home.as_str()).collect();
        return Problem::new(format!("{what}{here}"), format!("write `{name}` {}", homes.join(" or ")));
    }
    if let Some(problem) = other_login(name) {
        return problem;
    }
    let synonym = keys::synonym(kind, name).filter(|_| inner.is_empty());
    let hint = match nearest(name, known.iter().copied()).or(synonym) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("choose one of {}", known.join(", ")),
    };
    Problem::new(what, hint)
}

/// The mistake of a secret in a file.
fn secret(name: &str, variable: &str) -> Problem {
    let hint = format!("set {variable}, or name a file with `{name}_file`");
    Problem::new("secrets are not allowed in this file", hint)
}

/// The mistake of a key for another way to log in.
fn other_login(name: &str) -> Option<Problem> {
    keys::is_other_login(name).then(|| {
        Problem::new(
            "sfexport does not log in with a password, a token or a client secret",
            "use a private key (see docs/setup.md)",
        )
    })
}

/// The place for a key of a job or an object, for someone who wrote it below `[defaults]`.
fn home_in_defaults(of: Table, table: &str) -> String {
    match (of, table) {
        (Table::Object, _) => "in `[defaults.objects_with.NAME]`".to_owned(),
        (_, "") => "in `[defaults]`".to_owned(),
        (_, table) => format!("in `[defaults.{table}]`"),
    }
}

/// The place for the keys of a table, for someone who wrote one below `inner` of another.
fn home(of: Table, table: &str, written: Table, inner: &str) -> String {
    match (of, table) {
        (Table::Object, _) => "in `[objects_with.NAME]` of a job's file".to_owned(),
        (Table::Job, "") if written == Table::Object => "at the top, above `[objects_with.NAME]`".to_owned(),
        (_, "") if of == written => format!("at the top, above `[{}]`", inner.trim_end_matches('.')),
        (Table::Settings, "") => "in sfexport.toml, above every table".to_owned(),
        (Table::Org, _) => "in `[org]` of sfexport.toml".to_owned(),
        (Table::Job, "") => "in a job's file".to_owned(),
        _ if of == written => format!("in `[{table}]`"),
        // An org's table is in the same file.
        (Table::Settings, table) if written == Table::Org => format!("in `[{table}]`"),
        (Table::Settings, table) => format!("in `[{table}]` of sfexport.toml"),
        (Table::Job, table) => format!("in `[{table}]` of a job's file"),
    }
}

/// A variable that sets no key.
enum UnknownVariable {
    /// A variable of an org.
    Mistake(Problem),
    /// Similar to this variable.
    Near(String),
    Ignored,
}

/// The key that a variable sets, given its name without `SFEXPORT_`: the full path, and the org it belongs to.
fn variable(rest: &str) -> Result<(String, &'static Key, Option<OrgName>), UnknownVariable> {
    // The names of variables are case-sensitive.
    let lower = rest.to_ascii_lowercase();
    let is_upper = !rest.contains(|c: char| c.is_ascii_lowercase());
    let unknown_key = |prefix: &str, name: &str| {
        let known = keys::children(Table::Org, "");
        if let Some(problem) = other_login(name) {
            return UnknownVariable::Mistake(problem);
        }
        let near = nearest(name, known)
            .map(|near| format!("did you mean {PREFIX}{prefix}{}?", near.to_ascii_uppercase()));
        UnknownVariable::Mistake(Problem::hinted(format!("orgs have no key `{name}`"), near))
    };
    if let Some(name) = rest.strip_prefix("ORG__") {
        let name = name.to_ascii_lowercase();
        return match keys::find(Table::Org, &name) {
            Some(key) if is_upper => Ok((format!("org.{name}"), key, Some(OrgName::default_org()))),
            _ => Err(unknown_key("ORG__", &name)),
        };
    }
    if let Some(both) = rest.strip_prefix("ORGS__") {
        // No key begins with `_`, so the last `__` separates the two.
        let Some((org, name)) = both.rsplit_once("__") else {
            let hint = format!("write it as in {PREFIX}ORGS__NAME__CLIENT_ID, for the org NAME");
            return Err(UnknownVariable::Mistake(Problem::new("the name lacks an org or a key", hint)));
        };
        let Ok(parsed) = OrgName::parse(&org.to_ascii_lowercase()) else {
            return Err(UnknownVariable::Mistake(not_an_org_name(org)));
        };
        if parsed.as_str() == OrgName::DEFAULT {
            let problem = Problem::new(
                "\"default\" is the name of the `[org]` table",
                format!("write {PREFIX}ORG__{name}"),
            );
            return Err(UnknownVariable::Mistake(problem));
        }
        let name = name.to_ascii_lowercase();
        return match keys::find(Table::Org, &name) {
            Some(key) if is_upper => Ok((format!("orgs.{parsed}.{name}"), key, Some(parsed))),
            _ => Err(unknown_key(&format!("ORGS__{org}__"), &name)),
        };
    }
    let path = lower.replace("__", ".");
    if let Some(key) = keys::find(Table::Settings, &path)
        && key.variable().is_some_and(|name| name[PREFIX.len()..] == *rest)
    {
        return Ok((path, key, None));
    }
    if let Some(near) = near_org(rest) {
        return Err(UnknownVariable::Near(near));
    }
    // Kubernetes adds variables such as SFEXPORT_PORT, so unknown variables are not mistakes.
    let variables: Vec<String> =
        keys::keys().filter_map(Key::variable).filter(|name| close(&name[PREFIX.len()..], rest)).collect();
    Err(variables.into_iter().next().map_or(UnknownVariable::Ignored, UnknownVariable::Near))
}

/// `SFEXPORT_ORGS__EMEA__KEY_FILE` for `SFEXPORT_ORGS_EMEA_KEY_FILE`, where `_` was written instead of `__`.
fn near_org(rest: &str) -> Option<String> {
    let both = rest.strip_prefix("ORGS_")?;
    keys::children(Table::Org, "").into_iter().find_map(|key| {
        let key = key.to_ascii_uppercase();
        let org = both.strip_suffix(&key)?.trim_matches('_');
        OrgName::parse(&org.to_ascii_lowercase()).ok()?;
        Some(format!("{PREFIX}ORGS__{org}__{key}"))
    })
}

/// Whether the two differ by one typing error, or by `_` instead of `__`.
fn close(known: &str, written: &str) -> bool {
    let plain = |text: &str| text.to_ascii_uppercase().replace('_', "");
    plain(known) == plain(written) || strsim::damerau_levenshtein(known, written) <= 1
}

/// A table, merged from the layers and read into its type.
pub(crate) struct Section<T> {
    /// The values in effect.
    pub(crate) typed: T,
    /// By key: the place of the value in effect, the rank of its layer, and whether it is valid.
    written: BTreeMap<String, (Origin, usize, bool)>,
    prefix: String,
    /// The rank of the layer with the defaults of the shared file, if there is one.
    defaults: Option<usize>,
}

impl<T: DeserializeOwned> Section<T> {
    /// Merges the layers' values under a prefix, lowest layer first. `None` only if the table of keys and the type
    /// disagree, which a test rules out.
    pub(crate) fn merge(layers: &[&Layer], prefix: &str, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let mut figment = Figment::new();
        let mut written = BTreeMap::new();
        for (rank, layer) in layers.iter().enumerate() {
            figment = figment.merge(Under { layer, prefix });
            for (path, found) in &layer.found {
                if let (Some(name), false) = (path.strip_prefix(prefix), layer.label == "default") {
                    written.insert(name.to_owned(), (found.origin.clone(), rank, found.value.is_some()));
                }
            }
            for (path, origin) in &layer.columns {
                if let Some(name) = path.strip_prefix(prefix) {
                    written.insert(name.to_owned(), (origin.clone(), rank, true));
                }
            }
        }
        match figment.extract() {
            Ok(typed) => {
                let defaults = layers.iter().position(|layer| layer.label == SHARED);
                Some(Self { typed, written, prefix: prefix.to_owned(), defaults })
            }
            Err(errors) => {
                for error in errors {
                    let key = format!("{prefix}{}", error.path.join("."));
                    mistakes.push(Mistake::new(Origin::Anywhere, key, error.kind.to_string()));
                }
                None
            }
        }
    }
}

impl<T> Section<T> {
    /// Whether any source sets the key, validly or not.
    pub(crate) fn is_written(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// Whether the value in effect is from `[defaults]`.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        self.defaults.is_some() && self.rank(key) == self.defaults
    }

    /// Whether the job's own file sets the key.
    pub(crate) fn is_own(&self, key: &str) -> bool {
        self.is_written(key) && !self.is_default(key)
    }

    /// Whether the value in effect is invalid. Mistakes that follow from it are then left out.
    pub(crate) fn is_mistaken(&self, key: &str) -> bool {
        self.written.get(key).is_some_and(|(_, _, good)| !good)
    }

    /// The rank of the layer whose value is in effect.
    pub(crate) fn rank(&self, key: &str) -> Option<usize> {
        self.written.get(key).map(|(_, rank, _)| *rank)
    }

    /// The place of the value in effect.
    pub(crate) fn origin(&self, key: &str) -> Option<Origin> {
        self.written.get(key).map(|(origin, _, _)| origin.clone())
    }

    /// The keys that any source sets.
    pub(crate) fn written(&self) -> impl Iterator<Item = &str> {
        self.written.keys().map(String::as_str)
    }

    /// A mistake about a key, at its place, or at `otherwise` if no source sets it. If the value is a default, it is the
    /// job that it does not fit, so the mistake is at `otherwise` and names the value's place.
    pub(crate) fn mistake(&self, key: &str, otherwise: &Origin, problem: impl Into<Problem>) -> Mistake {
        if let (true, Some(place)) = (self.is_default(key), self.origin(key)) {
            let Problem { what, hint } = problem.into();
            let problem = Problem::hinted(format!("{what} (set at {place})"), hint);
            return Mistake::new(otherwise.clone(), format!("{}{key}", self.prefix), problem);
        }
        let origin = self.origin(key).unwrap_or_else(|| otherwise.clone());
        Mistake::new(origin, format!("{}{key}", self.prefix), problem)
    }
}

/// A layer's values under a prefix, for figment.
struct Under<'a> {
    layer: &'a Layer,
    prefix: &'a str,
}

impl Provider for Under<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.layer.label)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for (path, found) in &self.layer.found {
            if let (Some(name), Some(value)) = (path.strip_prefix(self.prefix), &found.value) {
                nest(&mut dict, name, value.clone());
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}

fn nest(dict: &mut Dict, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            dict.insert(name.to_owned(), value);
        }
        Some((table, rest)) => {
            let inner = dict.entry(table.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = inner {
                nest(inner, rest, value);
            }
        }
    }
}
