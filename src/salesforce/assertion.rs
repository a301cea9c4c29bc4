//! The signed assertion of the OAuth 2.0 JWT bearer flow (RFC 7523), as Salesforce's help describes it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Exit, Failure};
use crate::org::Org;

/// The assertion's lifetime in seconds. The documentation allows three minutes; the rest is margin for a clock that
/// runs ahead of the org's.
const LIFETIME: i64 = 170;

/// The only claims that matter: Salesforce ignores `scope` and does not need `iat`, `nbf` or `jti`.
#[derive(Debug, Serialize)]
struct Claims<'o> {
    iss: &'o str,
    sub: &'o str,
    aud: &'o str,
    exp: i64,
}

/// Signs the assertion that logs in the org's user. It is valid for just under three minutes.
///
/// # Errors
/// If the key cannot sign.
pub fn sign(org: &Org, key: &EncodingKey, now: Timestamp) -> Result<SecretString, Failure> {
    let claims = Claims {
        iss: &org.client_id,
        sub: &org.username,
        aud: &org.audience,
        exp: now.as_second() + LIFETIME,
    };
    encode(&Header::new(Algorithm::RS256), &claims, key)
        .map(SecretString::from)
        .map_err(|error| Failure::new(Exit::Configuration, format!("the key cannot sign: {error}")))
}

/// An assertion's contents, for inspection; its signature is not verified.
#[derive(Debug)]
pub struct Decoded {
    /// The JOSE header, as it was signed.
    pub header: Box<RawValue>,
    /// The claims, as they were signed.
    pub claims: Box<RawValue>,
    /// `exp` as a timestamp.
    pub expires: Option<Timestamp>,
}

/// Reads an assertion's header and claims; `None` if the text is not an assertion.
#[must_use]
pub fn decode(assertion: &SecretString) -> Option<Decoded> {
    #[derive(Deserialize)]
    struct Expiry {
        exp: i64,
    }
    let mut parts = assertion.expose_secret().split('.');
    let mut json = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        RawValue::from_string(String::from_utf8(bytes).ok()?).ok()
    };
    let (header, claims) = (json()?, json()?);
    let expires = serde_json::from_str::<Expiry>(claims.get()).ok();
    let expires = expires.and_then(|claims| Timestamp::from_second(claims.exp).ok());
    Some(Decoded { header, claims, expires })
}
