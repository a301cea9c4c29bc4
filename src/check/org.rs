//! The steps for an org: key, certificate, network, clock, login, identity, API version, limits.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Check, Name, Outcome, Step, Teller};
use crate::client::OrgClient;
use crate::error::{Exit, Failure, plain};
use crate::human::{counted, number};
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

/// How many days before a certificate expires the warning begins.
const WARNED_DAYS: i64 = 30;

/// The difference between the clocks, in seconds, from which there is a warning. Logins allow three minutes.
const SKEW: i64 = 60;

impl Check<'_> {
    pub(super) async fn org(&self, org: &Org, tell: Teller<'_>) -> Option<Reached> {
        let key = match key::load(org) {
            Ok(key) => {
                let source = match &org.key {
                    KeySource::File(path) => path.display().to_string(),
                    KeySource::Inline(_) => "from the environment".to_owned(),
                };
                let what = format!("{source} (RSA, {} bits) can sign", key.bits());
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
            tell(Step::skipped(Name::Login, "not tried, because there is no key"));
            return None;
        };
        if !is_there {
            tell(Step::skipped(Name::Login, "not tried, because the login host cannot be reached"));
            return None;
        }
        let client = self.client(org, &key);
        self.login(&client, &key, tell).await?;
        identity(&client, tell).await;
        api_version(&client, tell).await;
        let limit = limits(&client, tell).await;
        Some(Reached { client, limit })
    }

    /// A client that sends each request once.
    fn client(&self, org: &Org, key: &Arc<SigningKey>) -> OrgClient {
        let (org, key, edges) = (Arc::new(org.clone()), Arc::clone(key), Arc::clone(&self.edges));
        OrgClient::new(org, key, edges, None).without_retries()
    }

    /// Whether the login host responds, and what time it reports.
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
        let what = format!("{} responded after {} ms", org.login_url, took.as_millis());
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
            // Any response shows that the host exists. These may come from something else instead.
            500..=599 => Step::warned(
                Name::Network,
                format!("{what} with status {}", response.head.status),
                "check whether a proxy responded, or Salesforce is in maintenance (status.salesforce.com)",
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
                let what = format!("{} is logged in to {}", org.username, session.instance_url);
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
            // Neither a token nor a refusal. It may not be a login host.
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
                format!(
                    "the app {} has another certificate: upload {path} to it, or set client_id to the app that has {path} \
                     (an app has one certificate, and a new one locks out the old key)",
                    org.client_id
                ),
            );
        }
        if another_host {
            let (works, tried) = self.elsewhere(org, key).await;
            match &works {
                Some(elsewhere) => hints.insert(0, what_to_set(org, elsewhere)),
                None if tried.is_empty() => {}
                None => hints.push(format!(
                    "login_url and audience are probably right: {} refused too",
                    match tried.len() {
                        1 => "another combination was".to_owned(),
                        several => format!("{several} other combinations were"),
                    }
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
                "if the app allows users to authorize themselves, open this page once, logged in as {}, and allow access \
                 (redirect_uri must be the app's callback URL, but need not exist): {url}",
                org.username
            ));
            step = step.fact("approval_url", url);
        }
        step.hint = (!hints.is_empty()).then(|| hints.join("\n"));
        tell(step);
        None
    }

    /// Tries the other pairs of login host and audience, and returns the first that works, with each response.
    async fn elsewhere(&self, org: &Org, key: &Arc<SigningKey>) -> (Option<Org>, Vec<serde_json::Value>) {
        let mut tried = Vec::new();
        for (login_url, audience) in pairs(org) {
            let other = Org { login_url, audience, ..org.clone() };
            let client = self.client(&other, key);
            let outcome = client.session().await;
            tried.push(json!({
                "login_url": other.login_url,
                "audience": other.audience,
                "answer": outcome.as_ref().map_or_else(|error| error.fault.what.as_str(), |_| "logged in"),
            }));
            match outcome {
                Ok(_) => return (Some(other), tried),
                // Further attempts would run into the same limit.
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
            // Runs do not need the identity.
            tell(Step::new(
                Name::Identity,
                Outcome::Warned,
                format!("the org does not report the user: {fault}"),
            ));
            return;
        }
    };
    let name = identity.name.as_deref().map(|name| format!(" ({})", plain(name))).unwrap_or_default();
    let kind = match (&identity.user_type, identity.is_salesforce_integration_user) {
        (_, Some(true)) => ", with an integration license".to_owned(),
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
        tell(Step::new(Name::ApiVersion, Outcome::Warned, "the org does not report its API versions"));
        return;
    };
    let (oldest, newest) = (offered.first().cloned(), offered.last().cloned());
    let (oldest, newest) = (oldest.unwrap_or_default(), newest.unwrap_or_default());
    let step = if offered.contains(wanted) {
        Step::passed(Name::ApiVersion, format!("{wanted} (the org has {oldest} to {newest})"))
    } else {
        let what = format!("API version \"{wanted}\" is not one of the org's, {oldest} to {newest}");
        let hint = format!("set api_version = \"{newest}\", or an older one in that range");
        Step::failed(Name::ApiVersion, Failure::new(Exit::Configuration, what).hint(hint))
    };
    tell(step.fact("api_version", wanted.as_str()).fact("oldest", oldest).fact("newest", newest));
}

