//! The token request of the JWT bearer flow and its answer.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::advice::{self, Refusal};
use super::fault::{Fault, FaultKind, words};
use crate::org::Org;

/// The path of the token endpoint on every login host.
pub const PATH: &str = "/services/oauth2/token";

/// A login: what every further request needs.
#[derive(Debug)]
pub struct Session {
    /// Goes into the `Authorization` header, and nowhere else.
    pub access_token: SecretString,
    /// The host of the org itself: `https://HOST`, seen to be one that the token may go to.
    pub instance_url: String,
    /// Where the org tells who the user is.
    pub identity_url: Option<String>,
    /// What the app lets the session do, parted by spaces, where the org told.
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

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    instance_url: String,
    id: Option<String>,
    scope: Option<String>,
}

/// Reads the answer to a token request that was granted.
///
/// # Errors
/// Where it is no token, or where the `instance_url` is one that the token must not go to.
pub fn read(body: &[u8], org: &Org) -> Result<Session, Fault> {
    // No error text: it could hold a piece of the token.
    let granted: Granted = serde_json::from_slice(body).map_err(|_| {
        Fault::new(FaultKind::Truncated, "the answer to the login is no token, though its status is 200")
    })?;
    let instance_url = granted.instance_url.trim_end_matches('/').to_owned();
    if !org.allows_instance(&instance_url) {
        let named = words(&granted.instance_url);
        let what = format!("the login names an instance that is not Salesforce's: \"{named}\"");
        return Err(Fault::new(FaultKind::LoginRefused, what).hint(
            "nothing was sent there; if the host is your org's, add it to instance_hosts of this org",
        ));
    }
    Ok(Session {
        access_token: granted.access_token,
        instance_url,
        identity_url: granted.id,
        scopes: granted.scope,
    })
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// A login that was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginError {
    /// What a run does about it, and what a person reads.
    pub fault: Fault,
    /// Which refusal of the token endpoint's it is, where it is a known one.
    pub refusal: Option<Refusal>,
}

impl From<Fault> for LoginError {
    fn from(fault: Fault) -> Self {
        Self { fault, refusal: None }
    }
}

/// Reads the answer to a token request that was not granted. The status says little (400 for nearly everything):
/// the pair of `error` and `error_description` tells what to change.
#[must_use]
pub fn error(status: u16, body: &[u8], org: &Org) -> LoginError {
    let Ok(Refused { error, error_description: description }) = serde_json::from_slice(body) else {
        return answered_otherwise(status, org).into();
    };
    let refusal = Refusal::of(&error, &description);
    let kind = match refusal {
        Some(Refusal::Passing) => FaultKind::Unavailable,
        Some(Refusal::LoginRate) => FaultKind::Limit,
        _ if status >= 500 => FaultKind::Unavailable,
        _ => FaultKind::LoginRefused,
    };
    let advice = refusal.map_or_else(|| advice::unknown(org), |refusal| refusal.advice(org));
    let what = format!("the login was refused: {}: {}", words(&error), words(&description));
    let fault = Fault::new(kind, what).hint(advice);
    LoginError { fault, refusal }
}

/// An answer that is none of the token endpoint's: a proxy's, a maintenance page's, or another host's.
fn answered_otherwise(status: u16, org: &Org) -> Fault {
    let login_url = &org.login_url;
    let what = format!("{login_url} answered the login with status {status} and no reason");
    match status {
        406 | 420 | 429 | 500..=599 => Fault::new(FaultKind::Unavailable, what),
        300..=399 => Fault::new(FaultKind::LoginRefused, what).hint(format!(
            "{login_url} leads elsewhere: set login_url to the URL under Setup > My Domain, Current My Domain URL"
        )),
        407 => Fault::new(FaultKind::LoginRefused, what)
            .hint("a proxy asks for a user and a password: give them in HTTPS_PROXY"),
        _ => Fault::new(FaultKind::LoginRefused, what)
            .hint(format!("is {login_url} a Salesforce login host? A proxy on the way may have answered as well")),
    }
}
