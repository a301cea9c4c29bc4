//! What is tried of an org: key, certificate, network, clock, login, identity, API version, limits.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Check, Name, Outcome, Step, Teller};
use crate::client::OrgClient;
use crate::error::{Exit, Failure, plain};
use crate::key::{self, Certificate, SigningKey};
use crate::org::{KeySource, LoginUrl, Org, common_login_hosts};
use crate::report::ApiLimit;
use crate::retry::Attempts;
use crate::salesforce::advice::{Refusal, approval_url};
use crate::salesforce::fault::{self, FaultKind};
use crate::salesforce::token::LoginError;
use crate::salesforce::{limits, versions};

/// An org with a session.
pub(super) struct Reached {
    pub(super) client: OrgClient,
    pub(super) limit: Option<ApiLimit>,
}

/// How long before its end a certificate is warned of.
const WARNED_DAYS: i64 = 30;

/// How far apart two clocks may be before it is worth a word, in seconds. The login itself bears three minutes.
const SKEW: i64 = 60;

impl Check<'_> {
    pub(super) async fn org(&self, org: &Org, tell: Teller<'_>) -> Option<Reached> {
        let key = match key::load(org) {
            Ok(key) => {
                let source = match &org.key {
                    KeySource::File(path) => path.display().to_string(),
                    KeySource::Inline(_) => "given as text".to_owned(),
                };
                let what = format!("RSA, {} bits, and it signs: {source}", key.bits());
                tell(Step::passed(Name::Key, what).fact("bits", key.bits()));
                Some(Arc::new(key))
            }
            Err(failure) => {
                tell(Step::failed(Name::Key, failure));
                None
            }
        };
        tell(certificate(org, key.as_deref(), self.edges.clock.now()));
        if self.offline {
            return None;
        }
        let is_there = self.network(org, tell).await;
        let Some(key) = key else {
            tell(Step::skipped(Name::Login, "not tried: there is no key to sign with"));
            return None;
        };
        if !is_there {
            tell(Step::skipped(Name::Login, "not tried: the login host was not reached"));
            return None;
        }
        let client = self.client(org, &key);
        self.login(&client, &key, tell).await?;
        identity(&client, tell).await;
        api_version(&client, tell).await;
        let limit = limits(&client, tell).await;
        Some(Reached { client, limit })
    }

    /// A client that sends each call once.
    fn client(&self, org: &Org, key: &Arc<SigningKey>) -> OrgClient {
        let (org, key, edges) = (Arc::new(org.clone()), Arc::clone(key), Arc::clone(&self.edges));
        OrgClient::new(org, key, edges, None).without_retries()
    }

    /// Whether the login host responds at all, and what it says of the time.
    async fn network(&self, org: &Org, tell: Teller<'_>) -> bool {
        let clock = &self.edges.clock;
        let (asked, begun) = (clock.elapsed(), clock.now());
        let response = match self.edges.http.send(&org.login_url, None, &versions::call()).await {
            Ok(response) => response,
            Err(fault) => {
                tell(Step::failed(Name::Network, fault.into_failure()));
                return false;
            }
        };
        let took = clock.elapsed().saturating_sub(asked);
        let what = format!("{} responds, after {} ms", org.login_url, took.as_millis());
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        for sentence in self.edges.http.left_out_certificates() {
            let hint = "remove it from ca_file, or replace it";
            tell(Step::warned(Name::Network, sentence.as_str(), hint));
        }
        if response.head.status == 407 {
            tell(Step::failed(Name::Network, fault::refused_by_proxy(None).into_failure()));
            return false;
        }
        let step = match response.head.status {
            // Whatever its response is, the host is there. If something else responds instead, it is seen here.
            500..=599 => Step::warned(
                Name::Network,
                format!("{what}, but with status {}", response.head.status),
                "a proxy may have responded instead, or Salesforce is in maintenance (status.salesforce.com)",
            ),
            _ => Step::passed(Name::Network, what),
        };
        tell(step.fact("login_url", org.login_url.as_str()).fact("millis", millis));
        tell(skew(response.head.date(), begun + took / 2));
        true
    }

    async fn login(&self, client: &OrgClient, key: &Arc<SigningKey>, tell: Teller<'_>) -> Option<()> {
        let org = client.org();
        let LoginError { fault, refusal } = match client.session().await {
            Ok(session) => {
                let what = format!("{} is let in; the instance is {}", org.username, session.instance_url);
                let scopes: Vec<_> =
                    session.scopes.as_deref().unwrap_or_default().split_whitespace().collect();
                tell(
                    Step::passed(Name::Login, what)
                        .fact("username", org.username.as_str())
                        .fact("audience", org.audience.as_str())
                        .fact("instance_url", session.instance_url.as_str())
                        .fact("scopes", scopes),
                );
                return Some(());
            }
            Err(error) => error,
        };
        let another_host = match refusal {
            Some(refusal) => refusal.may_be_the_host(),
            // Neither a token nor a refusal: perhaps it is not a login host.
            None => fault.kind == FaultKind::LoginRefused,
        };
        let mut step = Step::failed(Name::Login, fault.into_failure())
            .fact("login_url", org.login_url.as_str())
            .fact("audience", org.audience.as_str())
            .fact("username", org.username.as_str())
            .fact("client_id", org.client_id.as_str());
        let mut hints: Vec<String> = step.hint.take().into_iter().collect();
        if refusal == Some(Refusal::Signature)
            && let Some(path) = &org.cert_file
            && Certificate::read(path).is_ok_and(|certificate| certificate.matches(key))
        {
            let path = path.display();
            hints.insert(
                0,
                format!("{path} is this key's certificate, so the app holds another: upload {path}"),
            );
        }
        if another_host {
            let (works, tried) = self.elsewhere(org, key).await;
            match &works {
                Some(elsewhere) => hints.insert(0, what_to_set(org, elsewhere)),
                None if tried.is_empty() => {}
                None => hints.push(format!(
                    "no other pair of login host and audience was let in either ({} tried), so it is not these two",
                    tried.len()
                )),
            }
            step = step.fact("tried", tried).fact(
                "works",
                works.map(|org| json!({"login_url": org.login_url, "audience": org.audience})),
            );
        }
        if refusal == Some(Refusal::NotApproved) {
            let url = approval_url(org);
            hints.push(format!(
                "where the app lets users authorize themselves, {} may instead open this once, logged in, and allow it \
                 (its redirect_uri must be the app's callback URL; the page that it leads to need not exist): {url}",
                org.username
            ));
            step = step.fact("approval_url", url);
        }
        step.hint = (!hints.is_empty()).then(|| hints.join("\n"));
        tell(step);
        None
    }

    /// Attempts the other pairs of login host and audience that Salesforce has, and gives the first that lets us in,
    /// with what each of them said.
    async fn elsewhere(&self, org: &Org, key: &Arc<SigningKey>) -> (Option<Org>, Vec<serde_json::Value>) {
        let mut tried = Vec::new();
        for (login_url, audience) in pairs(org) {
            let other = Org { login_url, audience, ..org.clone() };
            let client = self.client(&other, key);
            let outcome = client.session().await;
            tried.push(json!({
                "login_url": other.login_url,
                "audience": other.audience,
                "answer": outcome.as_ref().map_or_else(|error| error.fault.what.as_str(), |_| "let in"),
            }));
            match outcome {
                Ok(_) => return (Some(other), tried),
                // Further attempts would meet the same limit.
                Err(error) if error.fault.kind == FaultKind::Limit => break,
                Err(_) => {}
            }
        }
        (None, tried)
    }
}

