//! A Salesforce org to log in to: the login host, the app, the user, and rules about host names. `key` reads the key, and
//! `salesforce::assertion` makes the assertion.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use url::{Host, Url};

mod api_reserve;
mod org_id;

pub use api_reserve::ApiReserve;
pub use org_id::{OrgId, OrgIdError};

/// The name of an org in the configuration: `[a-z0-9_]+` without `__`; the `[org]` table is [`OrgName::DEFAULT`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgName(pub(crate) String);

impl OrgName {
    /// The name of the `[org]` table.
    pub const DEFAULT: &'static str = "default";

    /// Reads an org's name.
    ///
    /// # Errors
    /// If the text is not a valid name.
    pub fn parse(text: &str) -> Result<Self, OrgNameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        // `__` separates the parts of a variable's name.
        if text.is_empty() || text.contains("__") || !text.chars().all(allowed) {
            return Err(OrgNameError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of the `[org]` table.
    #[must_use]
    pub fn default_org() -> Self {
        Self(Self::DEFAULT.to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The header of the org's table in the configuration: `[org]` or `[orgs.NAME]`.
    #[must_use]
    pub fn table(&self) -> String {
        match self.as_str() {
            Self::DEFAULT => "[org]".to_owned(),
            name => format!("[orgs.{name}]"),
        }
    }
}

impl fmt::Display for OrgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a valid name of an org.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrgNameError;

impl fmt::Display for OrgNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an org's name consists of lowercase letters, digits and single underscores")
    }
}

impl std::error::Error for OrgNameError {}

/// One org, with everything that a login with the JWT bearer flow needs.
#[derive(Debug, Clone)]
pub struct Org {
    /// Its name in the configuration.
    pub name: OrgName,
    /// The URL for token requests: scheme, host and port, without a trailing slash.
    pub login_url: String,
    /// The consumer key of the connected app or external client app; the assertion's `iss`.
    pub client_id: String,
    /// The user's Salesforce username; the assertion's `sub`.
    pub username: String,
    /// The assertion's `aud`.
    pub audience: String,
    /// The private key that signs the assertion.
    pub key: KeySource,
    /// The passphrase of an encrypted key or bundle.
    pub key_password: Option<PasswordSource>,
    /// The entry of a bundle (PKCS#12, JKS) that is the key.
    pub key_alias: Option<String>,
    /// The uploaded certificate, used only to warn before it expires.
    pub cert_file: Option<PathBuf>,
    /// The REST API version, as in `62.0`.
    pub api_version: String,
    /// The number of concurrent runs; `None` if only the limit of the process applies.
    pub max_concurrent_runs: Option<usize>,
    /// Additional hosts allowed in an `instance_url`, besides Salesforce's domains.
    pub instance_hosts: Vec<String>,
    /// The org that a login must reach.
    pub org_id: Option<OrgId>,
    /// How many of the org's daily API requests are left for others; `None` if the limit is not watched.
    pub api_reserve: Option<ApiReserve>,
}

impl Org {
    /// Whether its API version has the query jobs of Bulk API 2.0.
    #[must_use]
    pub fn has_bulk(&self) -> bool {
        const SINCE: f64 = 47.0;
        self.api_version.parse::<f64>().is_ok_and(|version| version >= SINCE)
    }

    /// Whether its login host is this machine.
    #[must_use]
    pub fn logs_in_on_loopback(&self) -> bool {
        Url::parse(&self.login_url).is_ok_and(|login| is_loopback(&login))
    }

    /// Whether this org's token may be sent to this `instance_url`: https on one of Salesforce's domains or on one of
    /// [`Org::instance_hosts`], or a loopback address if the login URL is one too.
    #[must_use]
    pub fn allows_instance(&self, instance_url: &str) -> bool {
        let Ok(url) = Url::parse(instance_url) else { return false };
        let Some(host) = url.host_str() else { return false };
        if !url.username().is_empty() || url.password().is_some() {
            return false;
        }
        if is_loopback(&url) {
            return matches!(url.scheme(), "http" | "https") && self.logs_in_on_loopback();
        }
        // `login.salesforce.com.` is the same host, but only tests write it like that.
        let name = host.trim_end_matches('.');
        url.scheme() == "https"
            && (Cloud::of(name).is_some()
                || self.instance_hosts.iter().any(|allowed| names(allowed, host, url.port())))
    }
}

/// One of Salesforce's clouds, with its domains.
struct Cloud {
    /// The domains of instances and login hosts.
    own: &'static [&'static str],
    /// The domains of pages and sites, which may also be instances.
    sites: &'static [&'static str],
    /// The endings of My Domains.
    my_domains: &'static [&'static str],
    /// The endings of the addresses of pages in a browser, and what such a page is.
    pages: &'static [(&'static str, &'static str)],
    /// The common login hosts, which are also audiences: for production orgs, and for sandboxes and scratch orgs.
    login: &'static str,
    test: &'static str,
}