async fn limits(client: &OrgClient, tell: Teller<'_>) -> Option<ApiLimit> {
    let call = limits::call(&client.org().api_version);
    let daily = match client.call(&call, &mut Attempts::default()).await {
        Ok(response) => limits::daily(response.body()),
        // The user may not read the limits. Other responses report them too.
        Err(fault) if fault.kind == FaultKind::QueryRefused => None,
        Err(fault) => {
            let failure = fault.into_failure();
            // The step before has reported the wrong version.
            let step = match failure.exit {
                Exit::Configuration => Step::skipped(Name::Limits, failure.what),
                _ => Step::failed(Name::Limits, failure),
            };
            tell(step);
            return None;
        }
    };
    let reserve = |allowed| client.org().api_reserve.map(|reserve| reserve.of(allowed));
    let daily = daily.map(|limit| ApiLimit { reserve: reserve(limit.allowed), ..limit });
    let Some(limit) = daily.or(client.api_limit()).filter(|limit| limit.allowed > 0) else {
        tell(Step::new(
            Name::Limits,
            Outcome::Warned,
            "the org does not report how many API requests are left",
        ));
        return None;
    };
    let left = limit.allowed.saturating_sub(limit.used);
    let left_above = limit.reserve.map(|_| limit.left());
    tell(
        usage(limit, client.org())
            .fact("used", limit.used)
            .fact("allowed", limit.allowed)
            .fact("left", left)
            .fact("reserve", limit.reserve)
            .fact("left_above_reserve", left_above),
    );
    Some(limit)
}

/// Whether API requests are left for exports.
fn usage(limit: ApiLimit, org: &Org) -> Step {
    let (table, reserve) = (org.name.table(), limit.reserve.unwrap_or_default());
    let what = format!(
        "{} of {} API requests in 24 hours are left",
        number(limit.allowed.saturating_sub(limit.used)),
        number(limit.allowed)
    );
    let (what, wait, scarce) = match org.api_reserve {
        Some(api_reserve) if reserve >= limit.allowed => {
            return Step::failed(
                Name::Limits,
                limits::too_large(api_reserve, limit.allowed, &org.name).into_failure(),
            );
        }
        Some(_) => (
            format!("{what}, {} of them above the reserve of {}", number(limit.left()), number(reserve)),
            format!("wait, or lower api_reserve in {table}"),
            "reduce other uses of the API: without requests above the reserve, runs end with status 75",
        ),
        None => (
            what,
            "wait, or see the usage in Setup > Company Information".to_owned(),
            "reduce other uses of the API: without requests, runs end with status 75",
        ),
    };
    match limit.left() {
        0 => Step::failed(Name::Limits, Failure::new(Exit::TryLater, what).hint(wait)),
        left if left < (limit.allowed - reserve) / 10 => Step::warned(Name::Limits, what, scarce),
        _ => Step::passed(Name::Limits, what),
    }
}

/// `1 day`, `1,095 days`.
fn in_days(days: i64) -> String {
    counted(days.unsigned_abs(), "day")
}

fn certificate(org: &Org, key: Option<&SigningKey>, now: Timestamp) -> Step {
    let Some(path) = &org.cert_file else {
        return Step::skipped(
            Name::Certificate,
            "set cert_file to the uploaded certificate to get a warning before it expires",
        );
    };
    let certificate = match Certificate::read(path) {
        Ok(certificate) => certificate,
        Err(failure) => return Step::failed(Name::Certificate, failure),
    };
    let shown = path.display();
    let end = certificate.end.strftime("%Y-%m-%d %H:%M UTC");
    let days = certificate.end.duration_since(now).as_secs().div_euclid(86_400);
    let renew =
        "create a new key with `sfexport keygen`, and upload its certificate in the app's OAuth settings";
    let failed = |what: String, hint: &str| {
        Step::failed(Name::Certificate, Failure::new(Exit::Login, what).hint(hint))
    };
    let step = if key.is_some_and(|key| !certificate.matches(key)) {
        // Only the certificate in Salesforce decides. The login shows whether that is this one.
        Step::warned(
            Name::Certificate,
            format!(
                "{shown} is not the certificate of this key; if it is the one in Salesforce, logins are refused with \
                 `invalid assertion`"
            ),
            "set cert_file to the certificate of this key, or key_file to the key of this certificate, whichever \
             Salesforce has",
        )
    } else if certificate.end < now {
        failed(format!("{shown} expired on {end}, so the org refuses every login"), renew)
    } else if certificate.begin > now + SignedDuration::from_secs(SKEW) {
        let begin = certificate.begin.strftime("%Y-%m-%d %H:%M UTC");
        failed(
            format!(
                "{shown} is not valid before {begin}, so this clock is slow, or the certificate was created by a fast one"
            ),
            renew,
        )
    } else if days < WARNED_DAYS {
        Step::warned(Name::Certificate, format!("{shown} expires on {end}, in {}", in_days(days)), renew)
    } else if key.is_none() {
        let what =
            format!("{shown} expires on {end}, in {}; it cannot be compared with the key", in_days(days));
        Step::skipped(Name::Certificate, what)
    } else {
        Step::passed(
            Name::Certificate,
            format!("{shown} belongs to the key and expires on {end}, in {}", in_days(days)),
        )
    };
    step.fact("ends", certificate.end.to_string()).fact("days", days)
}

