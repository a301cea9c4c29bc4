//! Every form of key that people have, made by the tools that make them; every signature verified by OpenSSL.
//! Where a tool is missing, its tests say so and pass.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use secrecy::{ExposeSecret as _, SecretString};
use sfexport::error::{Exit, Failure};
use sfexport::key::{self, Certificate, KeyBits, KeyRequest, SigningKey, Subject};
use sfexport::org::{KeySource, PasswordSource};
use tempfile::TempDir;

#[path = "support/skip.rs"]
mod skip;

/// Skips the test if a tool is missing.
macro_rules! needs {
    ($($tool:literal),+) => {
        $(if !exists($tool) {
            skip::skip(concat!("it needs ", $tool));
            return;
        })+
    };
}

/// Whether a tool is here in a version that makes what the tests ask for.
fn exists(tool: &str) -> bool {
    let answer = |command: &str| {
        let output =
            Command::new("sh").args(["-c", command]).output().ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    match tool {
        // LibreSSL answers to the name too.
        "openssl" => answer("openssl version")
            .is_some_and(|version| version.strip_prefix("OpenSSL ").is_some_and(|number| number >= "3")),
        "openssl's legacy provider" => answer("openssl list -providers -provider legacy").is_some(),
        // Some systems have a keytool that only says where Java is to be had.
        "keytool" => answer("keytool -help 2>&1").is_some(),
        other => answer(&format!("command -v {other}")).is_some(),
    }
}

/// A directory with a key `a.pem` (PKCS#8), its public key `a.pub` and its certificate `a.crt`.
struct Directory {
    directory: TempDir,
}

impl Directory {
    fn new() -> Self {
        let directory = Self { directory: tempfile::tempdir().unwrap() };
        directory.run(
            "umask 077
             openssl genrsa -out a.pem 2048
             openssl pkey -in a.pem -pubout -out a.pub
             openssl req -x509 -key a.pem -subj /CN=sfexport -days 30 -out a.crt",
        );
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn shell(&self, script: &str) -> Output {
        Command::new("sh").args(["-euc", script]).current_dir(self.directory.path()).output().unwrap()
    }

    fn run(&self, script: &str) -> String {
        let script = format!("umask 077; {script}");
        let output = self.shell(&script);
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Loads a file with an inline password.
    fn load(&self, name: &str, password: Option<&str>) -> Result<SigningKey, Failure> {
        self.load_entry(name, password, None)
    }

    fn load_entry(
        &self,
        name: &str,
        password: Option<&str>,
        alias: Option<&str>,
    ) -> Result<SigningKey, Failure> {
        load(&KeySource::File(self.path(name)), password, alias)
    }

    /// The key signs, and OpenSSL verifies it with the public key that it took from the key itself.
    fn assert_signs(&self, key: &SigningKey, public: &str, form: &str) {
        let message = format!("signed by {form}");
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), key.encoding_key(), Algorithm::RS256).unwrap();
        self.write("message", &message);
        self.write("signature", URL_SAFE_NO_PAD.decode(signature).unwrap());
        let answer = self.run(&format!("openssl dgst -sha256 -verify {public} -signature signature message"));
        assert_eq!(answer, "Verified OK\n", "{form}");
        assert_eq!(key.public_key_pem(), self.read(public), "{form}");
    }

    fn assert_loads(&self, name: &str, password: Option<&str>) {
        match self.load(name, password) {
            Ok(key) => self.assert_signs(&key, "a.pub", name),
            Err(failure) => panic!("{name}: {failure} ({:?})", failure.hint),
        }
    }

    /// The file is refused in these words, with this in the hint; status 78; nothing of a key or password in it.
    fn assert_refusal(&self, loaded: Result<SigningKey, Failure>, what: &str, hint: &str) {
        let failure = loaded.expect_err(what);
        assert_eq!(failure.exit, Exit::Configuration);
        let said = failure.hint.clone().unwrap_or_default();
        assert!(failure.what.contains(what), "{:?} lacks {what:?}", failure.what);
        assert!(said.contains(hint), "{said:?} lacks {hint:?}");
        let all = format!("{failure:?}");
        for line in self.read("a.pem").lines().filter(|line| line.len() == 64) {
            assert!(!all.contains(&line[..24]), "the key is in {all}");
        }
        assert!(!all.contains("s3cret"), "the password is in {all}");
    }

    fn assert_refused(&self, name: &str, password: Option<&str>, what: &str, hint: &str) {
        self.assert_refusal(self.load(name, password), what, hint);
    }
}

fn load(key: &KeySource, password: Option<&str>, alias: Option<&str>) -> Result<SigningKey, Failure> {
    let password = password.map(|password| PasswordSource::Inline(SecretString::from(password)));
    key::read(key, password.as_ref(), alias)
}

fn inline(text: &str) -> Result<SigningKey, Failure> {
    load(&KeySource::Inline(SecretString::from(text)), None, None)
}

#[test]
fn a_key_without_a_password_loads_in_every_form() {
    needs!("openssl");
    let directory = Directory::new();
    directory.run(
        "openssl rsa -in a.pem -traditional -out pkcs1.pem
         openssl rsa -in a.pem -traditional -outform DER -out pkcs1.der
         openssl pkcs8 -in a.pem -topk8 -nocrypt -outform DER -out pkcs8.der
         cat a.crt a.pem > certificate-first.pem
         cat a.pem a.crt a.crt > certificates-after.pem
         openssl pkcs12 -export -inkey a.pem -in a.crt -name 'Schlüssel: eins' -passout pass:x |
             openssl pkcs12 -nodes -passin pass:x > bag-attributes.pem
         openssl pkey -in a.pem -text > text-around.pem
         tr -d '\\n' < pkcs1.pem > one-line.pem",
    );
    let pem = directory.read("a.pem");
    let windows = pem.replace('\n', "\r\n");
    directory.write("crlf.pem", &windows);
    directory.write("byte-order-mark.pem", format!("\u{feff}{pem}"));
    let utf16: Vec<u8> = format!("\u{feff}{windows}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    directory.write("utf16.pem", utf16);
    assert!(directory.read("pkcs1.pem").starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert!(directory.read("a.pem").starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(fs::read(directory.path("bag-attributes.pem")).unwrap().starts_with(b"Bag Attributes"));
    for name in [
        "a.pem",
        "pkcs1.pem",
        "pkcs1.der",
        "pkcs8.der",
        "certificate-first.pem",
        "certificates-after.pem",
        "crlf.pem",
        "byte-order-mark.pem",
        "utf16.pem",
        "bag-attributes.pem",
        "text-around.pem",
        "one-line.pem",
    ] {
        directory.assert_loads(name, None);
        // A password too many does no harm: the same settings serve a key before and after its encryption.
        directory.assert_loads(name, Some("s3cret"));
    }
    let key = directory.load("a.pem", None).unwrap();
    assert_eq!(key.bits(), 2048);
}

#[test]
fn a_key_in_a_variable_may_have_any_line_breaks() {
    needs!("openssl");
    let directory = Directory::new();
    let pem = directory.read("a.pem");
    directory.run("openssl pkcs8 -in a.pem -topk8 -nocrypt -outform DER -out a.der");
    let binary = STANDARD.encode(fs::read(directory.path("a.der")).unwrap());
    let escaped = pem.replace('\n', "\\n");
    for (form, text) in [
        ("real line ends", pem.clone()),
        ("escaped line ends", escaped.clone()),
        ("escaped Windows line ends", pem.replace('\n', "\\r\\n")),
        ("line ends escaped twice", pem.replace('\n', "\\\\n")),
        ("Windows line ends escaped three times", pem.replace('\n', "\\\\\\r\\\\\\n")),
        ("in double quotes", format!("\"{escaped}\"")),
        ("in single quotes, with white space", format!("  '{escaped}' \n")),
        ("spaces for line ends", pem.replace('\n', " ")),
        ("indented", pem.replace('\n', "\n    ")),
        ("base64 of PEM", STANDARD.encode(&pem)),
        ("base64 of DER", format!("{binary}\n")),
    ] {
        match inline(&text) {
            Ok(key) => directory.assert_signs(&key, "a.pub", form),
            Err(failure) => panic!("{form}: {failure}"),
        }
    }
    directory.assert_refusal(
        inline(&pem[..700]),
        "SFEXPORT_ORG__KEY is a damaged PEM block",
        "copy the whole file again",
    );
    directory.assert_refusal(inline(" \n"), "SFEXPORT_ORG__KEY is empty", "sfexport keygen");
    directory.assert_refusal(
        inline("server.key"),
        "is not a private key",
        "set SFEXPORT_ORG__KEY_FILE to its path",
    );
}

#[test]
fn an_encrypted_key_loads_only_with_its_password() {
    needs!("openssl");
    let directory = Directory::new();
    directory.run(
        "openssl genrsa -des3 -passout pass:s3cret -out genrsa-des3.pem 2048
         openssl pkey -in genrsa-des3.pem -passin pass:s3cret -pubout -out genrsa-des3.pub",
    );
    let forms = [
        ("genrsa-aes256.pem", "openssl rsa -in a.pem -aes256"),
        ("genrsa-aes192.pem", "openssl rsa -in a.pem -aes192"),
        ("pkcs8-sha256.pem", "openssl pkcs8 -topk8 -in a.pem -v2 aes-128-cbc -v2prf hmacWithSHA256"),
        ("pkcs8-sha1.pem", "openssl pkcs8 -topk8 -in a.pem -v2 aes-256-cbc -v2prf hmacWithSHA1"),
        ("pkcs8-sha512.pem", "openssl pkcs8 -topk8 -in a.pem -v2 aes-256-cbc -v2prf hmacWithSHA512"),
        ("pkcs8-des3.pem", "openssl pkcs8 -topk8 -in a.pem -v2 des3 -v2prf hmacWithSHA1"),
        ("pkcs8-scrypt.pem", "openssl pkcs8 -topk8 -in a.pem -scrypt"),
        ("pkcs8.der", "openssl pkcs8 -topk8 -in a.pem -outform DER"),
        ("traditional-des3.pem", "openssl rsa -in a.pem -traditional -des3"),
        ("traditional-aes128.pem", "openssl rsa -in a.pem -traditional -aes128"),
        ("traditional-aes192.pem", "openssl rsa -in a.pem -traditional -aes192"),
        ("traditional-aes256.pem", "openssl rsa -in a.pem -traditional -aes256"),
    ];
    for (name, command) in forms {
        directory.run(&format!("{command} -passout pass:s3cret -out {name}"));
        directory.assert_loads(name, Some("s3cret"));
        directory.assert_refused(
            name,
            Some("s3cretz"),
            "the password does not open the key file",
            "openssl pkey -in ",
        );
        let hint = "set key_password_file to a file with the password, set SFEXPORT_ORG__KEY_PASSWORD, or remove the";
        directory.assert_refused(name, None, "is an encrypted private key, and no password is set", hint);
    }
    assert!(directory.read("traditional-des3.pem").contains("DEK-Info: DES-EDE3-CBC,"));
    assert!(directory.read("genrsa-des3.pem").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let key = directory.load("genrsa-des3.pem", Some("s3cret")).unwrap();
    directory.assert_signs(&key, "genrsa-des3.pub", "genrsa-des3");

    // Every 256th wrong password leaves a padding that looks right.
    for attempt in 0..600 {
        let wrong = directory.load("traditional-des3.pem", Some(&attempt.to_string())).unwrap_err();
        assert!(wrong.what.starts_with("the password does not open"), "{wrong}");
    }
}

#[test]
fn the_hint_for_a_weak_encryption_encrypts_the_key_again() {
    needs!("openssl", "openssl's legacy provider");
    let directory = Directory::new();
    let legacy = "-provider legacy -provider default -passout pass:s3cret";
    directory.run(&format!(
        "openssl pkcs8 -topk8 -in a.pem -v1 PBE-MD5-DES {legacy} -out md5.pem
         openssl rsa -in a.pem -traditional -des {legacy} -out des.pem"
    ));
    for (name, how) in [("md5.pem", "encryption: PBES1"), ("des.pem", "encryption: DES-CBC")] {
        let failure = directory.load(name, Some("s3cret")).unwrap_err();
        assert!(failure.what.contains(how), "{failure}");
        let hint = failure.hint.unwrap();
        let command = &hint[hint.find("openssl").unwrap()..];
        directory.run(&format!("{command} -passin pass:s3cret -passout pass:n3w"));
        directory.assert_loads("new.key", Some("n3w"));
    }
}

#[test]
fn pkcs12_bundles_of_new_and_old_openssl_load() {
    needs!("openssl", "openssl's legacy provider");
    let directory = Directory::new();
    let export = "openssl pkcs12 -export -inkey a.pem -in a.crt";
    for (name, options, password) in [
        ("modern.p12", "-name sf -passout pass:s3cret", "s3cret"),
        ("nameless.p12", "-passout pass:s3cret", "s3cret"),
        ("legacy.p12", "-name sf -legacy -passout pass:s3cret", "s3cret"),
        (
            "triple-des.pfx",
            "-name sf -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1 -passout pass:s3cret",
            "s3cret",
        ),
        ("sha512.p12", "-name sf -macalg sha512 -passout pass:s3cret", "s3cret"),
        ("clear.p12", "-name sf -keypbe NONE -certpbe NONE -passout pass:s3cret", "s3cret"),
        ("unchecked.p12", "-name sf -nomac -passout pass:s3cret", "s3cret"),
        ("umlaut.p12", "-name sf -passout pass:s3crét€", "s3crét€"),
        ("umlaut-legacy.p12", "-name sf -legacy -passout pass:s3crét€", "s3crét€"),
    ] {
        directory.run(&format!("{export} {options} -out {name}"));
        directory.assert_loads(name, Some(password));
        let hint = "openssl pkcs12 -in ";
        directory.assert_refused(name, Some("s3cretz"), "the password does not open the key file", hint);
        directory.assert_refused(name, None, "is a PKCS#12 bundle, and no password is set", hint);
    }
    directory.run(&format!("{export} -name sf -passout pass: -out empty.p12"));
    directory.assert_loads("empty.p12", None);

    let text = directory.run("base64 modern.p12");
    let key = load(&KeySource::Inline(SecretString::from(text)), Some("s3cret"), None).unwrap();
    directory.assert_signs(&key, "a.pub", "base64 of PKCS#12");

    directory.run("openssl pkcs12 -export -nokeys -in a.crt -passout pass:s3cret -out certificates.p12");
    directory.assert_refused(
        "certificates.p12",
        Some("s3cret"),
        "is a bundle without a private key",
        "export the bundle again",
    );
    directory.run("openssl pkcs12 -export -inkey a.pem -in a.crt -keypbe PBE-SHA1-RC4-128 -legacy -passout pass:s3cret -out rc4.p12");
    directory.assert_refused(
        "rc4.p12",
        Some("s3cret"),
        "cannot be read: its encryption is not supported",
        "-legacy -out plain.key",
    );
    directory.run("head -c 900 modern.p12 > cut.p12");
    directory.assert_refused(
        "cut.p12",
        Some("s3cret"),
        "is a damaged DER file: it is cut short",
        "copy the whole file again",
    );
}

#[test]
fn a_bundle_with_several_keys_requires_an_alias() {
    needs!("openssl", "keytool");
    let directory = Directory::new();
    for (kind, store) in [("PKCS12", "two.p12"), ("JKS", "two.jks")] {
        directory.run(&format!(
            "openssl pkcs12 -export -inkey a.pem -in a.crt -name SF-Prod -passout pass:s3cret -out one.p12
             keytool -importkeystore -srckeystore one.p12 -srcstoretype PKCS12 -srcstorepass s3cret \
                 -destkeystore {store} -deststoretype {kind} -deststorepass s3cret -destkeypass s3cret
             keytool -genkeypair -keyalg RSA -keysize 2048 -dname CN=other -alias other -keystore {store} \
                 -storetype {kind} -storepass s3cret -keypass s3cret
             keytool -importcert -noprompt -file a.crt -alias trusted -keystore {store} -storetype {kind} \
                 -storepass s3cret
             rm one.p12"
        ));
        let several = directory.load(store, Some("s3cret"));
        directory.assert_refusal(
            several,
            "contains 2 private keys: ",
            "set key_alias or SFEXPORT_ORG__KEY_ALIAS to one of them",
        );
        let named = directory.load(store, Some("s3cret")).unwrap_err().what;
        assert!(
            named.contains("other") && named.contains("sf-prod") && !named.contains("trusted"),
            "{named}"
        );
        // Java folds an alias's case, and so its users do not know which one it has.
        for alias in ["sf-prod", "SF-Prod"] {
            let key = directory.load_entry(store, Some("s3cret"), Some(alias)).unwrap();
            directory.assert_signs(&key, "a.pub", store);
        }
        let other = directory.load_entry(store, Some("s3cret"), Some("other")).unwrap();
        assert_ne!(other.public_key_pem(), directory.read("a.pub"));
        let unknown = directory.load_entry(store, Some("s3cret"), Some("production"));
        directory.assert_refusal(unknown, "has no private key with the alias \"production\"", "sf-prod");
        let certificate = directory.load_entry(store, Some("s3cret"), Some("trusted"));
        directory.assert_refusal(certificate, "has no private key with the alias \"trusted\"", "other");
    }
}

const GENERATE: &str = "keytool -genkeypair -keyalg RSA -keysize 2048 -dname CN=sf -alias sf";

/// The public key of the entry `sf`, as `sf.pub`.
fn public_key_of(directory: &Directory, store: &str, kind: &str) {
    directory.run(&format!(
        "keytool -exportcert -rfc -alias sf -keystore {store} -storetype {kind} -storepass s3cret > sf.crt
         openssl x509 -in sf.crt -noout -pubkey > sf.pub"
    ));
}

#[test]
fn keystores_written_by_keytool_load() {
    needs!("openssl", "keytool");
    let directory = Directory::new();
    for (store, kind, java) in [
        ("default.jks", "PKCS12", ""),
        ("store.jks", "JKS", ""),
        ("before-java-16.p12", "PKCS12", "-J-Dkeystore.pkcs12.legacy"),
    ] {
        let passwords = "-storepass s3cret -keypass s3cret";
        directory.run(&format!("{GENERATE} {java} -keystore {store} -storetype {kind} {passwords}"));
        public_key_of(&directory, store, kind);
        for alias in [None, Some("sf")] {
            let key = directory.load_entry(store, Some("s3cret"), alias).unwrap();
            directory.assert_signs(&key, "sf.pub", store);
        }
        directory.assert_refused(store, Some("s3cretz"), "the password does not open the key file", "");
        directory.assert_refused(store, None, "and no password is set", "set key_password_file");
    }
    directory.assert_refused("store.jks", None, "is a Java keystore", "keytool -importkeystore");

    let whole = fs::read(directory.path("store.jks")).unwrap();
    let damaged = "is a damaged Java keystore: it is cut short";
    for length in [4, 12, 20, 100, whole.len() / 2, whole.len() - 1] {
        directory.write("cut.jks", &whole[..length]);
        directory.assert_refused("cut.jks", Some("s3cret"), damaged, "copy the whole file again");
    }
}

#[test]
fn a_keystore_and_its_entry_may_have_different_passwords() {
    needs!("openssl", "keytool");
    let directory = Directory::new();
    directory
        .run(&format!("{GENERATE} -keystore own.jks -storetype JKS -storepass s3cret -keypass 0ther-s3cret"));
    public_key_of(&directory, "own.jks", "JKS");
    let key = directory.load("own.jks", Some("0ther-s3cret")).unwrap();
    directory.assert_signs(&key, "sf.pub", "an entry with its own password");
    directory.assert_refused(
        "own.jks",
        Some("s3cret"),
        "but not its entry \"sf\"",
        "keytool -keypasswd -keystore ",
    );

    // Java reads its arguments in the locale's encoding.
    if directory.run("LC_ALL=C.UTF-8 locale charmap").trim() == "UTF-8" {
        let passwords = "-storepass 's3crét€' -keypass 's3crét€'";
        directory.run(&format!("LC_ALL=C.UTF-8 {GENERATE} -keystore umlaut.jks -storetype JKS {passwords}"));
        assert!(directory.load("umlaut.jks", Some("s3crét€")).is_ok());
    }
}

#[test]
fn a_keystore_without_a_usable_key_is_named() {
    needs!("openssl", "keytool");
    let directory = Directory::new();
    directory.run(
        "keytool -importcert -noprompt -file a.crt -alias trusted -keystore trust.jks -storetype JKS \
             -storepass s3cret",
    );
    directory.assert_refused("trust.jks", Some("s3cret"), "without a private key (it contains trusted)", "");

    directory
        .run(&format!("{GENERATE} -keystore store.jceks -storetype JCEKS -storepass s3cret -keypass s3cret"));
    directory.assert_refused("store.jceks", Some("s3cret"), "is a JCEKS keystore", "-srcstoretype JCEKS");
    public_key_of(&directory, "store.jceks", "JCEKS");
    let hint = directory.load("store.jceks", None).unwrap_err().hint.unwrap();
    let command = &hint[hint.find("keytool").unwrap()..];
    directory.run(&format!("{command} -srcstorepass s3cret -deststorepass s3cret"));
    let key = directory.load("new.p12", Some("s3cret")).unwrap();
    directory.assert_signs(&key, "sf.pub", "the hint for JCEKS");
}

#[test]
fn anything_but_an_rsa_private_key_is_named() {
    needs!("openssl");
    let directory = Directory::new();
    directory.run(
        "openssl x509 -in a.crt -outform DER -out certificate.der
         openssl x509 -in a.crt -text > certificate-text.pem
         openssl pkey -in a.pem -pubout -outform DER -out public.der
         openssl rsa -in a.pem -RSAPublicKey_out -out public-pkcs1.pem
         openssl rsa -in a.pem -RSAPublicKey_out -outform DER -out public-pkcs1.der
         openssl req -new -key a.pem -subj /CN=sf -out request.pem
         openssl req -new -key a.pem -subj /CN=sf -outform DER -out request.der
         openssl crl2pkcs7 -nocrl -certfile a.crt -out chain.p7b
         openssl crl2pkcs7 -nocrl -certfile a.crt -outform DER -out chain.der
         openssl ecparam -genkey -name prime256v1 -out ec.pem
         openssl pkcs8 -topk8 -nocrypt -in ec.pem -out ec-pkcs8.pem
         openssl pkcs8 -topk8 -in ec.pem -passout pass:s3cret -out ec-encrypted.pem
         openssl ec -in ec.pem -outform DER -out ec.der
         openssl genpkey -algorithm ed25519 -out ed25519.pem
         openssl dsaparam -genkey -out dsa.pem 1024
         openssl pkey -in dsa.pem -traditional -outform DER -out dsa.der
         openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss.pem
         openssl genrsa -out short.pem 1024
         openssl genrsa -out short-2047.pem 2047
         cat a.pem ec-pkcs8.pem > two.pem
         sed 5d a.pem > line-lost.pem
         sed '5s/./!/' a.pem > altered.pem
         head -c 1000 a.pem > cut.pem
         openssl pkcs8 -in a.pem -topk8 -nocrypt -outform DER | head -c 600 > cut.der
         head -c 3000 /dev/urandom > noise
         printf '%s\n' '-----BEGIN X509 CRL-----' MAA= '-----END X509 CRL-----' > crl.pem
         echo hello > hello
         : > empty
         printf ' \\n\\n' > blank",
    );
    let certificate = ("is a certificate, not a private key", "openssl x509 -in ");
    let public = ("is a public key, not a private key", "set key_file to its private key");
    let request = ("is a certificate signing request", "set key_file to the private key");
    let chain = ("is a PKCS#7 bundle of certificates", "set key_file to the private key");
    let curves =
        ("is a private key for elliptic curves, and Salesforce accepts only RSA keys", "sfexport keygen");
    let damaged = ("is a damaged ", "copy the whole file again");
    let unknown = ("contains no private key in PEM, DER, PKCS#12 or JKS", "set key_file to the private key");
    let text = ("is text without a `-----BEGIN` line, not a private key", "set key_file to the private key");
    let empty = ("is empty", "sfexport keygen");
    let short = "Salesforce requires at least 2048";
    for (name, (what, hint)) in [
        ("a.crt", certificate),
        ("certificate.der", certificate),
        ("certificate-text.pem", certificate),
        ("a.pub", public),
        ("public.der", public),
        ("public-pkcs1.pem", public),
        ("public-pkcs1.der", public),
        ("request.pem", request),
        ("request.der", request),
        ("chain.p7b", chain),
        ("chain.der", chain),
        ("ec.pem", curves),
        ("ec-pkcs8.pem", curves),
        ("ec-encrypted.pem", curves),
        ("ec.der", curves),
        ("ed25519.pem", ("is a private key for Ed25519", "sfexport keygen")),
        ("dsa.pem", ("is a private key for DSA", "sfexport keygen")),
        ("dsa.der", ("is a private key for DSA", "sfexport keygen")),
        ("pss.pem", ("is a private key for RSA-PSS", "sfexport keygen")),
        ("short.pem", (short, "sfexport keygen")),
        ("short-2047.pem", (short, "sfexport keygen")),
        ("two.pem", ("contains 2 private keys", "keep only the private key")),
        ("line-lost.pem", damaged),
        ("altered.pem", damaged),
        ("cut.pem", damaged),
        ("cut.der", damaged),
        ("crl.pem", ("contains no private key, only X509 CRL", "sfexport keygen")),
        ("noise", unknown),
        ("hello", text),
        ("empty", empty),
        ("blank", empty),
    ] {
        let name: &str = name;
        directory.assert_refused(name, Some("s3cret"), what, hint);
        directory.assert_refused(
            name,
            Some("s3cret"),
            &format!("the key file {}", directory.path(name).display()),
            "",
        );
    }
    let bits = directory.load("short.pem", None).unwrap_err().what;
    assert!(bits.contains("an RSA key of 1024 bits"), "{bits}");
}

#[test]
fn an_inconsistent_key_is_refused_before_salesforce_sees_it() {
    needs!("openssl");
    let directory = Directory::new();
    directory.run("openssl rsa -in a.pem -traditional -outform DER -out a.der");
    let der = fs::read(directory.path("a.der")).unwrap();
    // One bit in each of the nine numbers, by their places in the structure of a 2048-bit key.
    for at in [100, 400, 600, 700, 850, 960, 1100] {
        let mut altered = der.clone();
        altered[at] ^= 1;
        directory.write("altered.der", altered);
        directory.assert_refused("altered.der", None, "is an inconsistent RSA key", "openssl pkey -in ");
    }
}

#[test]
fn the_hint_for_an_openssh_key_converts_it() {
    needs!("openssl", "ssh-keygen");
    let directory = Directory::new();
    directory.run(
        "ssh-keygen -q -t rsa -b 2048 -N '' -f 'my key'
         ssh-keygen -q -t rsa -b 2048 -N s3cret -f encrypted
         ssh-keygen -q -t ed25519 -N '' -f ed25519
         printf 'PuTTY-User-Key-File-3: ssh-rsa\\nEncryption: none\\n' > key.ppk",
    );
    directory.assert_refused(
        "my key",
        None,
        "is an RSA key in OpenSSH's own format",
        "ssh-keygen -p -N '' -m PEM",
    );
    directory.assert_refused("encrypted", None, "is an RSA key in OpenSSH's own format", "ssh-keygen -p");
    directory.assert_refused("ed25519", None, "is an OpenSSH key for another algorithm", "sfexport keygen");
    directory.assert_refused("my key.pub", None, "is a public key", "set key_file to its private key");
    directory.assert_refused("key.ppk", None, "is a PuTTY key", "puttygen ");
    let hint = directory.load("my key", None).unwrap_err().hint.unwrap();
    let command = &hint[hint.find("cp -p ").unwrap()..];
    directory.run(&format!("{command} && ssh-keygen -e -m PKCS8 -f 'my key' > ssh.pub"));
    let key = directory.load("new.key", None).unwrap();
    directory.assert_signs(&key, "ssh.pub", "the hint for OpenSSH");
}

#[test]
fn the_hint_for_a_key_that_everybody_can_read_protects_it() {
    needs!("openssl");
    let directory = Directory::new();
    let key = directory.path("a.pem");
    for mode in [0o600, 0o400, 0o440, 0o640, 0o660, 0o750, 0o602] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        directory.assert_loads("a.pem", None);
    }
    for mode in [0o644, 0o604, 0o444, 0o777] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let what = format!("(mode {mode:04o})");
        directory.assert_refused("a.pem", None, &what, "chmod o-r ");
        let hint = directory.load("a.pem", None).unwrap_err().hint.unwrap();
        directory.run(hint[hint.find("chmod").unwrap()..].split(" (").next().unwrap());
        directory.assert_loads("a.pem", None);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, mode & !0o004);
    }
    // A mounted secret is a link, whose own mode says nothing.
    symlink("a.pem", directory.path("link")).unwrap();
    directory.assert_loads("link", None);
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    directory.assert_refused("link", None, "every user of this machine can read", "chmod o-r ");
}

#[test]
fn a_public_file_without_a_private_key_is_named() {
    needs!("openssl");
    let directory = Directory::new();
    directory.write("sfexport.toml", "[org]\nclient_id = \"3MVG9\"\n");
    directory.write("empty", "");
    directory.run(
        "openssl rsa -in a.pem -aes256 -passout pass:s3cret -out encrypted.pem
         openssl ecparam -genkey -name prime256v1 -out ec.pem
         cat a.crt a.pem > both.pem
         head -c 1000 a.pem > cut.pem
         chmod 644 a.crt a.pub sfexport.toml empty encrypted.pem ec.pem both.pem cut.pem",
    );
    directory.assert_refused("a.crt", None, "is a certificate, not a private key", "openssl x509 -in ");
    directory.assert_refused("a.pub", None, "is a public key, not a private key", "openssl pkey ");
    directory.assert_refused(
        "sfexport.toml",
        None,
        "is text without a `-----BEGIN` line",
        "set key_file to the private key",
    );
    directory.assert_refused("empty", None, "is empty", "sfexport keygen");
    // A key is to be hidden before anything else is said of it: also one that is locked, of another kind, or cut.
    for name in ["encrypted.pem", "ec.pem", "both.pem", "cut.pem"] {
        directory.assert_refused(name, Some("s3cret"), "every user of this machine can read", "chmod o-r ");
    }
    let hint = directory.load("both.pem", None).unwrap_err().hint.unwrap();
    let path = directory.path("both.pem");
    assert_eq!(hint, format!("run: chmod o-r {} (for a mounted secret, see docs/docker.md)", path.display()));
}

#[test]
fn an_unreadable_key_file_is_named_with_the_reason() {
    needs!("openssl");
    if skip::repeated_without_roots_rights() {
        return;
    }
    let directory = Directory::new();
    directory.run("mkdir directory; mkfifo pipe; head -c 3000000 /dev/zero > large; head -c 1048576 /dev/zero > not-large; ln -s nowhere dangling");
    directory.assert_refused("missing.key", None, "does not exist", "sfexport keygen");
    directory.assert_refused("dangling", None, "does not exist", "sfexport keygen");
    directory.assert_refused("a.pem/under", None, "does not exist", "sfexport keygen");
    directory.assert_refused("directory", None, "is a directory", "correct key_file");
    directory.assert_refused("pipe", None, "is not a regular file", "correct key_file");
    directory.assert_refused("large", None, "is too large (3 MB)", "correct key_file");
    directory.assert_refused("not-large", None, "contains no private key", "set key_file");
    let denied = directory.write("denied", directory.read("a.pem"));
    fs::set_permissions(&denied, Permissions::from_mode(0o000)).unwrap();
    assert!(fs::read(&denied).is_err(), "nothing is denied here");
    directory.assert_refused("denied", None, "cannot be read by this user", "chmod 600 ");
    fs::set_permissions(directory.path("directory"), Permissions::from_mode(0o000)).unwrap();
    directory.assert_refused("directory/key", None, "cannot be reached by this user", "change its owner");
    fs::set_permissions(directory.path("directory"), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_password_file_needs_the_same_protection_as_a_key() {
    needs!("openssl");
    let directory = Directory::new();
    directory.run("openssl rsa -in a.pem -aes256 -passout 'pass:s3cret with spaces ' -out encrypted.pem");
    let key = KeySource::File(directory.path("encrypted.pem"));
    let with = |name: &str| key::read(&key, Some(&PasswordSource::File(directory.path(name))), None);
    for content in [
        "s3cret with spaces ",
        "s3cret with spaces \n",
        "s3cret with spaces \r\n",
        "s3cret with spaces \nmore\n",
    ] {
        directory.write("password", content);
        directory.assert_signs(&with("password").unwrap(), "a.pub", content);
    }
    fs::set_permissions(directory.path("password"), Permissions::from_mode(0o644)).unwrap();
    directory.assert_refusal(with("password"), "the password file ", "chmod o-r ");
    directory.write("empty", "\ns3cret with spaces \n");
    directory.assert_refusal(with("empty"), "is empty", "write the key's password there");
    directory.write("latin1", b"s3cr\xe9t\n");
    directory.assert_refusal(with("latin1"), "is not UTF-8 text", "UTF-8");
    directory.assert_refusal(with("missing"), "does not exist", "set key_password_file");
    directory.assert_refusal(with("."), "is a directory", "key_password_file");
}

#[test]
fn printing_a_signing_key_reveals_nothing() {
    needs!("openssl");
    let directory = Directory::new();
    let key = directory.load("a.pem", None).unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey { bits: 2048, .. }");
}

fn request() -> KeyRequest {
    KeyRequest {
        bits: KeyBits::Rsa2048,
        subject: "CN=sfexport.example.com,O=Müller & Co,C=de".parse().unwrap(),
        days: 365,
        not_before: "2026-11-22T02:00:00.75Z".parse().unwrap(),
    }
}

#[test]
fn openssl_accepts_a_new_key_and_its_certificate() {
    needs!("openssl");
    let directory = Directory::new();
    let made = key::generate(&request()).unwrap();
    let (key_file, certificate) = (directory.path("new.key"), directory.path("new.crt"));
    key::write_new(&made, &key_file, &certificate).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&key_file), 0o600);
    assert_eq!(mode(&certificate) & 0o644, mode(&certificate));

    directory.run("openssl pkey -in new.key -check -noout; openssl pkey -in new.key -pubout -out new.pub");
    directory.run("openssl verify -CAfile new.crt new.crt");
    let x509 = |what: &str| directory.run(&format!("openssl x509 -in new.crt -noout {what}"));
    assert_eq!(x509("-pubkey"), directory.read("new.pub"));
    assert_eq!(
        x509("-subject -nameopt RFC2253,utf8,-esc_msb"),
        "subject=C=DE,O=Müller & Co,CN=sfexport.example.com\n"
    );
    assert_eq!(x509("-startdate"), "notBefore=Nov 22 02:00:00 2026 GMT\n");
    assert_eq!(x509("-enddate"), "notAfter=Nov 22 02:00:00 2027 GMT\n");
    assert_eq!(made.not_after, "2027-11-22T02:00:00Z".parse::<Timestamp>().unwrap());
    assert_eq!(x509("-fingerprint -sha256"), format!("sha256 Fingerprint={}\n", made.sha256));
    assert_eq!(x509("-fingerprint -sha1"), format!("sha1 Fingerprint={}\n", made.sha1));
    assert!(x509("-text").contains("Signature Algorithm: sha256WithRSAEncryption"));

    let key = directory.load("new.key", None).unwrap();
    directory.assert_signs(&key, "new.pub", "a new key");
    assert!(Certificate::read(&certificate).unwrap().matches(&key));
    assert!(!format!("{made:?}").contains("PRIVATE"), "a secret is printed");
}

#[test]
fn new_keys_have_the_requested_length_and_differ() {
    needs!("openssl");
    let directory = Directory::new();
    let make =
        |bits: u32| key::generate(&KeyRequest { bits: KeyBits::of(bits).unwrap(), ..request() }).unwrap();
    for bits in [2048, 3072] {
        directory.write("new.key", make(bits).key_pem.expose_secret());
        assert!(directory.run("openssl pkey -in new.key -noout -text").contains(&format!("({bits} bit")));
    }
    assert_ne!(make(2048).key_pem.expose_secret(), make(2048).key_pem.expose_secret());
    assert_eq!(KeyBits::of(1024), None);
}

#[test]
fn a_new_key_overwrites_no_file_and_leaves_no_partial_one() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let made = key::generate(&request()).unwrap();
    fs::write(at("old"), "kept").unwrap();
    symlink("nowhere", at("link")).unwrap();
    for (key, certificate) in
        [("old", "new.crt"), ("new.key", "old"), ("link", "new.crt"), ("new.key", "link")]
    {
        let failure = key::write_new(&made, &at(key), &at(certificate)).unwrap_err();
        assert_eq!(failure.exit, Exit::Output);
        assert!(failure.what.contains("never overwritten"), "{failure}");
        assert!(!at("new.key").exists() && !at("new.crt").exists() && !at("nowhere").exists());
    }
    let failure = key::write_new(&made, &at("new.key"), &at("no/directory.crt")).unwrap_err();
    assert!(failure.what.contains("its directory does not exist"), "{failure}");
    assert!(failure.hint.unwrap().starts_with("create it: mkdir -p "));
    assert!(!at("new.key").exists());
    assert_eq!(fs::read_to_string(at("old")).unwrap(), "kept");
}

#[test]
fn an_invalid_request_for_a_key_is_refused() {
    for days in [0, 7301, u32::MAX] {
        assert_eq!(key::generate(&KeyRequest { days, ..request() }).unwrap_err().exit, Exit::Usage);
    }
    let subject = |text: &str| text.parse::<Subject>();
    assert_eq!(subject("/CN=a/O=b").unwrap(), subject("CN = a , O=b").unwrap());
    assert_eq!(subject("sfexport nightly").unwrap(), subject("CN=sfexport nightly").unwrap());
    for (text, why) in [
        ("", "is empty"),
        ("CN=", "field CN is empty"),
        ("CN=a,Inc.", "\"Inc.\" in the subject has no `=`"),
        ("X=a", "\"X\" is not a field of the subject"),
        ("C=Germany", "two letters"),
        (&format!("CN={}", "a".repeat(65)), "more than 64 characters"),
    ] {
        let error = subject(text).unwrap_err();
        assert!(error.contains(why), "{error:?} lacks {why:?}");
    }
}

#[test]
fn a_certificate_has_an_expiry_date_and_a_key() {
    needs!("openssl");
    let directory = Directory::new();
    directory.run(
        "openssl x509 -in a.crt -outform DER -out a.der
         openssl x509 -in a.crt -text > text.crt
         cat a.pem a.crt > both.pem
         openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -subj /CN=other -days 12000 -out other.crt
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ec.key -subj /CN=ec -out ec.crt
         head -c 500 a.der > cut.der
         mkdir directory",
    );
    let key = directory.load("a.pem", None).unwrap();
    for (name, matches) in [
        ("a.crt", true),
        ("a.der", true),
        ("text.crt", true),
        ("both.pem", true),
        ("other.crt", false),
        ("ec.crt", false),
    ] {
        let certificate = Certificate::read(&directory.path(name)).unwrap();
        assert_eq!(certificate.matches(&key), matches, "{name}");
        let form = if name == "a.der" { "DER" } else { "PEM" };
        let dates =
            directory.run(&format!("openssl x509 -inform {form} -in {name} -noout -dates -dateopt iso_8601"));
        let told: Vec<Timestamp> =
            dates.lines().map(|line| line.split_once('=').unwrap().1.parse().unwrap()).collect();
        assert_eq!([certificate.begin, certificate.end], told[..], "{name}");
        assert_eq!(key::certificate_end(&directory.path(name)).unwrap(), certificate.end);
    }
    for (name, what) in [
        ("missing.crt", "does not exist"),
        ("directory", "is a directory"),
        ("a.pem", "contains no X.509 certificate"),
        ("cut.der", "contains no X.509 certificate"),
    ] {
        let failure = key::certificate_end(&directory.path(name)).unwrap_err();
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(
            failure.what.starts_with("the certificate file ") && failure.what.contains(what),
            "{failure}"
        );
        assert!(failure.hint.unwrap().contains("cert_file"));
    }
    // A certificate is public: its mode does not matter.
    fs::set_permissions(directory.path("a.crt"), Permissions::from_mode(0o644)).unwrap();
    assert!(key::certificate_end(&directory.path("a.crt")).is_ok());
}
