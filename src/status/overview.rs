//! The jobs of a page, sorted by what needs attention: failing first, then running, overdue and all others. Each table has
//! a limit, because a daemon may run hundreds of jobs in hundreds of orgs.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::Snapshot;
use super::html::{
    Column, job_link, job_name_link, message, org_link, records, second_line, table, time, time_and_distance,
};
use super::page::jobs_and_orgs;
use super::run_history::{PastRun, clipped};
use super::run_stats::{Running, Runs};
use super::standing::{Standing, behind, progress, schedule, took};
use crate::human;
use crate::job::{ExportKey, JobName};
use crate::org::OrgName;
use crate::report::{ApiLimit, RunStatus};

/// The most rows of jobs that need attention on the status page. The pages of jobs and orgs have more.
const MAX_URGENT: usize = 100;

/// Up to so many jobs that need no attention have a row for each org. If there are more, all orgs of a job share a row.
const MAX_UNGROUPED: usize = 300;

/// The most rows of any table.
const MAX_ROWS: usize = 1_000;

/// The most characters of an error that are shown here; the job's own page has more.
const MAX_ERROR_CHARS: usize = 400;

/// From which share of an org's API requests on it is shown in a warning's color.
const SCARCE_PERCENT: u64 = 90;

/// Which jobs a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// Every job in every org.
    All,
    /// One job in each of its orgs.
    Job(&'a JobName),
    /// Every job of one org.
    Org(&'a OrgName),
}

impl Scope<'_> {
    fn includes(self, key: &ExportKey) -> bool {
        match self {
            Self::All => true,
            Self::Job(name) => key.job() == name,
            Self::Org(org) => key.org() == org,
        }
    }
}

/// The jobs of a scope in the groups that its page shows.
pub(super) struct Overview<'a> {
    runs: &'a Runs,
    scope: Scope<'a>,
    now: Timestamp,
    /// The zone of times that belong to no job.
    timezone: TimeZone,
    /// In how many orgs each job runs.
    orgs_of: HashMap<&'a JobName, usize>,
    /// How many pairs of a job and an org the scope has.
    pairs: usize,
    /// The latest failure first.
    failing: Vec<(Standing<'a>, &'a PastRun)>,
    /// The longest running first.
    running: Vec<&'a Running>,
    /// The longest overdue first.
    overdue: Vec<Standing<'a>>,
    /// By name.
    others: Vec<Standing<'a>>,
}

impl<'a> Overview<'a> {
    pub(super) fn new(runs: &'a Runs, snapshot: &'a Snapshot, scope: Scope<'a>) -> Self {
        let now = snapshot.now;
        let mut running: Vec<_> = runs.running.values().filter(|run| scope.includes(&run.job)).collect();
        running.sort_by(|a, b| (a.since, &a.job).cmp(&(b.since, &b.job)));
        let running_of: HashMap<&ExportKey, &Running> = running.iter().map(|run| (&run.job, *run)).collect();
        let mut overview = Self {
            runs,
            scope,
            now,
            timezone: common_timezone(runs),
            orgs_of: HashMap::new(),
            pairs: 0,
            failing: Vec::new(),
            running,
            overdue: Vec::new(),
            others: Vec::new(),
        };
        for key in runs.jobs.keys() {
            *overview.orgs_of.entry(key.job()).or_default() += 1;
        }
        for (key, job) in runs.jobs.iter().filter(|(key, _)| scope.includes(key)) {
            let running = running_of.get(key).copied();
            let (agenda, mark) = (snapshot.job(key), snapshot.mark(key));
            let standing = Standing { key, job, agenda, running, mark };
            overview.pairs += 1;
            if let Some(run) = standing.failure() {
                overview.failing.push((standing, run));
            } else if standing.is_overdue(now) {
                overview.overdue.push(standing);
            } else if running.is_none() {
                overview.others.push(standing);
            }
        }
        overview.failing.sort_by_key(|(_, run)| std::cmp::Reverse(run.ended));
        overview.overdue.sort_by_key(|standing| standing.due_since(now));
        overview
    }

