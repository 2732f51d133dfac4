//! Certificates and private keys in PEM files, for both ends of a TLS connection.
//!
//! Every error names the property, the file and the reason. Whom to trust is not decided here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::time::SystemTime;

use eventflux_core::{EventFluxError, Properties};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::properties::{TLS_CERT, TLS_KEY};

/// Largest PEM file, bytes. The usual bundle of all public authorities has about 250 KiB.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A file, and the property that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PemFile {
    property: &'static str,
    path: String,
}

/// Where a certificate and its private key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityFiles {
    pub(super) certificate: PemFile,
    pub(super) key: PemFile,
}

/// A certificate that can be shown and proven.
pub(super) struct Identity {
    /// The certificate first, then those that signed it, each by the next. Never empty.
    pub(super) chain: Vec<X509>,
    /// The private key that fits the certificate.
    pub(super) key: PKey<Private>,
}

/// What tells a file from its next version: time of the last change and size in bytes; `None` when there is no file.
pub(super) type Stamp = Option<(SystemTime, u64)>;

impl IdentityFiles {
    /// `None` when neither certificate nor key is given.
    ///
    /// # Errors
    /// When one is given without the other.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Option<Self>, EventFluxError> {
        let (cert, key) = (TLS_CERT.key, TLS_KEY.key);
        match (PemFile::from_properties(properties, cert), PemFile::from_properties(properties, key)) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(EventFluxError::property(key, format!("is needed with {cert}"))),
            (None, Some(_)) => Err(EventFluxError::property(cert, format!("is needed with {key}"))),
        }
    }

    /// # Errors
    /// [`EventFluxError::Configuration`] that names property, file and reason.
    pub(super) fn read(&self) -> Result<Identity, EventFluxError> {
        let chain = self.certificate.certificates()?;
        let key = self.key.private_key()?;
        let fits = |certificate: &X509| certificate.public_key().is_ok_and(|public| public.public_eq(&key));
        let certificate = &self.certificate.path;
        match chain.iter().position(fits) {
            Some(0) => Ok(Identity { chain, key }),
            Some(_) => Err(self
                .certificate
                .error("begins with a certificate of somebody else")
                .with_hint("put the certificate of the private key first, then those that signed it")),
            None => {
                Err(self.key.error(&format!("holds a private key that does not fit the certificate '{certificate}'")))
            }
        }
    }
}

