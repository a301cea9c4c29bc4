//! Reads the private key that signs logins, in many forms, and tests it with a signature. Also creates keys. The signed
//! assertion itself is in `salesforce::assertion`.

mod bundle;
mod certificate;
mod form;
mod generate;
mod jks;
mod pem;
mod refusal;
mod source;

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::KeyPair;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

pub use self::certificate::{Certificate, certificate_end};
pub use self::generate::{Generated, KeyBits, KeyRequest, Subject, generate, write_new};

use self::form::Unlock;
use self::refusal::{KeyLocation, Refusal};
use crate::error::Failure;
use crate::org::{KeySource, Org, PasswordSource};

/// The minimum length of a key: what Salesforce requires of a certificate, and the minimum of RS256
/// ([RFC 7518, 3.3](https://www.rfc-editor.org/rfc/rfc7518#section-3.3)).
pub const MIN_RSA_BITS: usize = 2048;

/// Reads an org's private key and tests it with a signature.
///
/// The key may be PEM (PKCS#1, PKCS#8, encrypted or not, with certificates and bag attributes around it), DER,
/// PKCS#12 or JKS. The content shows which, not the file's name.
///
/// # Errors
/// [`Exit::Configuration`](crate::error::Exit::Configuration) if the key cannot be used. The message never contains any
/// part of the file.
pub fn load(org: &Org) -> Result<SigningKey, Failure> {
    at(&KeyLocation::of(org), &org.key, org.key_password.as_ref(), org.key_alias.as_deref())
}

/// Reads a private key that does not belong to an org yet; otherwise like [`load`].
///
/// # Errors
/// As [`load`].
pub fn read(
    key: &KeySource,
    password: Option<&PasswordSource>,
    alias: Option<&str>,
) -> Result<SigningKey, Failure> {
    at(&KeyLocation::of_default(key), key, password, alias)
}

fn at(
    location: &KeyLocation,
    key: &KeySource,
    password: Option<&PasswordSource>,
    alias: Option<&str>,
) -> Result<SigningKey, Failure> {
    let (bytes, open) = source::key(key, location)?;
    if let Some(open) = open {
        // The mode is a mistake only if the file contains a secret.
        let locked = Unlock { password: None, alias };
        return Err(match form::rsa_key(&bytes, &locked) {
            Err(refusal) if refusal.holds_no_key() => refusal.explain(location),
            _ => open,
        });
    }
    let password = password.map(|password| source::password(password, location)).transpose()?;
    let unlock = Unlock { password: password.as_ref().map(ExposeSecret::expose_secret), alias };
    form::rsa_key(&bytes, &unlock)
        .and_then(|pkcs1| SigningKey::from_pkcs1(&pkcs1))
        .map_err(|refusal| refusal.explain(location))
}

/// An RSA key whose signature has been verified with its public key.
pub struct SigningKey {
    encoding: EncodingKey,
    public_key: Vec<u8>,
    bits: usize,
}

impl SigningKey {
    fn from_pkcs1(pkcs1: &[u8]) -> Result<Self, Refusal> {
        let bits = form::modulus_bits(pkcs1).ok_or(Refusal::Damaged("RSA key"))?;
        if bits < MIN_RSA_BITS {
            return Err(Refusal::Short(bits));
        }
        if bits > 8192 {
            return Err(Refusal::Long(bits));
        }
        let pair = rsa::KeyPair::from_der(pkcs1).map_err(|_| Refusal::Unusable)?;
        let public_key: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| Refusal::Unusable)?;
        let encoding = EncodingKey::from_rsa_der(pkcs1);
        // aws-lc refuses inconsistent keys. The signature through `jsonwebtoken` is tested here rather than at the first
        // login of the night.
        let message = b"sfexport: does this key sign?";
        let signature = jsonwebtoken::crypto::sign(message, &encoding, Algorithm::RS256).ok();
        let verifies = signature.is_some_and(|signature| {
            let public = DecodingKey::from_rsa_der(pair.public_key().as_ref());
            jsonwebtoken::crypto::verify(&signature, message, &public, Algorithm::RS256).unwrap_or(false)
        });
        if !verifies {
            return Err(Refusal::Unusable);
        }
        Ok(Self { public_key: public_key.as_ref().to_vec(), bits, encoding })
    }

    /// The key for signing with `jsonwebtoken`, RS256.
    #[must_use]
    pub fn encoding_key(&self) -> &EncodingKey {
        &self.encoding
    }

    /// The length of the modulus in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// The public key, SubjectPublicKeyInfo in DER, exactly as in a certificate of this key.
    #[must_use]
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key
    }

    /// The public key in PEM, `PUBLIC KEY`.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.public_key).as_str().to_owned()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("bits", &self.bits).finish_non_exhaustive()
    }
}

/// Bytes that may be a private key. They are overwritten when dropped.
type SecretBytes = Zeroizing<Vec<u8>>;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::org::OrgName;

    #[test]
    fn a_failure_names_the_org_and_its_own_variables() {
        let mut org = Org {
            name: OrgName("emea".to_owned()),
            key: KeySource::Inline("no key".into()),
            ..Org::sample("https://login.salesforce.com")
        };
        let what = load(&org).unwrap_err().what;
        assert!(what.starts_with("org emea: the key in SFEXPORT_ORGS__EMEA__KEY "), "{what}");
        org.key_password = Some(PasswordSource::File(PathBuf::from("no such file")));
        let what = load(&org).unwrap_err().what;
        assert_eq!(what, "org emea: the file that key_password_file names does not exist");
    }
}
