//! `org` and `orgs`: the orgs that a job exports from, and what must contain their names.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;

use super::{JobContext, RawJob, Reading};
use crate::config::layer::{Section, TextFile};
use crate::config::mistake::{Problem, choose, did_you_mean, quoted};
use crate::job::{Manifest, OutputTemplate};
use crate::org::OrgName;
use crate::soql::generate::matches;

impl Reading {
    /// The orgs to export from, ordered by name; `None` if there is a mistake.
    pub(super) fn orgs(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<Vec<OrgName>> {
        if !section.is_written("orgs") {
            return self.org(file, section, context).map(|org| vec![org]);
        }
        if section.is_own("org") {
            let problem = Problem::new("`org` and `orgs` are both set", "remove one of them");
            self.mistake(file, section, "orgs", problem);
            return None;
        }
        let terms = section.typed.orgs.as_deref()?;
        let Some(orgs) = context.orgs else { return Some(vec![OrgName::default_org()]) };
        let problems = match orgs.named.is_empty() {
            true => vec![no_org(context)],
            false => {
                terms.iter().filter_map(|term| term_mistake(term, terms, &orgs.named, context)).collect()
            }
        };
        let selected: Vec<_> = orgs.named.iter().filter(|org| is_selected(org, terms)).cloned().collect();
        if problems.is_empty() && selected.is_empty() {
            let hint = "name an org, or write [\"*\"] for all orgs";
            self.mistake(file, section, "orgs", Problem::new("the list selects no org", hint));
        }
        let is_good = problems.is_empty() && !selected.is_empty();
        problems.into_iter().for_each(|problem| self.mistake(file, section, "orgs", problem));
        is_good.then_some(selected)
    }

    /// The only org.
    pub(super) fn org(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<OrgName> {
        let Some(orgs) = context.orgs else { return Some(OrgName::default_org()) };
        let named = &orgs.named;
        if let Some(text) = &section.typed.org {
            let found = named.iter().find(|name| name.as_str() == text);
            if found.is_none() {
                self.mistake(file, section, "org", unknown(text, named, context));
            }
            return found.cloned();
        }
        if section.is_mistaken("org") {
            return None;
        }
        let default = OrgName::default_org();
        if named.contains(&default) {
            return Some(default);
        }
        let problem = match named.iter().next() {
            Some(first) => Problem::new(
                "this key is not set, and there is no `[org]` table",
                format!("write org = \"{first}\""),
            ),
            None => no_org(context),
        };
        self.mistake(file, section, "org", problem);
        None
    }

    /// Checks that the runs of several orgs have separate outputs, manifests and pings.
    pub(super) fn org_fields(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        output: Option<&OutputTemplate>,
        manifest: Option<&Manifest>,
    ) {
        if !section.is_written("orgs") {
            return;
        }
        if let Some(output) = output.filter(|output| !output.has_org()) {
            let example = if output.has_object() { "{org}/{object}.csv" } else { "{org}/{job}.csv" };
            let what = format!("{} lacks the field {{org}}", quoted(output.text()));
            let hint = format!("give each org a separate output, as in \"{example}\"");
            self.mistake(file, section, "output", Problem::new(what, hint));
        }
        if let Some(Manifest::At(path)) = manifest
            && !path.has_org()
        {
            let what = format!("{} lacks the field {{org}}", quoted(path.text()));
            let hint = "give each org a separate manifest, as in \"{org}/{job}.json\"";
            self.mistake(file, section, "manifest", Problem::new(what, hint));
        }
        let ping_url = section.typed.ping_url.as_ref();
        if ping_url.is_some_and(|template| !template.expose_secret().contains("{org}")) {
            let what = "the value lacks the field {org}, so the success of one org would hide the failure of another";
            let hint = "give each org a separate check, as in \"https://hc-ping.com/KEY/{job}-{org}\"";
            self.mistake(file, section, "ping_url", Problem::new(what, hint));
        }
    }
}

fn is_selected(org: &OrgName, terms: &[String]) -> bool {
    let is_excluded = |term: &String| term.strip_prefix('!').is_some_and(|term| matches(term, org.as_str()));
    terms.iter().any(|term| matches(term, org.as_str())) && !terms.iter().any(is_excluded)
}

/// What is wrong with an entry of `orgs`.
fn term_mistake(
    term: &str,
    terms: &[String],
    named: &BTreeSet<OrgName>,
    context: &JobContext<'_>,
) -> Option<Problem> {
    let pattern = term.strip_prefix('!').unwrap_or(term);
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '*');
    if pattern.is_empty() || !pattern.chars().all(allowed) {
        let what = format!("{} does not select orgs", quoted(term));
        return Some(Problem::new(what, "write an org (emea), a pattern (emea_*) or !pattern"));
    }
    let is_known = named.iter().any(|org| matches(pattern, org.as_str()));
    match (is_known, term.starts_with('!'), pattern.contains('*')) {
        // There may be such an org later.
        (false, true, true) => None,
        (false, _, false) => Some(unknown(pattern, named, context)),
        (false, false, true) => {
            let what = format!("no org matches {}", quoted(term));
            Some(Problem::new(what, choose(named.iter().map(OrgName::as_str))))
        }
        (true, false, false) => {
            let excludes =
                |other: &&String| other.strip_prefix('!').is_some_and(|other| matches(other, term));
            let exclusion = terms.iter().find(excludes)?;
            let what = format!("{} is also excluded, by {}", quoted(term), quoted(exclusion));
            Some(Problem::new(what, "remove one of them"))
        }
        (true, ..) => None,
    }
}

/// The mistake of a name that is not an org's.
fn unknown(text: &str, named: &BTreeSet<OrgName>, context: &JobContext<'_>) -> Problem {
    let names = || named.iter().map(OrgName::as_str);
    let hint = match (did_you_mean(text, names()), names().collect::<Vec<_>>().as_slice()) {
        (Some(near), _) => Some(near),
        (None, []) => no_org(context).hint,
        (None, [only]) => Some(format!("write {}", quoted(only))),
        (None, _) => Some(choose(named.iter().map(OrgName::as_str))),
    };
    Problem::hinted(format!("there is no org {}", quoted(text)), hint)
}

/// The mistake of a configuration without any org.
fn no_org(context: &JobContext<'_>) -> Problem {
    match context.shared_file {
        Ok(path) => Problem::new("there is no org", format!("add an `[org]` table to {}", path.display())),
        Err(problem) => problem.clone(),
    }
}