/// Compares this clock with the login host's, which reports whole seconds.
fn skew(theirs: Option<Timestamp>, ours: Timestamp) -> Step {
    let Some(theirs) = theirs else {
        return Step::skipped(Name::Clock, "the login host does not report its time");
    };
    let ahead = ours.duration_since(theirs).as_secs();
    let step = if ahead.abs() <= SKEW {
        Step::passed(Name::Clock, "within a minute of the login host's clock")
    } else {
        let (seconds, way) = (ahead.abs(), if ahead > 0 { "ahead of" } else { "behind" });
        Step::warned(
            Name::Clock,
            format!("this clock is {seconds} seconds {way} the login host's, and logins allow three minutes"),
            "synchronize it with NTP (see `timedatectl`), and if it is off by whole hours, correct its time zone",
        )
    };
    step.fact("seconds_ahead", ahead)
}

/// The other pairs of login host and audience to try: other audiences for the same host, and Salesforce's two common
/// hosts. If the login URL is a loopback address, the assertion is not sent anywhere else.
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

/// The hint with the keys to set for a login that worked.
fn what_to_set(org: &Org, works: &Org) -> String {
    let follows = LoginUrl::parse(&works.login_url).is_ok_and(|login| login.audience == works.audience);
    let mut set = Vec::new();
    if works.login_url != org.login_url {
        set.push(format!("set login_url = \"{}\"", works.login_url));
    }
    match (works.audience != org.audience, follows) {
        (true, true) => set.push("remove audience".to_owned()),
        (_, false) => set.push(format!("set audience = \"{}\"", works.audience)),
        (false, true) => {}
    }
    format!("{}: this login works", set.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::org::ApiReserve;

    fn org(login_url: &str, audience: &str) -> Org {
        Org { audience: audience.to_owned(), ..Org::sample(login_url) }
    }

    const LOGIN: &str = "https://login.salesforce.com";
    const TEST: &str = "https://test.salesforce.com";
    const MINE: &str = "https://acme--uat.sandbox.my.salesforce.com";

    #[test]
    fn the_other_login_hosts_and_audiences_to_try_are_few() {
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
    fn the_hint_sets_as_few_keys_as_possible() {
        for (configured, works, expected) in [
            (
                (LOGIN, LOGIN),
                (TEST, TEST),
                "set login_url = \"https://test.salesforce.com\" and remove audience",
            ),
            ((MINE, LOGIN), (MINE, TEST), "remove audience"),
            ((MINE, TEST), (MINE, MINE), "set audience = \"https://acme--uat.sandbox.my.salesforce.com\""),
        ] {
            let set = what_to_set(&org(configured.0, configured.1), &org(works.0, works.1));
            assert_eq!(set, format!("{expected}: this login works"));
        }
    }

    #[test]
    fn usage_is_judged_by_what_is_left_above_the_reserve() {
        let step = |used, api_reserve| {
            let org = Org { api_reserve, ..Org::sample(LOGIN) };
            let reserve = api_reserve.map(|reserve: ApiReserve| reserve.of(1_000));
            usage(ApiLimit { reserve, ..ApiLimit::new(used, 1_000) }, &org)
        };
        let fifth = Some(ApiReserve::Percent(20));
        for (used, reserve, outcome, exit) in [
            (900, None, Outcome::Passed, 0),
            (901, None, Outcome::Warned, 0),
            (1_000, None, Outcome::Failed, 75),
            (720, fifth, Outcome::Passed, 0),
            (721, fifth, Outcome::Warned, 0),
            (800, fifth, Outcome::Failed, 75),
            (2_000, fifth, Outcome::Failed, 75),
            (0, Some(ApiReserve::Requests(1_000)), Outcome::Failed, 78),
        ] {
            let step = step(used, reserve);
            assert_eq!((step.outcome, step.exit_status), (outcome, exit), "{used}: {}", step.what);
        }
        assert_eq!(
            step(500, fifth).what,
            "500 of 1,000 API requests in 24 hours are left, 300 of them above the reserve of 200"
        );
    }

    #[test]
    fn a_clock_may_be_off_by_a_minute() {
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
