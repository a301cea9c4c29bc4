//! The token request of the JWT bearer flow and its response.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::advice::{self, Refusal};
use super::call::{Call, Payload};
use super::fault::{self, Fault, FaultKind, words};
use super::identity;
use super::response::Head;
use crate::org::{Org, OrgId};

/// The path of the token endpoint on every login host.
pub const PATH: &str = "/services/oauth2/token";

/// A login: what every further request needs.
#[derive(Debug)]
pub struct Session {
    /// Goes into the `Authorization` header, and nowhere else.
    pub access_token: SecretString,
    /// The host of the org itself, `https://HOST`, checked to be one that the token may go to.
    pub instance_url: String,
    /// Names the user and the org by their ids.
    pub identity_url: Option<String>,
    /// What the app lets the session do, separated by spaces, if the org said so.
    pub scopes: Option<String>,
}

/// The form of a token request, as `application/x-www-form-urlencoded`.
#[must_use]
pub fn form(assertion: &SecretString) -> SecretString {
    let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    SecretString::from(format!(
        "grant_type={}&assertion={}",
        escaped(grant),
        escaped(assertion.expose_secret())
    ))
}

/// A login that brought no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct LoginError {
    /// What a run does about it, and what a person reads.
    pub fault: Fault,
    /// Which of the token endpoint's refusals it is, if it is a known one.
    pub refusal: Option<Refusal>,
}

impl From<Fault> for LoginError {
    fn from(fault: Fault) -> Self {
        Self { fault, refusal: None }
    }
}

impl From<LoginError> for Fault {
    fn from(error: LoginError) -> Self {
        error.fault
    }
}

/// The call that asks for a token, to be sent to the login host.
#[must_use]
pub fn call(form: &SecretString) -> Call<'_> {
    Call::post(PATH, Payload::Form(form)).about("the login")
}

/// What the token endpoint sends: a token, or why there is none. Each key may be missing.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Sent {
    access_token: Option<SecretString>,
    instance_url: Option<String>,
    id: Option<String>,
    scope: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Reads the response to a token request. The status says little (400 for nearly every refusal): the pair of `error`
/// and `error_description` says what to change.
///
/// # Errors
/// If the login was refused, if the response is not the token endpoint's, if the `instance_url` is a host that the
/// token must not go to, or if the org is not known to be the one that [`Org::org_id`] names.
pub fn read(head: &Head, body: &[u8], org: &Org) -> Result<Session, LoginError> {
    // No error text: it could hold a piece of the token.
    let sent: Option<Sent> = serde_json::from_slice(body).ok();
    let error = match sent {
        Some(Sent { error: Some(error), error_description, .. }) => {
            refused(head.status, &error, &error_description.unwrap_or_default(), org)
        }
        Some(sent) if head.status == 200 => return Ok(granted(sent, org)?),
        None if head.status == 200 => not_a_token(head, body, org).into(),
        _ => another_responded(head, org).into(),
    };
    let fault = Fault { retry_after: head.retry_after(), ..error.fault };
    Err(LoginError { fault, ..error })
}

fn granted(sent: Sent, org: &Org) -> Result<Session, Fault> {
    let lacks = |key: &str| {
        let what = format!("\"{}\" responded to the login without \"{key}\"", org.login_url);
        Fault::new(FaultKind::LoginRefused, what).hint(
            "check that login_url is a Salesforce login host; another OAuth server or a test double may have responded",
        )
    };
    let access_token = sent.access_token.ok_or_else(|| lacks("access_token"))?;
    let named = sent.instance_url.ok_or_else(|| lacks("instance_url"))?;
    // As it was parsed: the parser passes over tabs and line breaks, which would otherwise be shown.
    let parsed = Url::parse(&named).map(String::from).unwrap_or_default();
    let instance_url = parsed.trim_end_matches('/').to_owned();
    if !org.allows_instance(&instance_url) {
        let what = format!("the login names an instance outside Salesforce's domains: \"{}\"", words(&named));
        return Err(Fault::new(FaultKind::LoginRefused, what)
            .hint("if this host is your org's, add it to instance_hosts; nothing was sent to it"));
    }
    if let Some(expected) = &org.org_id {
        verify(expected, sent.id.as_deref(), &access_token, org)?;
    }
    Ok(Session { access_token, instance_url, identity_url: sent.id, scopes: sent.scope })
}

