//! The token endpoint: it really checks assertions, knows one refresh token, and refuses with Salesforce's own pairs of
//! error and description (all with status 400).

use jsonwebtoken::{Algorithm, crypto, dangerous::insecure_decode};
use serde_json::Value as Json;

use super::routes::parameters;
use super::{Org, Request};

/// What an assertion may be late by; the documentation allows for clocks that differ.
const LEEWAY_SECONDS: f64 = 180.0;
/// The longest life that [`super::Options::strict_exp`] accepts.
const STRICT_SECONDS: f64 = 180.0 + 5.0;

/// The refresh token of the demo's app, for clients that have no JWT bearer flow. It is not a secret: it only gives
/// access to made-up data.
pub(super) const REFRESH_TOKEN: &str = "5Aep861.the.demo.org";

/// What the path of the token endpoint ends with; some clients name the whole URL as the audience.
const TOKEN_PATH: &str = "/services/oauth2/token";

/// How a client logged in.
pub(super) enum Grant {
    Assertion,
    RefreshToken,
}

/// Error and description.
pub(super) type LoginRefusal = (&'static str, &'static str);

/// Checks a token request.
pub(super) fn check(org: &Org, request: &Request) -> Result<Grant, LoginRefusal> {
    if request.method != "POST" {
        return Err(("invalid_request", "must use HTTP POST"));
    }
    let form_encoded = request
        .header("content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    // Some clients send everything in the URL, and Salesforce accepts it.
    let mut parameters = parameters(request.query());
    if form_encoded {
        parameters.extend(self::parameters(&String::from_utf8_lossy(&request.body)));
    }
    let parameter =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match parameter("grant_type") {
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
            let assertion = parameter("assertion").ok_or(("invalid_grant", "invalid assertion"))?;
            check_assertion(org, assertion).map(|()| Grant::Assertion)
        }
        Some("refresh_token") => {
            if parameter("client_id") != Some(org.options.client_id.as_str()) {
                return Err(("invalid_client_id", "client identifier invalid"));
            }
            match parameter("refresh_token") {
                Some(REFRESH_TOKEN) => Ok(Grant::RefreshToken),
                _ => Err(("invalid_grant", "expired access/refresh token")),
            }
        }
        _ => Err(("unsupported_grant_type", "grant type not supported")),
    }
}

fn check_assertion(org: &Org, assertion: &str) -> Result<(), LoginRefusal> {
    let invalid = ("invalid_grant", "invalid assertion");
    let token = insecure_decode::<Json>(assertion).map_err(|_| invalid)?;
    let claim = |name: &str| token.claims.get(name).and_then(Json::as_str).unwrap_or_default();
    if claim("iss") != org.options.client_id {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    let (message, signature) = assertion.rsplit_once('.').ok_or(invalid)?;
    let signed = token.header.alg == Algorithm::RS256
        && org
            .keys
            .iter()
            .any(|key| crypto::verify(signature, message.as_bytes(), key, Algorithm::RS256).unwrap_or(false));
    if !signed {
        return Err(invalid);
    }
    let audience = claim("aud").trim_end_matches('/');
    let audience = audience.strip_suffix(TOKEN_PATH).unwrap_or(audience);
    if audience != org.url && !super::AUDIENCES.contains(&audience) {
        return Err(("invalid_grant", "audience is invalid"));
    }
    // A string of digits is accepted as well as a number.
    let exp = match token.claims.get("exp") {
        Some(Json::Number(number)) => number.as_f64(),
        Some(Json::String(text)) => text.parse().ok(),
        _ => None,
    };
    let exp = exp.ok_or(invalid)?;
    let now = org.data.clock().now().as_millisecond() as f64 / 1000.0;
    if exp + LEEWAY_SECONDS < now {
        return Err(("invalid_grant", "expired authorization code"));
    }
    if org.options.strict_exp && exp > now + STRICT_SECONDS {
        return Err(invalid);
    }
    if claim("sub") != org.options.username {
        return Err(("invalid_grant", "user hasn't approved this consumer"));
    }
    Ok(())
}
