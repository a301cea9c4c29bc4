//! Finds files that look like job files or the shared file, but have the wrong name or are in the wrong directory.

use std::path::{Path, PathBuf};

use super::FILE_NAME;
use super::layer::shown;
use super::mistake::{Mistake, Origin, Problem};

/// How many levels below the jobs directory are searched, and how many names in each directory.
const MAX_DEPTH: usize = 3;
const MAX_NAMES: usize = 1_000;

/// Directories whose files are ignored on purpose.
const PUT_ASIDE: [&str; 9] =
    ["archive", "archived", "backup", "disabled", "examples", "off", "old", "templates", "unused"];

/// The ignored files in the jobs directory, as warnings.
pub(super) fn jobs(directory: &Path, working_dir: &Path) -> Vec<Mistake> {
    let mut passed_over = Vec::new();
    for (name, path) in names(directory) {
        let problem = if path.is_dir() {
            if PUT_ASIDE.iter().any(|aside| name.eq_ignore_ascii_case(aside)) {
                continue;
            }
            let Some(first) = first_job(&path, MAX_DEPTH) else { continue };
            let first = shown(&first, &path);
            let directory = shown(directory, working_dir).display().to_string();
            Problem::new(
                format!("job files in this directory are ignored, such as {}", first.display()),
                format!("move them to {directory} itself"),
            )
        } else if let Some(meant) = meant_job(&name) {
            match name.rsplit('.').next() {
                Some("yaml" | "yml" | "json") => Problem::new(
                    "this file is ignored, because jobs are written in TOML",
                    format!("write it as {meant}"),
                ),
                _ => Problem::new(
                    "this file is ignored, because the names of job files end in .toml",
                    format!("rename it to {meant}"),
                ),
            }
        } else {
            continue;
        };
        let origin = Origin::File { path: shown(&path, working_dir), line: None, column: None };
        passed_over.push(Mistake::new(origin, None, problem));
    }
    passed_over
}

/// The file in a directory that was most likely meant to be `sfexport.toml`.
pub(super) fn shared_file(directory: &Path) -> Option<String> {
    let near = |name: &str| {
        meant_job(name).is_some_and(|meant| meant.eq_ignore_ascii_case(FILE_NAME))
            || (name != FILE_NAME && name.eq_ignore_ascii_case(FILE_NAME))
    };
    names(directory).into_iter().find(|(name, path)| near(name) && path.is_file()).map(|(name, _)| name)
}

/// The name that a file was most likely meant to have: `a.toml` for `a.TOML`, `a.toml.txt`, `a.yaml`.
fn meant_job(name: &str) -> Option<String> {
    // Other endings, such as `.bak`, `.disabled` and `~`, disable a file on purpose.
    const MEANT: [&str; 7] = [".toml.txt", ".toml ", ".toml", ".tml", ".yaml", ".yml", ".json"];
    if name.ends_with(".toml") {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let stem = MEANT.iter().find_map(|ending| lower.strip_suffix(ending))?;
    (!stem.is_empty()).then(|| format!("{}.toml", &name[..stem.len()]))
}

/// The first file in a directory that looks like a job file.
fn first_job(directory: &Path, depth: usize) -> Option<PathBuf> {
    let (directories, files): (Vec<_>, Vec<_>) =
        names(directory).into_iter().partition(|(_, path)| path.is_dir());
    let is_job =
        |name: &str| name.ends_with(".toml") || meant_job(name).is_some_and(|_| !name.ends_with(".json"));
    let found = files.into_iter().find(|(name, _)| is_job(name)).map(|(_, path)| path);
    found.or_else(|| {
        let deeper = depth.checked_sub(1).filter(|depth| *depth > 0)?;
        directories.into_iter().find_map(|(_, path)| first_job(&path, deeper))
    })
}

/// The names in a directory, sorted, without hidden ones such as a ConfigMap's `..data` or an editor's `.#x`.
fn names(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .flatten()
        .take(MAX_NAMES)
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::meant_job;

    #[test]
    fn a_misnamed_job_file_is_not_a_disabled_one() {
        for (name, meant) in [
            ("contacts.TOML", Some("contacts.toml")),
            ("Contacts.Toml", Some("Contacts.toml")),
            ("contacts.toml.txt", Some("contacts.toml")),
            ("contacts.toml.toml", None),
            ("contacts.yaml", Some("contacts.toml")),
            ("contacts.YML", Some("contacts.toml")),
            ("contacts.tml", Some("contacts.toml")),
            ("contacts.toml", None),
            ("contacts.toml.bak", None),
            ("contacts.toml~", None),
            ("contacts.toml.disabled", None),
            ("contacts.soql", None),
            ("README.md", None),
            ("toml", None),
            (".yaml", None),
            ("ä.TOML", Some("ä.toml")),
        ] {
            assert_eq!(meant_job(name).as_deref(), meant, "{name}");
        }
    }
}
