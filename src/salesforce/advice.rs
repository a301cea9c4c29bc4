//! The token endpoint's reasons for refusing a login, as pairs of `error` and `error_description`, and what to do
//! about each. Salesforce's own words can mislead: `expired authorization code` is about a clock.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::org::Org;

/// Why a login was refused, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The user has not approved the app, or is unknown to this login host.
    NotApproved,
    /// The app is limited to users that an administrator chose, and this user is not one of them.
    NotAssigned,
    /// This host does not accept the audience for this org.
    Audience,
    /// The signature does not match the app's certificate.
    Signature,
    /// The assertion had expired when it arrived.
    Expired,
    /// No app at this host has this consumer key.
    UnknownApp,
    /// The app's certificate has expired or is invalid.
    Certificate,
    /// The app is not in this org.
    AppNotInstalled,
    /// The user has logged in too often.
    LoginRate,
    /// The profile or the app does not allow this address or time of day.
    AddressOrHours,
    /// The user is deactivated or frozen.
    InactiveUser,
    /// The org is locked, closed or suspended.
    InactiveOrg,
    /// The org only accepts logins at its My Domain host.
    WrongHost,
    /// The user is locked out or does not exist.
    Authentication,
    /// The error of a kind of request that sfexport never sends.
    OtherRequest,
    /// A passing problem: Salesforce asks for a retry.
    Passing,
}

impl Refusal {
    /// The refusal for this pair, or `None` if the pair is unknown. The description is compared without regard to
    /// case.
    #[must_use]
    pub fn of(error: &str, description: &str) -> Option<Self> {
        let description = description.to_ascii_lowercase();
        let is = |text: &str| description.contains(text);
        Some(match error {
            "invalid_app_access" => Self::NotAssigned,
            "invalid_client_id" => Self::UnknownApp,
            "invalid_client" if is("certificate") => Self::Certificate,
            "invalid_client" => Self::UnknownApp,
            "app_not_found" => Self::AppNotInstalled,
            "inactive_user" => Self::InactiveUser,
            "inactive_org" => Self::InactiveOrg,
            "rate_limit_exceeded" => Self::LoginRate,
            "unsupported_grant_type" | "invalid_request" => Self::OtherRequest,
            "unknown_error" => Self::Passing,
            "invalid_grant" if is("approved") => Self::NotApproved,
            "invalid_grant" if is("audience") => Self::Audience,
            "invalid_grant" if is("invalid assertion") => Self::Signature,
            "invalid_grant" if is("certificate") => Self::Certificate,
            "invalid_grant" if is("expired authorization code") => Self::Expired,
            "invalid_grant" if is("login rate") => Self::LoginRate,
            "invalid_grant" if is("ip restricted") || is("login hours") => Self::AddressOrHours,
            "invalid_grant" if is("inactive org") || is("organization is") => Self::InactiveOrg,
            "invalid_grant" if is("inactive user") || is("user is inactive") => Self::InactiveUser,
            "invalid_grant" if is("not supported on this domain") => Self::WrongHost,
            "invalid_grant" if is("authentication failure") => Self::Authentication,
            "invalid_grant" if is("refresh token") || is("client credentials user") => Self::OtherRequest,
            _ => return None,
        })
    }

    /// Whether the cause may be a wrong login host or audience.
    #[must_use]
    pub fn may_be_the_host(self) -> bool {
        matches!(
            self,
            Self::NotApproved | Self::Audience | Self::UnknownApp | Self::AppNotInstalled | Self::WrongHost
        )
    }

