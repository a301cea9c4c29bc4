//! What a run did, as `--json`, the history and a webhook tell it, and the run's id. Pure: who fills it in is
//! `export`, who keeps it is `state`.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::job::{Api, Deletes, ExportKey, ExportKind, JobName};
use crate::org::OrgName;

pub mod manifest;

/// What one run of one job did. Its JSON form is a contract: fields are added, never renamed; a reader leaves
/// aside those it does not know and takes the default for those that are missing. Every timestamp is in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// The job's name at the time; it may be gone from the configuration since.
    pub job: String,
    /// The run's id.
    pub run_id: RunId,
    /// The name of the org that was exported from.
    pub org: String,
    /// The object, if this is the export of one object of a set.
    #[serde(default)]
    pub object: Option<String>,
    /// The occurrence that the run was for, before jitter; none for a run by hand without `--at`.
    #[serde(default)]
    pub scheduled: Option<Timestamp>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; for an occurrence that was not run, the same timestamp.
    pub ended: Timestamp,
    /// How it ended.
    pub status: RunStatus,
    /// The run's exit status; 0 only if every record that the org counted is in the file, or if `count` says why
    /// the numbers differ.
    pub exit_status: u8,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// The same without the literals of the query, if the org's words quote it: what others are shown.
    #[serde(default)]
    pub error_redacted: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
    /// The output's path as shown to a person: text, because a path need not be UTF-8 and JSON must be.
    #[serde(default)]
    pub path: Option<String>,
    /// `csv`, `jsonl` or `parquet`.
    #[serde(default)]
    pub format: Option<String>,
    /// The query without its literals; none if the run ended before it was known.
    #[serde(default)]
    pub soql: Option<String>,
    /// Whether it was a full export or one of changes, if the job is incremental; none if the run ended before that was
    /// decided.
    #[serde(default, deserialize_with = "known_kind")]
    pub kind: Option<ExportKind>,
    /// Why it was a full one, as a clause: "this is the first run".
    #[serde(default)]
    pub kind_reason: Option<String>,
    /// The mark that changes were exported from.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// The new mark of an incremental export: every record whose stamp is at most this has been delivered. None if the mark
    /// stayed where it was.
    #[serde(default)]
    pub mark: Option<Timestamp>,
    /// How an incremental export reports deleted records; none if the run ended before that was decided.
    #[serde(default, deserialize_with = "known_deletes")]
    pub deletes: Option<Deletes>,
    /// How many deleted records an incremental export lists by their Ids; none if it does not list them.
    #[serde(default)]
    pub deleted: Option<u64>,
    /// Whether those are all that were deleted since the last full export; none if they are not listed.
    #[serde(default)]
    pub deletes_complete: Option<bool>,
    /// The API that sent the records; none if the run ended before that was decided.
    #[serde(default, deserialize_with = "known_api")]
    pub api: Option<Api>,
    /// Why it was this API, as a clause: "2,000,000 records take 1,000 calls by REST".
    #[serde(default)]
    pub api_reason: Option<String>,
    /// The id of the query job, if Bulk API 2.0 was used.
    #[serde(default)]
    pub bulk_job: Option<String>,
    /// Records written.
    #[serde(default)]
    pub records: u64,
    /// Records that the org counted (`totalSize`); none if no page arrived, or if the org does not count.
    #[serde(default)]
    pub total: Option<u64>,
    /// How the two compare; none if the run ended before that was clear.
    #[serde(default)]
    pub count: Option<CountResult>,
    /// Records that the org counted and that were deleted before it could send them.
    #[serde(default)]
    pub deleted_meanwhile: u64,
    /// Bytes of the published file; 0 where none was published.
    #[serde(default)]
    pub bytes: u64,
    /// Its bytes before compression; none if it is not compressed.
    #[serde(default)]
    pub raw_bytes: Option<u64>,
    /// SHA-256 of the published file, in lower-case hex.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The columns, in the file's order.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The files beside the main one, which hold the records of child queries.
    #[serde(default)]
    pub files: Vec<ChildFile>,
    /// Pages of results accepted.
    #[serde(default)]
    pub pages: u64,
    /// Requests sent that count against the org's daily limit, repeated ones too.
    #[serde(default)]
    pub api_calls: u64,
    /// Logins.
    #[serde(default)]
    pub logins: u64,
    /// Requests sent again after a fault.
    #[serde(default)]
    pub retries: u64,
    /// Times that the query was begun again from its start.
    #[serde(default)]
    pub restarts: u64,
    /// The org's daily API limit, from its latest response.
    #[serde(default)]
    pub api_limit: Option<ApiLimit>,
    /// What a person should know although the run went well: changed columns, characters that UTF-8 cannot
    /// hold.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What became of the objects, if the job is a set of objects.
    #[serde(default)]
    pub set: Option<SetSummary>,
    /// A digest of the settings that decide what is in the file; none for a query without a job. A retry exports again what
    /// was exported by other settings.
    #[serde(default)]
    pub settings: Option<String>,
    /// The commands that ran after exports (`after`): those of earlier runs that were pending, then this run's own.
    #[serde(default)]
    pub after: Vec<CommandReport>,
}

