//! Whether a result is the export, judged by how many records the org counted and how many arrived. Pure: what is not
//! known yet is named by the verdict, and `transfer` asks the org for it.
//!
//! A real org changes while it is read. So a result that ends short of `totalSize` is explained before it is a failure:
//! rows were deleted since the query began; or a second pass adds up; or two passes end alike, and the org, asked to
//! count again, agrees with them rather than with its first count. Nothing else makes a success of a shortfall.

use crate::job::CountCheck;
use crate::report::{CountResult, RunReport};
use crate::salesforce::fault::{Fault, FaultKind};

/// How often the query starts over because its records do not add up.
const RESTARTS: u32 = 1;

/// A pass through the result that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    /// The records that arrived.
    pub(super) records: u64,
    /// What the org counted when the pass began; `None` if it does not count.
    pub(super) total: Option<u64>,
    /// Whether what was written of it can be taken back.
    pub(super) can_restart: bool,
    /// The rows deleted since the pass began.
    pub(super) deleted: Finding,
    /// What `SELECT COUNT()` counts after it.
    pub(super) recount: Finding,
}

/// What the org says to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// It has not been asked.
    NotAsked,
    /// It cannot be asked for this query, or has no answer.
    Unknown,
    /// It counts so many.
    Counted(u64),
}

impl Pass {
    pub(super) fn new(records: u64, total: Option<u64>, can_restart: bool) -> Self {
        Self { records, total, can_restart, deleted: Finding::NotAsked, recount: Finding::NotAsked }
    }
}

/// What to do after a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask the org, and judge again.
    Ask(Question),
    /// It is clear.
    Decided(Decision),
}

/// What the org is asked about a shortfall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// How many rows were deleted since the pass began?
    Deleted,
    /// How many records does the query have now?
    Recount,
}

/// What becomes of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is the export.
    Complete(Verified),
    /// The result is read again from its start.
    StartOver(Fault),
    /// The run fails.
    Incomplete(Fault),
}

/// How the number of records was found to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verified {
    /// As many arrived as the org counted.
    Equal,
    /// The org does not count.
    NotCounted,
    /// So many of those that the org counted were deleted before they could be sent.
    DeletedMeanwhile(u64),
    /// The org's first count was wrong, and its second one agrees with what arrived.
    Recounted(Pass),
    /// Another number arrived than the org counted, and the job wants it all the same.
    Differs(Pass),
}

impl Verified {
    /// Whether the export has every record that the org holds.
    pub(super) fn is_certain(self) -> bool {
        matches!(self, Self::Equal | Self::NotCounted | Self::DeletedMeanwhile(_))
    }

    /// Writes into the report what a reader needs to compare `records` with `total`.
    pub(super) fn note(self, report: &mut RunReport) {
        let total = |pass: Pass| pass.total.unwrap_or_default();
        let (count, warning) = match self {
            Self::Equal => (CountResult::Equal, None),
            Self::NotCounted => (CountResult::NotCounted, None),
            Self::DeletedMeanwhile(rows) => {
                report.deleted_meanwhile = rows;
                (CountResult::DeletedMeanwhile, None)
            }
            Self::Recounted(pass) => {
                let what = format!(
                    "the org counted {} records at first, but sent {1}; SELECT COUNT() confirms {1}",
                    total(pass),
                    pass.records
                );
                (CountResult::Recounted, Some(what))
            }
            Self::Differs(pass) => {
                let what = format!(
                    "the org counted {} records, but sent {}; they were published because of count_check = \"warn\"",
                    total(pass),
                    pass.records
                );
                (CountResult::Differs, Some(what))
            }
        };
        report.count = Some(count);
        report.warnings.extend(warning);
    }
}

/// The judge of one run's passes, with what the passes before have shown.
#[derive(Debug)]
pub(super) struct Counting {
    check: CountCheck,
    restarts: u32,
    /// The records of the pass before, if it ended short.
    short_before: Option<u64>,
}

impl Counting {
    pub(super) fn new(check: CountCheck) -> Self {
        Self { check, restarts: 0, short_before: None }
    }

    /// Judges a pass that came to its end.
    pub(super) fn verdict(&self, pass: &Pass) -> Verdict {
        let complete = |verified| Verdict::Decided(Decision::Complete(verified));
        let Some(total) = pass.total else { return complete(Verified::NotCounted) };
        if pass.records == total {
            return complete(Verified::Equal);
        }
        match self.check {
            CountCheck::Strict => self.incomplete(pass),
            CountCheck::Warn => complete(Verified::Differs(*pass)),
            CountCheck::Explain => self.explained(pass, total.saturating_sub(pass.records)),
        }
    }

