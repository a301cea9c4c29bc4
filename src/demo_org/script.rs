//! The scripted faults: the rules, the counts of requests, and which fault the next request meets.

use std::sync::{Arc, Mutex};

use super::bulk::{self, Call};
use super::fault::{At, Fault, Rule};
use super::query::{self, Requested};
use super::{Org, Request, lock};

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
    /// Of requests about query jobs, by the order of [`Call`].
    calls: [usize; 7],
}

/// What kind of request this is; with its number among those of its kind, from 1.
#[derive(Debug)]
enum Kind {
    Login(usize),
    /// With the text of its query, where that is known and the request is for records.
    Page(usize, Option<Arc<str>>),
    ChildPage(usize),
    /// About a query job.
    Bulk(Call, usize),
    Other,
}

impl Script {
    pub(super) fn clear(&self) {
        lock(&self.rules).clear();
    }

    pub(super) fn add(&self, rule: Rule) {
        lock(&self.rules).push(rule);
    }

    /// Counts a request and gives the faults of the first rule that fits it and has a turn left.
    pub(super) fn next(&self, org: &Org, request: &Request) -> Vec<Fault> {
        let request = Counted { kind: lock(&self.counts).kind(org, request), request };
        let mut rules = lock(&self.rules);
        for rule in rules.iter_mut().filter(|rule| rule.left > 0 && request.fits(&rule.at)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.left -= 1;
            return rule.fault.clone().flattened();
        }
        Vec::new()
    }
}

/// A request and what it is.
struct Counted<'r> {
    kind: Kind,
    request: &'r Request,
}

impl Counted<'_> {
    fn fits(&self, at: &At) -> bool {
        match (at, &self.kind) {
            (At::Login(first), Kind::Login(n))
            | (At::Page(first), Kind::Page(n, _))
            | (At::ChildPage(first), Kind::ChildPage(n))
            | (At::BulkCreate(first), Kind::Bulk(Call::Create, n))
            | (At::BulkPoll(first), Kind::Bulk(Call::Poll, n))
            | (At::BulkResults(first), Kind::Bulk(Call::Results, n))
            | (At::BulkPages(first), Kind::Bulk(Call::Pages, n))
            | (At::BulkAbort(first), Kind::Bulk(Call::Abort, n))
            | (At::BulkDelete(first), Kind::Bulk(Call::Delete, n)) => n >= first,
            (At::Soql(text), Kind::Page(_, Some(soql))) => {
                soql.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
            }
            (At::Containing(text), _) => self.request.target.contains(text),
            _ => false,
        }
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
        if let Some(call) = bulk::call(request) {
            return Kind::Bulk(call, next(&mut self.calls[call as usize]));
        }
        match query::requested(org, request) {
            None => Kind::Other,
            Some(Requested::Children) => Kind::ChildPage(next(&mut self.child_pages)),
            Some(Requested::Records(soql)) => Kind::Page(next(&mut self.pages), soql),
        }
    }
}
