//! The token request of the JWT bearer flow and its answer.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::fault::{Fault, FaultKind};
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
        Fault::new(FaultKind::Cut, "the answer to the login is no token, though its status is 200")
    })?;
    let instance_url = granted.instance_url.trim_end_matches('/').to_owned();
    if !org.allows_instance(&instance_url) {
        let what =
            format!("the login names an instance that is not Salesforce's: {:?}", granted.instance_url);
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

/// Reads the answer to a token request that was not granted. The status says little (400 for nearly everything):
/// the pair of `error` and `error_description` tells what to change.
#[must_use]
pub fn refusal(status: u16, body: &[u8], org: &Org) -> Fault {
    let Ok(Refused { error, error_description: description }) = serde_json::from_slice(body) else {
        let what = format!("the login host answered with status {status} and no reason");
        return match status {
            406 | 420 | 429 | 500..=599 => Fault::new(FaultKind::Unwell, what),
            300..=399 => Fault::new(FaultKind::LoginRefused, what).hint(format!(
                "{} leads elsewhere; set login_url to the My Domain URL shown in Setup",
                org.login_url
            )),
            404 | 405 => Fault::new(FaultKind::LoginRefused, what)
                .hint(format!("is {} a Salesforce login host?", org.login_url)),
            _ => Fault::new(FaultKind::LoginRefused, what),
        };
    };
    let what = format!("the login was refused: {error}: {description}");
    let is = |text: &str| description.to_ascii_lowercase().contains(text);
    let kind = match error.as_str() {
        "unknown_error" => FaultKind::Unwell,
        "rate_limit_exceeded" => FaultKind::Limit,
        "invalid_grant" if is("login rate exceeded") => FaultKind::Limit,
        _ if status >= 500 => FaultKind::Unwell,
        _ => FaultKind::LoginRefused,
    };
    let fault = Fault::new(kind, what);
    match advice(&error, &description.to_ascii_lowercase(), org) {
        Some(advice) => fault.hint(advice),
        None => fault,
    }
}

/// What the operator must change, for each known pair; collected from Salesforce's help and from what users met.
fn advice(error: &str, description: &str, org: &Org) -> Option<String> {
    let Org { client_id, username, audience, login_url, .. } = org;
    let is = |text: &str| description.contains(text);
    Some(match error {
        "invalid_grant" if is("hasn't approved") => format!(
            "{username} has not approved the app, or is unknown to this login host. In Setup, open the app's policies, \
             set Permitted Users to \"Admin approved users are pre-authorized\" and assign the user's profile or a \
             permission set; check that {login_url} (audience {audience}) is the host that this user logs in at"
        ),
        "invalid_app_access" => format!(
            "the app is for admin-approved users, and {username} is none. In Setup, open the app's policies and assign \
             the user's profile or a permission set"
        ),
        "invalid_grant" if is("audience") => format!(
            "the audience {audience} does not belong to this org: set login_url to https://test.salesforce.com for a \
             sandbox, to https://login.salesforce.com otherwise, or set audience"
        ),
        "invalid_grant" if is("invalid assertion") => format!(
            "the key is not the one whose certificate the app holds: in Setup, under the app's OAuth settings, upload \
             the certificate that belongs to this key (app {client_id})"
        ),
        "invalid_grant" if is("expired authorization code") => {
            "the assertion had expired when it arrived: this machine's clock is slow, or its time zone wrong".to_owned()
        }
        "invalid_client_id" => format!(
            "no app has the consumer key {client_id} at {login_url}: check client_id and login_url; a new app needs 2 \
             to 10 minutes, and a refreshed sandbox has keys of its own"
        ),
        "invalid_client" if is("certificate") => {
            "the certificate in the app has expired or is invalid: make a new one and upload it under the app's OAuth \
             settings"
                .to_owned()
        }
        "invalid_client" => format!("check client_id ({client_id})"),
        "app_not_found" => format!(
            "the app of {client_id} is not in this org: create or install it there, or set login_url to the My Domain \
             URL of the org that has it"
        ),
        "invalid_grant" if is("login rate exceeded") => {
            "one user may log in 3,600 times an hour, by all of its tools together; wait, and find what logs in so \
             often"
                .to_owned()
        }
        "rate_limit_exceeded" => "too many logins; wait an hour".to_owned(),
        "invalid_grant" if is("ip restricted") || is("login hours") => format!(
            "the login IP ranges or hours of {username}'s profile, or the app's IP policy, refuse this machine: allow \
             its address there, or relax IP restrictions in the app's policies"
        ),
        "inactive_user" => format!("{username} is deactivated or frozen: reactivate the user in Setup"),
        "invalid_grant" if is("inactive user") || is("user is inactive") => {
            format!("{username} is deactivated or frozen: reactivate the user in Setup")
        }
        "inactive_org" => "the org is locked, closed or suspended; ask its administrator".to_owned(),
        "invalid_grant" if is("inactive organization") || is("organization is") => {
            "the org is locked, closed or suspended; ask its administrator".to_owned()
        }
        "invalid_grant" if is("not supported on this domain") => {
            format!("{login_url} does not serve this org: set login_url to the My Domain URL shown in Setup")
        }
        "invalid_grant" if is("authentication failure") => {
            format!("check username ({username}) and whether the user is locked out")
        }
        "unsupported_grant_type" | "invalid_request" => {
            format!("something on the way changed the request, or {login_url} is no Salesforce login host")
        }
        "unknown_error" => "Salesforce asks to try again".to_owned(),
        _ => return None,
    })
}