const USER_INTERFACE: &str = "is the address of the user interface";

/// Hosts outside of all clouds use the first one.
static CLOUDS: [Cloud; 3] = [
    Cloud {
        own: &["salesforce.com", "cloudforce.com"],
        sites: &["force.com"],
        my_domains: &["my.salesforce.com"],
        pages: &[
            (".lightning.force.com", USER_INTERFACE),
            (".my.salesforce-setup.com", "is the address of a page of Setup"),
        ],
        login: "https://login.salesforce.com",
        test: "https://test.salesforce.com",
    },
    // Government Cloud Plus for Defense.
    Cloud {
        own: &["salesforce.mil", "crmforce.mil", "cloudforce.mil"],
        sites: &[],
        my_domains: &["my.salesforce.mil", "my.crmforce.mil"],
        pages: &[(".lightning.crmforce.mil", USER_INTERFACE)],
        login: "https://login.salesforce.com",
        test: "https://test.salesforce.com",
    },
    // Salesforce on Alibaba Cloud.
    Cloud {
        own: &["sfcrmproducts.cn"],
        sites: &["sfcrmapps.cn"],
        my_domains: &["my.sfcrmproducts.cn"],
        pages: &[(".lightning.sfcrmapps.cn", USER_INTERFACE)],
        login: "https://login.sfcrmproducts.cn",
        test: "https://test.sfcrmproducts.cn",
    },
];

impl Cloud {
    /// The cloud that has an instance or a site at this host.
    fn of(host: &str) -> Option<&'static Self> {
        let has = |domains: &[&str]| domains.iter().any(|domain| is_within(host, domain));
        CLOUDS.iter().find(|cloud| has(cloud.own) || has(cloud.sites))
    }
}

/// The two common login hosts of the cloud that a login URL belongs to.
pub(crate) fn common_login_hosts(login_url: &str) -> [&'static str; 2] {
    let url = Url::parse(login_url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let cloud = Cloud::of(host).unwrap_or(&CLOUDS[0]);
    [cloud.login, cloud.test]
}

/// Whether an entry of `instance_hosts` is this host. An entry is `host` or `host:port`; the default port is 443.
fn names(allowed: &str, host: &str, port: Option<u16>) -> bool {
    match port {
        None => allowed.eq_ignore_ascii_case(host),
        Some(port) => allowed
            .rsplit_once(':')
            .is_some_and(|(name, number)| name.eq_ignore_ascii_case(host) && number.parse() == Ok(port)),
    }
}

fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether the URL's host is this machine: a loopback address, or a name that RFC 6761 reserves for it. Requests to it
/// need no TLS and never use a proxy.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        // `::ffff:127.0.0.1` is the same address in another form.
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => is_loopback_name(name),
        None => false,
    }
}

/// `localhost` and every name below it.
pub(crate) fn is_loopback_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let top = name.rsplit('.').next().unwrap_or_default();
    top.eq_ignore_ascii_case("localhost")
}

/// A login URL for token requests, and the audience that its host implies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginUrl {
    /// Scheme, host, port and, for an Experience Cloud site, its path, without a trailing slash.
    pub url: String,
    /// The assertion's `aud`, unless the user sets it: `test.salesforce.com` for sandboxes and scratch orgs,
    /// `login.salesforce.com` for every other My Domain, the URL itself for Experience Cloud sites and loopback.
    pub audience: String,
}

