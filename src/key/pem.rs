//! Reads PEM: several blocks with text around them, with any or no line breaks, and OpenSSL's traditional encryption.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::SecretBytes;
use super::refusal::{Locked, Refusal};

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// One block, not yet decoded.
pub(super) struct Block<'a> {
    pub label: &'a str,
    body: &'a str,
}

/// Every block of a text.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, Refusal> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (label, after) = after.split_once(DASHES).ok_or(Refusal::Damaged("PEM block"))?;
        let (body, after) =
            after.split_once(&format!("-----END {label}-----")).ok_or(Refusal::Damaged("PEM block"))?;
        if body.contains(BEGIN) {
            return Err(Refusal::Damaged("PEM block"));
        }
        blocks.push(Block { label, body });
        rest = after;
    }
    Ok(blocks)
}

/// Whether a text contains a block.
pub(super) fn is_pem(text: &str) -> bool {
    text.contains(BEGIN)
}

impl Block<'_> {
    /// A header's value, as in `Proc-Type: 4,ENCRYPTED`.
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.body.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Whether it has traditional encryption, according to its headers.
    pub(super) fn is_encrypted(&self) -> bool {
        self.header("Proc-Type").is_some_and(|value| value.ends_with("ENCRYPTED"))
    }

    /// The content. Lines with a colon are headers, since base64 contains none.
    pub(super) fn decode(&self) -> Result<SecretBytes, Refusal> {
        let lines = self.body.lines().filter(|line| !line.contains(':'));
        let mut base64 = Zeroizing::new(String::with_capacity(self.body.len()));
        for line in lines {
            base64.extend(line.chars().filter(|c| !c.is_whitespace()));
        }
        decode_base64(&base64).ok_or(Refusal::Damaged("PEM block"))
    }

    /// The content of a block with traditional encryption. The format requires a key derived with MD5 from the password
    /// and the first eight bytes of the initialization vector.
    pub(super) fn decrypt(&self, password: Option<&str>) -> Result<SecretBytes, Refusal> {
        let info = self.header("DEK-Info").ok_or(Refusal::Damaged("PEM block"))?;
        let (cipher, iv) = info.split_once(',').ok_or(Refusal::Damaged("PEM block"))?;
        let cipher = Cipher::named(cipher.trim())?;
        let iv =
            hex(iv.trim()).filter(|iv| iv.len() == cipher.iv_bytes()).ok_or(Refusal::Damaged("PEM block"))?;
        let sealed = self.decode()?;
        let password = password.ok_or(Refusal::NoPassword(Locked::Key))?;
        let key = derived(password.as_bytes(), &iv[..8], cipher.key_bytes());
        cipher.decrypt(&key, &iv, &sealed).ok_or(Refusal::WrongPassword(Locked::Key))
    }
}

/// The ciphers that `openssl -traditional` and older versions use for RSA keys.
#[derive(Clone, Copy)]
enum Cipher {
    TripleDes,
    Aes128,
    Aes192,
    Aes256,
}

impl Cipher {
    fn named(name: &str) -> Result<Self, Refusal> {
        match name {
            "DES-EDE3-CBC" => Ok(Self::TripleDes),
            "AES-128-CBC" => Ok(Self::Aes128),
            "AES-192-CBC" => Ok(Self::Aes192),
            "AES-256-CBC" => Ok(Self::Aes256),
            other if other.len() < 32 && other.is_ascii() => Err(Refusal::Encryption(other.to_owned())),
            _ => Err(Refusal::Damaged("PEM block")),
        }
    }

    fn key_bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    fn iv_bytes(self) -> usize {
        if matches!(self, Self::TripleDes) { 8 } else { 16 }
    }

    fn decrypt(self, key: &[u8], iv: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
        fn cbc<D: BlockModeDecrypt + KeyIvInit>(key: &[u8], iv: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
            let mut buffer = Zeroizing::new(sealed.to_vec());
            let length = D::new_from_slices(key, iv).ok()?.decrypt_padded::<Pkcs7>(&mut buffer).ok()?.len();
            buffer.truncate(length);
            Some(buffer)
        }
        match self {
            Self::TripleDes => cbc::<cbc::Decryptor<des::TdesEde3>>(key, iv, sealed),
            Self::Aes128 => cbc::<cbc::Decryptor<aes::Aes128>>(key, iv, sealed),
            Self::Aes192 => cbc::<cbc::Decryptor<aes::Aes192>>(key, iv, sealed),
            Self::Aes256 => cbc::<cbc::Decryptor<aes::Aes256>>(key, iv, sealed),
        }
    }
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round: MD5(previous ‖ password ‖ salt), chained.
fn derived(password: &[u8], salt: &[u8], length: usize) -> SecretBytes {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut previous = Zeroizing::new([0; 16]);
    while key.len() < length {
        let mut hash = Md5::new();
        if !key.is_empty() {
            hash.update(previous.as_slice());
        }
        hash.update(password);
        hash.update(salt);
        previous.copy_from_slice(&hash.finalize());
        key.extend_from_slice(previous.as_slice());
    }
    key.truncate(length);
    key
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Decodes base64 without white space.
pub(super) fn decode_base64(text: &str) -> Option<SecretBytes> {
    STANDARD.decode(text).ok().map(Zeroizing::new)
}

/// Encodes a block, with lines of 64 characters.
pub(super) fn encode(label: &str, content: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(content));
    let mut text = Zeroizing::new(String::with_capacity(base64.len() + base64.len() / 64 + 80));
    text.push_str(&format!("{BEGIN}{label}{DASHES}\n"));
    for start in (0..base64.len()).step_by(64) {
        text.push_str(&base64[start..base64.len().min(start + 64)]);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}{DASHES}\n"));
    text
}