async fn identity(client: &OrgClient, tell: Teller<'_>) {
    let org = client.org();
    let identity = match client.identity().await {
        Ok(identity) => identity,
        Err(fault) => {
            // A run does not need it.
            tell(Step::new(
                Name::Identity,
                Outcome::Warned,
                format!("the org does not tell who this is: {fault}"),
            ));
            return;
        }
    };
    let name = identity.name.as_deref().map(|name| format!(" ({})", plain(name))).unwrap_or_default();
    let kind = match (&identity.user_type, identity.is_salesforce_integration_user) {
        (_, Some(true)) => ", with an integration licence".to_owned(),
        (Some(kind), _) => format!(", {}", plain(kind)),
        _ => String::new(),
    };
    let username = identity.username.as_deref().unwrap_or(&org.username);
    let (user_id, organization_id) = (plain(&identity.user_id), plain(&identity.organization_id));
    let what = format!("{}{name}, {user_id}{kind}, in org {organization_id}", plain(username));
    tell(
        Step::passed(Name::Identity, what)
            .fact("username", username)
            .fact("user_id", identity.user_id.as_str())
            .fact("organization_id", identity.organization_id.as_str())
            .fact("user_type", identity.user_type.as_deref()),
    );
}

async fn api_version(client: &OrgClient, tell: Teller<'_>) {
    let wanted = &client.org().api_version;
    let offered = match client.call(&versions::call(), &mut Attempts::default()).await {
        Ok(response) => versions::read(response.body()),
        Err(_) => None,
    };
    let Some(offered) = offered else {
        tell(Step::new(Name::ApiVersion, Outcome::Warned, "the org does not tell which API versions it has"));
        return;
    };
    let (oldest, newest) = (offered.first().cloned(), offered.last().cloned());
    let (oldest, newest) = (oldest.unwrap_or_default(), newest.unwrap_or_default());
    let step = if offered.contains(wanted) {
        Step::passed(Name::ApiVersion, format!("{wanted}; the org has {oldest} to {newest}"))
    } else {
        let what = format!("the org does not have API version {wanted}, but {oldest} to {newest}");
        let hint = format!("set api_version = \"{newest}\", or to an older one of these");
        Step::failed(Name::ApiVersion, Failure::new(Exit::Configuration, what).hint(hint))
    };
    tell(step.fact("api_version", wanted.as_str()).fact("oldest", oldest).fact("newest", newest));
}