    /// What to change, and where in Setup, with the values that matter.
    #[must_use]
    pub fn advice(self, org: &Org) -> String {
        let Org { client_id, username, audience, login_url, .. } = org;
        match self {
            Self::NotApproved => format!(
                "check the spelling of username ({username}), and that this user logs in at {login_url} (audience \
                 {audience}). If both are right, the user has not approved the app: in Setup, {POLICIES}: set Permitted \
                 Users to \"Admin approved users are pre-authorized\" and assign the user's profile or a permission set"
            ),
            Self::NotAssigned => format!(
                "an administrator must allow {username} to use the app. In Setup, {POLICIES}: assign {username}'s \
                 profile or a permission set"
            ),
            Self::Audience => format!(
                "{login_url} does not accept the audience {audience}: set login_url to https://test.salesforce.com \
                 for a sandbox or scratch org, or to https://login.salesforce.com for any other org, including \
                 Developer Edition; if login_url is a My Domain, set audience to the same host"
            ),
            Self::Signature => format!(
                "the private key does not match the certificate in the app {client_id}. In Setup, {SETTINGS}: upload \
                 the certificate of this key (`sfexport check` shows whether cert_file is the right one), or set \
                 key_file to the right key"
            ),
            Self::Expired => {
                "the assertion had expired when it arrived: this machine's clock is slow, or is set to local time \
                 instead of UTC. Synchronize it with NTP (`timedatectl` shows its state); `sfexport check` compares it \
                 with the org's"
                    .to_owned()
            }
            Self::UnknownApp => format!(
                "{login_url} has no app with the consumer key {client_id}. Compare client_id with the one in Setup, \
                 {SETTINGS}. A sandbox needs https://test.salesforce.com or its My Domain as login_url, and its apps \
                 get new keys when it is refreshed. A new app starts working after 2 to 10 minutes"
            ),
            Self::Certificate => format!(
                "the certificate in the app {client_id} has expired or is invalid: make a new key and certificate \
                 (`sfexport keygen`), or a new certificate for this key (openssl req -x509 -key server.key -days 730 \
                 -subj /CN=sfexport -out server.crt). In Setup, {SETTINGS}: upload it"
            ),
            Self::AppNotInstalled => format!(
                "the app {client_id} is not in this org: an external client app belongs to one org, and a sandbox made \
                 before it does not have it. Create or install it there (Setup > External Client App Manager), or set \
                 login_url, now {login_url}, to the My Domain URL of the org that has it (Setup > My Domain)"
            ),
            Self::LoginRate => format!(
                "a user may log in 3,600 times per hour, counting all tools. Wait, and check Setup > Login History \
                 for the tool that logs {username} in so often"
            ),
            Self::AddressOrHours => format!(
                "this machine's IP address or the time of day is not allowed for {username}. In Setup: Profiles > the \
                 user's profile > Login IP Ranges, and Login Hours; or {POLICIES}: IP Relaxation \"Relax IP \
                 restrictions\". Setup > Login History shows the address that Salesforce saw"
            ),
            Self::InactiveUser => format!(
                "{username} is deactivated or frozen. In Setup, Users > {username}: Edit > Active, or Unfreeze"
            ),
            Self::InactiveOrg => format!(
                "the org at {login_url} is locked, closed or suspended (an expired trial, a deleted sandbox): ask its \
                 administrator, or set login_url to the org that replaced it"
            ),
            Self::WrongHost => format!(
                "{login_url} does not serve this org: set login_url to the URL in Setup > My Domain > Current My \
                 Domain URL"
            ),
            Self::Authentication => format!(
                "check username ({username}), and whether the user is locked out: Setup > Users > {username} > Unlock; \
                 Setup > Login History shows the attempt and its status"
            ),
            Self::OtherRequest => format!(
                "sfexport never sends the kind of request that this error is about: check that no proxy changes \
                 requests, and that {login_url} is a Salesforce login host"
            ),
            Self::Passing => "try again; Salesforce asked for a retry".to_owned(),
        }
    }
}

/// What to do about a refusal that [`Refusal`] does not list.
pub(super) fn unknown(org: &Org) -> String {
    format!(
        "find the attempt at {} and its status in Setup > Login History for {}; client_id is {}",
        org.login_url, org.username, org.client_id
    )
}

/// Where to find an app's policies in Setup.
const POLICIES: &str = "External Client App Manager > the app > Edit Policies > OAuth Policies (a connected app: Manage \
                        Connected Apps > the app > Edit Policies)";

/// Where to find an app's consumer key and certificate in Setup.
const SETTINGS: &str = "External Client App Manager > the app > Edit Settings > OAuth Settings (a connected app: App \
                        Manager > the app > Edit)";

/// The page on which the user approves the app once by hand, if the app's policy allows that. The redirect must be
/// the app's own callback URL; the URL does not have to exist.
#[must_use]
pub fn approval_url(org: &Org) -> String {
    // Dots and underscores stay readable: consumer keys contain them.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let escaped = |text| utf8_percent_encode(text, ESCAPED);
    format!(
        "{}/services/oauth2/authorize?response_type=code&client_id={}&redirect_uri={}&scope=api%20refresh_token",
        org.login_url,
        escaped(&org.client_id),
        escaped(CALLBACK_URL)
    )
}

/// The callback URL that the setup guide uses.
pub const CALLBACK_URL: &str = "https://localhost/";

#[cfg(test)]
mod tests {
    use super::*;

    fn org() -> Org {
        Org {
            client_id: "3MVG9.KEY_1".to_owned(),
            username: "nightly@acme.example".to_owned(),
            audience: "https://login.salesforce.com".to_owned(),
            ..Org::sample("https://acme.my.salesforce.com")
        }
    }

