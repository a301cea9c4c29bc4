//! Reads the certificate that was uploaded for a key: when it expires, and whether it belongs to the key.

use std::path::Path;

use jiff::Timestamp;
use x509_parser::parse_x509_certificate;

use super::form;
use super::source::{self, Access};
use crate::error::{Exit, Failure};
use crate::key::SigningKey;

/// The parts of a certificate that a login depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The first second of its validity.
    pub begin: Timestamp,
    /// The last second of its validity. Salesforce refuses assertions after it.
    pub end: Timestamp,
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads the first certificate from a PEM or DER file.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if the file cannot be read or contains no certificate.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let subject = format!("the certificate file {}", path.display());
        let bytes = source::read(path, Access::Anybody).map_err(|fault| {
            Failure::new(Exit::Configuration, fault.what(&subject))
                .hint(fault.hint(path, "set cert_file to the certificate in Salesforce"))
        })?;
        let der = form::certificate(&bytes);
        der.as_deref().and_then(|der| Self::from_der(der)).ok_or_else(|| {
            let found =
                if der.is_some() { "is damaged" } else { "contains no X.509 certificate in PEM or DER" };
            Failure::new(Exit::Configuration, format!("{subject} {found}"))
                .hint("set cert_file to the certificate in Salesforce, or remove cert_file")
        })
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            begin: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            end: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
            public_key: certificate.public_key().raw.to_vec(),
        })
    }

    /// Whether this is a certificate of the key: whether their public keys are equal.
    #[must_use]
    pub fn matches(&self, key: &SigningKey) -> bool {
        self.public_key == key.public_key_der()
    }
}

/// The last second of the validity of the certificate in this file.
///
/// # Errors
/// As [`Certificate::read`].
pub fn certificate_end(path: &Path) -> Result<Timestamp, Failure> {
    Certificate::read(path).map(|certificate| certificate.end)
}
