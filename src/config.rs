//! Reads the configuration: files, environment variables and flags, into [`Org`]s, [`Job`]s and [`Settings`], or into a
//! list of every mistake in them.

mod digests;
mod jobs;
mod keys;
mod layer;
mod mistake;
mod orgs;
mod passed_over;
mod schema;
mod settings;
mod syntax;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use digests::{Difference, Digests};
pub use keys::{Key, Kind, Table, Unwritten, keys, markdown};
use mistake::Problem;
pub use mistake::{Mistake, Mistakes, Origin};
pub(crate) use mistake::{did_you_mean, nearest};
pub use schema::schema;
pub use settings::{Daemon, Http, Notify, NotifyOn, Settings, Status};

use crate::error::{Exit, Failure};
use crate::job::{Job, JobName, path_text};
use crate::org::{Org, OrgName};
use layer::{Layer, Section, TextFile};

/// The name of the shared file, unless `--config` or `SFEXPORT_CONFIG` sets another one.
pub const FILE_NAME: &str = "sfexport.toml";

/// Everything that a configuration is read from.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub config_flag: Option<PathBuf>,
    /// The environment: names and values.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory, absolute. Relative paths in flags and variables start here.
    pub working_dir: PathBuf,
    /// Flags that set a key of [`Table::Settings`].
    pub flags: Vec<FlagValue>,
    /// The memory limit of this process in bytes, if it has one.
    pub memory_limit: Option<u64>,
}

impl fmt::Debug for Sources {
    /// Without the environment's values, which may be keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("config_flag", &self.config_flag)
            .field("working_dir", &self.working_dir)
            .field("flags", &self.flags)
            .field("memory_limit", &self.memory_limit)
            .finish_non_exhaustive()
    }
}

/// A flag that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagValue {
    /// As the user wrote it: `--state-dir`.
    pub flag: &'static str,
    /// The key: `state_dir`.
    pub key: &'static str,
    /// The value, as an environment variable would hold it.
    pub value: String,
}

/// Which jobs to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every job. A mistake in any file counts.
    All,
    /// Every job that can be read. The mistakes of the others are in [`Config::broken`].
    Readable,
    /// These jobs. Mistakes in other files are warnings.
    Jobs(Vec<String>),
    /// None. Job files are not read.
    NoJobs,
}

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub struct Config {
    /// The shared file, if there is one.
    pub file: Option<PathBuf>,
    /// The settings of the process.
    pub settings: Settings,
    /// The orgs by name.
    pub orgs: BTreeMap<OrgName, Org>,
    /// The selected jobs, ordered by name and org.
    pub jobs: Vec<Job>,
    /// The mistakes of the jobs that cannot be read, by name, under [`Selection::Readable`].
    pub broken: BTreeMap<String, Mistakes>,
    /// The digests of the files.
    pub digests: Digests,
    /// Mistakes that do not prevent anything from running.
    pub warnings: Vec<Mistake>,
    /// The working directory.
    pub working_dir: PathBuf,
}

impl Config {
    /// The selected job of this name for each of its orgs.
    pub fn jobs_of(&self, name: &JobName) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(move |job| job.name == *name)
    }

    /// The org of this name, or the org of the `[org]` table.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if there is no such org.
    pub fn org(&self, name: Option<&str>) -> Result<&Org, Failure> {
        let wanted = name.unwrap_or(OrgName::DEFAULT);
        let found = self.orgs.iter().find(|(org, _)| org.as_str() == wanted).map(|(_, org)| org);
        found.ok_or_else(|| {
            let names: Vec<_> = self.orgs.keys().map(OrgName::as_str).collect();
            let failure = match name {
                Some(name) => {
                    let what = format!("there is no org {}", mistake::quoted(name));
                    Failure::new(Exit::Configuration, what)
                }
                None if self.file.is_none() && names.is_empty() => {
                    return Failure::new(Exit::Configuration, no_file(&self.working_dir)).hint(NO_FILE_HINT);
                }
                None => Failure::new(Exit::Configuration, "there is no `[org]`"),
            };
            match (&self.file, names.is_empty()) {
                (_, false) => {
                    let near = did_you_mean(wanted, names.iter().copied());
                    failure.hint(near.unwrap_or_else(|| mistake::choose(names.iter().copied())))
                }
                (Some(file), true) => failure.hint(format!("add an `[org]` table to {}", file.display())),
                (None, true) => failure.hint(NO_FILE_HINT),
            }
        })
    }
}