    /// All known pairs: error, description, refusal, and what the advice must mention.
    const PAIRS: &[(&str, &str, Refusal, &[&str])] = &[
        (
            "invalid_grant",
            "user hasn't approved this consumer",
            Refusal::NotApproved,
            &[
                "nightly@acme.example",
                "Permitted Users",
                "Admin approved users are pre-authorized",
                "External Client App Manager > the app > Edit Policies",
                "Manage Connected Apps > the app > Edit Policies",
                "permission set",
                "https://acme.my.salesforce.com",
                "https://login.salesforce.com",
            ],
        ),
        (
            "invalid_app_access",
            "user is not admin approved to access this app",
            Refusal::NotAssigned,
            &["nightly@acme.example", "Edit Policies", "profile or a permission set"],
        ),
        (
            "invalid_grant",
            "audience is invalid",
            Refusal::Audience,
            &[
                "https://login.salesforce.com",
                "https://test.salesforce.com",
                "sandbox",
                "login_url",
                "set audience",
            ],
        ),
        ("invalid_grant", "Audience validation failed", Refusal::Audience, &["https://test.salesforce.com"]),
        (
            "invalid_grant",
            "invalid assertion",
            Refusal::Signature,
            &[
                "3MVG9.KEY_1",
                "certificate",
                "Edit Settings > OAuth Settings",
                "App Manager > the app > Edit",
                "key_file",
            ],
        ),
        (
            "invalid_grant",
            "expired authorization code",
            Refusal::Expired,
            &["clock", "NTP", "sfexport check"],
        ),
        (
            "invalid_client_id",
            "client identifier invalid",
            Refusal::UnknownApp,
            &["3MVG9.KEY_1", "https://acme.my.salesforce.com", "2 to 10 minutes", "refresh", "client_id"],
        ),
        ("invalid_client", "invalid client credentials", Refusal::UnknownApp, &["3MVG9.KEY_1"]),
        (
            "invalid_client",
            "certificate has expired",
            Refusal::Certificate,
            &["sfexport keygen", "3MVG9.KEY_1", "OAuth Settings", "upload"],
        ),
        ("invalid_client", "invalid certificate", Refusal::Certificate, &["upload"]),
        (
            "app_not_found",
            "External client app is not installed in this org",
            Refusal::AppNotInstalled,
            &["3MVG9.KEY_1", "External Client App Manager", "My Domain", "https://acme.my.salesforce.com"],
        ),
        ("invalid_grant", "login rate exceeded", Refusal::LoginRate, &["3,600", "Login History"]),
        ("rate_limit_exceeded", "number of logins exceeded", Refusal::LoginRate, &["3,600"]),
        (
            "invalid_grant",
            "ip restricted",
            Refusal::AddressOrHours,
            &["Login IP Ranges", "Relax IP restrictions", "nightly@acme.example"],
        ),
        ("invalid_grant", "IP restricted or invalid login hours", Refusal::AddressOrHours, &["Login Hours"]),
        (
            "inactive_user",
            "user is inactive",
            Refusal::InactiveUser,
            &["nightly@acme.example", "Unfreeze", "Active"],
        ),
        ("invalid_grant", "inactive user", Refusal::InactiveUser, &["Unfreeze"]),
        (
            "inactive_org",
            "organization is locked, closed, or suspended",
            Refusal::InactiveOrg,
            &["https://acme.my.salesforce.com", "administrator"],
        ),
        ("invalid_grant", "inactive organization", Refusal::InactiveOrg, &["administrator"]),
        (
            "invalid_grant",
            "request not supported on this domain",
            Refusal::WrongHost,
            &["Setup > My Domain", "login_url", "https://acme.my.salesforce.com"],
        ),
        ("invalid_grant", "authentication failure", Refusal::Authentication, &["username", "Login History"]),
        (
            "invalid_grant",
            "authentication failure - Invalid Password",
            Refusal::Authentication,
            &["username"],
        ),
        ("invalid_grant", "authentication failure - user locked out", Refusal::Authentication, &["Unlock"]),
        (
            "invalid_grant",
            "expired access/refresh token",
            Refusal::OtherRequest,
            &["https://acme.my.salesforce.com"],
        ),
        ("invalid_grant", "no client credentials user enabled", Refusal::OtherRequest, &["proxy"]),
        ("unsupported_grant_type", "grant type not supported", Refusal::OtherRequest, &["proxy"]),
        ("invalid_request", "must use HTTP POST", Refusal::OtherRequest, &["proxy"]),
        ("invalid_request", "HTTPS required", Refusal::OtherRequest, &["proxy"]),
        ("unknown_error", "retry your request", Refusal::Passing, &["try again"]),
    ];

    #[test]
    fn every_known_pair_says_what_to_change_and_where() {
        for (error, description, refusal, parts) in PAIRS {
            assert_eq!(Refusal::of(error, description), Some(*refusal), "{error}: {description}");
            let advice = refusal.advice(&org());
            for part in *parts {
                assert!(advice.contains(part), "{error}: {description}: {part:?} is not in {advice:?}");
            }
        }
        assert_eq!(Refusal::of("invalid_grant", "something new"), None);
        assert!(unknown(&org()).contains("Login History"));
    }

    #[test]
    fn every_known_pair_is_in_the_documentation() {
        let page = include_str!("../../docs/setup.md");
        for (error, description, ..) in PAIRS {
            // The text after the dash belongs to the same row.
            let description = description.split(" - ").next().unwrap_or_default().to_ascii_lowercase();
            let row = page.lines().find(|row| {
                row.starts_with("| `")
                    && row.contains(&format!("`{error}`"))
                    && row.to_ascii_lowercase().contains(&format!("`{description}`"))
            });
            assert!(row.is_some(), "{error}: {description}");
        }
    }

    #[test]
    fn the_approval_page_names_the_app_the_callback_and_the_scopes() {
        assert_eq!(
            approval_url(&org()),
            "https://acme.my.salesforce.com/services/oauth2/authorize?response_type=code&client_id=3MVG9.KEY_1\
             &redirect_uri=https%3A%2F%2Flocalhost%2F&scope=api%20refresh_token"
        );
    }
}
