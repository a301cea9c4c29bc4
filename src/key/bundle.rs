//! Reads a private key from a PKCS#12 bundle, and chooses the entry of any bundle.

use p12_keystore::{Pkcs12Archive, error::Error};
use pkcs8::pkcs5;
use zeroize::Zeroizing;

use super::SecretBytes;
use super::form::Unlock;
use super::refusal::{Locked, Refusal};

/// The PKCS#8 key of the chosen entry.
pub(super) fn key(bytes: &[u8], unlock: &Unlock<'_>) -> Result<SecretBytes, Refusal> {
    // No password also opens bundles that were exported with an empty password.
    let archive = Pkcs12Archive::from_pkcs12(bytes, unlock.password.unwrap_or_default())
        .map_err(|error| refused(&error, unlock.password.is_some()))?;
    let mut nameless = 0;
    let entries = archive.keys.into_iter().map(|entry| {
        let alias = entry.friendly_name.unwrap_or_else(|| {
            // As in Java, the first entry without a name is `1`.
            nameless += 1;
            nameless.to_string()
        });
        (alias, Zeroizing::new(entry.key.as_der().to_vec()))
    });
    let others = archive.certs.iter().filter_map(|certificate| certificate.friendly_name.clone()).collect();
    choose(entries.collect(), others, unlock.alias)
}

fn refused(error: &Error, with_password: bool) -> Refusal {
    let locked = || {
        let refusal = if with_password { Refusal::WrongPassword } else { Refusal::NoPassword };
        refusal(Locked::Pkcs12)
    };
    match error {
        // The integrity check comes first and uses the password. If it succeeds, the rest can be decrypted.
        Error::MacError(_) | Error::UnpadError => locked(),
        // A wrong password for a bundle without that check. The crate keeps only the text.
        Error::Pkcs5Error(text) if *text == pkcs5::Error::DecryptFailed.to_string() => locked(),
        Error::UnsupportedEncryptionScheme | Error::Pkcs5Error(_) => {
            Refusal::Bundle("its encryption is not supported".to_owned())
        }
        Error::UnsupportedMacAlgorithm => Refusal::Bundle("its integrity check is not supported".to_owned()),
        Error::InvalidVersion => Refusal::Bundle("its version is not 3".to_owned()),
        Error::InvalidParameters => Refusal::Bundle("its key derivation takes too long".to_owned()),
        _ => Refusal::Bundle("its structure is not that of PKCS#12".to_owned()),
    }
}

/// Chooses the entry with the alias, or the only entry. As in Java, the case of an alias does not matter.
pub(super) fn choose<T>(
    mut entries: Vec<(String, T)>,
    others: Vec<String>,
    alias: Option<&str>,
) -> Result<T, Refusal> {
    let known = |entries: &[(String, T)]| entries.iter().map(|(alias, _)| alias.clone()).collect();
    if entries.is_empty() {
        return Err(Refusal::NoEntry(others));
    }
    let Some(alias) = alias else {
        if entries.len() > 1 {
            return Err(Refusal::ManyEntries(known(&entries)));
        }
        return Ok(entries.remove(0).1);
    };
    let exact = entries.iter().position(|(name, _)| name == alias);
    let folded = || entries.iter().position(|(name, _)| name.to_lowercase() == alias.to_lowercase());
    match exact.or_else(folded) {
        Some(at) => Ok(entries.remove(at).1),
        None => Err(Refusal::NoSuchAlias { alias: alias.to_owned(), known: known(&entries) }),
    }
}
