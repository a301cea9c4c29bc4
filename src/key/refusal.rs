//! Why a key cannot be used, and the command that fixes it.

use std::path::Path;

use crate::error::{Exit, Failure};
use crate::org::{KeySource, Org, OrgName};

/// What was found instead of an RSA private key. Contains none of its bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Empty,
    Unknown,
    /// Text in an unknown form.
    Text,
    /// PEM with only these labels, which are not those of keys.
    OtherPem(Vec<String>),
    /// The beginning of this form, cut short or altered.
    Damaged(&'static str),
    Certificate,
    CertificateRequest,
    CertificateBundle,
    PublicKey,
    /// A private key for another algorithm than RSA.
    Algorithm(&'static str),
    OpenSsh {
        rsa: bool,
    },
    Putty,
    SeveralKeys(usize),
    NoPassword(Locked),
    WrongPassword(Locked),
    /// A JKS that the password opens, but not this entry.
    EntryPassword(String),
    /// An unsupported encryption.
    Encryption(String),
    Jceks,
    /// A PKCS#12 bundle that cannot be read, and why.
    Bundle(String),
    /// A bundle without a private key, with these other entries.
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

/// The place of the key, for messages.
pub(super) struct KeyLocation {
    /// `the key file /etc/sfexport/server.key`.
    pub subject: String,
    /// The file as a word for a shell; a placeholder for a key from the environment.
    pub path: String,
    /// `org NAME: `, or nothing for the org of `[org]`.
    prefix: String,
    /// The prefix of this org's variables.
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
            KeySource::Inline(_) => (format!("the key in {variables}KEY"), INLINE.to_owned()),
        };
        Self { subject, path, prefix, variables }
    }

    /// A configuration failure about this place.
    pub(super) fn failure(&self, what: impl AsRef<str>, hint: impl Into<String>) -> Failure {
        Failure::new(Exit::Configuration, format!("{}{}", self.prefix, what.as_ref())).hint(hint)
    }
}

/// The placeholder in commands for the file of a key from the environment.
const INLINE: &str = "KEY_IN_A_FILE";