    pub(super) fn runs(&self) -> &'a Runs {
        self.runs
    }

    pub(super) fn timezone(&self) -> &TimeZone {
        &self.timezone
    }

    /// How many jobs there are, each counted once per org.
    pub(super) fn len(&self) -> usize {
        self.pairs
    }

    /// Whether the daemon's jobs export from more than one org.
    pub(super) fn has_several_orgs(&self) -> bool {
        self.runs.orgs.len() > 1
    }

    /// What an operator looks for first, each with the class of its color.
    pub(super) fn counts(&self) -> Vec<(String, &'static str)> {
        let (failing, overdue) = (self.failing.len(), self.overdue.len());
        let mut counts = stated([
            (failing, "failing", "bad"),
            (overdue, "overdue", "late"),
            (self.running.len(), "running", "run"),
        ]);
        let total = match self.scope {
            Scope::All => jobs_and_orgs(self.orgs_of.len(), self.pairs, self.runs.orgs.len()),
            Scope::Job(_) => human::counted(self.pairs as u64, "org"),
            Scope::Org(_) => human::counted(self.pairs as u64, "job"),
        };
        counts.push((total, ""));
        if failing + overdue == 0 && self.pairs > 0 {
            counts.push(("none failing".to_owned(), "ok"));
        }
        counts
    }

    /// What fails, runs and is overdue.
    pub(super) fn urgent_tables(&self) -> Markup {
        html! { (self.failing_table()) (self.running_table()) (self.overdue_table()) }
    }

    fn max_urgent(&self) -> usize {
        if self.scope == Scope::All { MAX_URGENT } else { MAX_ROWS }
    }

    fn failing_table(&self) -> Markup {
        const COLUMNS: [Column; 3] = [("Failed", "time"), ("Message", "message"), ("Next run", "time")];
        let columns = self.with_name(COLUMNS);
        let row = |(standing, run): &(Standing<'_>, &PastRun), more: usize| {
            let timezone = &standing.job.timezone;
            [
                html! {
                    (self.name_of(standing.key))
                    @if more > 0 { (second_line(&format!("and {} more of this org", human::number(more as u64)))) }
                },
                html! {
                    (time_and_distance(run.ended, timezone, self.now))
                    @match standing.job.last_success_of_all() {
                        Some(success) => small { "last success " (time(success, timezone)) },
                        None => small { "no success yet" },
                    }
                },
                short_message(run),
                standing.next_run(self.now),
            ]
        };
        let count = self.failing.len();
        if self.scope != Scope::All || !self.has_several_orgs() || count <= MAX_URGENT {
            let rows = self.failing.iter().take(self.max_urgent()).map(|failing| row(failing, 0));
            return section("Failing", count, || {
                html! { (table("Failing jobs", columns, rows)) (self.cut_note(count, self.max_urgent())) }
            });
        }
        // So many failures of one org must not hide those of another.
        let mut of_org: HashMap<&OrgName, usize> = HashMap::new();
        for (standing, _) in &self.failing {
            *of_org.entry(standing.key.org()).or_default() += 1;
        }
        let mut seen = HashSet::new();
        let latest = self.failing.iter().filter(|(standing, _)| seen.insert(standing.key.org()));
        let rows = latest.take(MAX_URGENT).map(|failing| {
            row(failing, of_org.get(failing.0.key.org()).copied().unwrap_or_default().saturating_sub(1))
        });
        let rows: Vec<_> = rows.collect();
        section("Failing", count, || {
            html! {
                p.soft { "The latest failure of each org; below, each org has a page with all of them." }
                (table("Failing jobs", columns, rows.into_iter()))
                (self.cut_note(of_org.len(), MAX_URGENT))
            }
        })
    }

    fn running_table(&self) -> Markup {
        const COLUMNS: [Column; 2] = [("Running for", "time"), ("Progress", "message")];
        let rows = self.running.iter().take(self.max_urgent()).map(|run| {
            // A job that is gone from the configuration has no page.
            let name = match self.runs.jobs.contains_key(&run.job) {
                true => self.name_of(&run.job),
                false => html! { (run.job.job()) (self.org_line(&run.job)) },
            };
            [name, html! { (human::duration(self.now.duration_since(run.since))) }, progress(run)]
        });
        section("Running", self.running.len(), || {
            html! {
                (table("Running jobs", self.with_name(COLUMNS), rows))
                (self.cut_note(self.running.len(), self.max_urgent()))
            }
        })
    }

    fn overdue_table(&self) -> Markup {
        const COLUMNS: [Column; 2] = [("Due", "time"), ("Last run", "time")];
        let rows = self.overdue.iter().take(self.max_urgent()).map(|standing| {
            [self.name_of(standing.key), standing.next_run(self.now), standing.last_run(self.now)]
        });
        section("Overdue", self.overdue.len(), || {
            html! {
                p.soft {
                    "These runs are due but have not started. " code { "max_concurrent_runs" }
                    " limits how many run at once. If none is running, check the daemon's log."
                }
                (table("Overdue jobs", self.with_name(COLUMNS), rows))
                (self.cut_note(self.overdue.len(), self.max_urgent()))
            }
        })
    }

    pub(super) fn other_table(&self) -> Markup {
        let are_all = self.others.len() == self.pairs;
        let heading = match (self.scope, are_all) {
            (Scope::Job(_), true) => "Orgs",
            (Scope::Job(_), false) => "Other orgs",
            (_, true) => "Jobs",
            (_, false) => "Other jobs",
        };
        let has_fewer_jobs = self.orgs_of.len() < self.runs.jobs.len();
        if self.scope == Scope::All && has_fewer_jobs && self.others.len() > MAX_UNGROUPED {
            return self.grouped_table(heading);
        }
        const COLUMNS: [Column; 5] = [
            ("Last run", "time"),
            ("Records", "number"),
            ("Took", "number"),
            ("Next run", "time"),
            ("Schedule", "schedule"),
        ];
        let rows = self.others.iter().take(MAX_ROWS).map(|standing| {
            let last = standing.job.last_of_all();
            [
                self.name_of(standing.key),
                html! {
                    (standing.last_run(self.now))
                    @if let Some(mark) = standing.mark { (second_line(&behind(mark, self.now))) }
                },
                html! {
                    (last.map(records).unwrap_or_default())
                    @if let Some(set) = last.and_then(|run| run.set.as_ref()) { (second_line(&set.in_words())) }
                },
                html! { (last.map(took).unwrap_or_default()) (cost(last)) },
                standing.next_run(self.now),
                schedule(standing.job),
            ]
        });
        section(heading, self.others.len(), || {
            html! {
                (table(heading, self.with_name(COLUMNS), rows))
                (self.cut_note(self.others.len(), MAX_ROWS))
            }
        })
    }

    /// A row per job for all its orgs in which it needs no attention.
    fn grouped_table(&self, heading: &'static str) -> Markup {
        const COLUMNS: [Column; 6] = [
            ("Job", "name"),
            ("Orgs", "number"),
            ("Latest run", "time"),
            ("Records", "number"),
            ("Next run", "time"),
            ("Schedule", "schedule"),
        ];
        // They are sorted by name.
        let groups = || self.others.chunk_by(|a, b| a.key.job() == b.key.job());
        let rows = groups().take(MAX_ROWS).filter_map(|group| {
            let first = group.first()?;
            let ended = |standing: &&Standing<'_>| standing.job.last_of_all().map(|run| run.ended);
            let latest = group.iter().max_by_key(ended)?;
            let next = |standing: &&Standing<'_>| standing.agenda?.next;
            let soonest = group.iter().filter(|standing| next(standing).is_some()).min_by_key(next);
            let count = group.iter().filter_map(|standing| Some(standing.job.last_of_all()?.records));
            Some([
                match self.orgs_of.get(first.key.job()) {
                    Some(1) => self.name_of(first.key),
                    _ => job_name_link(first.key.job()),
                },
                html! { (human::number(group.len() as u64)) },
                latest.last_run(self.now),
                html! { (human::number(count.fold(0, u64::saturating_add))) },
                soonest.unwrap_or(first).next_run(self.now),
                schedule(first.job),
            ])
        });
        section(heading, self.others.len(), || {
            html! {
                p.soft { "A row for all orgs of a job. The records are those of the last runs in all these orgs." }
                (table(heading, COLUMNS, rows))
                (self.cut_note(groups().count(), MAX_ROWS))
            }
        })
    }

    /// The failures that a job has recovered from.
    pub(super) fn earlier_failures_table(&self) -> Markup {
        const COLUMNS: [Column; 2] = [("Failed", "time"), ("Message", "message")];
        let failures = self.runs.failures.iter().filter_map(|(key, run)| {
            let job = self.runs.jobs.get(key).filter(|_| self.scope.includes(key))?;
            let has_recovered = job.last_of_all().is_some_and(|last| last.status != RunStatus::Failed);
            has_recovered.then_some((key, job, run))
        });
        let failures: Vec<_> = failures.collect();
        let count = failures.len();
        let rows = failures.into_iter().map(|(key, job, run)| {
            [self.name_of(key), time_and_distance(run.ended, &job.timezone, self.now), short_message(run)]
        });
        section("Earlier failures", count, || table("Earlier failures", self.with_name(COLUMNS), rows))
    }

    /// The API requests of the only org, or of the org of the page.
    pub(super) fn limits_table(&self) -> Markup {
        const COLUMNS: [Column; 4] =
            [("Org", "name"), ("Requests used", "number"), ("Allowed", "number"), ("Last runs", "number")];
        let is_shown = |org: &str| match self.scope {
            Scope::Org(only) => only.as_str() == org,
            Scope::All | Scope::Job(_) => true,
        };
        let orgs = self.runs.orgs.iter().filter(|(org, _)| is_shown(org));
        let limits: Vec<_> = orgs.filter_map(|(org, traffic)| Some((org, traffic.api_limit?))).collect();
        let count = limits.len();
        let costs = self.costs();
        let rows = limits.into_iter().map(|(org, limit)| {
            let cost = costs.get(org.as_str()).copied().unwrap_or_default();
            [html! { (org) }, used(limit), allowed(limit), html! { (human::number(cost)) }]
        });
        section("API limits", count, || {
            html! { (limits_note()) (table("API limits", COLUMNS, rows)) }
        })
    }

    /// A row per org: how its jobs stand, and its API requests. The org with the most failing jobs is first.
    pub(super) fn orgs_table(&self) -> Markup {
        const COLUMNS: [Column; 5] = [
            ("Org", "name"),
            ("Jobs", "jobs"),
            ("Requests used", "number"),
            ("Allowed", "number"),
            ("Last runs", "number"),
        ];
        #[derive(Default)]
        struct Counts {
            failing: usize,
            overdue: usize,
            running: usize,
            jobs: usize,
        }
        let mut of_orgs: BTreeMap<&str, Counts> = BTreeMap::new();
        for key in self.runs.jobs.keys() {
            of_orgs.entry(key.org().as_str()).or_default().jobs += 1;
        }
        for (standing, _) in &self.failing {
            of_orgs.entry(standing.key.org().as_str()).or_default().failing += 1;
        }
        for standing in &self.overdue {
            of_orgs.entry(standing.key.org().as_str()).or_default().overdue += 1;
        }
        for run in &self.running {
            of_orgs.entry(run.job.org().as_str()).or_default().running += 1;
        }
        let mut orgs: Vec<_> = of_orgs.into_iter().collect();
        // Stable, so orgs that need the same attention stay in the order of their names.
        orgs.sort_by_key(|(_, counts)| std::cmp::Reverse((counts.failing, counts.overdue, counts.running)));
        let count = orgs.len();
        let costs = self.costs();
        let rows = orgs.into_iter().take(MAX_ROWS).map(|(org, counts)| {
            let limit = self.runs.orgs.get(org).and_then(|traffic| traffic.api_limit);
            let stated = stated([
                (counts.failing, "failing", "bad"),
                (counts.overdue, "overdue", "late"),
                (counts.running, "running", "run"),
            ]);
            [
                org_link(org),
                html! {
                    @for (count, class) in &stated { b class=(class) { (count) } ", " }
                    (human::counted(counts.jobs as u64, "job"))
                },
                limit.map(used).unwrap_or_default(),
                limit.map(allowed).unwrap_or_default(),
                html! { (costs.get(org).map(|cost| human::number(*cost)).unwrap_or_default()) },
            ]
        });
        section("Orgs", count, || {
            html! { (limits_note()) (table("Orgs", COLUMNS, rows)) (self.cut_note(count, MAX_ROWS)) }
        })
    }

    /// The API requests of each org's jobs in their last runs.
    fn costs(&self) -> HashMap<&str, u64> {
        let mut costs = HashMap::new();
        for (key, job) in &self.runs.jobs {
            if let Some(run) = job.last_of_all() {
                let cost: &mut u64 = costs.entry(key.org().as_str()).or_default();
                *cost = cost.saturating_add(run.api_calls);
            }
        }
        costs
    }

    /// The columns of a table, after the one that names the job or the org.
    fn with_name<const N: usize, const M: usize>(&self, columns: [Column; N]) -> [Column; M] {
        let heading = if matches!(self.scope, Scope::Job(_)) { "Org" } else { "Job" };
        let mut all = [(heading, "name"); M];
        for (place, column) in all.iter_mut().skip(1).zip(columns) {
            *place = column;
        }
        all
    }

    /// What a row is called, as a link to the page of the job in this org: the job and, if there are several, its org. On
    /// the page of one of the two it is the other.
    fn name_of(&self, key: &ExportKey) -> Markup {
        let has_more = self.orgs_of.get(key.job()).is_some_and(|orgs| *orgs > 1);
        let text = if matches!(self.scope, Scope::Job(_)) { key.org().as_str() } else { key.job().as_str() };
        html! { (job_link(key, has_more, text)) (self.org_line(key)) }
    }

    fn org_line(&self, key: &ExportKey) -> Markup {
        let is_shown = self.scope == Scope::All && self.has_several_orgs();
        html! { @if is_shown { (second_line(&format!("org {}", key.org()))) } }
    }

    /// Says that a table is not whole, and where the rest is.
    fn cut_note(&self, count: usize, limit: usize) -> Markup {
        let only_org = self.runs.orgs.keys().next().filter(|_| !self.has_several_orgs());
        html! {
            @if count > limit {
                p.soft {
                    "These are the first " (human::number(limit as u64)) " of " (human::number(count as u64)) ". "
                    @if let (Scope::All, Some(org)) = (self.scope, only_org.filter(|_| limit < MAX_ROWS)) {
                        "The page of org " (org_link(org)) " has more."
                    } @else {
                        code { "sfexport jobs" } " lists all."
                    }
                }
            }
        }
    }
}