/// Compares the org that was reached with the one that the configuration names.
fn verify(
    expected: &OrgId,
    identity_url: Option<&str>,
    access_token: &SecretString,
    org: &Org,
) -> Result<(), Fault> {
    let table = org.name.table();
    let named = identity_url.and_then(identity::of_url).map(|identity| identity.organization_id);
    let Some(reached) = named.or_else(|| org_of_token(access_token)) else {
        let what = format!("the login does not say which org it reached, but org_id is \"{expected}\"");
        return Err(Fault::new(FaultKind::AnotherOrg, what).hint(format!(
            "check that login_url in {table} is a Salesforce login host, or remove org_id from {table}"
        )));
    };
    if expected.matches(&reached) {
        return Ok(());
    }
    let reached = words(&reached);
    let what = format!("the login reached org \"{reached}\", but org_id is \"{expected}\"");
    Err(Fault::new(FaultKind::AnotherOrg, what).hint(format!(
        "correct login_url, client_id and username in {table}, or set org_id = \"{reached}\" if that is the right org"
    )))
}

/// The org's id at the beginning of an opaque access token, `00Dxx0000001gPL!AQ...`. Tokens in the JWT format do not
/// begin with it.
fn org_of_token(access_token: &SecretString) -> Option<String> {
    let (id, _) = access_token.expose_secret().split_once('!')?;
    (id.len() == 15).then(|| OrgId::parse(id).ok()).flatten().map(|id| id.to_string())
}

fn refused(status: u16, error: &str, description: &str, org: &Org) -> LoginError {
    let refusal = Refusal::of(error, description);
    let kind = match refusal {
        Some(Refusal::Passing) => FaultKind::Unavailable,
        Some(Refusal::LoginRate) => FaultKind::Limit,
        _ if status >= 500 => FaultKind::Unavailable,
        _ => FaultKind::LoginRefused,
    };
    let advice = refusal.map_or_else(|| advice::unknown(org), |refusal| refusal.advice(org));
    let what = format!("the login was refused: {}: {}", words(error), words(description));
    LoginError { fault: Fault::new(kind, what).hint(advice), refusal }
}

/// A 200 that is not JSON: cut on its way, or sent by something else.
fn not_a_token(head: &Head, body: &[u8], org: &Org) -> Fault {
    let start = body.trim_ascii_start().get(..5).unwrap_or_default().to_ascii_lowercase();
    let sent = match () {
        () if body.trim_ascii().is_empty() => "an empty body".to_owned(),
        () if start == b"<?xml" => "XML".to_owned(),
        () if head.is_html() || start.starts_with(b"<") => "a page of HTML".to_owned(),
        () => format!("{} bytes of incomplete or invalid JSON", body.len()),
    };
    let what =
        format!("\"{}\" responded to the login with {sent} instead of a token (status 200)", org.login_url);
    Fault::new(FaultKind::Truncated, what).hint(
        "check login_url, and that no proxy is in between: a proxy's sign-in page, a parked domain or maintenance \
         usually causes this",
    )
}

