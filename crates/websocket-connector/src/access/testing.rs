//! What several tests of this module need.

use std::net::{IpAddr, TcpListener};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventflux_core::{EventFluxError, Properties, PropertyKind, PropertySpec, Secret};
use eventflux_websocket_wire::handshake::UpgradeRequest;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcKey, PointConversionForm};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use openssl::x509::extension::SubjectAlternativeName;
use serde_json::{Value, json};

use super::AccessConfig;
use crate::properties::access::*;

pub(super) const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

const SPECS: &[PropertySpec] = &[
    PropertySpec::new("websocket.mode", PropertyKind::Text, "Role.").default("server"),
    AUTH,
    TOKENS,
    TOKENS_FILE,
    USERS,
    USERS_FILE,
    JWT_SECRET,
    JWT_KEY,
    JWT_KEY_FILE,
    JWKS_URL,
    JWKS_REFRESH,
    JWT_ALGORITHMS,
    JWT_AUDIENCE,
    JWT_ISSUER,
    JWT_LEEWAY,
    JWT_USER_CLAIM,
    JWT_CHANNELS_CLAIM,
    JWT_EXPIRY_REQUIRED,
    HTTP_URL,
    HTTP_TIMEOUT,
    HTTP_CACHE,
    HTTP_SUBSCRIBE_URL,
    QUERY,
    MESSAGE_TIMEOUT,
    ATTEMPTS,
    GRANTS_SUBSCRIBE,
    GRANTS_PUBLISH,
];

pub(super) fn properties(raw: &[(&str, &str)]) -> Result<Properties, EventFluxError> {
    Properties::from_pairs(SPECS, raw.iter().copied())
}

pub(super) fn config(raw: &[(&str, &str)]) -> Result<AccessConfig, EventFluxError> {
    AccessConfig::from_properties(&properties(raw)?)
}

/// A request for that target with these headers besides the necessary ones.
pub(super) fn request(target: &str, headers: &str) -> UpgradeRequest {
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    UpgradeRequest::parse(head.as_bytes()).unwrap()
}

/// Signs tokens with a key made anew.
pub(super) struct Issuer {
    kid: &'static str,
    key: PKey<Private>,
}

impl Issuer {
    pub(super) fn new(kid: &'static str) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        Self { kid, key: PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap() }
    }

    /// A token of a user that is valid for a minute, or was until a minute ago.
    pub(super) fn token(&self, user: &str, valid: bool) -> Secret {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let expiry = if valid { now + 60 } else { now - 60 };
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::ES256) };
        let pem = self.key.private_key_to_pem_pkcs8().unwrap();
        let key = EncodingKey::from_ec_pem(&pem).unwrap();
        Secret::new(jsonwebtoken::encode(&header, &json!({"sub": user, "exp": expiry}), &key).unwrap())
    }

    pub(super) fn public_pem(&self) -> String {
        String::from_utf8(self.key.public_key_to_pem().unwrap()).unwrap()
    }

    /// The key set with the keys of these issuers.
    pub(super) fn jwks(issuers: &[&Self]) -> String {
        let keys: Vec<_> = issuers.iter().map(|issuer| issuer.jwk()).collect();
        json!({ "keys": keys }).to_string()
    }

    fn jwk(&self) -> Value {
        let key = self.key.ec_key().unwrap();
        let mut context = BigNumContext::new().unwrap();
        let point = key.public_key().to_bytes(key.group(), PointConversionForm::UNCOMPRESSED, &mut context).unwrap();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }
}

/// A port of this machine that takes connections and never says anything, for as long as the listener is there.
pub(super) fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

/// A certificate that nobody vouches for.
pub(super) struct SelfSigned {
    key: PKey<Private>,
    certificate: X509,
}

impl SelfSigned {
    /// Of a server with that address.
    pub(super) fn new(address: &str) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        let name = SubjectAlternativeName::new().ip(address).build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(name).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { key, certificate: builder.build() }
    }

    pub(super) fn acceptor(&self) -> tokio_native_tls::TlsAcceptor {
        let key = self.key.private_key_to_pem_pkcs8().unwrap();
        let identity = native_tls::Identity::from_pkcs8(&self.certificate.to_pem().unwrap(), &key).unwrap();
        native_tls::TlsAcceptor::new(identity).unwrap().into()
    }

    pub(super) fn root(&self) -> native_tls::Certificate {
        native_tls::Certificate::from_pem(&self.certificate.to_pem().unwrap()).unwrap()
    }
}
