//! Keys that sign tokens in tests; made anew in each run.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};
use serde_json::{Value, json};

/// Signs tokens.
#[derive(Clone)]
pub(super) enum Signer {
    Secret(Vec<u8>),
    Pem(PKey<Private>),
}

/// A new key of that many bits.
pub(super) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

impl Signer {
    /// The same key each time: making one takes long.
    pub(super) fn rsa() -> Self {
        static KEY: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));
        Self::Pem(KEY.clone())
    }

    pub(super) fn p256() -> Self {
        Self::ec(Nid::X9_62_PRIME256V1)
    }

    pub(super) fn p384() -> Self {
        Self::ec(Nid::SECP384R1)
    }

    pub(super) fn ed25519() -> Self {
        Self::Pem(PKey::generate_ed25519().unwrap())
    }

    fn ec(curve: Nid) -> Self {
        let group = EcGroup::from_curve_name(curve).unwrap();
        Self::Pem(PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
    }

    fn key(&self) -> &PKey<Private> {
        match self {
            Self::Pem(key) => key,
            Self::Secret(_) => panic!("a secret has no public key"),
        }
    }

    pub(super) fn public_pem(&self) -> String {
        String::from_utf8(self.key().public_key_to_pem().unwrap()).unwrap()
    }

    pub(super) fn public_pkcs1_pem(&self) -> String {
        String::from_utf8(self.key().rsa().unwrap().public_key_to_pem_pkcs1().unwrap()).unwrap()
    }

    pub(super) fn private_pem(&self) -> String {
        String::from_utf8(self.key().private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    pub(super) fn certificate_pem(&self) -> String {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "issuer").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(self.key()).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.sign(self.key(), MessageDigest::sha256()).unwrap();
        String::from_utf8(builder.build().to_pem().unwrap()).unwrap()
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = self.key();
        if let Ok(rsa) = key.rsa() {
            return json!({"kty": "RSA", "kid": kid, "n": encode(&rsa.n().to_vec()), "e": encode(&rsa.e().to_vec())});
        }
        let Ok(ec) = key.ec_key() else {
            return json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(&key.raw_public_key().unwrap())});
        };
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
        let point = ec.public_key().to_bytes(ec.group(), form, &mut context).unwrap();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let curve = if x.len() == 32 { "P-256" } else { "P-384" };
        json!({"kty": "EC", "crv": curve, "kid": kid, "x": encode(x), "y": encode(y), "use": "sig"})
    }

    /// A token with exactly this header and these claims.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let algorithm: Algorithm = serde_json::from_value(header["alg"].clone()).unwrap();
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding_key(), algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn encoding_key(&self) -> EncodingKey {
        match self {
            Self::Secret(bytes) => EncodingKey::from_secret(bytes),
            Self::Pem(_) => {
                let pem = self.private_pem();
                let kinds = [EncodingKey::from_ed_pem, EncodingKey::from_ec_pem, EncodingKey::from_rsa_pem];
                kinds.iter().find_map(|read| read(pem.as_bytes()).ok()).unwrap()
            }
        }
    }
}