impl LoginUrl {
    /// Reads a login URL.
    ///
    /// # Errors
    /// If it is not an https URL (or http on loopback), or has parts that a login URL cannot have.
    pub fn parse(text: &str) -> Result<Self, LoginUrlError> {
        let refuse = |reason: &str, hint: String| Err(LoginUrlError { reason: reason.to_owned(), hint });
        const FORM: &str = "write it as in \"https://login.salesforce.com\"";
        // Most often only the scheme is missing.
        let form = || match text.contains("://") {
            true => FORM.to_owned(),
            false => match Self::parse(&format!("https://{text}")) {
                Ok(meant) => format!("write \"{}\"", meant.url),
                Err(error) => error.hint,
            },
        };
        let Ok(url) = Url::parse(text) else {
            return refuse("is not a URL", form());
        };
        let Some(host) = url.host_str() else {
            return refuse("is a URL without a host", form());
        };
        let loopback = is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => {
                let host = meant(host).map_or_else(|| host.to_owned(), |meant| meant.host);
                return refuse("is not https", format!("write \"https://{host}\""));
            }
            _ => return refuse("is not an https URL", form()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("contains a user or a password", "set `username` to the user instead".to_owned());
        }
        if let (Some(meant), false) = (meant(host), loopback) {
            return refuse(meant.reason, format!("{}: \"https://{}\"", meant.advice, meant.host));
        }
        let kind = HostKind::of(host, loopback);
        let origin = url.origin().ascii_serialization();
        let path = url.path().trim_end_matches('/');
        if url.query().is_some() || url.fragment().is_some() {
            let path = if kind == HostKind::Site { path } else { "" };
            return refuse("has a query or a fragment", format!("write \"{origin}{path}\""));
        }
        if !path.is_empty() && kind != HostKind::Site {
            return refuse(
                "has a path, which only Experience Cloud sites have",
                format!("write \"{origin}\""),
            );
        }
        let login = format!("{origin}{path}");
        let audience = match kind {
            HostKind::Sandbox => common_login_hosts(&origin)[1].to_owned(),
            HostKind::Production => common_login_hosts(&origin)[0].to_owned(),
            HostKind::Site | HostKind::Loopback => login.clone(),
        };
        Ok(Self { url: login, audience })
    }
}

/// Why a text is not a login URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginUrlError {
    /// What is wrong, for a sentence that begins with the URL.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for LoginUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.hint)
    }
}

impl std::error::Error for LoginUrlError {}

/// The kind of a login host, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostKind {
    Production,
    Sandbox,
    Site,
    Loopback,
}

impl HostKind {
    fn of(host: &str, loopback: bool) -> Self {
        let host = host.trim_end_matches('.');
        if loopback {
            return Self::Loopback;
        }
        let cloud = CLOUDS.iter().find(|cloud| cloud.own.iter().any(|domain| is_within(host, domain)));
        let Some(cloud) = cloud else { return Self::Site };
        let sandbox_name = cloud.my_domains.iter().any(|domain| {
            host.strip_suffix(domain).is_some_and(|name| name.ends_with('.') && name.contains("--"))
        });
        let sandbox = host.starts_with("test.")
            || host.contains(".sandbox.")
            || host.contains(".scratch.")
            || sandbox_name;
        if sandbox { Self::Sandbox } else { Self::Production }
    }
}

/// The login host for the address of a page in a browser.
struct Meant {
    /// What the address is.
    reason: &'static str,
    advice: &'static str,
    host: String,
}

/// The login host for a host of pages in a browser; `None` for other hosts.
fn meant(host: &str) -> Option<Meant> {
    let host = host.trim_end_matches('.');
    if let Some(inner) = host.strip_suffix(".mcas.ms") {
        let host = meant(inner).map_or_else(|| inner.to_owned(), |meant| meant.host);
        let reason = "is an address of Microsoft Defender for Cloud Apps";
        return Some(Meant { reason, advice: "write it without \".mcas.ms\"", host });
    }
    CLOUDS.iter().find_map(|cloud| {
        let my_domain = cloud.my_domains.first()?;
        cloud.pages.iter().find_map(|(ending, reason)| {
            // The name and the partition (`sandbox`, `develop`, `scratch` ...) are the same.
            let host = format!("{}.{my_domain}", host.strip_suffix(ending)?);
            Some(Meant { reason, advice: "write the My Domain", host })
        })
    })
}

/// The source of the private key.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file, absolute or resolved against the configuration's directory.
    File(PathBuf),
    /// The PEM text itself, from an environment variable. Line breaks may be written as `\n`.
    Inline(SecretString),
}

/// The source of the passphrase.
#[derive(Debug, Clone)]
pub enum PasswordSource {
    /// A file whose first line is the passphrase.
    File(PathBuf),
    /// The passphrase itself, from the environment.
    Inline(SecretString),
}

