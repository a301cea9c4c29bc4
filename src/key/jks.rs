//! Reads a private key from a Java keystore, JKS. The layout is a fixed sequence of lengths and bytes, and keys are
//! protected by SHA-1 used as a stream cipher.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};
use zeroize::Zeroizing;

use super::SecretBytes;
use super::bundle::choose;
use super::form::{Unlock, elements};
use super::refusal::{Locked, Refusal};

/// How a JKS file begins.
pub(super) const MAGIC: &[u8] = &[0xfe, 0xed, 0xfe, 0xed];
/// How a JCEKS file begins. Its layout is the same, but keys are protected differently.
pub(super) const JCEKS_MAGIC: &[u8] = &[0xce, 0xce, 0xce, 0xce];

/// The PKCS#8 key of the chosen entry.
pub(super) fn key(bytes: &[u8], unlock: &Unlock<'_>) -> Result<SecretBytes, Refusal> {
    let damaged = Refusal::Damaged("Java keystore");
    let Some(store) = Store::read(bytes) else { return Err(damaged) };
    let keys = store.keys.into_iter().map(|(alias, key)| (alias.clone(), (alias, key))).collect();
    let (alias, sealed) = choose(keys, store.certificates, unlock.alias)?;
    let password = utf16(unlock.password.ok_or(Refusal::NoPassword(Locked::Jks))?);
    // EncryptedPrivateKeyInfo: the algorithm, which is always the same, and the protected key.
    let sealed = elements(sealed).and_then(|fields| fields.get(1).map(|field| field.value()));
    let Some(sealed) = sealed else { return Err(damaged) };
    match unprotect(sealed, &password) {
        Some(key) => Ok(key),
        None if is_intact(bytes, &password) => Err(Refusal::EntryPassword(alias)),
        None => Err(Refusal::WrongPassword(Locked::Jks)),
    }
}

/// The entries of a keystore.
struct Store<'a> {
    keys: Vec<(String, &'a [u8])>,
    certificates: Vec<String>,
}

impl<'a> Store<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(bytes.strip_prefix(MAGIC)?);
        let version = rest.u32()?;
        let mut store = Self { keys: Vec::new(), certificates: Vec::new() };
        for _ in 0..rest.u32()? {
            let tag = rest.u32()?;
            let length = rest.u16()?;
            let alias = String::from_utf8_lossy(rest.take(length.into())?).into_owned();
            let _created = rest.take(8)?;
            match tag {
                1 => {
                    let length = rest.u32()?;
                    store.keys.push((alias, rest.take(length)?));
                    for _ in 0..rest.u32()? {
                        rest.certificate(version)?;
                    }
                }
                2 => {
                    rest.certificate(version)?;
                    store.certificates.push(alias);
                }
                _ => return None,
            }
        }
        (rest.0.len() == SHA1_OUTPUT_LEN).then_some(store)
    }
}

/// The remaining bytes, big-endian.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    /// A certificate; since version 2 its type is named before it.
    fn certificate(&mut self, version: usize) -> Option<&'a [u8]> {
        if version >= 2 {
            let length = self.u16()?;
            self.take(length.into())?;
        }
        let length = self.u32()?;
        self.take(length)
    }
}

/// Decrypts a key: salt, key ⊕ keystream, SHA-1(password ‖ key). `None` if the password is wrong.
fn unprotect(sealed: &[u8], password: &[u8]) -> Option<SecretBytes> {
    let (salt, rest) = sealed.split_at_checked(SHA1_OUTPUT_LEN)?;
    let (hidden, check) = rest.split_at_checked(rest.len().checked_sub(SHA1_OUTPUT_LEN)?)?;
    let mut key = Zeroizing::new(hidden.to_vec());
    let mut previous = Zeroizing::new([0; SHA1_OUTPUT_LEN]);
    previous.copy_from_slice(salt);
    for chunk in key.chunks_mut(SHA1_OUTPUT_LEN) {
        previous = sha1(&[password, previous.as_slice()]);
        for (byte, mask) in chunk.iter_mut().zip(previous.iter()) {
            *byte ^= mask;
        }
    }
    (sha1(&[password, &key]).as_slice() == check).then_some(key)
}

/// Whether the password is the keystore's. The last bytes are a hash of the password, a fixed phrase, and all bytes
/// before.
fn is_intact(bytes: &[u8], password: &[u8]) -> bool {
    let Some(at) = bytes.len().checked_sub(SHA1_OUTPUT_LEN) else { return false };
    sha1(&[password, b"Mighty Aphrodite", &bytes[..at]]).as_slice() == &bytes[at..]
}

fn sha1(parts: &[&[u8]]) -> Zeroizing<[u8; SHA1_OUTPUT_LEN]> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    let mut digest = Zeroizing::new([0; SHA1_OUTPUT_LEN]);
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// A password in Java's encoding.
fn utf16(password: &str) -> SecretBytes {
    Zeroizing::new(password.encode_utf16().flat_map(u16::to_be_bytes).collect())
}