impl RunReport {
    /// A report of a run that has just begun. It counts as a failure until its end is filled in, so a forgotten field
    /// cannot turn it into a success.
    ///
    /// `job` and `org` are their names.
    #[must_use]
    pub fn begun(job: &str, org: &str, run_id: RunId, started: Timestamp) -> Self {
        Self {
            job: job.to_owned(),
            run_id,
            org: org.to_owned(),
            object: None,
            scheduled: None,
            started,
            ended: started,
            status: RunStatus::Failed,
            exit_status: 1,
            error: None,
            error_redacted: None,
            hint: None,
            path: None,
            format: None,
            soql: None,
            kind: None,
            kind_reason: None,
            since: None,
            mark: None,
            deletes: None,
            deleted: None,
            deletes_complete: None,
            api: None,
            api_reason: None,
            bulk_job: None,
            records: 0,
            total: None,
            count: None,
            deleted_meanwhile: 0,
            bytes: 0,
            raw_bytes: None,
            sha256: None,
            columns: Vec::new(),
            files: Vec::new(),
            pages: 0,
            api_calls: 0,
            logins: 0,
            retries: 0,
            restarts: 0,
            api_limit: None,
            warnings: Vec::new(),
            set: None,
            settings: None,
            after: Vec::new(),
        }
    }
}

impl RunReport {
    /// The job and the org of the run; `None` if another version wrote names that this one does not allow.
    #[must_use]
    pub fn job_key(&self) -> Option<ExportKey> {
        Some(ExportKey::new(JobName::parse(&self.job).ok()?, OrgName::parse(&self.org).ok()?))
    }

    /// The error, fit for readers who need not know the query's literals: of a status page, a webhook, a ping.
    #[must_use]
    pub fn error_for_others(&self) -> Option<&str> {
        self.error_redacted.as_deref().or(self.error.as_deref())
    }

    /// The report, fit for the same readers.
    #[must_use]
    pub fn for_others(&self) -> Cow<'_, Self> {
        match &self.error_redacted {
            None => Cow::Borrowed(self),
            Some(redacted) => {
                Cow::Owned(Self { error: Some(redacted.clone()), error_redacted: None, ..self.clone() })
            }
        }
    }
}

/// Reads the name of an API; none if a later version wrote one that this version does not know.
fn known_api<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Api>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok([Api::Rest, Api::Bulk].into_iter().find(|api| Some(api.as_str()) == name.as_deref()))
}

/// Reads the kind of an incremental export; none if a later version wrote one that this version does not know.
fn known_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ExportKind>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    let known = [ExportKind::Full, ExportKind::Changes];
    Ok(known.into_iter().find(|kind| Some(kind.as_str()) == name.as_deref()))
}

/// Reads how deleted records are reported; none if a later version wrote a way that this version does not know.
fn known_deletes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Deletes>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    let known = [Deletes::Rows, Deletes::Ids, Deletes::None];
    Ok(known.into_iter().find(|deletes| Some(deletes.as_str()) == name.as_deref()))
}

/// What a command after an export did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReport {
    /// The run whose export it followed.
    pub run_id: RunId,
    /// Its exit status; none if it could not be started or was killed.
    #[serde(default)]
    pub exit_status: Option<i32>,
    /// How it failed; none if it succeeded.
    #[serde(default)]
    pub error: Option<String>,
    /// How long it took.
    #[serde(default)]
    pub milliseconds: u64,
}

