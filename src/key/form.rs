//! Recognizes the form of a key by its content, and extracts the RSA key.

use pkcs8::der::asn1::AnyRef;
use pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::pkcs5::{self, EncryptionScheme};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::refusal::{Locked, Refusal};
use super::{SecretBytes, bundle, jks, pem};

/// The password of an encrypted key, and the alias of an entry.
pub(super) struct Unlock<'a> {
    pub password: Option<&'a str>,
    pub alias: Option<&'a str>,
}

/// The RSA private key in these bytes, as PKCS#1 DER.
pub(super) fn rsa_key(bytes: &[u8], unlock: &Unlock<'_>) -> Result<SecretBytes, Refusal> {
    if bytes.trim_ascii().is_empty() {
        return Err(Refusal::Empty);
    }
    if let Some(key) = binary(bytes, unlock) {
        return key;
    }
    let Some(text) = text(bytes) else { return Err(Refusal::Unknown) };
    if pem::is_pem(&text) {
        return from_pem(&text, unlock);
    }
    let text = text.trim().trim_matches(['"', '\'']).trim();
    if text.starts_with("PuTTY-User-Key-File-") {
        return Err(Refusal::Putty);
    }
    if ["ssh-rsa ", "ssh-ed25519 ", "ssh-dss ", "ecdsa-sha2-", "---- BEGIN SSH2 PUBLIC"]
        .iter()
        .any(|start| text.starts_with(start))
    {
        return Err(Refusal::PublicKey);
    }
    // A variable can hold a binary file, or a file with line breaks, only as base64.
    let packed: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    let Some(inner) = pem::decode_base64(&packed) else {
        let is_text = !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace() || c == '\u{fffd}');
        return Err(if is_text { Refusal::Text } else { Refusal::Unknown });
    };
    if let Some(key) = binary(&inner, unlock) {
        return key;
    }
    match self::text(&inner) {
        Some(text) if pem::is_pem(&text) => from_pem(&text, unlock),
        _ => Err(Refusal::Unknown),
    }
}

/// The first certificate in these bytes as DER, if there is one.
pub(super) fn certificate(bytes: &[u8]) -> Option<SecretBytes> {
    if Der::of(bytes) == Some(Der::Certificate) {
        return Some(Zeroizing::new(bytes.to_vec()));
    }
    let text = text(bytes)?;
    let blocks = pem::blocks(&text).ok()?;
    // OpenSSL's `TRUSTED CERTIFICATE` has other data after the certificate.
    let block = blocks.iter().find(|block| matches!(block.label, "CERTIFICATE" | "X509 CERTIFICATE"))?;
    block.decode().ok()
}

/// The bits of a PKCS#1 private key's modulus.
pub(super) fn modulus_bits(pkcs1: &[u8]) -> Option<usize> {
    let fields = elements(pkcs1)?;
    let modulus = fields.get(1)?.value();
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let zeros = usize::try_from(modulus[first].leading_zeros()).ok()?;
    Some((modulus.len() - first) * 8 - zeros)
}

/// The key in a binary form; `None` if the form is not a known one.
fn binary(bytes: &[u8], unlock: &Unlock<'_>) -> Option<Result<SecretBytes, Refusal>> {
    if bytes.starts_with(jks::MAGIC) {
        return Some(jks::key(bytes, unlock).and_then(|der| unencrypted(&der)));
    }
    if bytes.starts_with(jks::JCEKS_MAGIC) {
        return Some(Err(Refusal::Jceks));
    }
    if bytes.first() != Some(&0x30) {
        return None;
    }
    let Some(found) = Der::of(bytes) else {
        // The next byte begins a length of several bytes, which is not text.
        let cut = bytes.get(1).is_some_and(|length| (0x81..=0x84).contains(length));
        return cut.then_some(Err(Refusal::Damaged("DER file")));
    };
    Some(match found {
        Der::Encrypted => decrypt_pkcs8(bytes, unlock).and_then(|der| unencrypted(&der)),
        Der::Pkcs12 => bundle::key(bytes, unlock).and_then(|der| unencrypted(&der)),
        _ => unencrypted(bytes),
    })
}