async fn limits(client: &OrgClient, tell: Teller<'_>) -> Option<ApiLimit> {
    let call = limits::call(&client.org().api_version);
    let response = match client.call(&call, &mut Attempts::default()).await {
        Ok(response) => response,
        Err(fault) => {
            let failure = fault.into_failure();
            // A wrong version has been told already.
            let step = match failure.exit {
                Exit::Configuration => Step::skipped(Name::Limits, failure.what),
                _ => Step::failed(Name::Limits, failure),
            };
            tell(step);
            return None;
        }
    };
    let Some(limit) = limits::daily(response.body()).or(response.head.api_limit()) else {
        tell(Step::new(
            Name::Limits,
            Outcome::Warned,
            "the org does not tell how many API requests are left",
        ));
        return None;
    };
    let left = limit.allowed.saturating_sub(limit.used);
    let what = format!("{left} of {} API requests are left in these 24 hours", limit.allowed);
    let step = match () {
        () if left == 0 => Step::failed(
            Name::Limits,
            Failure::new(Exit::TryLater, what).hint("Setup > Company Information shows who may use more"),
        ),
        () if left < limit.allowed / 10 => {
            Step::warned(Name::Limits, what, "runs end with status 75 when they are used up")
        }
        () => Step::passed(Name::Limits, what),
    };
    tell(step.fact("allowed", limit.allowed).fact("left", left));
    Some(limit)
}

fn certificate(org: &Org, key: Option<&SigningKey>, now: Timestamp) -> Step {
    let Some(path) = &org.cert_file else {
        return Step::skipped(
            Name::Certificate,
            "cert_file is not set, so its end cannot be seen; name the file that was uploaded to be warned in time",
        );
    };
    let certificate = match Certificate::read(path) {
        Ok(certificate) => certificate,
        Err(failure) => return Step::failed(Name::Certificate, failure),
    };
    let shown = path.display();
    let end = certificate.end.strftime("%Y-%m-%d %H:%M UTC");
    let days = certificate.end.duration_since(now).as_secs().div_euclid(86_400);
    let renew = "a new pair is made by `sfexport keygen`; upload its certificate where the old one is, in the app's \
                 OAuth settings";
    let failed = |what: String, hint: &str| {
        Step::failed(Name::Certificate, Failure::new(Exit::Login, what).hint(hint))
    };
    let step = if key.is_some_and(|key| !certificate.matches(key)) {
        failed(
            format!(
                "{shown} is not the certificate of this key: the org would respond with `invalid assertion`"
            ),
            "name the key that belongs to the uploaded certificate by key_file, or upload the certificate of this key \
             and name it by cert_file",
        )
    } else if certificate.end < now {
        failed(format!("{shown} ended {end}: the org refuses every login since"), renew)
    } else if certificate.begin > now + SignedDuration::from_secs(SKEW) {
        let begin = certificate.begin.strftime("%Y-%m-%d %H:%M UTC");
        failed(
            format!(
                "{shown} is valid from {begin} on: this clock is slow, or it was made on one that is fast"
            ),
            renew,
        )
    } else if days < WARNED_DAYS {
        Step::warned(Name::Certificate, format!("{shown} ends {end}, in {days} days"), renew)
    } else {
        Step::passed(Name::Certificate, format!("{shown}, of this key, ends {end}, in {days} days"))
    };
    step.fact("ends", certificate.end.to_string()).fact("days", days)
}

/// This clock beside the login host's, which tells whole seconds.
fn skew(theirs: Option<Timestamp>, ours: Timestamp) -> Step {
    let Some(theirs) = theirs else {
        return Step::skipped(Name::Clock, "the login host does not tell the time");
    };
    let ahead = ours.duration_since(theirs).as_secs();
    let step = if ahead.abs() <= SKEW {
        Step::passed(Name::Clock, "within a minute of the login host's")
    } else {
        let (seconds, way) = (ahead.abs(), if ahead > 0 { "ahead of" } else { "behind" });
        Step::warned(
            Name::Clock,
            format!("this clock is {seconds} seconds {way} the login host's; a login bears three minutes"),
            "set it by NTP (`timedatectl` shows it); whole hours are a time zone: the clock itself has to be in UTC",
        )
    };
    step.fact("seconds_ahead", ahead)
}