impl Refusal {
    /// Whether the file contains no secret.
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
        // The commands write to a new file, so pasting one does not overwrite anything.
        let new_key =
            "create a key with `sfexport keygen`, and upload its certificate to the app in Salesforce";
        let (what, hint) = match self {
            Self::Empty => (format!("{subject} is empty"), new_key.to_owned()),
            // Usually a path that was meant for the other variable.
            Self::Unknown | Self::Text if path == INLINE => (
                format!("{subject} is not a private key in PEM or base64"),
                format!(
                    "set {variables}KEY to the key itself, from its `-----BEGIN` to its last `-----END` line, or set \
                     {variables}KEY_FILE to its path"
                ),
            ),
            Self::Unknown => (
                format!("{subject} contains no private key in PEM, DER, PKCS#12 or JKS"),
                format!("set key_file to the private key, or {new_key}"),
            ),
            Self::Text => (
                format!("{subject} is text without a `-----BEGIN` line, not a private key"),
                format!("set key_file to the private key, or {new_key}"),
            ),
            Self::OtherPem(labels) => (
                format!("{subject} contains no private key, only {}", labels.join(", ")),
                format!("set key_file to the private key, or {new_key}"),
            ),
            Self::Damaged(kind) => (
                format!("{subject} is a damaged {kind}: it is cut short or altered"),
                "copy the whole file again, with scp or cp, not with an editor or through a terminal".to_owned(),
            ),
            Self::Certificate => (
                format!("{subject} is a certificate, not a private key"),
                format!(
                    "set key_file to the private key of this certificate, with the public key that this command \
                     prints: openssl x509 -in {path} -noout -pubkey"
                ),
            ),
            Self::CertificateRequest => (
                format!("{subject} is a certificate signing request, not a private key"),
                "set key_file to the private key of the request".to_owned(),
            ),
            Self::CertificateBundle => (
                format!("{subject} is a PKCS#7 bundle of certificates, not a private key"),
                "set key_file to the private key of the certificate".to_owned(),
            ),
            Self::PublicKey => (
                format!("{subject} is a public key, not a private key"),
                "set key_file to its private key, for which this command prints the same public key: openssl pkey -in \
                 PRIVATE_KEY -pubout"
                    .to_owned(),
            ),
            Self::Algorithm(name) => (
                format!("{subject} is a private key for {name}, and Salesforce accepts only RSA keys"),
                new_key.to_owned(),
            ),
            Self::OpenSsh { rsa: true } => (
                format!("{subject} is an RSA key in OpenSSH's own format"),
                format!("convert a copy: cp -p {path} new.key && ssh-keygen -p -N '' -m PEM -f new.key"),
            ),
            Self::OpenSsh { rsa: false } => (
                format!("{subject} is an OpenSSH key for another algorithm, and Salesforce accepts only RSA keys"),
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
                format!("{subject} contains {count} private keys"),
                "keep only the private key of the certificate in Salesforce".to_owned(),
            ),
            Self::NoPassword(locked) => (
                format!("{subject} is {}, and no password is set", locked.name()),
                format!(
                    "set key_password_file to a file with the password, set {variables}KEY_PASSWORD, or remove the \
                     password from a copy: {}",
                    locked.unlocked(path)
                ),
            ),
            Self::WrongPassword(locked) => (
                format!("the password does not open {subject}, {}", locked.name()),
                format!(
                    "correct key_password_file or {variables}KEY_PASSWORD, and try the password: {}",
                    locked.tried(path)
                ),
            ),
            Self::EntryPassword(alias) => (
                format!("the password opens {subject}, but not its entry \"{alias}\", which has another password"),
                format!(
                    "set the entry's password instead, or make both the same: keytool -keypasswd -keystore {path} \
                     -alias {}",
                    shell_word(Path::new(&alias))
                ),
            ),
            Self::Encryption(how) => (
                format!("{subject} has an unsupported encryption: {how}"),
                format!(
                    "encrypt it again: openssl pkcs8 -provider legacy -provider default -in {path} -topk8 -v2 \
                     aes-256-cbc -out new.key"
                ),
            ),
            Self::Jceks => (
                format!("{subject} is a JCEKS keystore, which is not supported"),
                format!(
                    "convert it: keytool -importkeystore -srckeystore {path} -srcstoretype JCEKS -destkeystore \
                     new.p12 -deststoretype PKCS12"
                ),
            ),
            Self::Bundle(why) => (
                format!("{subject} is a PKCS#12 bundle that cannot be read: {why}"),
                format!("extract the key: openssl pkcs12 -in {path} -nocerts -nodes -legacy -out plain.key"),
            ),
            Self::NoEntry(others) => (
                format!("{subject} is a bundle without a private key{}", listed(" (it contains ", &others, ")")),
                "export the bundle again with the private key, or set key_file to another one".to_owned(),
            ),
            Self::ManyEntries(known) => (
                format!("{subject} contains {} private keys{}", known.len(), listed(": ", &known, "")),
                format!("set key_alias or {variables}KEY_ALIAS to one of them"),
            ),
            Self::NoSuchAlias { alias, known } => (
                format!("{subject} has no private key with the alias \"{alias}\""),
                format!("set key_alias to one of its keys{}", listed(": ", &known, "")),
            ),
            Self::Short(bits) => (
                format!("{subject} is an RSA key of {bits} bits, and Salesforce requires at least 2048"),
                new_key.to_owned(),
            ),
            Self::Long(bits) => (
                format!("{subject} is an RSA key of {bits} bits, and at most 8192 are supported"),
                new_key.to_owned(),
            ),
            Self::Unusable => (
                format!("{subject} is an inconsistent RSA key, and its signatures are invalid"),
                format!("examine it with: openssl pkey -in {path} -noout -check"),
            ),
        };
        location.failure(what, hint)
    }
}

/// Something that needs a password.
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

    /// The command that asks for the password and writes the key without it, to a file that only its owner can read.
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

/// A path, quoted for a POSIX shell.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        // A name that begins with a hyphen would look like an option.
        return if text.starts_with('-') { format!("./{text}") } else { text };
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
