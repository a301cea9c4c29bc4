//! The token endpoint's response; [`login`] checks the request.

use crate::demo_org::login::Grant;
use crate::demo_org::reply::Reply;
use crate::demo_org::{Org, Request, lock, login, refusal};

/// Checks the request and opens a session.
pub(super) fn token(org: &Org, request: &Request) -> Reply {
    let grant = match login::check(org, request) {
        Ok(grant) => grant,
        Err((error, description)) => {
            let mut refused = Reply::json(refusal::oauth_body(error, description)).outside_api();
            refused.status = 400;
            return refused;
        }
    };
    // Only the flows with a client secret send the time of issue and a signature, which is not a real one here.
    let issued = match grant {
        Grant::Assertion => String::new(),
        Grant::RefreshToken => format!(
            r#","issued_at":"{}","signature":"{}=""#,
            org.data.clock().now().as_millisecond(),
            "0".repeat(43)
        ),
    };
    let organization = org.organization_id().to_string();
    // As long and of the same characters as a real one; made of the number of the login.
    let serial = org.serial();
    let secret: String = (0..96)
        .map(|place: u64| {
            let hash = (serial as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(place as u32)
                ^ place << 7;
            char::from(
                b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"[(hash % 64) as usize],
            )
        })
        .collect();
    let token = format!("{}!{serial}.{secret}", &organization[..15]);
    let body = format!(
        r#"{{"access_token":"{token}","scope":"api web","instance_url":"{url}","id":"{url}/id/{organization}/{user}","token_type":"Bearer"{issued}}}"#,
        url = org.url,
        user = org.user_id(),
    );
    lock(&org.sessions).insert(token);
    Reply::json(body.into_bytes()).outside_api()
}