/// Pairs of login host and audience beside the configured one: what its own host may want, and Salesforce's two
/// common hosts. Where the login URL is loopback, the assertion stays there.
fn pairs(org: &Org) -> Vec<(String, String)> {
    let own = org.login_url.as_str();
    let [login, test] = common_login_hosts(own);
    let mut pairs = vec![(own, login), (own, test), (own, own)];
    if !org.logs_in_on_loopback() {
        pairs.extend([(login, login), (test, test)]);
    }
    let mut all: Vec<(String, String)> = Vec::new();
    for (login_url, audience) in pairs {
        let pair = (login_url.to_owned(), audience.to_owned());
        if (login_url, audience) != (own, org.audience.as_str()) && !all.contains(&pair) {
            all.push(pair);
        }
    }
    all
}

/// The keys to set so that a run logs in as this did.
fn what_to_set(org: &Org, works: &Org) -> String {
    let follows = LoginUrl::parse(&works.login_url).is_ok_and(|login| login.audience == works.audience);
    let mut set = Vec::new();
    if works.login_url != org.login_url {
        set.push(format!("set login_url = \"{}\"", works.login_url));
    }
    match (works.audience != org.audience, follows) {
        (true, true) => set.push(format!("leave audience out (it is then \"{}\")", works.audience)),
        (_, false) => set.push(format!("set audience = \"{}\"", works.audience)),
        (false, true) => {}
    }
    format!("this lets {} in: {}", org.username, set.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(login_url: &str, audience: &str) -> Org {
        Org { audience: audience.to_owned(), ..Org::sample(login_url) }
    }

    const LOGIN: &str = "https://login.salesforce.com";
    const TEST: &str = "https://test.salesforce.com";
    const MINE: &str = "https://acme--uat.sandbox.my.salesforce.com";

    #[test]
    fn the_pairs_to_try_are_a_handful_and_never_the_one_that_was_refused() {
        let pairs = |login_url, audience| {
            pairs(&org(login_url, audience)).into_iter().map(|(a, b)| format!("{a} {b}")).collect::<Vec<_>>()
        };
        let pair = |a: &str, b: &str| format!("{a} {b}");
        assert_eq!(pairs(LOGIN, LOGIN), [pair(LOGIN, TEST), pair(TEST, TEST)]);
        assert_eq!(
            pairs(MINE, TEST),
            [pair(MINE, LOGIN), pair(MINE, MINE), pair(LOGIN, LOGIN), pair(TEST, TEST)]
        );
        assert_eq!(pairs(MINE, "https://typo").len(), 5);
        let (cn, cn_login) = ("https://acme.my.sfcrmproducts.cn", "https://login.sfcrmproducts.cn");
        let cn_test = "https://test.sfcrmproducts.cn";
        assert_eq!(
            pairs(cn, cn_login),
            [pair(cn, cn_test), pair(cn, cn), pair(cn_login, cn_login), pair(cn_test, cn_test)]
        );
        let loopback = "http://127.0.0.1:8443";
        assert_eq!(pairs(loopback, loopback), [pair(loopback, LOGIN), pair(loopback, TEST)]);
    }

    #[test]
    fn what_to_set_is_the_least_that_makes_it_work() {
        for (configured, works, expected) in [
            (
                (LOGIN, LOGIN),
                (TEST, TEST),
                "set login_url = \"https://test.salesforce.com\" and leave audience out (it is then \"https://test.salesforce.com\")",
            ),
            ((MINE, LOGIN), (MINE, TEST), "leave audience out (it is then \"https://test.salesforce.com\")"),
            ((MINE, TEST), (MINE, MINE), "set audience = \"https://acme--uat.sandbox.my.salesforce.com\""),
        ] {
            let set = what_to_set(&org(configured.0, configured.1), &org(works.0, works.1));
            assert_eq!(set, format!("this lets integration@example.com in: {expected}"));
        }
    }

    #[test]
    fn a_clock_is_named_when_it_is_more_than_a_minute_off() {
        let theirs: Timestamp = "2026-11-22T02:00:00Z".parse().unwrap();
        let at = |ours: &str| skew(Some(theirs), ours.parse().unwrap());
        assert_eq!(at("2026-11-22T02:01:00Z").outcome, Outcome::Passed);
        assert_eq!(at("2026-11-22T01:59:00Z").outcome, Outcome::Passed);
        let slow = at("2026-11-22T01:00:00Z");
        assert_eq!(slow.outcome, Outcome::Warned);
        assert!(slow.what.contains("3600 seconds behind"), "{}", slow.what);
        assert!(at("2026-11-22T02:01:01Z").what.contains("61 seconds ahead of"));
        assert_eq!(skew(None, theirs).outcome, Outcome::Skipped);
    }
}
