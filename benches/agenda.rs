//! What schedules and the agenda cost: the next occurrence, of an interval, a nightly and a rare schedule; and a
//! simulated year of 500 nightly jobs, every run of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sfexport::agenda::{Action, Agenda, Event, Limits, Plan, PlannedJob};
use sfexport::clock::Now;
use sfexport::error::Exit;
use sfexport::job::{ExportKey, JobName, Policy};
use sfexport::org::OrgName;
use sfexport::schedule::Schedule;

fn timestamp(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, TimeZone::get(zone).expect("a zone")).expect("a schedule")
}

fn next_occurrence(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("next occurrence");
    for (name, text, zone, after) in [
        ("every minute", "* * * * *", "UTC", "2026-11-22T01:00:07Z"),
        ("nightly", "0 2 * * *", "Europe/Berlin", "2026-11-22T01:00:00Z"),
        ("nightly, in a spring gap", "30 2 * * *", "Europe/Berlin", "2026-03-28T01:30:00Z"),
        ("yearly", "0 2 1 1 *", "Europe/Berlin", "2026-01-01T01:00:00Z"),
        ("a leap day that is a Sunday", "0 0 29 2 */7", "America/New_York", "2004-02-29T05:00:00Z"),
    ] {
        let (schedule, after) = (schedule(text, zone), timestamp(after));
        group.bench_function(name, |bench| bench.iter(|| schedule.next_after(black_box(after))));
    }
    group.bench_function("reading a schedule", |bench| {
        let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
        bench.iter(|| Schedule::parse(black_box("0 2 * * mon-fri"), berlin.clone()));
    });
    group.finish();
}

const JOBS: usize = 500;
const NIGHTS: usize = 365;

fn plan() -> Plan {
    let nightly = schedule("30 2 * * *", "Europe/Berlin");
    let job = |number| PlannedJob {
        key: ExportKey::new(
            JobName::parse(&format!("job-{number:03}")).expect("a name"),
            OrgName::default_org(),
        ),
        is_set: false,
        schedule: Some(nightly.clone()),
        policy: Policy { jitter: Duration::from_secs(30 * 60), ..Policy::default() },
    };
    let limits = Limits { runs: 8, runs_of: BTreeMap::new(), shutdown_grace: Duration::ZERO };
    Plan { jobs: (0..JOBS).map(job).collect(), limits }
}

/// Every run of a year, each a minute long: the starts, and the events that the agenda was told.
fn year(mut agenda: Agenda, start: Timestamp, end: Timestamp) -> (usize, usize) {
    let since = |wall: Timestamp| wall.duration_since(start).try_into().expect("time goes forward");
    let mut running: BinaryHeap<Reverse<(Timestamp, ExportKey)>> = BinaryHeap::new();
    let (mut starts, mut events) = (0, 0);
    let (mut event, mut now) = (Event::Tick, start);
    loop {
        events += 1;
        for action in agenda.apply(event, Now { wall: now, elapsed: since(now) }) {
            if let Action::Start { job, .. } = action {
                starts += 1;
                running.push(Reverse((now + Duration::from_secs(60), job)));
            }
        }
        let wake = agenda.wake().unwrap_or(end);
        match running.pop() {
            Some(Reverse((ended, job))) if ended <= wake => {
                (event, now) = (Event::Ended { job, exit: Exit::Success }, ended);
            }
            later => {
                running.extend(later);
                if wake >= end {
                    return (starts, events);
                }
                (event, now) = (Event::Tick, wake);
            }
        }
    }
}

fn agenda(criterion: &mut Criterion) {
    let (start, end) = (timestamp("2026-01-01T11:00:00Z"), timestamp("2027-01-01T11:00:00Z"));
    let begun = Now { wall: start, elapsed: Duration::ZERO };
    let agenda = || Agenda::new(plan(), BTreeMap::new(), begun);
    let (starts, _) = year(agenda(), start, end);
    assert_eq!(starts, JOBS * NIGHTS);
    let mut group = criterion.benchmark_group("agenda");
    // A run's cost is an iteration's divided by the runs.
    group.throughput(Throughput::Elements((JOBS * NIGHTS) as u64)).sample_size(10);
    group.bench_function("a year of 500 nightly jobs", |bench| {
        bench.iter_batched(agenda, |agenda| year(agenda, start, end), BatchSize::PerIteration);
    });
    group.finish();
    let mut group = criterion.benchmark_group("agenda of 500 jobs");
    group.bench_function("made", |bench| {
        bench.iter_batched(plan, |plan| Agenda::new(plan, BTreeMap::new(), begun), BatchSize::SmallInput)
    });
    group.bench_function("a tick with nothing due", |bench| {
        let mut agenda = agenda();
        agenda.apply(Event::Tick, begun);
        bench.iter(|| agenda.apply(Event::Tick, black_box(begun)).len());
    });
    group.finish();
}

criterion_group!(benches, next_occurrence, agenda);
criterion_main!(benches);
