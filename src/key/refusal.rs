//! Why what was given is no usable key, and the command that mends it.

use std::path::Path;

use crate::error::{Exit, Failure};
use crate::org::{KeySource, Org, OrgName};

/// What was found where an RSA private key should be. Carries no byte of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Empty,
    Unknown,
    /// Text of no form that is known here.
    Text,
    /// PEM of nothing that is known here, by its labels.
    OtherPem(Vec<String>),
    /// Begins as what it says, and is cut short or has been altered.
    Damaged(&'static str),
    Certificate,
    CertificateRequest,
    CertificateBundle,
    PublicKey,
    /// A private key of another algorithm than RSA.
    Algorithm(&'static str),
    OpenSsh {
        rsa: bool,
    },
    Putty,
    SeveralKeys(usize),
    NoPassword(Locked),
    WrongPassword(Locked),
    /// A JKS whose integrity the password proves, while the entry has another one.
    EntryPassword(String),
    /// Encrypted in a way that is not read here.
    Encryption(String),
    Jceks,
    /// A PKCS#12 that is not understood.
    Bundle(String),
    /// A bundle without any private key; its other entries.
    NoEntry(Vec<String>),
    /// A bundle with several private keys and no alias set.
    ManyEntries(Vec<String>),
    NoSuchAlias {
        alias: String,
        known: Vec<String>,
    },
    Short(usize),
    Long(usize),
    Unusable,
}

/// Where the key was looked for, in the words of messages.
pub(super) struct KeyLocation {
    /// `the key file /etc/sfexport/server.key`.
    pub subject: String,
    /// The file as a shell takes it; for a key in the environment, what stands for a copy of it.
    pub path: String,
    /// `org NAME: `, or nothing for the org of `[org]`.
    prefix: String,
    /// The environment's variables of this org, up to the key's name.
    variables: String,
}

impl KeyLocation {
    pub(super) fn of(org: &Org) -> Self {
        if org.name.as_str() == OrgName::DEFAULT {
            return Self::of_default(&org.key);
        }
        let variables = format!("SFEXPORT_ORGS__{}__", org.name.as_str().to_ascii_uppercase());
        Self::at(&org.key, format!("org {}: ", org.name), variables)
    }

    pub(super) fn of_default(key: &KeySource) -> Self {
        Self::at(key, String::new(), "SFEXPORT_ORG__".to_owned())
    }

    fn at(key: &KeySource, prefix: String, variables: String) -> Self {
        let (subject, path) = match key {
            KeySource::File(path) => (format!("the key file {}", path.display()), shell_word(path)),
            KeySource::Inline(_) => {
                (format!("the key given as text (`key`, {variables}KEY)"), INLINE.to_owned())
            }
        };
        Self { subject, path, prefix, variables }
    }

    /// A failure of the configuration in this place.
    pub(super) fn failure(&self, what: impl AsRef<str>, hint: impl Into<String>) -> Failure {
        Failure::new(Exit::Configuration, format!("{}{}", self.prefix, what.as_ref())).hint(hint)
    }
}

/// What stands for the file in a command where the key came from no file.
const INLINE: &str = "KEY_IN_A_FILE";

impl Refusal {
    /// Whether what was found is nothing that must be kept from others.
    pub(super) fn holds_no_key(&self) -> bool {
        matches!(
            self,
            Self::Empty
                | Self::Unknown
                | Self::Text
                | Self::OtherPem(_)
                | Self::Certificate
                | Self::CertificateRequest
                | Self::CertificateBundle
                | Self::PublicKey
                | Self::NoEntry(_)
        )
    }

    pub(super) fn explain(self, location: &KeyLocation) -> Failure {
        let KeyLocation { subject, path, variables, .. } = location;
        // Every command writes to a name of its own: pasted, it must not overwrite what was found.
        let new_key = "make one with `sfexport keygen`, or: openssl req -x509 -newkey rsa:2048 -nodes -sha256 \
                       -days 365 -subj /CN=sfexport -keyout new.key -out new.crt; then upload its certificate to \
                       the app in Salesforce";
        let (what, hint) = match self {
            Self::Empty => (format!("{subject} is empty"), new_key.to_owned()),
            // Most of the time a path that was meant for the other variable.
            Self::Unknown | Self::Text if path == INLINE => (
                format!("{subject} holds no private key: it is neither PEM nor base64 of a key file"),
                format!(
                    "{variables}KEY is the key itself, from its `-----BEGIN` to its last `-----END` line; a file is \
                     named by {variables}KEY_FILE; a new key: {new_key}"
                ),
            ),
            Self::Unknown => (
                format!("{subject} holds no private key: it is neither PEM nor DER, PKCS#12 or JKS"),
                format!("see what it is: file {path}; a new key: {new_key}"),
            ),
            Self::Text => (
                format!("{subject} holds no private key: it is text without a `-----BEGIN` line"),
                format!("name the file with the private key; a new key: {new_key}"),
            ),
            Self::OtherPem(labels) => (
                format!("{subject} holds no private key, only {}", labels.join(", ")),
                format!("name the file with the private key; a new key: {new_key}"),
            ),
            Self::Damaged(kind) => (
                format!("{subject} is damaged: it begins as a {kind}, and is cut short or altered"),
                "copy it again, whole: text from its first `-----BEGIN` to its last `-----END` line, anything else \
                 byte by byte (scp, not a terminal or an editor)"
                    .to_owned(),
            ),
            Self::Certificate => (
                format!("{subject} is a certificate, not a private key"),
                format!(
                    "the certificate is what Salesforce gets; name the private key that it was made from, whose \
                     public key is the one that this prints: openssl x509 -in {path} -noout -pubkey"
                ),
            ),
            Self::CertificateRequest => (
                format!("{subject} is a certificate signing request, not a private key"),
                "name the private key that the request was made from".to_owned(),
            ),
            Self::CertificateBundle => (
                format!("{subject} is a PKCS#7 bundle of certificates and holds no private key"),
                "name the private key that the certificate was made from".to_owned(),
            ),
            Self::PublicKey => (
                format!("{subject} is a public key, not a private one"),
                format!(
                    "name the private key that it was taken from; a private key's public part is printed by: \
                     openssl pkey -in PRIVATE_KEY -pubout; or {new_key}"
                ),
            ),
            Self::Algorithm(name) => (
                format!("{subject} is a private key for {name}; Salesforce takes RSA keys only"),
                new_key.to_owned(),
            ),
            Self::OpenSsh { rsa: true } => (
                format!("{subject} is an RSA key in OpenSSH's own format"),
                format!("convert a copy: cp -p {path} new.key && ssh-keygen -p -N '' -m PEM -f new.key"),
            ),
            Self::OpenSsh { rsa: false } => (
                format!("{subject} is an OpenSSH key of another kind than RSA; Salesforce takes RSA keys only"),
                new_key.to_owned(),
            ),
            Self::Putty => (
                format!("{subject} is a PuTTY key"),
                format!(
                    "convert it: puttygen {path} -O private-openssh -o new.key && ssh-keygen -p -N '' -m PEM \
                     -f new.key"
                ),
            ),
            Self::SeveralKeys(count) => (
                format!("{subject} holds {count} private keys, and it cannot be told which one signs"),
                "keep one private key in it; the certificate in Salesforce shows which".to_owned(),
            ),
            Self::NoPassword(locked) => (
                format!("{subject} is {}, and no password for it is set", locked.name()),
                format!(
                    "set key_password_file to a file with the password in its first line, or {variables}\
                     KEY_PASSWORD; or take the password off: {}",
                    locked.unlocked(path)
                ),
            ),
            Self::WrongPassword(locked) => (
                format!("the password does not open {subject}, which is {}", locked.name()),
                format!(
                    "correct key_password_file or {variables}KEY_PASSWORD; this asks for the password and tries \
                     it: {}",
                    locked.tried(path)
                ),
            ),
            Self::EntryPassword(alias) => (
                format!("the password opens {subject}, but not its entry {alias}, which has one of its own"),
                format!(
                    "give the entry's password, or make both the same: keytool -keypasswd -keystore {path} \
                     -alias {}",
                    shell_word(Path::new(&alias))
                ),
            ),
            Self::Encryption(how) => (
                format!("{subject} is encrypted in a way that is not read here: {how}"),
                format!(
                    "encrypt it as is done today, which asks for the old and a new password: openssl pkcs8 \
                     -provider legacy -provider default -in {path} -topk8 -v2 aes-256-cbc -out new.key"
                ),
            ),
            Self::Jceks => (
                format!("{subject} is a JCEKS keystore, which is not read here"),
                format!(
                    "convert it: keytool -importkeystore -srckeystore {path} -srcstoretype JCEKS -destkeystore \
                     new.p12 -deststoretype PKCS12"
                ),
            ),
            Self::Bundle(why) => (
                format!("{subject} is a PKCS#12 bundle that cannot be read: {why}"),
                format!("take the key out of it: openssl pkcs12 -in {path} -nocerts -nodes -legacy -out plain.key"),
            ),
            Self::NoEntry(others) => (
                format!("{subject} is a bundle without any private key{}", listed(" (it holds ", &others, ")")),
                "name the bundle that the private key is in; it may have been left out when this one was exported"
                    .to_owned(),
            ),
            Self::ManyEntries(known) => (
                format!("{subject} holds {} private keys{}", known.len(), listed(": ", &known, "")),
                format!("set key_alias to one of them, or {variables}KEY_ALIAS"),
            ),
            Self::NoSuchAlias { alias, known } => (
                format!("{subject} has no private key by the alias {alias}"),
                format!("set key_alias to a key that it holds{}", listed(": ", &known, "")),
            ),
            Self::Short(bits) => (
                format!("{subject} is an RSA key of {bits} bits; Salesforce asks for 2048 at least"),
                new_key.to_owned(),
            ),
            Self::Long(bits) => (
                format!("{subject} is an RSA key of {bits} bits; the longest that can be used has 8192"),
                new_key.to_owned(),
            ),
            Self::Unusable => (
                format!("{subject} is an RSA key whose numbers do not belong together: what it signs does not verify"),
                format!("see what is wrong with it: openssl pkey -in {path} -noout -check; a new key: {new_key}"),
            ),
        };
        location.failure(what, hint)
    }
}

/// Something that a password opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    Key,
    Pkcs12,
    Jks,
}