/// The text of a file in any encoding, with real line breaks.
fn text(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let text = match bytes {
        // UTF-16, as redirection in a Windows shell writes it.
        [0xff, 0xfe, rest @ ..] => {
            let units: Zeroizing<Vec<u16>> = Zeroizing::new(
                rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect(),
            );
            String::from_utf16(&units).ok()?
        }
        // Bag attributes contain names in any encoding. The key itself is ASCII.
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    let text = Zeroizing::new(text);
    Some(if text.contains('\\') { unescaped(&text) } else { text })
}

/// The text with line breaks for `\n` and nothing for `\r`, however often shells, JSON and secret stores have escaped
/// them. PEM contains no backslashes.
fn unescaped(text: &str) -> Zeroizing<String> {
    let mut unescaped = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        unescaped.push_str(&rest[..at]);
        let behind = rest[at..].trim_start_matches('\\');
        rest = match behind.strip_prefix('n') {
            Some(behind) => {
                unescaped.push('\n');
                behind
            }
            None => behind.strip_prefix('r').unwrap_or(behind),
        };
    }
    unescaped.push_str(rest);
    unescaped
}

fn from_pem(text: &str, unlock: &Unlock<'_>) -> Result<SecretBytes, Refusal> {
    let blocks = pem::blocks(text)?;
    let keys: Vec<&pem::Block<'_>> =
        blocks.iter().filter(|block| block.label.ends_with("PRIVATE KEY")).collect();
    let key = match keys.as_slice() {
        [key] => *key,
        [] => return Err(without_key(&blocks)),
        keys => return Err(Refusal::SeveralKeys(keys.len())),
    };
    match key.label {
        "EC PRIVATE KEY" => return Err(Refusal::Algorithm("elliptic curves")),
        "DSA PRIVATE KEY" => return Err(Refusal::Algorithm("DSA")),
        "OPENSSH PRIVATE KEY" => {
            // The public part comes first, unencrypted, and names the algorithm: `ssh-rsa`.
            let content = key.decode()?;
            let head = &content[..content.len().min(200)];
            return Err(Refusal::OpenSsh { rsa: head.windows(7).any(|window| window == b"ssh-rsa") });
        }
        _ => {}
    }
    if key.is_encrypted() {
        let der = key.decrypt(unlock.password)?;
        // One in 256 wrong passwords gives a valid padding.
        return match Der::of(&der) {
            Some(_) => unencrypted(&der),
            None => Err(Refusal::WrongPassword(Locked::Key)),
        };
    }
    let der = key.decode()?;
    binary(&der, unlock).unwrap_or(Err(Refusal::Damaged("PEM block")))
}

/// What a PEM file without a private key is.
fn without_key(blocks: &[pem::Block<'_>]) -> Refusal {
    let has = |end: &str| blocks.iter().any(|block| block.label.ends_with(end));
    if has("CERTIFICATE") {
        Refusal::Certificate
    } else if has("CERTIFICATE REQUEST") {
        Refusal::CertificateRequest
    } else if has("PUBLIC KEY") {
        Refusal::PublicKey
    } else if has("PKCS7") || has("CMS") {
        Refusal::CertificateBundle
    } else {
        // Labels are a few words at most.
        let labels = blocks.iter().map(|block| block.label.chars().take(40).collect());
        Refusal::OtherPem(labels.take(3).collect())
    }
}

/// What a DER value is, by the types of its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Der {
    Pkcs1,
    Pkcs8,
    Encrypted,
    Pkcs12,
    Ec,
    Dsa,
    PublicKey,
    Certificate,
    CertificateRequest,
    Pkcs7,
}

impl Der {
    fn of(der: &[u8]) -> Option<Self> {
        let fields = elements(der)?;
        let tags: Vec<Tag> = fields.iter().map(Tagged::tag).collect();
        let all_integers = tags.iter().all(|tag| *tag == Tag::Integer);
        Some(match tags.as_slice() {
            [Tag::Integer, Tag::Sequence, Tag::OctetString, ..] => Self::Pkcs8,
            [Tag::Integer, Tag::OctetString, ..] => Self::Ec,
            [Tag::Integer, Tag::Sequence] | [Tag::Integer, Tag::Sequence, Tag::Sequence] => Self::Pkcs12,
            [_, _] if all_integers => Self::PublicKey,
            [_, _, _, _, _, _] if all_integers => Self::Dsa,
            [_, _, _, _, _, _, _, _, _, ..] if tags[..9].iter().all(|tag| *tag == Tag::Integer) => {
                Self::Pkcs1
            }
            [Tag::Sequence, Tag::OctetString] => Self::Encrypted,
            [Tag::Sequence, Tag::BitString] => Self::PublicKey,
            [Tag::Sequence, Tag::Sequence, Tag::BitString] => {
                // A certificate has a serial number, two names, a validity and more; a request has only four elements.
                let inner = within(fields[0].value())?;
                if inner.len() >= 6 { Self::Certificate } else { Self::CertificateRequest }
            }
            [Tag::ObjectIdentifier, Tag::ContextSpecific { .. }] => Self::Pkcs7,
            _ => return None,
        })
    }
}