/// A file that a run published beside its main one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildFile {
    /// The child query whose records it holds: `Contacts`, or `Contacts.Tasks` for one in it.
    pub of: String,
    /// Its path as shown to a person.
    pub path: String,
    /// Records written.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its bytes before compression; none if it is not compressed.
    #[serde(default)]
    pub raw_bytes: Option<u64>,
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
    /// Its columns, in the file's order.
    pub columns: Vec<String>,
}

/// What a run did with the objects of a set. Each object that was exported or failed has a report too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetSummary {
    /// How many objects the run exported.
    pub exported: u64,
    /// How many objects earlier attempts of the same occurrence exported, so the run left them as they are.
    #[serde(default)]
    pub carried_over: u64,
    /// The objects that the org does not export, by name.
    #[serde(default)]
    pub skipped: Vec<SkippedObject>,
    /// The objects that could not be exported, by name.
    #[serde(default)]
    pub failed: Vec<FailedObject>,
    /// How many objects were left when the run ended early.
    #[serde(default)]
    pub not_tried: u64,
    /// The path of the manifest as shown to a person; none if the run wrote none.
    #[serde(default)]
    pub manifest: Option<String>,
}

/// An object that no query exports, according to the org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedObject {
    /// Its name.
    pub object: String,
    /// The org's reason.
    pub reason: String,
}

/// An object whose export failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedObject {
    /// Its name.
    pub object: String,
    /// The exit status of its export.
    pub exit_status: u8,
    /// What went wrong, without the literals of its query.
    #[serde(default)]
    pub error: Option<String>,
}

/// How the records that arrived compare with the org's count of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountResult {
    /// As many as the org counted.
    Equal,
    /// As many as the org counted, less those that were deleted before it could send them.
    DeletedMeanwhile,
    /// Fewer than the org counted at first, and as many as it counted when asked again.
    Recounted,
    /// The org does not count these records.
    NotCounted,
    /// More or fewer than the org counted, and published all the same: the job sets `count_check = "warn"`.
    Differs,
    /// Written by a later version.
    #[serde(other)]
    Unknown,
}

impl CountResult {
    /// Its name, as the JSON form spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::DeletedMeanwhile => "deleted_meanwhile",
            Self::Recounted => "recounted",
            Self::NotCounted => "not_counted",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Every record is in the file.
    Ok,
    /// It failed; the previous file is unchanged.
    Failed,
    /// A signal ended it, or a newer occurrence replaced it; the previous file is unchanged.
    Cancelled,
    /// An occurrence that was not run because the one before it still was, or because an earlier attempt had exported it.
    Skipped,
    /// An occurrence that was not run because it was found too late.
    Missed,
    /// Written by a later version.
    #[serde(other)]
    Unknown,
}

impl RunStatus {
    /// Its name, as the JSON form spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a run took place at all.
    #[must_use]
    pub fn has_run(self) -> bool {
        !matches!(self, Self::Skipped | Self::Missed)
    }
}

/// The org's rolling limit on API requests in 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiLimit {
    /// Requests used, everybody's.
    pub used: u64,
    /// Requests allowed.
    pub allowed: u64,
    /// Those of them that `api_reserve` leaves for others.
    #[serde(default)]
    pub reserve: Option<u64>,
}

impl ApiLimit {
    /// A limit of which nothing is reserved.
    #[must_use]
    pub fn new(used: u64, allowed: u64) -> Self {
        Self { used, allowed, reserve: None }
    }

    /// The requests that are left for exports. The limit is a soft one: more may be used than are allowed.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.allowed.saturating_sub(self.used).saturating_sub(self.reserve.unwrap_or_default())
    }
}