impl PemFile {
    /// The file that `property` names; `None` when none is given.
    pub(super) fn from_properties(properties: &Properties, property: &'static str) -> Option<Self> {
        properties.optional_text(property).map(|path| Self { property, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub(super) fn certificates(&self) -> Result<Vec<X509>, EventFluxError> {
        let certificates = X509::stack_from_pem(&self.read()?)
            .map_err(|error| self.error(&format!("holds a certificate that cannot be read: {}", reasons(&error))))?;
        if certificates.is_empty() {
            let hint = "the file must have a block that begins with '-----BEGIN CERTIFICATE-----'";
            return Err(self.error("holds no PEM certificate").with_hint(hint));
        }
        Ok(certificates)
    }

    /// What to compare to see whether the file was changed. Take it before the file is read: a change while it is read
    /// then shows as a change.
    pub(super) fn stamp(&self) -> Stamp {
        let metadata = fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    fn private_key(&self) -> Result<PKey<Private>, EventFluxError> {
        let pem = self.read()?;
        let has = |marker: &str| pem.windows(marker.len()).any(|window| window == marker.as_bytes());
        if !has("PRIVATE KEY-----") {
            let hint = "the file must have a block that begins with '-----BEGIN PRIVATE KEY-----'";
            return Err(self.error("holds no PEM private key").with_hint(hint));
        }
        // The marks of an encrypted key in PKCS #8 and in the older formats.
        if has("BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") {
            let hint = "there is no place for a passphrase; decrypt it with `openssl pkey -in KEY -out NEW_KEY`, and let \
                        nobody else read the new file";
            return Err(self.error("holds an encrypted private key").with_hint(hint));
        }
        // With a passphrase, though none is needed: without one OpenSSL would ask for it on the terminal.
        PKey::private_key_from_pem_passphrase(&pem, b"")
            .map_err(|error| self.error(&format!("holds a private key that cannot be read: {}", reasons(&error))))
    }

    fn read(&self) -> Result<Vec<u8>, EventFluxError> {
        let read = || -> io::Result<Vec<u8>> {
            let mut content = Vec::new();
            File::open(&self.path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
            Ok(content)
        };
        let content = read().map_err(|error| self.error(&format!("cannot be read: {error}")))?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(self.error(&format!("has more than {MAX_FILE_BYTES} bytes")));
        }
        Ok(content)
    }

    pub(super) fn error(&self, reason: &str) -> EventFluxError {
        EventFluxError::property(self.property, format!("'{}' {reason}", self.path))
    }
}

/// What OpenSSL has to say, without the places in its source.
pub(super) fn reasons(stack: &ErrorStack) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for reason in stack.errors().iter().filter_map(|error| error.reason()) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() { "OpenSSL gives no reason".to_owned() } else { reasons.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use eventflux_testkit::tls::TestCertificates;
    use openssl::symm::Cipher;

    use super::*;

    fn files(certificate: &Path, key: &Path) -> IdentityFiles {
        let file = |property, path: &Path| PemFile { property, path: path.to_str().unwrap().to_owned() };
        IdentityFiles { certificate: file(TLS_CERT.key, certificate), key: file(TLS_KEY.key, key) }
    }

    fn refusal(files: &IdentityFiles) -> String {
        files.read().err().unwrap().to_string()
    }

    fn pkey(certificates: &TestCertificates) -> PKey<Private> {
        PKey::private_key_from_pem(certificates.server_key_pem().as_bytes()).unwrap()
    }

    #[test]
    fn a_key_may_be_pkcs8_or_of_its_algorithms_own_format() {
        let certificates = TestCertificates::valid();
        let directory = tempfile::tempdir().unwrap();
        let own_format = directory.path().join("ec.pem");
        let pem = pkey(&certificates).ec_key().unwrap().private_key_to_pem().unwrap();
        assert!(pem.starts_with(b"-----BEGIN EC PRIVATE KEY-----"));
        fs::write(&own_format, pem).unwrap();
        for key in [certificates.server_key_file(), own_format] {
            assert_eq!(files(&certificates.server_file(), &key).read().unwrap().chain.len(), 1);
        }
    }

    #[test]
    fn an_encrypted_key_is_refused_without_asking_for_a_passphrase() {
        let certificates = TestCertificates::valid();
        let directory = tempfile::tempdir().unwrap();
        let key = pkey(&certificates);
        let cipher = Cipher::aes_128_cbc();
        let pkcs8 = key.private_key_to_pem_pkcs8_passphrase(cipher, b"hunter2").unwrap();
        let older = key.ec_key().unwrap().private_key_to_pem_passphrase(cipher, b"hunter2").unwrap();
        for pem in [pkcs8, older] {
            let path = directory.path().join("key.pem");
            fs::write(&path, pem).unwrap();
            let error = refusal(&files(&certificates.server_file(), &path));
            assert!(error.contains("encrypted") && error.contains("openssl pkey"), "{error}");
        }
    }

    #[test]
    fn each_unusable_file_is_named_with_property_and_reason() {
        let (certificates, others) = (TestCertificates::valid(), TestCertificates::valid());
        let (cert, key) = (certificates.server_file(), certificates.server_key_file());
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let missing = directory.path().join("missing.pem");
        let broken = |kind| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
        let broken_key = write("broken-key.pem", &broken("PRIVATE KEY"));
        let broken_cert = write("broken.pem", &broken("CERTIFICATE"));
        let reversed = write("reversed.pem", &format!("{}{}", certificates.ca_pem(), certificates.server_pem()));
        for (certificate, private, property, reason) in [
            (&missing, &key, TLS_CERT.key, "cannot be read: No such file"),
            (&key, &key, TLS_CERT.key, "holds no PEM certificate"),
            (&broken_cert, &key, TLS_CERT.key, "certificate that cannot be read: "),
            (&reversed, &key, TLS_CERT.key, "begins with a certificate of somebody else"),
            (&cert, &missing, TLS_KEY.key, "cannot be read: No such file"),
            (&cert, &cert, TLS_KEY.key, "holds no PEM private key"),
            (&cert, &broken_key, TLS_KEY.key, "private key that cannot be read: "),
            (&cert, &others.server_key_file(), TLS_KEY.key, "does not fit the certificate"),
        ] {
            let error = refusal(&files(certificate, private));
            assert!(error.starts_with(&format!("property '{property}': '/")) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        let certificates = TestCertificates::valid();
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large.pem");
        fs::write(&large, vec![b'\n'; MAX_FILE_BYTES as usize + 1]).unwrap();
        let error = refusal(&files(&large, &certificates.server_key_file()));
        assert!(error.contains("has more than 4194304 bytes"), "{error}");
    }
}