/// The elements of a sequence.
pub(super) fn elements(der: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let outer = AnyRef::from_der(der).ok()?;
    if outer.tag() != Tag::Sequence {
        return None;
    }
    within(outer.value())
}

/// The consecutive values in these bytes.
fn within(content: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(content).ok()?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(found)
}

/// The RSA key of an unencrypted DER value.
fn unencrypted(der: &[u8]) -> Result<SecretBytes, Refusal> {
    match Der::of(der) {
        Some(Der::Pkcs1) => Ok(Zeroizing::new(der.to_vec())),
        Some(Der::Pkcs8) => {
            let info = PrivateKeyInfoRef::try_from(der).map_err(|_| Refusal::Damaged("PKCS#8 key"))?;
            let key = info.private_key.as_bytes();
            match algorithm(&info.algorithm.oid.to_string()) {
                None if Der::of(key) == Some(Der::Pkcs1) => Ok(Zeroizing::new(key.to_vec())),
                None => Err(Refusal::Damaged("PKCS#8 key")),
                Some(other) => Err(Refusal::Algorithm(other)),
            }
        }
        Some(Der::Ec) => Err(Refusal::Algorithm("elliptic curves")),
        Some(Der::Dsa) => Err(Refusal::Algorithm("DSA")),
        Some(Der::PublicKey) => Err(Refusal::PublicKey),
        Some(Der::Certificate) => Err(Refusal::Certificate),
        Some(Der::CertificateRequest) => Err(Refusal::CertificateRequest),
        Some(Der::Pkcs7) => Err(Refusal::CertificateBundle),
        Some(Der::Encrypted | Der::Pkcs12) | None => Err(Refusal::Unknown),
    }
}

/// The name of an algorithm other than RSA.
fn algorithm(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "1.2.840.113549.1.1.1" => return None,
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.10045.2.1" => "elliptic curves",
        "1.2.840.10040.4.1" => "DSA",
        "1.3.101.110" => "X25519",
        "1.3.101.111" => "X448",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        "1.2.840.113549.1.3.1" | "1.2.840.10046.2.1" => "Diffie-Hellman",
        _ => "another algorithm than RSA",
    })
}

/// More rounds than any tool uses. A larger number means that the file is damaged, and would take hours.
const MAX_KDF_ROUNDS: u32 = 10_000_000;
/// The same for the memory of scrypt.
const MAX_KDF_MEMORY: u64 = 1 << 30;

/// The PKCS#8 key inside an encrypted one.
fn decrypt_pkcs8(der: &[u8], unlock: &Unlock<'_>) -> Result<SecretBytes, Refusal> {
    let sealed = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| Refusal::Encryption("an unknown scheme".to_owned()))?;
    let scheme = match &sealed.encryption_algorithm {
        EncryptionScheme::Pbes2(scheme) => scheme,
        old => return Err(Refusal::Encryption(format!("PBES1 ({})", old.oid()))),
    };
    match &scheme.kdf {
        Kdf::Pbkdf2(kdf) if kdf.iteration_count > MAX_KDF_ROUNDS => {
            return Err(Refusal::Encryption(format!("{} rounds of PBKDF2", kdf.iteration_count)));
        }
        Kdf::Scrypt(kdf)
            if kdf.cost_parameter.saturating_mul(128 * u64::from(kdf.block_size)) > MAX_KDF_MEMORY
                || kdf.parallelization > 16 =>
        {
            return Err(Refusal::Encryption("scrypt with excessive parameters".to_owned()));
        }
        _ => {}
    }
    let password = unlock.password.ok_or(Refusal::NoPassword(Locked::Key))?;
    let plain =
        scheme.decrypt(password, sealed.encrypted_data.as_bytes()).map(Zeroizing::new).map_err(|error| {
            match error {
                pkcs5::Error::UnsupportedAlgorithm { oid } => Refusal::Encryption(oid.to_string()),
                _ => Refusal::WrongPassword(Locked::Key),
            }
        })?;
    if Der::of(&plain).is_none() {
        return Err(Refusal::WrongPassword(Locked::Key));
    }
    Ok(plain)
}
