//! The signed assertion of the OAuth 2.0 JWT bearer flow (RFC 7523), as Salesforce's help describes it.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::SecretString;
use serde::Serialize;

use crate::error::{Exit, Failure};
use crate::org::Org;

/// How far ahead the assertion expires, in seconds. The documentation allows three minutes; what is missing is
/// room for a clock that runs ahead of the org's.
const LIFETIME: i64 = 170;

/// The claims, and no others: `scope` is not read, and `iat`, `nbf` and `jti` are not needed.
#[derive(Debug, Serialize)]
struct Claims<'o> {
    iss: &'o str,
    sub: &'o str,
    aud: &'o str,
    exp: i64,
}

/// Signs the assertion that logs the org's user in, valid from now on for less than three minutes.
///
/// # Errors
/// Where the key cannot sign.
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
