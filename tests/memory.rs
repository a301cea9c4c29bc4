//! The memory that a run takes with large pages: what the default of `page_cap` and the shipped limits are made for.

#![cfg(feature = "demo-org")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use sfexport::demo_org::{At, Fault, Options, Rule};
use support::Deployment;

const MIB: u64 = 1 << 20;
/// 14 MiB when optimised; a debug binary is larger.
const WITHOUT_PAGES: u64 = 27 * MIB;

/// The highest mark of a process's memory in bytes, read while it runs; it has ended afterwards.
fn peak(child: &mut Child) -> u64 {
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark =
            mark.and_then(|mark| mark.trim().strip_suffix(" kB")).and_then(|mark| mark.parse::<u64>().ok());
        most = mark.map_or(most, |mark| most.max(mark * 1024));
        std::thread::sleep(Duration::from_millis(1));
    }
    most
}

#[test]
fn four_pages_and_a_little_is_the_most_that_a_run_takes() {
    // 100 records of 60 kB: pages of 6 MB, four of them.
    let at = Deployment::with(Options { page_size: 100, ..support::options(350) });
    let text = 60_000;
    at.script(Rule::always(At::Soql("from contact".to_owned()), Fault::LongTexts(text)));
    let page = 100 * text as u64;
    for output in ["a.csv", "a.jsonl"] {
        at.configure("gzip = false");
        at.job("contacts", "SELECT Id, LastName FROM Contact", output, "");
        let mut child =
            at.command(["run", "contacts"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let most = peak(&mut child);
        at.outcome(child.wait_with_output().unwrap()).ended(0);
        let size = at.read(&format!("exports/{output}")).len() as u64;
        assert!(size > 2 * page, "{output}: {size} bytes");
        assert!(most > page, "{output}: the peak was not seen, {} MiB", most / MIB);
        assert!(most < WITHOUT_PAGES + 4 * page, "{output}: {} MiB", most / MIB);
    }
}
