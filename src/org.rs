//! A Salesforce org to log in to: the login host, the app, the user and the rules that follow from a host's
//! name. The key's bytes are read by `key`, the assertion is made by `salesforce::assertion`.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

/// The name of an org in the configuration: `[a-z0-9_]+` without `__`; the `[org]` table is [`OrgName::DEFAULT`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgName(pub(crate) String);

impl OrgName {
    /// What the `[org]` table is called where an org must have a name.
    pub const DEFAULT: &'static str = "default";

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One org, complete: everything that a login by the JWT bearer flow needs.
#[derive(Debug, Clone)]
pub struct Org {
    /// Its name in the configuration.
    pub name: OrgName,
    /// Where the token request goes: scheme, host and port, without a trailing slash.
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
    /// Which entry of a bundle (PKCS#12, JKS) is the key.
    pub key_alias: Option<String>,
    /// The uploaded certificate, where it is at hand: only to warn of its end.
    pub cert_file: Option<PathBuf>,
    /// The REST API version, as in `62.0`.
    pub api_version: String,
    /// How many runs may use this org at once; `None`: only the process's own limit holds.
    pub max_concurrent_runs: Option<usize>,
    /// Further hosts that an `instance_url` may have, beside Salesforce's own domains.
    pub instance_hosts: Vec<String>,
}

/// Where the private key comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file, absolute or resolved against the configuration's folder.
    File(PathBuf),
    /// The PEM text itself, as an environment variable gives it; line ends may be the two characters `\n`.
    Inline(SecretString),
}

/// Where the passphrase comes from.
#[derive(Debug, Clone)]
pub enum PasswordSource {
    /// A file whose first line is the passphrase.
    File(PathBuf),
    /// The passphrase itself, from the environment.
    Inline(SecretString),
}
