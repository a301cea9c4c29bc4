//! The certificate that was uploaded for a key: when it ends, and whether it is this key's.

use std::path::Path;

use jiff::Timestamp;
use x509_parser::parse_x509_certificate;

use super::form;
use super::source::{self, Access};
use crate::error::{Exit, Failure};
use crate::key::SigningKey;

/// What a login depends on in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// From when on it is valid.
    pub begin: Timestamp,
    /// The last second in which it is valid; Salesforce refuses assertions after it.
    pub end: Timestamp,
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate from a PEM or DER file; where the file holds several, the first.
    ///
    /// # Errors
    /// [`Exit::Configuration`] where the file cannot be read or holds no certificate.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let subject = format!("the certificate file {}", path.display());
        let bytes = source::read(path, Access::Anybody).map_err(|fault| {
            Failure::new(Exit::Configuration, fault.what(&subject))
                .hint(fault.hint(path, "set cert_file to the certificate that was uploaded"))
        })?;
        let der = form::certificate(&bytes);
        der.as_deref().and_then(|der| Self::from_der(der)).ok_or_else(|| {
            let found = if der.is_some() { "is damaged" } else { "holds no X.509 certificate, in PEM or DER" };
            Failure::new(Exit::Configuration, format!("{subject} {found}"))
                .hint("set cert_file to the certificate that was uploaded, or leave it out: it only serves a warning")
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

    /// Whether this is a certificate of that key: whether their public keys are the same bytes.
    #[must_use]
    pub fn matches(&self, key: &SigningKey) -> bool {
        self.public_key == key.public_key_der()
    }
}

/// The last second in which the certificate in this file is valid.
///
/// # Errors
/// As [`Certificate::read`].
pub fn certificate_end(path: &Path) -> Result<Timestamp, Failure> {
    Certificate::read(path).map(|certificate| certificate.end)
}
