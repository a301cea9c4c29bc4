//! What stands on a terminal and nowhere else: the progress, the colours, and the word that a token can be seen.

#![allow(clippy::unwrap_used, reason = "a test that fails is meant to panic")]

mod support;

use sfexport::demo_org::{At, Fault, Options, Rule};
use std::time::Duration;
use support::{Deployment, assert_same, csv, live, options};

const SOQL: &str = "SELECT Id, Site FROM Account";

/// An org whose second page takes its time, so that whatever is drawn is drawn.
fn slow() -> Deployment {
    let at = Deployment::with(Options { page_size: 30, ..options(100) });
    at.script(Rule::always(At::Containing("-30".into()), Fault::Late(Duration::from_millis(400))));
    at
}

/// The records as a terminal gets them.
fn on_screen(at: &Deployment) -> Vec<u8> {
    let csv = String::from_utf8(csv(&["Id", "Site"], &live(at.data(), "Account"))).unwrap();
    csv.replace('\n', "\r\n").into_bytes()
}

#[test]
fn records_on_a_terminal_stand_there_alone_and_progress_where_they_go_elsewhere() {
    let at = slow();
    let quiet = ["--log-level", "error"];
    let query = |rest: &[&'static str]| [&["query", SOQL, "-o"], rest, &quiet[..]].concat();
    let Some(streamed) = at.on_terminal(&query(&["-"]), "", &[]) else { return };
    assert_same(&streamed.ended(0).stdout, &on_screen(&at));

    for (output, redirected) in [("-", "> accounts.csv"), ("accounts.csv", "")] {
        let outcome = at.on_terminal(&query(&[output]), redirected, &[]).unwrap().ended(0);
        let screen = outcome.stdout();
        assert!(screen.contains("query  waiting for the first page"), "{screen:?}");
        assert!(screen.contains("30/"), "{screen:?}");
        assert_same(&at.read("accounts.csv"), &csv(&["Id", "Site"], &live(at.data(), "Account")));
    }
}
