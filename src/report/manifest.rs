//! The manifest: the list of what a job exported, for programs that load it. Pure; the engine fills it in and writes it.

use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RunId, SkippedObject};
use crate::job::ExportKind;

/// What a job exported. Its JSON form is a contract like that of the report: fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The version of this form.
    pub version: u32,
    /// The job's name.
    pub job: String,
    /// The org's name in the configuration.
    pub org: String,
    /// The org's id, if it is known.
    pub org_id: Option<String>,
    /// The run that wrote the manifest.
    pub run_id: RunId,
    /// The occurrence that the run was for.
    pub scheduled: Option<Timestamp>,
    /// When the run began.
    pub started: Timestamp,
    /// When the last file was complete.
    pub ended: Timestamp,
    /// `csv` or `jsonl`.
    pub format: String,
    /// The files.
    pub files: Vec<ManifestFile>,
    /// The objects of a set that no query exports.
    pub skipped: Vec<SkippedObject>,
}

impl Manifest {
    /// The version of the form that is written now.
    pub const VERSION: u32 = 1;

    /// The manifest's text, readable for people too.
    ///
    /// # Errors
    /// None that can occur: every field has a JSON form.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }
}

/// One exported file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestFile {
    /// The object that it holds, of a set or of a job with `object`.
    pub object: Option<String>,
    /// The child query whose records it holds.
    pub child: Option<String>,
    /// What it holds of an incremental export.
    pub kind: Option<ManifestKind>,
    /// The mark that its changes were exported from.
    pub since: Option<Timestamp>,
    /// The new mark: every record whose stamp is at most this has been exported.
    pub mark: Option<Timestamp>,
    /// Its path relative to the manifest, with `/`.
    pub path: String,
    /// Records in it.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
    /// Its size before compression; none if it is not compressed.
    pub raw_bytes: Option<u64>,
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
    /// The run that exported it: an earlier attempt of the same occurrence, or the run that wrote the manifest.
    pub run_id: RunId,
    /// Its columns, in the file's order.
    pub columns: Vec<ManifestColumn>,
}

/// What a file holds of an incremental export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ManifestKind {
    /// All records.
    Full,
    /// The records that have changed.
    Changes,
    /// The Ids of deleted records.
    Deletes,
}

impl From<ExportKind> for ManifestKind {
    fn from(kind: ExportKind) -> Self {
        match kind {
            ExportKind::Full => Self::Full,
            ExportKind::Changes => Self::Changes,
        }
    }
}

/// A column of an exported file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestColumn {
    /// Its name in the file.
    pub name: String,
    /// Its type, if the org has told it.
    #[serde(rename = "type")]
    pub column_type: Option<String>,
}

/// A file's path as a manifest at `manifest` writes it. Both are absolute and free of `.` and `..`.
#[must_use]
pub fn relative(manifest: &Path, file: &Path) -> String {
    let directory = manifest.parent().unwrap_or(Path::new(""));
    let shared = directory.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    let up = directory.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(file.components().skip(shared)).collect();
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_relative_to_the_manifest() {
        for (manifest, file, expected) in [
            ("/x/backup.manifest.json", "/x/Account.csv", "Account.csv"),
            ("/x/backup.manifest.json", "/x/Account/2026-11-22.csv", "Account/2026-11-22.csv"),
            ("/x/lists/backup.json", "/x/data/Account.csv", "../data/Account.csv"),
            ("/a/b/c.json", "/d.csv", "../../d.csv"),
        ] {
            assert_eq!(relative(Path::new(manifest), Path::new(file)), expected, "{manifest} {file}");
        }
    }

    fn example() -> Manifest {
        let run_id = RunId::new(Timestamp::from_second(1_795_309_200).unwrap(), 0x1f2e_3d4c);
        let column = |name: &str, column_type: Option<&str>| ManifestColumn {
            name: name.to_owned(),
            column_type: column_type.map(str::to_owned),
        };
        Manifest {
            version: Manifest::VERSION,
            job: "backup".to_owned(),
            org: "default".to_owned(),
            org_id: Some("00D000000000001EAA".to_owned()),
            run_id: run_id.clone(),
            scheduled: Some("2026-11-22T01:00:00Z".parse().unwrap()),
            started: "2026-11-22T01:00:00.004182Z".parse().unwrap(),
            ended: "2026-11-22T01:09:12.5Z".parse().unwrap(),
            format: "csv".to_owned(),
            files: vec![ManifestFile {
                object: Some("Account".to_owned()),
                child: None,
                kind: Some(ManifestKind::Changes),
                since: Some("2026-11-21T00:45:00Z".parse().unwrap()),
                mark: Some("2026-11-22T00:45:00Z".parse().unwrap()),
                path: "Account.csv".to_owned(),
                records: 51_342,
                bytes: 5_477_013,
                raw_bytes: None,
                sha256: "dd0ad9f872ed3df0e480d1d7511605cb2eb76c3651365e9fcc3f5beb1c88a5da".to_owned(),
                run_id,
                columns: vec![column("Id", Some("text")), column("Name", None)],
            }],
            skipped: vec![SkippedObject {
                object: "ContentDocumentLink".to_owned(),
                reason: "MALFORMED_QUERY: ContentDocumentLink requires a filter".to_owned(),
            }],
        }
    }

    #[test]
    fn the_page_of_the_report_shows_the_manifest() {
        let page = include_str!("../../docs/report.md");
        let shown = page.split("<!-- manifest -->\n```json\n").nth(1).unwrap().split("```").next().unwrap();
        let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
        assert_eq!(shown, serde_json::to_value(example()).unwrap());
        for object in [&shown, &shown["files"][0]] {
            for key in object.as_object().unwrap().keys() {
                assert!(page.contains(&format!("`{key}`")), "{key} is not explained");
            }
        }
        assert!(example().to_json().unwrap().ends_with(b"}\n"));
    }
}