/// A run's name: when it began and eight random hex digits, `20261122T010000Z-1f2e3d4c`. Ids sort by time, and
/// are safe in file names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The id of a run that began at `started`. The lower half of `random` tells runs of one second apart; it need
    /// not be secret.
    #[must_use]
    pub fn new(started: Timestamp, random: u64) -> Self {
        Self(format!("{}-{:08x}", started.strftime("%Y%m%dT%H%M%SZ"), random as u32))
    }

    /// The length of every id, in bytes.
    pub const LEN: usize = 25;

    /// The id that `text` is, or none. Exact, so that a sweep by name takes no file that is not a run's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let pattern = b"99999999T999999Z-ffffffff";
        let fits = |(byte, kind): (u8, &u8)| match kind {
            b'9' => byte.is_ascii_digit(),
            b'f' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            literal => byte == *literal,
        };
        (text.len() == Self::LEN && text.bytes().zip(pattern).all(fits)).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{RunId, RunReport, RunStatus};

    #[test]
    fn a_run_id_is_the_utc_start_and_eight_hex_digits() {
        // `date -u -d @1795309200 +%Y%m%dT%H%M%SZ`
        let started = jiff::Timestamp::from_second(1_795_309_200).unwrap();
        assert_eq!(RunId::new(started, 0x1f).as_str(), "20261122T010000Z-0000001f");
        let later = jiff::Timestamp::from_second(1_795_309_201).unwrap();
        assert!(RunId::new(started, u32::MAX.into()) < RunId::new(later, 0));
    }

    #[test]
    fn only_a_run_id_parses_as_one() {
        assert_eq!(RunId::parse("20261122T010000Z-1f2e3d4c").unwrap().as_str(), "20261122T010000Z-1f2e3d4c");
        for text in
            ["", "20261122T010000Z-1F2E3D4C", "20261122T010000Z-1f2e3d4", "x20261122T010000Z-1f2e3d4c"]
        {
            assert_eq!(RunId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_report_is_json_with_the_documented_fields_in_their_order() {
        let started = jiff::Timestamp::from_second(1_795_309_200).unwrap();
        let report = RunReport::begun("accounts", "emea", RunId::new(started, 1), started);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"job":"accounts","run_id":"20261122T010000Z-00000001","org":"emea","object":null,"scheduled":null,"#,
                r#""started":"2026-11-22T01:00:00Z","ended":"2026-11-22T01:00:00Z","status":"failed","#,
                r#""exit_status":1,"error":null,"error_redacted":null,"hint":null,"path":null,"format":null,"#,
                r#""soql":null,"kind":null,"kind_reason":null,"since":null,"mark":null,"deletes":null,"deleted":null,"deletes_complete":null,"api":null,"api_reason":null,"bulk_job":null,"records":0,"total":null,"count":null,"deleted_meanwhile":0,"#,
                r#""bytes":0,"raw_bytes":null,"sha256":null,"columns":[],"files":[],"pages":0,"api_calls":0,"logins":0,"retries":0,"#,
                r#""restarts":0,"api_limit":null,"warnings":[],"set":null,"settings":null,"after":[]}"#,
            )
        );
    }

    #[test]
    fn the_page_of_the_report_names_every_field_in_order() {
        let page = include_str!("../docs/report.md");
        let table = page.split("<!-- fields -->").nth(1).unwrap().split("<!-- end -->").next().unwrap();
        let first_cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let named: Vec<_> =
            first_cells.flat_map(|cell| cell.split(", ")).map(|name| name.replace('`', "")).collect();
        let started = jiff::Timestamp::from_second(1_795_309_200).unwrap();
        let report = RunReport::begun("accounts", "emea", RunId::new(started, 1), started);
        let json = serde_json::to_string(&report).unwrap();
        let mut keys: Vec<_> = json.split('"').filter(|part| named.iter().any(|name| name == part)).collect();
        keys.dedup();
        assert_eq!(keys, named);
        let fields = serde_json::to_value(&report).unwrap().as_object().unwrap().len();
        assert_eq!(named.len(), fields);
        let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
        let example: serde_json::Map<_, _> = serde_json::from_str(example).unwrap();
        assert_eq!(example.len(), fields);
        serde_json::from_value::<RunReport>(example.into()).unwrap();
    }

    #[test]
    fn a_report_of_a_later_version_is_read_for_what_is_known() {
        let report: RunReport = serde_json::from_str(
            r#"{"job":"a","run_id":"x","org":"default","started":"2026-11-22T01:00:00Z","colour":"blue",
                "ended":"2026-11-22T01:00:05.5Z","status":"postponed","exit_status":0,"api":"graphql",
                "api_limit":{"used":18,"allowed":15000,"window":"24h"}}"#,
        )
        .unwrap();
        assert_eq!(report.status, RunStatus::Unknown);
        assert_eq!(report.api, None);
        assert_eq!(report.records, 0);
        assert_eq!(report.api_limit.unwrap().allowed, 15_000);
        assert_eq!(report.ended.as_millisecond(), 1_795_309_205_500);
    }
}
