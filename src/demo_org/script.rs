//! The scripted faults: which rules there are, which requests have been counted, and what the next one meets.

use std::sync::Mutex;

use super::fault::{At, Fault, Rule};
use super::{Org, Request, lock, query};

/// The rules of an org and the requests that they count.
#[derive(Debug, Default)]
pub(super) struct Script {
    rules: Mutex<Vec<Rule>>,
    counts: Mutex<Counts>,
}

/// How many requests of a kind there have been.
#[derive(Debug, Default)]
struct Counts {
    logins: usize,
    pages: usize,
    child_pages: usize,
}

/// What kind of request this is; with its number among those of its kind, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Login(usize),
    Page(usize),
    ChildPage(usize),
    Other,
}

impl Script {
    pub(super) fn add(&self, rule: Rule) {
        lock(&self.rules).push(rule);
    }

    /// Counts a request and gives the faults of the first rule that fits it and has a turn left.
    pub(super) fn next(&self, org: &Org, request: &Request) -> Vec<Fault> {
        let kind = lock(&self.counts).kind(org, request);
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && fits(&rule.at, kind, request));
        let Some(rule) = rule else { return Vec::new() };
        rule.left -= 1;
        vec![rule.fault.clone()]
    }
}

fn fits(at: &At, kind: Kind, request: &Request) -> bool {
    match (at, kind) {
        (At::Login(first), Kind::Login(n))
        | (At::Page(first), Kind::Page(n))
        | (At::ChildPage(first), Kind::ChildPage(n)) => n >= *first,
        (At::Containing(text), _) => request.target.contains(text),
        _ => false,
    }
}

impl Counts {
    fn kind(&mut self, org: &Org, request: &Request) -> Kind {
        let next = |count: &mut usize| {
            *count += 1;
            *count
        };
        let path = request.path().trim_end_matches('/');
        if path == "/services/oauth2/token" {
            return Kind::Login(next(&mut self.logins));
        }
        match query::requested(path) {
            None => Kind::Other,
            Some(locator) if query::is_of_children(org, locator) => {
                Kind::ChildPage(next(&mut self.child_pages))
            }
            Some(_) => Kind::Page(next(&mut self.pages)),
        }
    }
}
