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

const ESCAPE: char = '\u{1b}';

#[test]
fn colours_are_for_terminals_that_have_them_and_for_those_who_want_them() {
    let at = Deployment::new(10);
    at.job("accounts", SOQL, "accounts.csv", "");
    let check = |redirected: &str, variables: &[(&str, &str)]| {
        Some(at.on_terminal(&["check", "accounts"], redirected, variables)?.ended(0))
    };
    let Some(coloured) = check("", &[]) else { return };
    assert!(coloured.stdout().contains("\u{1b}[32m✓\u{1b}[0m login"), "{:?}", coloured.stdout());
    // An empty NO_COLOR counts as unset, as no-color.org has it.
    assert!(check("", &[("NO_COLOR", "")]).unwrap().stdout().contains(ESCAPE));
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let outcome = check("", &[plain]).unwrap();
        let screen = outcome.stdout();
        assert!(screen.contains("✓ login") && !screen.contains(ESCAPE), "{plain:?}: {screen:?}");
    }
    check("> checked", &[]).unwrap();
    assert!(at.text("checked").contains("✓ login") && !at.text("checked").contains(ESCAPE));

    let refused = |redirected: &str, variables: &[(&str, &str)]| {
        at.on_terminal(&["run", "nobody"], redirected, variables).unwrap().ended(78)
    };
    assert!(refused("", &[]).stdout().contains("\u{1b}[1;31merror:\u{1b}[0m "));
    assert!(!refused("", &[("NO_COLOR", "1")]).stdout().contains(ESCAPE));
    // Each stream for itself: here only standard output is a terminal.
    refused("2> refused", &[]);
    assert!(at.text("refused").starts_with("error: ") && !at.text("refused").contains(ESCAPE));
}

#[test]
fn a_token_or_an_assertion_on_a_terminal_is_warned_of() {
    let at = Deployment::new(10);
    for (arguments, warning) in [
        // First, for no login has sent an assertion then: one of the same second would be the same.
        (
            &["token", "--assertion"][..],
            "warning: the assertion is visible on this screen, and anyone who has it can log in as that user",
        ),
        (
            &["token"],
            "warning: the token is visible on this screen, and anyone who has it can act as that user until the session ends",
        ),
        (&["token", "--shell"], "warning: the token is visible on this screen"),
    ] {
        let words = |redirected| at.on_terminal(arguments, redirected, &[("NO_COLOR", "1")]);
        let Some(outcome) = words("") else { return };
        assert!(outcome.ended(0).stdout().contains(warning), "{arguments:?}");
        // Where it can be read is what counts, not where the warning goes.
        words("2> warned").unwrap().ended(0);
        assert!(at.text("warned").starts_with(warning), "{arguments:?}");
        words("> /dev/null 2> warned").unwrap().ended(0);
        assert_eq!(at.text("warned"), "", "{arguments:?}");
    }
}