/// The numbers that are not 0, in words, each with the class of its color.
fn stated(counts: [(usize, &'static str, &'static str); 3]) -> Vec<(String, &'static str)> {
    let stated = counts.into_iter().filter(|(count, _, _)| *count > 0);
    stated.map(|(count, what, class)| (format!("{} {what}", human::number(count as u64)), class)).collect()
}

fn limits_note() -> Markup {
    html! {
        p.soft {
            "Used: API requests of all clients of the org in 24 hours, as of its last response to sfexport. Last runs: \
             the requests of the last run of each job, added up."
        }
    }
}

/// The API requests of a run.
fn cost(run: Option<&PastRun>) -> Markup {
    let requests = run.map(|run| run.api_calls).filter(|requests| *requests > 0);
    html! { @if let Some(requests) = requests { (second_line(&human::counted(requests, "request"))) } }
}

/// `1,234 (8%)`: the API requests that are used.
fn used(limit: ApiLimit) -> Markup {
    let percent = limit.used.saturating_mul(100).checked_div(limit.allowed);
    html! {
        (human::number(limit.used))
        @if let Some(percent) = percent {
            " ("
            span class=(if percent >= SCARCE_PERCENT || limit.left() == 0 { "late" } else { "" }) {
                @if percent == 0 && limit.used > 0 { "<1%" } @else { (percent) "%" }
            }
            ")"
        }
    }
}

/// The API requests that are allowed, and how many of them are reserved for others.
fn allowed(limit: ApiLimit) -> Markup {
    html! {
        (human::number(limit.allowed))
        @if let Some(reserve) = limit.reserve {
            (second_line(&format!("{} reserved for others", human::number(reserve))))
        }
    }
}

/// A heading and what is below it, if there is anything.
fn section(heading: &str, count: usize, content: impl FnOnce() -> Markup) -> Markup {
    html! {
        @if count > 0 {
            section { h2 { (heading) } (content()) }
        }
    }
}

/// The zone of all jobs, if they share one; else UTC.
fn common_timezone(runs: &Runs) -> TimeZone {
    let mut timezones = runs.jobs.values().map(|job| &job.timezone);
    match timezones.next() {
        Some(first) if timezones.all(|timezone| timezone == first) => first.clone(),
        _ => TimeZone::UTC,
    }
}

fn short_message(run: &PastRun) -> Markup {
    let error = run.error.as_deref().map(|error| clipped(error, MAX_ERROR_CHARS));
    message(error.as_deref(), run.hint.as_deref())
}
