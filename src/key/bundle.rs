//! PKCS#12: the private key that is meant out of a bundle, and the choice of an entry for every bundle.

use p12_keystore::{Pkcs12Archive, error::Error};
use pkcs8::pkcs5;
use zeroize::Zeroizing;

use super::SecretBytes;
use super::form::Unlock;
use super::refusal::{Locked, Refusal};

/// The PKCS#8 key of the entry that is meant.
pub(super) fn key(bytes: &[u8], unlock: &Unlock<'_>) -> Result<SecretBytes, Refusal> {
    // A bundle may have been exported with the empty password, which none set opens too.
    let archive = Pkcs12Archive::from_pkcs12(bytes, unlock.password.unwrap_or_default())
        .map_err(|error| refused(&error, unlock.password.is_some()))?;
    let mut nameless = 0;
    let entries = archive.keys.into_iter().map(|entry| {
        let alias = entry.friendly_name.unwrap_or_else(|| {
            // Java names them so: the first entry without a name is `1`.
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
        // The integrity check comes first and is made with the password: where it holds, the rest decrypts.
        Error::MacError(_) | Error::UnpadError => locked(),
        // A bundle without the check shows a wrong password only so; the crate keeps no more than the text.
        Error::Pkcs5Error(text) if *text == pkcs5::Error::DecryptFailed.to_string() => locked(),
        Error::UnsupportedEncryptionScheme | Error::Pkcs5Error(_) => {
            Refusal::Bundle("its encryption is unknown here".to_owned())
        }
        Error::UnsupportedMacAlgorithm => Refusal::Bundle("its integrity check is unknown here".to_owned()),
        Error::InvalidVersion => Refusal::Bundle("it is of another version than 3".to_owned()),
        Error::InvalidParameters => {
            Refusal::Bundle("its key derivation asks for more work than any tool does".to_owned())
        }
        _ => Refusal::Bundle("its parts are not as PKCS#12 has them".to_owned()),
    }
}

/// The entry that is meant: by its alias, else the only one. Java compares aliases without regard to case.
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
