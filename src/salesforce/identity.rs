//! Identifies a session's user, as the org reports it.

use serde::Deserialize;

use super::call::Call;

/// The resource on the instance. The identity URL of a login returns nearly the same, but on the login host, where
/// the token is not sent.
const PATH: &str = "/services/oauth2/userinfo";

/// A user and its org.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The user's id, 18 characters.
    pub user_id: String,
    /// The org's id, 18 characters.
    pub organization_id: String,
    /// The username.
    #[serde(rename = "preferred_username")]
    pub username: Option<String>,
    /// The name shown to people.
    pub name: Option<String>,
    /// The user's email address.
    pub email: Option<String>,
    /// The kind of user: `STANDARD`, `POWER_PARTNER` ...
    pub user_type: Option<String>,
    /// Whether the user has Salesforce's integration license.
    pub is_salesforce_integration_user: Option<bool>,
    /// The user's time zone, as an IANA name.
    #[serde(rename = "zoneinfo")]
    pub timezone: Option<String>,
    /// The user's locale, as in `de_DE`.
    pub locale: Option<String>,
}

/// The call whose response [`read`] reads.
#[must_use]
pub fn call() -> Call<'static> {
    Call::get(PATH).about("the request for the user's identity")
}

/// Reads the response to [`call`]; `None` if it is something else.
#[must_use]
pub fn read(body: &[u8]) -> Option<Identity> {
    serde_json::from_slice(body).ok()
}

/// The two ids in an identity URL, `https://HOST/id/ORG/USER`.
#[must_use]
pub fn of_url(url: &str) -> Option<Identity> {
    let mut segments = url.rsplit('/');
    let (user, org, id) = (segments.next()?, segments.next()?, segments.next()?);
    let is_id = |text: &str, prefix| text.starts_with(prefix) && matches!(text.len(), 15 | 18);
    (id == "id" && is_id(user, "005") && is_id(org, "00D")).then(|| Identity {
        user_id: user.to_owned(),
        organization_id: org.to_owned(),
        username: None,
        name: None,
        email: None,
        user_type: None,
        is_salesforce_integration_user: None,
        timezone: None,
        locale: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_url_contains_two_ids() {
        let ids = |url| of_url(url).map(|identity| (identity.organization_id, identity.user_id));
        let (org, user) = ("00Dxx0000001gPLEAY".to_owned(), "005xx000001SwiUAAS".to_owned());
        assert_eq!(
            ids("https://login.salesforce.com/id/00Dxx0000001gPLEAY/005xx000001SwiUAAS"),
            Some((org, user))
        );
        for bad in [
            "",
            "https://login.salesforce.com/id/00Dxx0000001gPLEAY",
            "https://login.salesforce.com/id/005xx000001SwiUAAS/00Dxx0000001gPLEAY",
            "https://login.salesforce.com/ie/00Dxx0000001gPLEAY/005xx000001SwiUAAS",
        ] {
            assert_eq!(ids(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_recorded_keys_of_userinfo_are_read() {
        let body = br#"{"sub":"https://login.salesforce.com/id/00Dxx0000001gPLEAY/005xx000001SwiUAAS",
            "user_id":"005xx000001SwiUAAS","organization_id":"00Dxx0000001gPLEAY",
            "preferred_username":"integration@example.com","nickname":"i","name":"Integration User",
            "email":"ops@example.com","email_verified":true,"zoneinfo":"Europe/Berlin",
            "is_salesforce_integration_user":false,"user_type":"STANDARD","locale":"de_DE","utcOffset":3600000}"#;
        let identity = read(body).unwrap();
        assert_eq!(identity.username.as_deref(), Some("integration@example.com"));
        assert_eq!(identity.timezone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(identity.is_salesforce_integration_user, Some(false));
        assert_eq!(read(b"Bad_OAuth_Token"), None);
    }
}