    /// Explains a pass that ended `short` of the org's count, step by step.
    fn explained(&self, pass: &Pass, short: u64) -> Verdict {
        match pass.deleted {
            Finding::NotAsked => return Verdict::Ask(Question::Deleted),
            // Some of them may have been sent before they were deleted.
            Finding::Counted(deleted) if deleted >= short && short > 0 => {
                return Verdict::Decided(Decision::Complete(Verified::DeletedMeanwhile(short)));
            }
            Finding::Counted(_) | Finding::Unknown => {}
        }
        if pass.can_restart && self.restarts < RESTARTS {
            return Verdict::Decided(Decision::StartOver(shortfall(pass)));
        }
        // A stream cannot be read twice: there one pass and the org's second count have to do.
        let is_settled = !pass.can_restart || self.short_before == Some(pass.records);
        match pass.recount {
            Finding::NotAsked if is_settled => Verdict::Ask(Question::Recount),
            Finding::Counted(count) if is_settled && count == pass.records => {
                Verdict::Decided(Decision::Complete(Verified::Recounted(*pass)))
            }
            _ => self.incomplete(pass),
        }
    }

    /// Judges a pass that was broken off because its numbers cannot be right: more records than the org counted, pages
    /// that disagree, a child query's records that do not add up.
    pub(super) fn after_miscount(&self, fault: Fault) -> Decision {
        match self.check {
            CountCheck::Explain | CountCheck::Warn if self.restarts < RESTARTS => Decision::StartOver(fault),
            CountCheck::Explain | CountCheck::Warn => Decision::Incomplete(
                fault.hint("run it again; if it fails each time, report it to Salesforce with the query"),
            ),
            CountCheck::Strict => Decision::Incomplete(
                fault.hint("set count_check = \"explain\", which reads the result again"),
            ),
        }
    }

    /// The query starts over. `short` are the records of the pass before, if it came to its end.
    pub(super) fn start_over(&mut self, short: Option<u64>) {
        self.restarts += 1;
        self.short_before = short;
    }

    fn incomplete(&self, pass: &Pass) -> Verdict {
        let hint = match self.check {
            CountCheck::Strict => "set count_check = \"explain\" if rows may be deleted while the job runs",
            _ if !pass.can_restart => "write to a file, for which the query can start over",
            _ => {
                "run it again; if the org miscounts this object each time, set count_check = \"warn\" for it alone, in a separate \
                 job or in [objects_with.NAME]"
            }
        };
        Verdict::Decided(Decision::Incomplete(shortfall(pass).hint(hint)))
    }
}