/// The message for a missing configuration, with a similar file if there is one.
fn no_file(directory: &Path) -> String {
    let mut what = format!("there is no {FILE_NAME} in {}", directory.display());
    if let Some(near) = passed_over::shared_file(directory) {
        what.push_str(&format!(", and {near} is ignored because of its name"));
    } else if let Some(above) = directory.parent().filter(|above| above.join(FILE_NAME).is_file()) {
        what.push_str(&format!(", but there is one in {}", above.display()));
    }
    what
}

const NO_FILE_HINT: &str = "create it with `sfexport init`, name another file with --config or SFEXPORT_CONFIG, or set \
                            SFEXPORT_ORG__CLIENT_ID, SFEXPORT_ORG__USERNAME and SFEXPORT_ORG__KEY_FILE";

/// Reads the configuration. Flags take precedence over variables, variables over files, files over defaults.
///
/// # Errors
/// Every mistake in every source, in one list.
pub fn load(sources: &Sources, selection: &Selection) -> Result<Config, Mistakes> {
    let mut mistakes = Vec::new();
    let mut warnings = Vec::new();
    let working_dir = sources.working_dir.as_path();

    let file = shared_file(sources, &mut mistakes);
    let base = file.as_ref().map_or(working_dir, |(path, _)| path.parent().unwrap_or(working_dir));
    let from_file = match &file {
        Some((_, Some(text))) => Layer::of_shared_file(text, &mut mistakes),
        _ => Layer::default(),
    };
    let environment = Layer::of_environment(&sources.environment, working_dir, &mut mistakes, &mut warnings);
    let near_misses = warnings.clone();
    let flags = Layer::of_flags(&sources.flags, working_dir, &mut mistakes);
    let defaults = Layer::of_defaults(Table::Settings, "", base);

    let section =
        Section::<Settings>::merge(&[&defaults, &from_file, &environment, &flags], "", &mut mistakes);
    let Some(mut section) = section else { return Err(never_empty(mistakes)) };
    settings::check(&section, &mut mistakes);
    if let Some(limit) = sources.memory_limit
        && !section.is_written("http.page_cap")
    {
        let most = section.typed.daemon.max_concurrent_runs;
        let runs = match selection {
            Selection::All | Selection::Readable => most,
            Selection::Jobs(jobs) => jobs.len().clamp(1, most),
            Selection::NoJobs => 1,
        };
        section.typed.http.fit_into(limit, runs);
    }

    // If any part of the shared file cannot be read, the orgs are unknown, and messages about them would only repeat
    // its mistake.
    let file_unread = file.as_ref().is_some_and(|(_, text)| text.is_none());
    let orgs_known = !file_unread && !from_file.is_unread();
    let mut org_mistakes = Vec::new();
    let orgs = orgs::read(&[&from_file, &environment], &mut org_mistakes);
    if orgs_known {
        mistakes.append(&mut org_mistakes);
    }

    let shown_file = file.as_ref().map(|(path, _)| layer::shown(path, working_dir));
    let no_file = Problem::new(no_file(working_dir), NO_FILE_HINT);
    let mut context = jobs::JobContext {
        working_dir,
        directory: base,
        jobs_dir: &section.typed.jobs_dir,
        jobs_dir_origin: section.origin("jobs_dir"),
        jobs_dir_known: !file_unread || section.origin("jobs_dir").is_some(),
        // Every path is below `/`, so a mistake in `output_root` does not show up again in each job.
        output_root: if section.is_mistaken("output_root") {
            Path::new("/")
        } else {
            &section.typed.output_root
        },
        own_files: jobs::OwnFiles::new(
            file.as_ref().map(|(path, _)| path.as_path()),
            &section.typed.state_dir,
            orgs.complete.values(),
        ),
        orgs: orgs_known.then_some(&orgs),
        defaults: None,
        shared_file: shown_file.as_deref().ok_or(&no_file),
    };
    let mut defaults = from_file.defaults();
    if let (Some((_, Some(text))), true) = (&file, orgs_known) {
        jobs::check_defaults(text, &mut defaults, &context, &mut mistakes, &mut warnings);
    }
    context.defaults = orgs_known.then_some(&defaults);
    let mut read = match section.is_mistaken("jobs_dir") {
        true => jobs::Jobs::default(),
        false => jobs::read(&context, selection),
    };
    let nothing_at_all = file.is_none() && read.is_empty() && orgs.named.is_empty();
    mistakes.append(&mut read.mistakes);
    warnings.append(&mut read.warnings);
    if nothing_at_all && *selection != Selection::NoJobs {
        // Without a configuration there are no jobs either, so those mistakes are left out.
        mistakes.push(Mistake::new(Origin::Anywhere, None, no_file));
    } else {
        mistakes.append(&mut read.unknown);
    }
    if !mistakes.is_empty() {
        // A missing value may be in a variable with a misspelled name.
        mistakes.extend(near_misses);
    }
    if let Some(mistakes) = Mistakes::of(mistakes) {
        return Err(mistakes);
    }
    warnings.sort();
    let shared_text = file.as_ref().and_then(|(_, text)| text.as_ref());
    let digests =
        Digests { shared_file: shared_text.map(|file| digests::of(&file.text)), jobs: read.digests };
    let broken = read.broken.into_iter();
    Ok(Config {
        file: file.map(|(path, _)| path),
        settings: section.typed,
        orgs: orgs.complete,
        jobs: read.jobs,
        broken: broken.filter_map(|(job, mistakes)| Some((job, Mistakes::of(mistakes)?))).collect(),
        digests,
        warnings,
        working_dir: working_dir.to_owned(),
    })
}

