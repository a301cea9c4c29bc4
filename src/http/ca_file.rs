//! Reads `ca_file`, the certificates of additional authorities, in PEM or DER. Unusable certificates are reported by
//! line, and files of another kind by what they contain.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::error::{Exit, Failure};
use crate::fs::{ReadError, read_small};

const BEGIN: &str = "-----BEGIN ";

/// The content of a file.
pub(super) struct Authorities {
    pub(super) certificates: Vec<Certificate>,
    /// A sentence for each certificate that was left out.
    pub(super) left_out: Vec<String>,
}

/// Reads a file.
///
/// # Errors
/// [`Exit::Configuration`] if it holds no certificate that can be used, with what it holds instead.
pub(super) fn read(path: &Path) -> Result<Authorities, Failure> {
    let (bytes, _) = read_small(path).map_err(|error| match error {
        ReadError::Io(error) => {
            let failure = Failure::of_file(Exit::Configuration, "cannot read ca_file", path, &error);
            if failure.hint.is_some() { failure } else { failure.hint(FORM) }
        }
        other => Failure::new(Exit::Configuration, format!("ca_file {} {other}", path.display())).hint(FORM),
    })?;
    of_bytes(&bytes, path)
}

const FORM: &str = "name a file with the authority's certificate in PEM or DER form";

fn of_bytes(bytes: &[u8], path: &Path) -> Result<Authorities, Failure> {
    let mut authorities = Authorities { certificates: Vec::new(), left_out: Vec::new() };
    let mut other = None;
    match text(bytes) {
        Some(text) => {
            for block in blocks(&text) {
                if !block.label.ends_with("CERTIFICATE") {
                    other = Some(of_label(block.label));
                    continue;
                }
                match block.certificate() {
                    Ok(certificate) => authorities.certificates.push(certificate),
                    Err(why) => authorities.left_out.push(format!(
                        "cannot use the certificate at line {} of ca_file {}: {why}",
                        block.line,
                        path.display()
                    )),
                }
            }
        }
        None => match certificate(bytes) {
            Ok(certificate) => authorities.certificates.push(certificate),
            Err(_) => other = Some(of_der(bytes)),
        },
    }
    if !authorities.certificates.is_empty() {
        return Ok(authorities);
    }
    if let Some(first) = authorities.left_out.into_iter().next() {
        return Err(Failure::new(Exit::Configuration, first).hint(FORM));
    }
    let Kind { what, hint } = other.unwrap_or(Kind { what: "no certificate", hint: FORM });
    let what = format!("ca_file {} contains {what}", path.display());
    Err(Failure::new(Exit::Configuration, what).hint(hint))
}

/// What a file contains instead of certificates, and what to do about it.
struct Kind {
    what: &'static str,
    hint: &'static str,
}

const PKCS7: Kind = Kind {
    what: "PKCS#7 (.p7b), not separate certificates",
    hint: "convert it: openssl pkcs7 -print_certs -in FILE -out ca.pem (with -inform der if it is not PEM)",
};

fn of_label(label: &str) -> Kind {
    match label {
        "PKCS7" | "CMS" => PKCS7,
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            Kind { what: "a certificate request, not a certificate", hint: FORM }
        }
        "X509 CRL" => Kind { what: "a list of revoked certificates, not a certificate", hint: FORM },
        label if label.ends_with("PRIVATE KEY") => {
            Kind { what: "a private key, not a certificate", hint: FORM }
        }
        _ => Kind { what: "PEM that is not a certificate", hint: FORM },
    }
}

fn of_der(bytes: &[u8]) -> Kind {
    // The object identifiers 1.2.840.113549.1.7.2 (signed data) and 1.2.840.113549.1.7.1 (data), encoded.
    const PKCS7_OID: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
    let head = &bytes[..bytes.len().min(64)];
    let at = head.windows(PKCS7_OID.len()).position(|window| window == PKCS7_OID);
    match (at.and_then(|at| head.get(at + PKCS7_OID.len())), bytes) {
        (Some(2), _) => PKCS7,
        (Some(1), _) => Kind {
            what: "PKCS#12 (.p12, .pfx), not a certificate",
            hint: "take the certificates out: openssl pkcs12 -in FILE -nokeys -out ca.pem",
        },
        (_, [0xfe, 0xed, 0xfe, 0xed, ..]) => Kind {
            what: "a Java keystore, not a certificate",
            hint: "take the certificate out: keytool -exportcert -rfc -alias NAME -keystore FILE -file ca.pem",
        },
        (_, []) => Kind { what: "nothing", hint: FORM },
        _ => Kind { what: "no certificate", hint: FORM },
    }
}

/// The file as text, if it is PEM: a byte order mark, which Windows editors write, is skipped.
fn text(bytes: &[u8]) -> Option<String> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => {
            let units: Vec<u16> =
                rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        // Between the blocks there may be names in any encoding.
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    text.contains(BEGIN).then_some(text)
}

