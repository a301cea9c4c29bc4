//! Which refusals of an object's query a set does without. Some objects say that they can be queried and refuse every
//! query, or every query without a filter of a certain form.

use crate::export::error::RunError;
use crate::export::{OnRefusal, Part, Run};
use crate::job::ObjectSource;
use crate::report::RunReport;
use crate::salesforce::fault::{ErrorCode, Fault};

/// Whether a run ended because the org refuses the object, and its set does without it. An org that has sent records of
/// the object does not refuse it, whatever it says later.
pub(in crate::export) fn is_skipped(run: &Run, report: &RunReport, error: Option<&RunError>) -> bool {
    let (Some(part), Some(RunError::Fault(fault))) = (&run.part, error) else { return false };
    part.on_refusal == OnRefusal::Skip && report.pages == 0 && is_refusal(fault)
}

/// Says what to do about a refusal that a set does not do without.
pub(in crate::export) fn with_hint<T>(run: &Run, ended: Result<T, RunError>) -> Result<T, RunError> {
    match (&run.part, ended) {
        (
            Some(Part { on_refusal: OnRefusal::Fail { hint: Some(hint) }, .. }),
            Err(RunError::Fault(fault)),
        ) if is_refusal(&fault) && !is_passing(&fault) => {
            let fault = fault.and("the object was exported before");
            Err(RunError::Fault(fault.hint(hint.as_str())))
        }
        (_, ended) => ended,
    }
}

/// Whether a set may do without the object if the org refuses its query. A condition or fields of the user's own may be
/// what the org refuses.
pub(super) fn is_generated_alone(source: &ObjectSource) -> bool {
    source.condition.is_none() && !source.fields.has_parents()
}

/// Whether the org refuses to export an object, whatever the query.
fn is_refusal(fault: &Fault) -> bool {
    let Some(code) = &fault.code else { return false };
    match code {
        ErrorCode::InvalidType | ErrorCode::MalformedQuery | ErrorCode::InvalidField => true,
        ErrorCode::Other(code) => {
            matches!(
                code.as_str(),
                "INVALID_TYPE_FOR_OPERATION"
                    | "DATACLOUD_API_DISABLED_EXCEPTION"
                    | "API_ERROR"
                    // After all attempts: its status is 500.
                    | "UNKNOWN_EXCEPTION"
            ) || code.starts_with("EXTERNAL_OBJECT_")
                || code.starts_with("INSUFFICIENT_ACCESS")
        }
        _ => false,
    }
}

/// Whether the refusal may be a fault of the moment.
fn is_passing(fault: &Fault) -> bool {
    matches!(&fault.code, Some(ErrorCode::Other(code)) if code == "UNKNOWN_EXCEPTION")
}

/// The org's words, on one line.
pub(super) fn reason(fault: &Fault) -> String {
    let words: Vec<_> = fault.what.split_whitespace().collect();
    let text = words.join(" ");
    // What comes before is ours: what was refused.
    match text.split_once(": ") {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salesforce::fault;
    use crate::salesforce::response::Head;

    fn fault(status: u16, code: &str, message: &str) -> Fault {
        let body = serde_json::json!([{"errorCode": code, "message": message}]).to_string();
        fault::read(&Head::of_status(status), body.as_bytes(), "the query", "62.0")
    }

    #[test]
    fn only_these_codes_are_refusals_of_an_object() {
        for (status, code) in [
            (400, "INVALID_TYPE"),
            (400, "INVALID_TYPE_FOR_OPERATION"),
            (400, "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION"),
            (400, "EXTERNAL_OBJECT_EXCEPTION"),
            (400, "DATACLOUD_API_DISABLED_EXCEPTION"),
            (400, "MALFORMED_QUERY"),
            (400, "API_ERROR"),
            (403, "INSUFFICIENT_ACCESS"),
            (400, "INSUFFICIENT_ACCESS_OR_READONLY"),
            (400, "INVALID_FIELD"),
            (500, "UNKNOWN_EXCEPTION"),
        ] {
            assert!(is_refusal(&fault(status, code, "x")), "{code}");
        }
        for (status, code) in [
            (400, "QUERY_TIMEOUT"),
            (403, "REQUEST_LIMIT_EXCEEDED"),
            (400, "INVALID_QUERY_LOCATOR"),
            (400, "QUERY_TOO_COMPLICATED"),
            (500, "SERVER_UNAVAILABLE"),
            (503, ""),
            (404, "NOT_FOUND"),
            (400, "EXCEEDED_ID_LIMIT"),
        ] {
            assert!(!is_refusal(&fault(status, code, "x")), "{code}");
        }
    }

    #[test]
    fn a_reason_is_the_orgs_words_on_one_line() {
        assert_eq!(
            reason(&fault(400, "MALFORMED_QUERY", "Implementation restriction: Vote requires a filter")),
            "MALFORMED_QUERY: Implementation restriction: Vote requires a filter"
        );
        assert_eq!(
            reason(&fault(
                400,
                "INVALID_FIELD",
                "\nSELECT Id\n       ^\nERROR at Row:1:Column:8\nno such column"
            )),
            "INVALID_FIELD: SELECT Id ^ ERROR at Row:1:Column:8 no such column"
        );
    }
}