#[cfg(test)]
impl Org {
    /// An org for tests, its own audience.
    pub(crate) fn sample(login_url: &str) -> Self {
        Self {
            name: OrgName::default_org(),
            login_url: login_url.to_owned(),
            client_id: "3MVG9".to_owned(),
            username: "integration@example.com".to_owned(),
            audience: login_url.to_owned(),
            key: KeySource::File("server.key".into()),
            key_password: None,
            key_alias: None,
            cert_file: None,
            api_version: "62.0".to_owned(),
            max_concurrent_runs: None,
            instance_hosts: Vec::new(),
            org_id: None,
            api_reserve: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(login_url: &str, instance_hosts: &[&str]) -> Org {
        Org {
            instance_hosts: instance_hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..Org::sample(login_url)
        }
    }

    #[test]
    fn an_org_name_fits_into_an_environment_variable() {
        for good in ["emea", "default", "a", "emea_2", "_x", "x_"] {
            assert_eq!(OrgName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "EMEA", "a__b", "a-b", "a.b", "é", " a"] {
            assert!(OrgName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_audience_follows_from_the_login_host() {
        const LOGIN: &str = "https://login.salesforce.com";
        const TEST: &str = "https://test.salesforce.com";
        for (url, audience) in [
            ("https://login.salesforce.com", LOGIN),
            ("https://test.salesforce.com", TEST),
            ("https://acme.my.salesforce.com", LOGIN),
            ("https://acme-dev-ed.develop.my.salesforce.com", LOGIN),
            ("https://acme--uat.sandbox.my.salesforce.com", TEST),
            ("https://acme.scratch.my.salesforce.com", TEST),
            ("https://acme--uat.my.salesforce.com", TEST),
            ("https://ACME--UAT.my.salesforce.com", TEST),
            ("https://acme.my.salesforce.mil", LOGIN),
            ("https://acme--uat.my.crmforce.mil", TEST),
            ("https://login.sfcrmproducts.cn", "https://login.sfcrmproducts.cn"),
            ("https://test.sfcrmproducts.cn", "https://test.sfcrmproducts.cn"),
            ("https://acme.my.sfcrmproducts.cn", "https://login.sfcrmproducts.cn"),
            ("https://acme--uat.sandbox.my.sfcrmproducts.cn", "https://test.sfcrmproducts.cn"),
            ("https://acme.my.sfcrmapps.cn/customers", "https://acme.my.sfcrmapps.cn/customers"),
            ("https://acme.my.site.com/customers", "https://acme.my.site.com/customers"),
            ("https://site.force.com/customers/", "https://site.force.com/customers"),
            ("https://help.example.com", "https://help.example.com"),
            ("http://127.0.0.1:8443", "http://127.0.0.1:8443"),
            ("http://[::1]:8443/", "http://[::1]:8443"),
            ("http://localhost:80", "http://localhost"),
        ] {
            assert_eq!(LoginUrl::parse(url).unwrap().audience, audience, "{url}");
        }
    }

    #[test]
    fn a_login_url_has_no_trailing_slash_and_default_port() {
        for (text, url) in [
            ("https://login.salesforce.com/", "https://login.salesforce.com"),
            ("https://Login.Salesforce.com:443", "https://login.salesforce.com"),
            ("https://acme.my.site.com/customers/", "https://acme.my.site.com/customers"),
        ] {
            assert_eq!(LoginUrl::parse(text).unwrap().url, url);
        }
    }

    #[test]
    fn an_invalid_login_url_is_refused_with_a_hint() {
        for (text, expected) in [
            ("login.salesforce.com", "is not a URL; write \"https://login.salesforce.com\""),
            ("mycompany.my.salesforce.com", "is not a URL; write \"https://mycompany.my.salesforce.com\""),
            ("http://login.salesforce.com", "is not https; write \"https://login.salesforce.com\""),
            (
                "ftp://login.salesforce.com",
                "is not an https URL; write it as in \"https://login.salesforce.com\"",
            ),
            (
                "https://me:pw@login.salesforce.com",
                "contains a user or a password; set `username` to the user instead",
            ),
            (
                "https://login.salesforce.com?x=1",
                "has a query or a fragment; write \"https://login.salesforce.com\"",
            ),
            (
                "https://login.salesforce.com/services/oauth2/token",
                "has a path, which only Experience Cloud sites have; write \"https://login.salesforce.com\"",
            ),
            (
                "https://acme.lightning.force.com/lightning/page/home",
                "is the address of the user interface; write the My Domain: \"https://acme.my.salesforce.com\"",
            ),
            (
                "https://acme--uat.sandbox.lightning.force.com?x=1",
                "is the address of the user interface; write the My Domain: \
                 \"https://acme--uat.sandbox.my.salesforce.com\"",
            ),
            (
                "https://acme-dev-ed.develop.lightning.force.com",
                "is the address of the user interface; write the My Domain: \
                 \"https://acme-dev-ed.develop.my.salesforce.com\"",
            ),
            (
                "https://acme--uat.sandbox.my.salesforce-setup.com/lightning/setup/SetupOneHome/home",
                "is the address of a page of Setup; write the My Domain: \
                 \"https://acme--uat.sandbox.my.salesforce.com\"",
            ),
            (
                "https://acme.lightning.sfcrmapps.cn/lightning",
                "is the address of the user interface; write the My Domain: \"https://acme.my.sfcrmproducts.cn\"",
            ),
            (
                "https://acme--uat.sandbox.lightning.crmforce.mil",
                "is the address of the user interface; write the My Domain: \
                 \"https://acme--uat.sandbox.my.salesforce.mil\"",
            ),
            (
                "https://acme.my.salesforce.com.mcas.ms/home",
                "is an address of Microsoft Defender for Cloud Apps; write it without \".mcas.ms\": \
                 \"https://acme.my.salesforce.com\"",
            ),
            (
                "https://acme.lightning.force.com.mcas.ms",
                "is an address of Microsoft Defender for Cloud Apps; write it without \".mcas.ms\": \
                 \"https://acme.my.salesforce.com\"",
            ),
            ("http://acme.lightning.force.com", "is not https; write \"https://acme.my.salesforce.com\""),
            (
                "http://127.0.0.1:8088/services/oauth2/token",
                "has a path, which only Experience Cloud sites have; write \"http://127.0.0.1:8088\"",
            ),
            (
                "https://login.salesforce.com:8443/?x=1",
                "has a query or a fragment; write \"https://login.salesforce.com:8443\"",
            ),
            (
                "https://acme.my.site.com/customers/?x=1#top",
                "has a query or a fragment; write \"https://acme.my.site.com/customers\"",
            ),
        ] {
            assert_eq!(LoginUrl::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_token_goes_only_to_an_instance_of_its_own_kind() {
        let production = org("https://login.salesforce.com", &["proxy.example.com", "gate.example.com:8443"]);
        for good in [
            "https://acme.my.salesforce.com",
            "https://eu6.salesforce.com",
            "https://acme.my.salesforce.com/",
            "https://ACME.MY.SALESFORCE.COM",
            "https://site.force.com",
            "https://acme.my.salesforce.mil",
            "https://acme.cloudforce.com",
            "https://acme.my.sfcrmproducts.cn",
            "https://acme.my.sfcrmapps.cn",
            "https://acme.my.crmforce.mil",
            "https://proxy.example.com",
            "https://gate.example.com:8443",
        ] {
            assert!(production.allows_instance(good), "{good}");
        }
        for bad in [
            "http://acme.my.salesforce.com",
            "https://salesforce.com.example.com",
            "https://evilsalesforce.com",
            "https://evilsfcrmproducts.cn",
            "https://acme.my.salesforce.com.mcas.ms",
            "https://example.com",
            "https://example.com/acme.my.salesforce.com",
            "https://acme.my.salesforce.com@example.com",
            "https://user@acme.my.salesforce.com",
            "https://sub.proxy.example.com",
            "https://proxy.example.com:8443",
            "https://gate.example.com",
            "http://127.0.0.1:1234",
            "https://localhost",
            "file:///etc/passwd",
            "acme.my.salesforce.com",
            "",
        ] {
            assert!(!production.allows_instance(bad), "{bad}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_a_name_of_this_machine() {
        let is_loopback = |host: &str| is_loopback(&Url::parse(&format!("http://{host}/")).unwrap());
        for host in [
            "localhost",
            "LOCALHOST:80",
            "x.localhost",
            "localhost.",
            "127.0.0.1:4711",
            "127.9.9.9",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "login.salesforce.com",
            "127.0.0.1.example.com",
            "10.0.0.1:80",
            "localhost.example.com",
            "notlocalhost",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_loopback_instance_needs_a_loopback_login() {
        let embedded = org("http://127.0.0.1:4711", &[]);
        assert!(embedded.allows_instance("http://127.0.0.1:4711"));
        assert!(embedded.allows_instance("http://localhost:1"));
        assert!(embedded.allows_instance("http://[::1]:1"));
        assert!(!embedded.allows_instance("http://10.0.0.1"));
        assert!(!embedded.allows_instance("http://127.0.0.1.example.com"));
    }
}