impl Locked {
    fn name(self) -> &'static str {
        match self {
            Self::Key => "an encrypted private key",
            Self::Pkcs12 => "a PKCS#12 bundle",
            Self::Jks => "a Java keystore",
        }
    }

    /// The command that asks for the password and writes the key without it, to a file that its owner alone reads.
    fn unlocked(self, path: &str) -> String {
        match self {
            Self::Key => format!("openssl pkey -in {path} -out plain.key"),
            Self::Pkcs12 => format!("openssl pkcs12 -in {path} -nocerts -nodes -out plain.key"),
            Self::Jks => format!(
                "keytool -importkeystore -srckeystore {path} -destkeystore new.p12 -deststoretype PKCS12 && \
                 openssl pkcs12 -in new.p12 -nocerts -nodes -out plain.key"
            ),
        }
    }

    /// The command that asks for the password and tries it.
    fn tried(self, path: &str) -> String {
        match self {
            Self::Key => format!("openssl pkey -in {path} -noout"),
            Self::Pkcs12 => format!("openssl pkcs12 -in {path} -noout (with -legacy for an old one)"),
            Self::Jks => format!("keytool -list -keystore {path}"),
        }
    }
}

fn listed(before: &str, names: &[String], after: &str) -> String {
    if names.is_empty() { String::new() } else { format!("{before}{}{after}", names.join(", ")) }
}

/// A path as a POSIX shell reads it back.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        // A name that begins with a hyphen would be read as an option.
        return if text.starts_with('-') { format!("./{text}") } else { text };
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
