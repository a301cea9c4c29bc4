//! What the pages remember of a run that has ended: its figures, and its texts cut to a length and made fit to be shown.

use jiff::Timestamp;

use crate::error::{plain, plain_lines};
use crate::human;
use crate::job::{Api, ExportKind};
use crate::report::{FailedObject, RunId, RunReport, RunStatus, SetSummary};

/// The most characters that are kept of an error. Whoever wants all of it finds it in the history.
const MAX_ERROR_CHARS: usize = 1_000;

/// The most characters that are kept of a hint or a warning.
const MAX_NOTE_CHARS: usize = 300;

/// How many warnings are kept.
const MAX_WARNINGS: usize = 5;

/// How many failed and how many skipped objects of a set are kept.
pub(super) const MAX_OBJECTS: usize = 50;

/// The most characters that are kept of an object's name; Salesforce's are shorter.
const MAX_NAME_CHARS: usize = 100;

/// A run that has ended, or an occurrence that was not run. A report without what no page shows: the columns of a
/// thousand jobs are megabytes.
#[derive(Debug)]
pub(super) struct PastRun {
    pub(super) run_id: RunId,
    pub(super) scheduled: Option<Timestamp>,
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) status: RunStatus,
    pub(super) exit_status: u8,
    /// Without the literals of the query.
    pub(super) error: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) warnings: Vec<String>,
    /// How many warnings there were besides.
    pub(super) more_warnings: usize,
    pub(super) records: u64,
    pub(super) total: Option<u64>,
    /// Why the two differ, if that needs no warning.
    pub(super) count_note: Option<String>,
    /// Of all files that were published.
    pub(super) bytes: u64,
    /// Requests that count against the org's daily limit.
    pub(super) api_calls: u64,
    /// The API that sent the records, if it is known.
    pub(super) api: Option<Api>,
    /// What an incremental run exported.
    pub(super) kind: Option<ExportKind>,
    /// What became of the objects of a set.
    pub(super) set: Option<PastSet>,
}

/// What became of the objects of a set: how many, and of those that were not exported some, with the reason.
#[derive(Debug)]
pub(super) struct PastSet {
    /// Objects that are exported, those of earlier attempts too.
    pub(super) exported: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    pub(super) failures: Vec<PastObject>,
    pub(super) skips: Vec<PastObject>,
}

impl PastSet {
    /// How many objects there were, in words.
    pub(super) fn in_words(&self) -> String {
        human::objects(self.exported, self.failed, self.skipped)
    }
}

/// An object that was not exported.
#[derive(Debug)]
pub(super) struct PastObject {
    pub(super) name: String,
    pub(super) reason: String,
}

impl From<&SetSummary> for PastSet {
    fn from(set: &SetSummary) -> Self {
        let object = |name: &str, reason: &str| PastObject {
            name: clipped(&plain(name), MAX_NAME_CHARS),
            reason: clipped(&plain_lines(reason), MAX_NOTE_CHARS),
        };
        let failure =
            |failed: &FailedObject| object(&failed.object, failed.error.as_deref().unwrap_or_default());
        Self {
            exported: set.exported.saturating_add(set.carried_over),
            failed: set.failed.len() as u64,
            skipped: set.skipped.len() as u64,
            failures: set.failed.iter().take(MAX_OBJECTS).map(failure).collect(),
            skips: set
                .skipped
                .iter()
                .take(MAX_OBJECTS)
                .map(|skipped| object(&skipped.object, &skipped.reason))
                .collect(),
        }
    }
}

impl From<&RunReport> for PastRun {
    fn from(report: &RunReport) -> Self {
        let note = |text: &String| clipped(&plain(text), MAX_NOTE_CHARS);
        Self {
            run_id: report.run_id.clone(),
            scheduled: report.scheduled,
            started: report.started,
            ended: report.ended,
            status: report.status,
            exit_status: report.exit_status,
            error: report.error_for_others().map(|error| clipped(&plain_lines(error), MAX_ERROR_CHARS)),
            hint: report.hint.as_ref().map(note),
            warnings: report.warnings.iter().take(MAX_WARNINGS).map(note).collect(),
            more_warnings: report.warnings.len().saturating_sub(MAX_WARNINGS),
            records: report.records,
            total: report.total,
            count_note: human::count_note(report),
            api_calls: report.api_calls,
            api: report.api,
            kind: report.kind,
            bytes: report.files.iter().fold(report.bytes, |sum, file| sum.saturating_add(file.bytes)),
            set: report.set.as_ref().map(PastSet::from),
        }
    }
}

impl PastRun {
    /// How long it took; 0 if the clock was set back meanwhile.
    pub(super) fn seconds(&self) -> f64 {
        self.ended.duration_since(self.started).as_secs_f64().max(0.0)
    }
}

/// The beginning of a text, with an ellipsis if that is not all of it.
pub(super) fn clipped(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{PastRun, clipped};
    use crate::report::{CountResult, RunId, RunReport, SetSummary, SkippedObject};

    #[test]
    fn a_text_is_clipped_by_characters() {
        assert_eq!(clipped("größer", 6), "größer");
        assert_eq!(clipped("größer", 4), "größ…");
        assert_eq!(clipped("a b", 2), "a…");
    }

    #[test]
    fn a_hostile_report_is_kept_short_and_plain() {
        let started = Timestamp::UNIX_EPOCH;
        let mut report = RunReport::begun("a", "default", RunId::new(started, 1), started);
        report.error = Some("\u{202e}x".repeat(100_000));
        report.hint = Some("do\nthis".to_owned());
        report.warnings = vec!["\u{1b}[2K".repeat(1_000); 1_000];
        report.count = Some(CountResult::DeletedMeanwhile);
        report.deleted_meanwhile = 1_234;
        let skipped = SkippedObject { object: "A".repeat(1_000), reason: "\u{202e}x".repeat(1_000) };
        report.set = Some(SetSummary { skipped: vec![skipped; 1_000], ..SetSummary::default() });
        let run = PastRun::from(&report);
        let set = run.set.unwrap();
        assert_eq!((set.skipped, set.skips.len()), (1_000, 50));
        assert_eq!(set.skips[0].name.chars().count(), 101);
        assert!(set.skips[0].reason.starts_with("\\u{202e}x") && set.skips[0].reason.chars().count() == 301);
        let error = run.error.unwrap();
        assert_eq!(error.chars().count(), 1_001);
        assert!(error.starts_with("\\u{202e}x\\u{202e}x"));
        assert_eq!(run.hint.as_deref(), Some("do\\nthis"));
        assert_eq!(run.count_note.as_deref(), Some("1,234 deleted meanwhile"));
        assert_eq!((run.warnings.len(), run.more_warnings), (5, 995));
        assert!(run.warnings[0].starts_with("\\u{1b}[2K") && run.warnings[0].chars().count() == 301);
    }
}
