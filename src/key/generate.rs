//! Creates an RSA key with a self-signed certificate, and writes their files.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use jiff::{SignedDuration, Timestamp};
use rcgen::string::PrintableString;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    RsaKeySize, SerialNumber,
};
use secrecy::{ExposeSecret, SecretString};
use zeroize::{Zeroize, Zeroizing};

use super::pem;
use super::refusal::shell_word;
use crate::error::{Exit, Failure, io_text};

/// The length of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyBits {
    /// 2048 bits, the usual length and the fastest.
    #[default]
    Rsa2048,
    /// 3072 bits.
    Rsa3072,
    /// 4096 bits, the longest that Salesforce accepts.
    Rsa4096,
}

impl KeyBits {
    /// The length of this number of bits, if it is offered.
    #[must_use]
    pub fn of(bits: u32) -> Option<Self> {
        match bits {
            2048 => Some(Self::Rsa2048),
            3072 => Some(Self::Rsa3072),
            4096 => Some(Self::Rsa4096),
            _ => None,
        }
    }

    fn size(self) -> RsaKeySize {
        match self {
            Self::Rsa2048 => RsaKeySize::_2048,
            Self::Rsa3072 => RsaKeySize::_3072,
            Self::Rsa4096 => RsaKeySize::_4096,
        }
    }
}

/// The distinguished name in a certificate, such as `CN=sfexport,O=Example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(Vec<(DnType, String)>);

impl FromStr for Subject {
    type Err = String;

    /// Reads `CN=name,O=organization`, `/CN=name/O=organization` as in `openssl -subj`, or only a common name. The fields
    /// are CN, O, OU, L, ST and C.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the subject is empty; write it as in CN=sfexport".to_owned());
        }
        if !text.contains('=') {
            return Ok(Self(vec![(DnType::CommonName, text.to_owned())]));
        }
        let parts = match text.strip_prefix('/') {
            Some(rest) => rest.split('/'),
            None => text.split(','),
        };
        parts.map(field).collect::<Result<_, _>>().map(Self)
    }
}

fn field(part: &str) -> Result<(DnType, String), String> {
    let (name, value) = part.split_once('=').ok_or_else(|| {
        format!("\"{}\" in the subject has no `=`; write it as in CN=sfexport,O=Example", part.trim())
    })?;
    let value = value.trim();
    let kind = match name.trim().to_ascii_uppercase().as_str() {
        "CN" => DnType::CommonName,
        "O" => DnType::OrganizationName,
        "OU" => DnType::OrganizationalUnitName,
        "L" => DnType::LocalityName,
        "ST" => DnType::StateOrProvinceName,
        "C" => DnType::CountryName,
        _ => {
            return Err(format!(
                "\"{}\" is not a field of the subject; use CN, O, OU, L, ST and C",
                name.trim()
            ));
        }
    };
    if value.is_empty() {
        return Err(format!("the subject's field {} is empty", name.trim()));
    }
    // X.520: a country is two letters, any other of these at most 64 characters.
    if kind == DnType::CountryName && !(value.len() == 2 && value.chars().all(|c| c.is_ascii_alphabetic())) {
        return Err(format!("\"{value}\" is not a country code; write two letters, as in C=DE"));
    }
    if value.chars().count() > 64 {
        return Err(format!("the subject's field {} has more than 64 characters", name.trim()));
    }
    Ok((kind, value.to_owned()))
}

/// What to create.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// The key's length.
    pub bits: KeyBits,
    /// The certificate's subject, and so its issuer.
    pub subject: Subject,
    /// The validity in days, 1 to 7300.
    pub days: u32,
    /// The start of the validity: now, except in tests. Fractions of a second are dropped.
    pub not_before: Timestamp,
}

/// A new key and its certificate.
#[derive(Debug)]
pub struct Generated {
    /// The private key, unencrypted PKCS#8 in PEM.
    pub key_pem: SecretString,
    /// The certificate in PEM, to upload to Salesforce.
    pub certificate_pem: String,
    /// The last second of the certificate's validity.
    pub not_after: Timestamp,
    /// The certificate's SHA-256, as `openssl x509 -fingerprint -sha256` prints it.
    pub sha256: String,
    /// The certificate's SHA-1, which some pages of Salesforce's Setup show.
    pub sha1: String,
}

