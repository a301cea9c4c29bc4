//! What the pages are built from: the document around them, tables, times and messages. maud escapes all text.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::run_history::PastRun;
use crate::human;
use crate::job::{ExportKey, JobName};
use crate::org::OrgName;
use crate::report::RunStatus;

const STYLE: &str = include_str!("page.css");

/// What a browser may do with a page: apply its style, known by its hash. Nothing is loaded and nothing runs, whatever an
/// org's error text holds.
pub(super) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// What stays as it is in a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A whole document, which reloads itself every so many seconds.
pub(super) fn document(title: &str, refresh: u32, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(refresh);
                // A tab in the background shows it too.
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// A link to the page of a job in one org: `/jobs/NAME`, or `/jobs/NAME/ORG` if the job has more orgs or its org is not
/// the default one.
pub(super) fn job_link(job: &ExportKey, has_more_orgs: bool, text: &str) -> Markup {
    let (name, org) = (segment(job.job().as_str()), job.org().as_str());
    let path = match org {
        OrgName::DEFAULT if !has_more_orgs => format!("/jobs/{name}"),
        org => format!("/jobs/{name}/{}", segment(org)),
    };
    html! { a href=(path) { (text) } }
}

/// The name of a job, as a link to the page of all its orgs.
pub(super) fn job_name_link(job: &JobName) -> Markup {
    html! { a href=(format!("/jobs/{}", segment(job.as_str()))) { (job) } }
}

/// The name of an org, as a link to its page.
pub(super) fn org_link(org: &str) -> Markup {
    html! { a href=(format!("/orgs/{}", segment(org))) { (org) } }
}

fn segment(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, SEGMENT)
}

/// A column's heading, and the class of its cells.
pub(super) type Column = (&'static str, &'static str);

/// A table; the first cell of each row is its heading. On a phone its cells are stacked, and its roles are
/// written out, so browsers still treat it as a table.
pub(super) fn table<const N: usize>(
    label: &str,
    columns: [Column; N],
    rows: impl Iterator<Item = [Markup; N]>,
) -> Markup {
    html! {
        table role="table" aria-label=(label) {
            thead {
                tr {
                    @for (heading, class) in columns {
                        th scope="col" class=(class) { (heading) }
                    }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (at, (cell, (heading, class))) in row.into_iter().zip(columns).enumerate() {
                            @if at == 0 {
                                th scope="row" role="rowheader" class=(class) { (cell) }
                            } @else {
                                td role="cell" class=(class) data-label=(heading) { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A timestamp in a zone, with UTC as its tooltip.
pub(super) fn time(at: Timestamp, timezone: &TimeZone) -> Markup {
    html! {
        time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) title=(at.strftime("%Y-%m-%d %H:%M:%S UTC")) {
            (human::time(at, timezone))
        }
    }
}

/// The same, and below it how far off it is.
pub(super) fn time_and_distance(at: Timestamp, timezone: &TimeZone, now: Timestamp) -> Markup {
    html! { (time(at, timezone)) (second_line(&human::distance(at, now))) }
}

pub(super) fn second_line(text: &str) -> Markup {
    html! { small { (text) } }
}

/// How a run ended, as a word in its colour.
pub(super) fn result(run: &PastRun) -> Markup {
    let class = match run.status {
        RunStatus::Ok => "ok",
        RunStatus::Failed => "bad",
        _ => "soft",
    };
    html! { b class=(class) { (run.status.as_str()) } }
}

/// Records that a run wrote, and how many the org counted if that differs: how far a run came that did not end well.
pub(super) fn records(run: &PastRun) -> String {
    let is_whole = run.status == RunStatus::Ok && run.total.is_none_or(|total| total == run.records);
    match run.total {
        _ if !run.status.has_run() => String::new(),
        _ if is_whole => human::number(run.records),
        Some(total) => format!("{} of {}", human::number(run.records), human::number(total)),
        None => String::new(),
    }
}

/// What a run ended with, if not well, and what to do about it.
pub(super) fn message(error: Option<&str>, hint: Option<&str>) -> Markup {
    html! {
        @if let Some(error) = error {
            div.what { (error) }
        }
        @if let Some(hint) = hint {
            p.hint { (hint) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use maud::html;

    use super::{STYLE, job_link, org_link, table};
    use crate::job::{ExportKey, JobName};
    use crate::org::OrgName;

    #[test]
    fn text_never_becomes_markup() {
        let hostile = "</td><script>alert('x')</script> & \"so on\"";
        let cell = || html! { (hostile) };
        let page = table("a\"b", [("A", "a"), ("B\"", "b")], [[cell(), cell()]].into_iter()).into_string();
        let escaped = "&lt;/td&gt;&lt;script&gt;alert('x')&lt;/script&gt; &amp; &quot;so on&quot;";
        assert_eq!(
            page,
            format!(
                "<table role=\"table\" aria-label=\"a&quot;b\"><thead><tr><th scope=\"col\" class=\"a\">A</th>\
                 <th scope=\"col\" class=\"b\">B&quot;</th></tr></thead><tbody role=\"rowgroup\"><tr role=\"row\">\
                 <th scope=\"row\" role=\"rowheader\" class=\"a\">{escaped}</th>\
                 <td role=\"cell\" class=\"b\" data-label=\"B&quot;\">{escaped}</td></tr></tbody></table>"
            )
        );
    }

    #[test]
    fn a_link_to_a_job_is_escaped() {
        let link = |job: &str, org: &str, has_more_orgs: bool| {
            let key = ExportKey::new(JobName(job.to_owned()), OrgName(org.to_owned()));
            job_link(&key, has_more_orgs, job).into_string()
        };
        assert_eq!(link("a-b_c.9", "default", false), "<a href=\"/jobs/a-b_c.9\">a-b_c.9</a>");
        assert_eq!(link("a-b_c.9", "default", true), "<a href=\"/jobs/a-b_c.9/default\">a-b_c.9</a>");
        assert_eq!(link("a-b_c.9", "emea_2", false), "<a href=\"/jobs/a-b_c.9/emea_2\">a-b_c.9</a>");
        assert_eq!(link("a/\"<ö", "default", false), "<a href=\"/jobs/a%2F%22%3C%C3%B6\">a/&quot;&lt;ö</a>");
        assert_eq!(org_link("a/\"<ö").into_string(), "<a href=\"/orgs/a%2F%22%3C%C3%B6\">a/&quot;&lt;ö</a>");
    }

    /// The relative luminance of `#rrggbb`, by WCAG 2.2.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    /// The colours that a scheme names.
    fn colours(scheme: &str) -> BTreeMap<&str, &str> {
        let declarations = scheme.split([';', '{', '}']).filter_map(|part| part.trim().split_once(": "));
        declarations.filter(|(name, value)| name.starts_with("--") && value.starts_with('#')).collect()
    }

    #[test]
    fn text_can_be_read_in_both_colour_schemes() {
        let (light, rest) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
        let dark = rest.split_once("\n}").unwrap().0;
        for scheme in [light, dark] {
            let colours = colours(scheme);
            let paper = luminance(colours["--paper"]);
            for text in ["--text", "--soft", "--ok", "--bad", "--run", "--late", "--link"] {
                let text = luminance(colours[text]);
                let contrast = (text.max(paper) + 0.05) / (text.min(paper) + 0.05);
                // WCAG 2.2, 1.4.3: level AA for text of any size.
                assert!(contrast >= 4.5, "{contrast:.2} in {colours:?}");
            }
        }
    }
}