/// The fault of a pass that ended short, with what the org said to explain it.
fn shortfall(pass: &Pass) -> Fault {
    let Pass { records, total, deleted, recount, .. } = pass;
    let mut what =
        format!("the result is incomplete: {records} of {} records arrived", total.unwrap_or_default());
    if let Finding::Counted(deleted @ 1..) = deleted {
        let were = if *deleted == 1 { "was" } else { "were" };
        what.push_str(&format!("; {deleted} {were} deleted meanwhile"));
    }
    if let Finding::Counted(count) = recount {
        what.push_str(&format!("; SELECT COUNT() counts {count}"));
    }
    Fault::new(FaultKind::Miscount, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pass in which so many of so many records arrived.
    fn pass(records: u64, total: u64) -> Pass {
        Pass::new(records, Some(total), true)
    }

    fn deleted(pass: Pass, deleted: Finding) -> Pass {
        Pass { deleted, ..pass }
    }

    fn recounted(pass: Pass, count: Finding) -> Pass {
        Pass { deleted: Finding::Unknown, recount: count, ..pass }
    }

    fn complete(verified: Verified) -> Verdict {
        Verdict::Decided(Decision::Complete(verified))
    }

    fn starts_over(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Decided(Decision::StartOver(_)))
    }

    fn fails(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Decided(Decision::Incomplete(fault))
            if fault.kind == FaultKind::Miscount && fault.hint.is_some())
    }

    /// A run whose first pass ended short with so many records.
    fn second(check: CountCheck, short: Option<u64>) -> Counting {
        let mut counting = Counting::new(check);
        counting.start_over(short);
        counting
    }

    const CHECKS: [CountCheck; 3] = [CountCheck::Explain, CountCheck::Strict, CountCheck::Warn];

    #[test]
    fn a_result_that_adds_up_or_is_not_counted_is_the_export() {
        for check in CHECKS {
            for counting in [Counting::new(check), second(check, Some(3))] {
                for total in [0, 7] {
                    assert_eq!(counting.verdict(&pass(total, total)), complete(Verified::Equal));
                }
                let uncounted = Pass::new(7, None, false);
                assert_eq!(counting.verdict(&uncounted), complete(Verified::NotCounted));
            }
        }
    }

    #[test]
    fn a_shortfall_is_explained_by_as_many_deleted_rows() {
        for counting in [Counting::new(CountCheck::Explain), second(CountCheck::Explain, Some(3))] {
            assert_eq!(counting.verdict(&pass(7, 10)), Verdict::Ask(Question::Deleted));
            for rows in [3, 4, 1_000] {
                assert_eq!(
                    counting.verdict(&deleted(pass(7, 10), Finding::Counted(rows))),
                    complete(Verified::DeletedMeanwhile(3))
                );
            }
        }
        for finding in [Finding::Counted(2), Finding::Counted(0), Finding::Unknown] {
            let verdict = Counting::new(CountCheck::Explain).verdict(&deleted(pass(7, 10), finding));
            assert!(starts_over(&verdict), "{finding:?}: {verdict:?}");
        }
    }

    #[test]
    fn two_equal_passes_stand_if_a_second_count_agrees() {
        let counting = second(CountCheck::Explain, Some(7));
        let again = |finding| recounted(pass(7, 10), finding);
        assert_eq!(counting.verdict(&again(Finding::NotAsked)), Verdict::Ask(Question::Recount));
        assert_eq!(
            counting.verdict(&again(Finding::Counted(7))),
            complete(Verified::Recounted(again(Finding::Counted(7))))
        );
        for finding in [Finding::Counted(6), Finding::Counted(8), Finding::Counted(10), Finding::Unknown] {
            assert!(fails(&counting.verdict(&again(finding))), "{finding:?}");
        }
    }

    #[test]
    fn two_passes_that_differ_fail_whatever_a_count_says() {
        for short_before in [Some(6), Some(8), None] {
            let counting = second(CountCheck::Explain, short_before);
            for finding in [Finding::NotAsked, Finding::Unknown, Finding::Counted(7)] {
                assert!(fails(&counting.verdict(&recounted(pass(7, 10), finding))), "{short_before:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_taken_back_stands_if_a_second_count_agrees() {
        let counting = Counting::new(CountCheck::Explain);
        let streamed = |finding| Pass { can_restart: false, ..recounted(pass(7, 10), finding) };
        assert_eq!(counting.verdict(&streamed(Finding::NotAsked)), Verdict::Ask(Question::Recount));
        assert_eq!(
            counting.verdict(&streamed(Finding::Counted(7))),
            complete(Verified::Recounted(streamed(Finding::Counted(7))))
        );
        assert!(fails(&counting.verdict(&streamed(Finding::Counted(10)))));
        assert!(fails(&counting.verdict(&streamed(Finding::Unknown))));
    }

    #[test]
    fn strict_and_warn_ask_nothing() {
        assert!(fails(&Counting::new(CountCheck::Strict).verdict(&pass(7, 10))));
        for (records, total) in [(7, 10), (10, 7), (0, 1)] {
            let pass = pass(records, total);
            assert_eq!(Counting::new(CountCheck::Warn).verdict(&pass), complete(Verified::Differs(pass)));
        }
    }

    #[test]
    fn a_miscount_starts_over_once_unless_the_check_is_strict() {
        let fault = || Fault::new(FaultKind::Miscount, "more records than counted");
        for (check, again) in
            [(CountCheck::Explain, true), (CountCheck::Warn, true), (CountCheck::Strict, false)]
        {
            assert_eq!(
                starts_over(&Verdict::Decided(Counting::new(check).after_miscount(fault()))),
                again,
                "{check:?}"
            );
            assert!(fails(&Verdict::Decided(second(check, None).after_miscount(fault()))), "{check:?}");
        }
    }

    #[test]
    fn more_records_than_counted_are_never_explained_by_deletions() {
        let counting = Counting::new(CountCheck::Explain);
        let more = deleted(pass(10, 7), Finding::Counted(1_000));
        assert!(starts_over(&counting.verdict(&more)));
    }

    #[test]
    fn the_report_says_how_the_numbers_compare() {
        let started = jiff::Timestamp::from_second(1_795_309_200).unwrap();
        let noted = |verified: Verified| {
            let id = crate::report::RunId::new(started, 1);
            let mut report = RunReport::begun("a", "default", id, started);
            verified.note(&mut report);
            (report.count.unwrap(), report.deleted_meanwhile, report.warnings.len())
        };
        assert_eq!(noted(Verified::Equal), (CountResult::Equal, 0, 0));
        assert_eq!(noted(Verified::NotCounted), (CountResult::NotCounted, 0, 0));
        assert_eq!(noted(Verified::DeletedMeanwhile(3)), (CountResult::DeletedMeanwhile, 3, 0));
        assert_eq!(noted(Verified::Recounted(pass(7, 10))), (CountResult::Recounted, 0, 1));
        assert_eq!(noted(Verified::Differs(pass(7, 10))), (CountResult::Differs, 0, 1));
    }
}
