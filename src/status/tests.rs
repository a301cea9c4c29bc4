//! The pages and metrics of jobs that run in several orgs, up to fleets of thousands of pairs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{RunStats, Snapshot, metrics};
use super::{job_page, page};
use crate::agenda::JobSnapshot;
use crate::clock::System;
use crate::config::{self, Selection, Sources};
use crate::daemon::Reading;
use crate::job::{Api, ApiChoice, Job, JobName};
use crate::monitor::{Event, Monitor as _};
use crate::org::OrgName;
use crate::report::{ApiLimit, RunId, RunReport, RunStatus};

/// Jobs of these names in each of these orgs, at the time of `snapshot`.
struct Fleet {
    stats: RunStats,
    snapshot: Snapshot,
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn job() -> Job {
    let dir = tempfile::tempdir().unwrap();
    let org = "[org]\nclient_id = 'x'\nusername = 'nightly@example.com'\nkey_file = 'k'\n";
    std::fs::write(dir.path().join("sfexport.toml"), org).unwrap();
    std::fs::create_dir(dir.path().join("jobs")).unwrap();
    let text = "soql = 'SELECT Id FROM Account'\noutput = '{org}/{job}.csv'\nschedule = '@daily'\n";
    std::fs::write(dir.path().join("jobs/a.toml"), text).unwrap();
    let sources = Sources { working_dir: dir.path().to_owned(), ..Sources::default() };
    config::load(&sources, &Selection::All).unwrap().jobs.remove(0)
}

impl Fleet {
    fn new(jobs: &[String], orgs: &[String]) -> Self {
        let job = job();
        let pairs = jobs.iter().flat_map(|name| orgs.iter().map(move |org| (name, org)));
        let pairs: Vec<_> = pairs
            .map(|(name, org)| Job {
                name: JobName::parse(name).unwrap(),
                org: OrgName::parse(org).unwrap(),
                ..job.clone()
            })
            .collect();
        let stats = RunStats::new(Arc::new(System::new()));
        stats.set_jobs(pairs.iter());
        let mut jobs: Vec<_> = pairs
            .iter()
            .map(|job| JobSnapshot {
                job: job.job_key(),
                next: Some(now() + SignedDuration::from_hours(12)),
                running: None,
                waiting: 0,
                may_start: None,
            })
            .collect();
        jobs.sort_by(|a, b| a.job.cmp(&b.job));
        let reading = Reading { taken: now(), refused: None };
        Self {
            stats,
            snapshot: Snapshot { now: now(), jobs, reading, marks: BTreeMap::new(), stopping: false },
        }
    }

    /// So many jobs in so many orgs.
    fn of(jobs: usize, orgs: usize) -> Self {
        let names = |what: &str, count| (0..count).map(|number| format!("{what}{number:03}")).collect();
        let (jobs, orgs): (Vec<_>, Vec<_>) = (names("job-", jobs), names("org_", orgs));
        Self::new(&jobs, &orgs)
    }

    /// A run that ended this many minutes ago, with this error.
    fn ended(&self, job: &str, org: &str, minutes: i64, error: Option<&str>) {
        let started = now() - SignedDuration::from_mins(minutes);
        let mut report = RunReport::begun(job, org, RunId::new(started, 1), started);
        if error.is_none() {
            (report.status, report.exit_status, report.records) = (RunStatus::Ok, 0, 10);
        }
        report.api_calls = 7;
        report.error = error.map(str::to_owned);
        report.api_limit = Some(ApiLimit::new(1_234, 15_000));
        self.stats.notice(&report.run_id, &Event::Ended { report: &report });
    }