/// A block of PEM; its end may be missing.
struct Block<'t> {
    label: &'t str,
    /// Where it begins, from 1.
    line: usize,
    base64: String,
    is_whole: bool,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if let Some(label) = line.strip_prefix(BEGIN) {
            let label = label.trim_end_matches('-');
            blocks.push(Block { label, line: number + 1, base64: String::new(), is_whole: false });
            is_open = true;
        } else if let (Some(block), true) = (blocks.last_mut(), is_open) {
            if line.starts_with("-----END ") {
                block.is_whole = true;
                is_open = false;
            } else {
                block.base64.push_str(line);
            }
        }
    }
    blocks
}

impl Block<'_> {
    fn certificate(&self) -> Result<Certificate, &'static str> {
        if !self.is_whole {
            return Err("its END line is missing");
        }
        let der = STANDARD.decode(&self.base64).map_err(|_| "it is not base64")?;
        // In OpenSSL's trusted certificates, more data follows the certificate.
        let length = if self.label == "TRUSTED CERTIFICATE" { der_length(&der) } else { None };
        certificate(&der[..length.unwrap_or(der.len()).min(der.len())])
    }
}

/// The length of the DER element at the start, including its header.
fn der_length(der: &[u8]) -> Option<usize> {
    match *der.get(1)? {
        short @ 0..=0x7f => Some(usize::from(short) + 2),
        long => {
            let count = usize::from(long & 0x7f);
            let digits = der.get(2..2 + count).filter(|digits| digits.len() <= 4)?;
            let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            Some(length + 2 + count)
        }
    }
}

/// A certificate that the TLS library accepts as an authority. It would refuse the whole list because of one that it does
/// not accept.
fn certificate(der: &[u8]) -> Result<Certificate, &'static str> {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from(der)).map_err(|_| "it is not an X.509 certificate")?;
    Certificate::from_der(der).map_err(|_| "it is not an X.509 certificate")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(name: &str) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        rcgen::CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap()
            .der()
            .to_vec()
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn read(bytes: impl AsRef<[u8]>) -> Result<(usize, Vec<String>), Failure> {
        let read = of_bytes(bytes.as_ref(), Path::new("ca.pem"))?;
        Ok((read.certificates.len(), read.left_out))
    }

    #[test]
    fn good_certificates_are_used_although_one_is_bad() {
        let good = [pem("CERTIFICATE", &der("one.example")), pem("X509 CERTIFICATE", &der("two.example"))];
        let bundle = format!("# ours\n{}{}\n{}", good[0], pem("CERTIFICATE", b"not DER"), good[1]);
        let said = "cannot use the certificate at line 5 of ca_file ca.pem: it is not an X.509 certificate";
        assert_eq!(read(&bundle), Ok((2, vec![said.to_owned()])));
        let cut = format!("{}-----BEGIN CERTIFICATE-----\nMIIB", good[0]);
        let said = "cannot use the certificate at line 4 of ca_file ca.pem: its END line is missing";
        assert_eq!(read(cut), Ok((1, vec![said.to_owned()])));
        let none = read(pem("CERTIFICATE", b"not DER")).unwrap_err();
        assert_eq!((none.exit, none.what.contains("line 1")), (Exit::Configuration, true));
    }

    #[test]
    fn the_form_of_a_certificate_does_not_matter() {
        let der = der("one.example");
        let text = pem("CERTIFICATE", &der);
        let whole = Ok((1, Vec::new()));
        assert_eq!(read(&der), whole);
        assert_eq!(read(format!("\u{feff}{text}")), whole);
        assert_eq!(read(text.replace('\n', "\r\n")), whole);
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(utf16), whole);
        let trusted = [&der[..], &[0x30, 0x02, 0x05, 0x00]].concat();
        assert_eq!(read(pem("TRUSTED CERTIFICATE", &trusted)), whole);
    }

    #[test]
    fn what_is_not_a_certificate_is_named() {
        let oid = |last: u8| {
            let mut der = vec![0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, last];
            der.extend([0; 20]);
            der
        };
        let keystore: Vec<u8> = vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
        for (bytes, what, hint) in [
            (oid(2), "PKCS#7", "openssl pkcs7"),
            (pem("PKCS7", &oid(2)).into_bytes(), "PKCS#7", "openssl pkcs7"),
            (oid(1), "PKCS#12", "openssl pkcs12"),
            (keystore, "a Java keystore", "keytool"),
            (pem("PRIVATE KEY", b"x").into_bytes(), "a private key", "the authority's certificate"),
            (pem("CERTIFICATE REQUEST", b"x").into_bytes(), "a certificate request", "PEM or DER"),
            (b"hello".to_vec(), "no certificate", "PEM or DER"),
            (Vec::new(), "nothing", "PEM or DER"),
        ] {
            let failure = read(&bytes).unwrap_err();
            assert_eq!(failure.exit, Exit::Configuration);
            assert!(failure.what.starts_with(&format!("ca_file ca.pem contains {what}")), "{failure}");
            assert!(failure.hint.as_ref().unwrap().contains(hint), "{failure:?}");
        }
    }
}
