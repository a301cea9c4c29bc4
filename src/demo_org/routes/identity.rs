//! Who is logged in: the identity URL of the token's response, and OpenID's `userinfo`.

use super::has_session;
use crate::demo_org::data::{Row, Value};
use crate::demo_org::render::{json, push};
use crate::demo_org::reply::Reply;
use crate::demo_org::{Org, Request};

/// `/id/ORG/USER`
pub(super) fn identity(org: &Org, request: &Request, organization: &str, user: &str) -> Reply {
    if request.header("authorization").is_none() {
        return Reply::html(403, "Missing_OAuth_Token");
    }
    if !has_session(org, request) {
        return Reply::html(403, "Bad_OAuth_Token");
    }
    if organization != org.organization_id().to_string() {
        return Reply::html(403, "Wrong_Org");
    }
    match org.data.row(user).filter(|row| row.object().name == "User") {
        Some(row) => Reply::json(identity_body(org, row)).outside_api(),
        None => Reply::html(404, "No_Such_User"),
    }
}

/// `/services/oauth2/userinfo`
pub(super) fn user_info(org: &Org, request: &Request) -> Reply {
    if has_session(org, request) {
        Reply::json(user_info_body(org)).outside_api()
    } else {
        Reply::html(403, "Bad_OAuth_Token")
    }
}

fn identity_body(org: &Org, user: Row<'_>) -> Vec<u8> {
    let text = |field: &str| match user.value(field) {
        Some(Value::Text(text)) => text.into_owned(),
        _ => String::new(),
    };
    let organization = org.organization_id();
    let id = user.id();
    let url = &org.url;
    let mut out = Vec::new();
    push(
        &mut out,
        format_args!(
            r#"{{"id":"{url}/id/{organization}/{id}","asserted_user":true,"user_id":"{id}","organization_id":"{organization}","username":"#
        ),
    );
    json::string(&mut out, &text("Username"));
    for (key, value) in [
        (",\"nick_name\":", text("Alias")),
        (",\"display_name\":", text("Name")),
        (",\"email\":", text("Email")),
        (",\"first_name\":", text("FirstName")),
        (",\"last_name\":", text("LastName")),
        (",\"timezone\":", text("TimeZoneSidKey")),
    ] {
        out.extend_from_slice(key.as_bytes());
        json::string(&mut out, &value);
    }
    push(
        &mut out,
        format_args!(
            r#","email_verified":true,"urls":{{"rest":"{url}/services/data/v{{version}}/","sobjects":"{url}/services/data/v{{version}}/sobjects/","query":"{url}/services/data/v{{version}}/query/"}},"active":true,"user_type":"STANDARD","language":"en_US","locale":"en_US","utcOffset":0,"is_app_installed":true}}"#
        ),
    );
    out
}

fn user_info_body(org: &Org) -> Vec<u8> {
    let organization = org.organization_id();
    let id = org.user_id();
    let url = &org.url;
    let username = org.options.username.as_str();
    let mut out = Vec::new();
    push(
        &mut out,
        format_args!(
            r#"{{"sub":"{url}/id/{organization}/{id}","user_id":"{id}","organization_id":"{organization}","preferred_username":"#
        ),
    );
    json::string(&mut out, username);
    out.extend_from_slice(b",\"nickname\":\"demo\",\"name\":");
    let name = org.data.row(&id.to_string()).and_then(|row| row.value("Name"));
    json::value(&mut out, &name.unwrap_or(Value::Null), "");
    out.extend_from_slice(b",\"email\":");
    json::string(&mut out, username);
    push(
        &mut out,
        format_args!(
            r#","email_verified":true,"zoneinfo":"Europe/Berlin","urls":{{"rest":"{url}/services/data/v{{version}}/"}},"active":true,"user_type":"STANDARD","language":"en_US","locale":"en_US","utcOffset":0,"updated_at":"2026-01-01T00:00:00Z"}}"#
        ),
    );
    out
}