    fn page(&self) -> String {
        page::html(&self.stats, &self.snapshot)
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The headings and the first cells of all rows, with their second lines.
fn rows(page: &str) -> Vec<String> {
    let text = |html: &str| {
        let mut text = String::new();
        let mut is_text = true;
        for letter in html.replace("<small>", " | ").chars() {
            match letter {
                '<' => is_text = false,
                '>' => is_text = true,
                letter if is_text => text.push(letter),
                _ => {}
            }
        }
        text
    };
    let pieces = page.split("<h2>").skip(1).flat_map(|section| {
        let (heading, rest) = section.split_once("</h2>").unwrap();
        let cells = rest.split("role=\"rowheader\" class=\"name\">").skip(1);
        let cells = cells.map(|cell| cell.split_once("</th>").unwrap().0);
        std::iter::once(heading).chain(cells).map(text).collect::<Vec<_>>()
    });
    pieces.collect()
}

#[test]
fn a_failing_org_is_shown_whatever_the_others_do() {
    let fleet = Fleet::new(&names(&["a", "b"]), &names(&["emea", "us"]));
    fleet.ended("a", "emea", 20, Some("the org is away"));
    fleet.ended("a", "us", 10, None);
    fleet.ended("b", "emea", 9, None);
    let page = fleet.page();
    let title = "<title>1 failing, 2 jobs in 2 orgs – sfexport</title>";
    assert!(page.contains(title) && page.contains("the org is away"), "{page}");
    assert_eq!(
        rows(&page),
        [
            "Failing",
            "a | org emea",
            "Orgs",
            "emea",
            "us",
            "Other jobs",
            "a | org us",
            "b | org emea",
            "b | org us"
        ]
    );
    assert!(page.contains("<a href=\"/jobs/a/emea\">a</a>") && page.contains("<a href=\"/orgs/emea\">"));
    fleet.ended("a", "us", 5, None);
    assert!(fleet.page().contains("<title>1 failing,"), "another org's success changes nothing");
    fleet.ended("a", "emea", 1, None);
    let page = fleet.page();
    assert!(page.contains("<title>2 jobs in 2 orgs, none failing – sfexport</title>"), "{page}");
    assert_eq!(rows(&page)[..3], ["Orgs", "emea", "us"]);
    assert_eq!(rows(&page)[8..], ["Earlier failures", "a | org emea"]);
}

#[test]
fn a_job_and_an_org_have_a_page_of_their_pairs() {
    let fleet = Fleet::new(&names(&["a", "b"]), &names(&["emea", "us"]));
    fleet.ended("a", "us", 20, Some("the org is away"));
    fleet.ended("b", "us", 10, None);
    let of_job = |job: &str| page::of_job(&fleet.stats, &fleet.snapshot, &JobName::parse(job).unwrap());
    let page = of_job("a").unwrap();
    assert!(page.contains("<title>a: 1 failing, 2 orgs – sfexport</title>"), "{page}");
    assert_eq!(rows(&page), ["Failing", "us", "Other orgs", "emea"]);
    assert!(page.contains("<a href=\"/jobs/a/us\">us</a>"), "{page}");
    assert_eq!(of_job("c"), None);
    let of_org = |org: &str| page::of_org(&fleet.stats, &fleet.snapshot, &OrgName::parse(org).unwrap());
    let page = of_org("us").unwrap();
    assert!(page.contains("<title>org us: 1 failing, 2 jobs – sfexport</title>"), "{page}");
    assert_eq!(rows(&page), ["Failing", "a", "Other jobs", "b", "API limits", "us"]);
    let limits = page.split("<h2>API limits</h2>").nth(1).unwrap();
    let cells: Vec<_> = limits.split("</td>").map(|cell| cell.rsplit_once('>').unwrap().1).collect();
    assert_eq!(cells[1..3], ["15,000", "14"], "two last runs: {cells:?}");
    assert_eq!(of_org("apac"), None);
}

#[test]
fn a_job_of_one_org_has_no_page_of_orgs() {
    let fleet = Fleet::new(&names(&["a"]), &names(&["default"]));
    assert_eq!(page::of_job(&fleet.stats, &fleet.snapshot, &JobName::parse("a").unwrap()), None);
    let page = fleet.page();
    assert_eq!(rows(&page), ["Jobs", "a"]);
    assert!(page.contains("<a href=\"/jobs/a\">a</a>") && page.contains("<title>1 job, none failing"));
}

#[test]
fn the_api_of_the_last_runs_is_shown() {
    let fleet = Fleet::new(&names(&["a", "b", "c"]), &names(&["default"]));
    for (job, minutes, api) in [("a", 20, Api::Rest), ("a", 10, Api::Bulk), ("b", 10, Api::Rest)] {
        let started = now() - SignedDuration::from_mins(minutes);
        let begun = RunReport::begun(job, "default", RunId::new(started, 1), started);
        let report =
            RunReport { api: Some(api), status: RunStatus::Ok, exit_status: 0, api_calls: 7, ..begun };
        fleet.stats.notice(&report.run_id, &Event::Ended { report: &report });
    }
    let metrics = metrics::text(&fleet.stats, &fleet.snapshot);
    let values: Vec<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("sfexport_last_run_bulk{job=")).collect();
    assert_eq!(
        values,
        ["\"a\",org=\"default\"} 1", "\"b\",org=\"default\"} 0", "\"c\",org=\"default\"} NaN"]
    );
    let page = |api: ApiChoice| {
        let job = Job { name: JobName::parse("a").unwrap(), api, ..job() };
        job_page::html(&fleet.stats, &fleet.snapshot, &job).unwrap()
    };
    let fact = |page: &str| {
        let fact = page.split("<dt>API</dt>").nth(1).unwrap().split("</div>").next().unwrap();
        fact.replace("<small>", " | ").split(['<', '>']).step_by(2).collect::<String>()
    };
    let auto = page(ApiChoice::Auto);
    assert_eq!(
        fact(&auto),
        "REST or Bulk API 2.0 | Bulk for results of 25 calls or more by REST, if it takes the query"
    );
    assert_eq!(
        (fact(&page(ApiChoice::Rest)), fact(&page(ApiChoice::Bulk))),
        ("REST".into(), "Bulk API 2.0".into())
    );
    let runs = auto.split("<h2>Last runs</h2>").nth(1).unwrap();
    let notes = runs.split("<small>").skip(1).map(|cell| cell.split("</small>").next().unwrap());
    let apis: Vec<_> = notes.filter(|note| !note.ends_with(" ago")).collect();
    assert_eq!(apis, ["Bulk API 2.0", "REST"]);
}

#[test]
fn many_jobs_that_need_no_attention_share_a_row() {
    let fleet = Fleet::of(40, 30);
    for (org, minutes) in [("org_003", 70), ("org_004", 90)] {
        fleet.ended("job-007", org, minutes, None);
    }
    let page = fleet.page();
    assert!(page.contains("<title>40 jobs in 30 orgs, none failing"));
    let rows = rows(&page);
    assert_eq!((rows.len(), rows[0].as_str(), rows[31].as_str()), (72, "Orgs", "Jobs"));
    let row = page.split("<a href=\"/jobs/job-007\">job-007</a>").nth(1).unwrap().split("</tr>").next();
    let cells: Vec<_> = row.unwrap().split("<td").skip(1).collect();
    assert!(cells[0].ends_with(">30</td>"), "{cells:?}");
    // The later of the two runs, and the records of both.
    assert!(cells[1].contains("2026-11-22 10:50 UTC"), "{cells:?}");
    assert!(cells[2].ends_with(">20</td>"), "{cells:?}");
    assert!(page.len() < 100_000, "{} bytes", page.len());
}

#[test]
fn the_failures_of_one_org_do_not_hide_those_of_another() {
    let fleet = Fleet::of(120, 3);
    for number in 0..110 {
        fleet.ended(&format!("job-{number:03}"), "org_001", number, Some("the org is away"));
    }
    fleet.ended("job-119", "org_002", 500, Some("the query is refused"));
    let page = fleet.page();
    assert!(page.contains("<title>111 failing, 120 jobs in 3 orgs"));
    assert_eq!(
        rows(&page)[..6],
        [
            "Failing",
            "job-000 | org org_001 | and 109 more of this org",
            "job-119 | org org_002",
            "Orgs",
            "org_001",
            "org_002"
        ]
    );
    let orgs = page.split("<h2>Orgs</h2>").nth(1).unwrap();
    assert!(orgs.contains("<b class=\"bad\">110 failing</b>, 120 jobs</td>"), "{orgs}");
    let page = page::of_org(&fleet.stats, &fleet.snapshot, &OrgName::parse("org_001").unwrap()).unwrap();
    assert_eq!(rows(&page).iter().filter(|row| row.starts_with("job-")).count(), 120);
}

#[test]
fn a_long_table_says_how_many_rows_it_lacks() {
    let fleet = Fleet::of(150, 1);
    for number in 0..150 {
        fleet.ended(&format!("job-{number:03}"), "org_000", number, Some("the org is away"));
    }
    let page = fleet.page();
    assert_eq!(rows(&page).len(), 1 + 100 + 2);
    assert!(page.contains("These are the first 100 of 150. The page of org <a href=\"/orgs/org_000\">"));
}

#[test]
fn ten_thousand_pairs_fit_a_page_and_the_metrics() {
    let fleet = Fleet::of(100, 100);
    for job in 0..100 {
        for org in 0..100 {
            fleet.ended(&format!("job-{job:03}"), &format!("org_{org:03}"), 60, None);
        }
    }
    for org in 0..100 {
        fleet.ended("job-050", &format!("org_{org:03}"), 30, Some(&"x".repeat(3_000)));
    }
    let page = fleet.page();
    assert!(page.contains("<title>100 failing, 100 jobs in 100 orgs"));
    assert!(page.len() < 250_000, "{} bytes", page.len());
    let metrics = metrics::text(&fleet.stats, &fleet.snapshot);
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let of_pair = |line: &&str| line.contains("job=\"job-007\",org=\"org_009\"");
    assert_eq!(samples.clone().filter(of_pair).count(), 19);
    assert_eq!(samples.filter(|line| line.contains("{org=\"org_009\"")).count(), 10);
}

#[test]
fn of_many_jobs_fewer_runs_are_kept() {
    let fleet = Fleet::of(100, 100);
    for minutes in (1..=30).rev() {
        fleet.ended("job-001", "org_001", minutes, None);
    }
    let runs = fleet.stats.runs();
    let kept = runs.jobs.values().map(|job| job.recent.len()).max();
    assert_eq!((kept, runs.max_recent()), (Some(10), 10));
}