/// Creates an RSA key and a self-signed certificate, signed with RSA and SHA-256. A key of 4096 bits may take seconds.
///
/// # Errors
/// [`Exit::Usage`] if the number of days is out of range; [`Exit::General`] if the system has no randomness.
pub fn generate(request: &KeyRequest) -> Result<Generated, Failure> {
    let no_days = || {
        let what = format!("a validity of {} days is out of range", request.days);
        Failure::new(Exit::Usage, what).hint("choose 1 to 7300 days")
    };
    if !(1..=7300).contains(&request.days) {
        return Err(no_days());
    }
    let begin = Timestamp::from_second(request.not_before.as_second()).map_err(|_| no_days())?;
    let not_after =
        begin.checked_add(SignedDuration::from_hours(i64::from(request.days) * 24)).map_err(|_| no_days())?;

    let failed = |error: rcgen::Error| Failure::new(Exit::General, format!("cannot create the key: {error}"));
    let mut pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, request.bits.size()).map_err(failed)?;
    let key = Zeroizing::new(pair.serialize_der());
    let key_pem = SecretString::from(pem::encode("PRIVATE KEY", &key).as_str());

    let mut name = DistinguishedName::new();
    for (kind, value) in &request.subject.0 {
        let value = match kind {
            DnType::CountryName => DnValue::PrintableString(
                PrintableString::try_from(value.to_ascii_uppercase()).map_err(failed)?,
            ),
            _ => DnValue::Utf8String(value.clone()),
        };
        name.push(kind.clone(), value);
    }
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + since_epoch(begin);
    parameters.not_after = epoch + since_epoch(not_after);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.serial_number = Some(serial()?);
    let certificate = parameters.self_signed(&pair).map_err(failed)?;
    pair.zeroize();

    let der = certificate.der();
    Ok(Generated {
        key_pem,
        certificate_pem: pem::encode("CERTIFICATE", der).as_str().to_owned(),
        not_after,
        sha256: pairs(digest::digest(&SHA256, der).as_ref()),
        sha1: pairs(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
    })
}

/// Writes a new key, which only its owner can read, and its certificate. Existing files are never replaced.
///
/// # Errors
/// [`Exit::Output`] if a file exists or cannot be written. Then neither file is left.
pub fn write_new(generated: &Generated, key: &Path, certificate: &Path) -> Result<(), Failure> {
    create(key, 0o600, generated.key_pem.expose_secret()).map_err(|error| not_written(key, &error))?;
    create(certificate, 0o644, &generated.certificate_pem).map_err(|error| {
        let failure = not_written(certificate, &error);
        match fs::remove_file(key) {
            Ok(()) => failure,
            Err(_) => failure.hint(format!("remove the key without a certificate: rm {}", shell_word(key))),
        }
    })
}

fn create(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
        // This file was created here, and is incomplete.
        let _ = fs::remove_file(path);
    })
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let word = shell_word(path);
    let name = path.display();
    let failure = |what: String| Failure::new(Exit::Output, what);
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            failure(format!("{name} already exists, and keys and certificates are never overwritten"))
                .hint(format!("choose another name, or rename the file: mv {word} {word}.old"))
        }
        io::ErrorKind::NotFound => {
            let directory =
                path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
            failure(format!("cannot write {name}, because its directory does not exist"))
                .hint(format!("create it: mkdir -p -m 700 {}", shell_word(directory)))
        }
        _ => failure(format!("cannot write {name}: {}", io_text(error)))
            .hint("choose a directory that you may write to"),
    }
}

/// A random serial number, positive and shorter than 20 bytes (RFC 5280, 4.1.2.2).
fn serial() -> Result<SerialNumber, Failure> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Failure::new(Exit::General, "the system has no random numbers"))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn since_epoch(timestamp: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(timestamp.as_second()).unwrap_or(0))
}

fn pairs(digest: &[u8]) -> String {
    digest.iter().enumerate().fold(String::new(), |mut text, (at, byte)| {
        let _ = write!(text, "{}{byte:02X}", if at == 0 { "" } else { ":" });
        text
    })
}