/// The shared file and its text. Without a text, the file cannot be read, and `mistakes` says why.
fn shared_file(sources: &Sources, mistakes: &mut Vec<Mistake>) -> Option<(PathBuf, Option<TextFile>)> {
    let variable = sources
        .environment
        .iter()
        .find(|(name, value)| name == "SFEXPORT_CONFIG" && !value.is_empty())
        .map(|(_, value)| Path::new(value));
    let (named, origin) = match (&sources.config_flag, variable) {
        (Some(path), _) => (Some(path.as_path()), Origin::Flag("--config".to_owned())),
        (None, Some(path)) => (Some(path), Origin::Variable("SFEXPORT_CONFIG".to_owned())),
        (None, None) => (None, Origin::Anywhere),
    };
    let path = sources.working_dir.join(named.unwrap_or(Path::new(FILE_NAME)));
    if let Some(text) = named.and_then(Path::to_str)
        && let Some(not_local) = path_text::not_local(text)
    {
        let what = format!("{} {}", mistake::quoted(text), not_local.reason());
        mistakes.push(Mistake::new(origin, None, Problem::new(what, not_local.hint())));
        return Some((path, None));
    }
    // A dangling link exists, and cannot be read.
    if named.is_none() && path.symlink_metadata().is_err() {
        return None;
    }
    match TextFile::read(&path, &sources.working_dir) {
        Ok(text) => Some((path, Some(text))),
        Err(mistake) if named.is_some() && matches!(mistake.origin, Origin::File { line: None, .. }) => {
            let shown = layer::shown(&path, &sources.working_dir);
            let what = format!("{} {}", mistake::quoted(&shown.to_string_lossy()), mistake.what);
            let hint = mistake.hint.or_else(|| {
                let is_missing = path.symlink_metadata().is_err();
                is_missing.then(|| "correct the path; `sfexport init` writes a new configuration".to_owned())
            });
            mistakes.push(Mistake::new(origin, None, Problem::hinted(what, hint)));
            Some((path, None))
        }
        Err(mistake) => {
            mistakes.push(*mistake);
            Some((path, None))
        }
    }
}

fn never_empty(mistakes: Vec<Mistake>) -> Mistakes {
    Mistakes::of(mistakes).unwrap_or_else(|| {
        Mistakes::one(Mistake::new(Origin::Anywhere, None, "the configuration cannot be read"))
    })
}