/// A response that is not the token endpoint's: a proxy's, a maintenance page's, or another host's.
fn another_responded(head: &Head, org: &Org) -> Fault {
    let (login_url, status) = (&org.login_url, head.status);
    let what = format!("\"{login_url}\" responded to the login with status {status} and no reason");
    let setup = "the URL under Setup > My Domain > Current My Domain URL";
    match (status, head.redirect_target()) {
        (406 | 420 | 429 | 500..=599, _) => Fault::new(FaultKind::Unavailable, what),
        (300..=399, Some(target)) if target.starts_with("https://") => {
            let what = format!(
                "\"{login_url}\" redirects the login to \"{target}\" (status {status}), and redirects are not followed"
            );
            Fault::new(FaultKind::LoginRefused, what)
                .hint(format!("if that is your org's new My Domain, set login_url = \"{target}\""))
        }
        (300..=399, target) => {
            let target = target.map_or_else(|| "elsewhere".to_owned(), |target| format!("to \"{target}\""));
            let what = format!(
                "\"{login_url}\" redirects the login {target} (status {status}), and redirects are not followed"
            );
            Fault::new(FaultKind::LoginRefused, what).hint(format!("set login_url to {setup}"))
        }
        (407, _) => fault::refused_by_proxy(None),
        _ => Fault::new(FaultKind::LoginRefused, what).hint(format!(
            "check that {login_url} is a Salesforce login host; a proxy may have responded in its place"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Session, LoginError> {
        let org = Org::sample("https://acme.my.salesforce.com");
        super::read(&Head::new(status, headers.iter().copied()), body.as_bytes(), &org)
    }

    #[test]
    fn a_200_without_a_token_says_what_it_is_instead() {
        for (headers, body, said, kind) in [
            (&[("Content-Type", "text/html")][..], "Sign in", "a page of HTML", FaultKind::Truncated),
            (&[], "\n<!DOCTYPE html><html>", "a page of HTML", FaultKind::Truncated),
            (
                &[("Content-Type", "text/xml")],
                "<?xml version=\"1.0\"?><OAuth/>",
                "with XML",
                FaultKind::Truncated,
            ),
            (&[], " ", "an empty body", FaultKind::Truncated),
            (
                &[],
                "{\"access_token\":\"secret",
                "23 bytes of incomplete or invalid JSON",
                FaultKind::Truncated,
            ),
            (&[], "{}", "without \"access_token\"", FaultKind::LoginRefused),
            (&[], "{\"access_token\":\"secret\"}", "without \"instance_url\"", FaultKind::LoginRefused),
            (
                &[],
                "{\"error\":\"invalid_grant\",\"error_description\":\"audience is invalid\"}",
                "the login was refused: invalid_grant: audience is invalid",
                FaultKind::LoginRefused,
            ),
        ] {
            let error = read(200, headers, body).unwrap_err();
            assert!(error.fault.what.contains(said), "{body}: {error}");
            assert!(!error.fault.what.contains("secret"), "{error}");
            assert_eq!((error.fault.kind, error.fault.hint.is_some()), (kind, true), "{body}");
        }
        let error =
            read(200, &[], "{\"error\":\"invalid_grant\",\"error_description\":\"audience is invalid\"}");
        assert_eq!(error.unwrap_err().refusal, Some(Refusal::Audience));
    }

    #[test]
    fn a_login_must_reach_the_org_that_is_named() {
        const ORG: &str = "00Dxx0000001gPLEAY";
        let logged_in = |expected: &str, token: &str, id: &str| {
            let org = Org::sample("https://acme.my.salesforce.com");
            let org = Org { org_id: Some(OrgId::parse(expected).unwrap()), ..org };
            let body = format!(
                "{{\"access_token\":\"{token}\",\"instance_url\":\"https://acme.my.salesforce.com\"{id}}}"
            );
            let head = Head::of_status(200);
            super::read(&head, body.as_bytes(), &org).map(|_| ()).map_err(|error| error.fault)
        };
        let url = |org: &str| format!(",\"id\":\"https://login.salesforce.com/id/{org}/005xx000001SwiUAAS\"");
        // Either form of the id is the same org.
        for (expected, named) in [(ORG, ORG), (&ORG[..15], ORG), (ORG, &ORG[..15])] {
            assert_eq!(logged_in(expected, "jwt.of.some-kind", &url(named)), Ok(()));
        }
        // Without the URL, an opaque token says it.
        for id in ["", ",\"id\":null", ",\"id\":\"https://login.salesforce.com/\""] {
            assert_eq!(logged_in(ORG, "00Dxx0000001gPL!AQ", id), Ok(()), "{id}");
            let fault = logged_in(ORG, "jwt.of.some-kind", id).unwrap_err();
            assert!(fault.what.starts_with("the login does not say which org it reached"), "{fault}");
            let fault = logged_in(ORG, "00Dxx0000002gPL!secret", id).unwrap_err();
            assert_eq!(
                fault.what,
                "the login reached org \"00Dxx0000002gPL\", but org_id is \"00Dxx0000001gPLEAY\""
            );
        }
        // Ids differ in case.
        let fault = logged_in(ORG, "00Dxx0000001gPL!AQ", &url("00Dxx0000001gplEAI")).unwrap_err();
        assert_eq!((fault.kind, fault.is_about_the_org()), (FaultKind::AnotherOrg, true));
        assert!(fault.hint.unwrap().contains("in [org]"));
    }

    #[test]
    fn an_instance_is_kept_as_it_was_parsed() {
        for (named, kept) in [
            ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
            ("https://ACME.my.salesforce.com:443/", "https://acme.my.salesforce.com"),
            ("https://acme.my\\n.salesforce.com", "https://acme.my.salesforce.com"),
        ] {
            let body = format!("{{\"access_token\":\"x\",\"instance_url\":\"{named}\"}}");
            assert_eq!(read(200, &[], &body).unwrap().instance_url, kept);
        }
    }

    #[test]
    fn a_redirected_login_names_the_new_host_to_set() {
        let to = |target: &str| read(301, &[("Location", target)], "").unwrap_err().fault;
        let renamed = to("https://new-name.my.salesforce.com/services/oauth2/token");
        assert_eq!(
            renamed.hint.as_deref(),
            Some(
                "if that is your org's new My Domain, set login_url = \"https://new-name.my.salesforce.com\""
            )
        );
        let page = to("/secur/frontdoor.jsp");
        assert!(page.what.contains("redirects the login to \"/secur/frontdoor.jsp\" (status 301)"), "{page}");
        assert_eq!(page.kind, FaultKind::LoginRefused);
    }
}
