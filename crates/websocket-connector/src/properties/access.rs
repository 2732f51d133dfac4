//! Properties of a source or sink that listens: who its clients are, and what they may do.

use eventflux_core::{PropertyKind, PropertySpec};

use super::{PROTOCOL, SERVER};

const TOKEN: &str = "token";
const BASIC: &str = "basic";
const JWT: &str = "jwt";
const HTTP: &str = "http";

pub(crate) const AUTH: PropertySpec = PropertySpec::new(
    "websocket.auth",
    PropertyKind::Choice(&["none", TOKEN, BASIC, JWT, HTTP]),
    "How clients prove who they are: with a `token` of a list, by `basic` authentication with user and password, with a JSON Web Token (`jwt`), or with whatever a service of yours accepts (`http`). With `none` everybody may connect, and nobody has a name.",
)
.default("none")
.default_for(PROTOCOL, &[("analytics", TOKEN)])
.only_if("websocket.mode", SERVER);

pub(crate) const REQUIRED: PropertySpec = PropertySpec::new(
    "websocket.auth.required",
    PropertyKind::Boolean,
    "Whether clients without credentials are refused. Otherwise they are anonymous, until they send a token perhaps; wrong credentials are refused all the same.",
)
.default("true")
.default_for(PROTOCOL, &[("analytics", "${env:STREAMING_WEBSOCKET__REQUIRE_AUTH:true}")])
.only_if_any(AUTH.key, &[TOKEN, BASIC, JWT, HTTP]);

pub(crate) const TOKENS: PropertySpec = PropertySpec::new(
    "websocket.auth.tokens",
    PropertyKind::Text,
    "The tokens to accept, separated by commas, each with its user: token=user,token2=user2. A token without a user stands for nobody in particular. Never shown.",
)
.secret()
.example("${env:FEED_TOKEN}=reporting")
.only_if(AUTH.key, TOKEN);

pub(crate) const TOKENS_FILE: PropertySpec = PropertySpec::new(
    "websocket.auth.tokens.file",
    PropertyKind::Path,
    "A file of tokens instead, one a line, each followed by its user and its grants: `abc123 ann subscribe=a.*,b publish=c`. A changed file is taken up within a second.",
)
.example("/etc/eventflux/tokens")
.only_if(AUTH.key, TOKEN);

pub(crate) const USERS: PropertySpec = PropertySpec::new(
    "websocket.auth.users",
    PropertyKind::Text,
    "The users with their passwords, separated by commas: user:password,user2:password2. Never shown.",
)
.secret()
.example("ann:${env:ANNS_PASSWORD}")
.only_if(AUTH.key, BASIC);

pub(crate) const USERS_FILE: PropertySpec = PropertySpec::new(
    "websocket.auth.users.file",
    PropertyKind::Path,
    "A file of users instead, one a line, each followed by its grants: `ann:sesame subscribe=a.*,b publish=c`. A changed file is taken up within a second.",
)
.example("/etc/eventflux/users")
.only_if(AUTH.key, BASIC);

pub(crate) const JWT_SECRET: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.secret",
    PropertyKind::Text,
    "The secret that signs tokens (HS256, HS384, HS512); at least 32 bytes. Never shown.",
)
.secret()
.example("${env:JWT_SECRET}")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_KEY: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.key",
    PropertyKind::Text,
    "The public key (PEM) that verifies tokens: RSA, P-256, P-384 or Ed25519; also several, or certificates.",
)
.example("${env:JWT_PUBLIC_KEY}")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_KEY_FILE: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.key.file",
    PropertyKind::Path,
    "A file with such keys. A changed file is taken up within a second.",
)
.example("/etc/eventflux/jwt.pem")
.only_if(AUTH.key, JWT);

pub(crate) const JWKS_URL: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.jwks.url",
    PropertyKind::Url(&["https", "http"]),
    "Where the issuer publishes its keys as a JSON Web Key Set. They are fetched at the start, again every now and then, and when a token names a key that is not known yet. While the place cannot be reached, the last keys are used.",
)
.example("https://id.example.com/.well-known/jwks.json")
.only_if(AUTH.key, JWT);

pub(crate) const JWKS_REFRESH: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.jwks.refresh",
    PropertyKind::Duration,
    "How old the issuer's keys may become before they are fetched again.",
)
.default("10m")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_ALGORITHMS: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.algorithms",
    PropertyKind::Text,
    "How tokens may be signed, separated by commas. When not given, in every way that suits the key: HS256, HS384 and HS512 for a secret; RS256, RS384, RS512, PS256, PS384 and PS512 for RSA; ES256 for P-256, ES384 for P-384, EdDSA for Ed25519.",
)
.example("RS256, ES256")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_AUDIENCE: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.audience",
    PropertyKind::Text,
    "The names by which tokens may call us (claim `aud`), separated by commas; a token must have one of them. When not given, tokens with an audience are refused.",
)
.example("feed.example.com")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_ISSUER: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.issuer",
    PropertyKind::Text,
    "Who may have issued a token (claim `iss`), separated by commas. When not given, anybody with the key.",
)
.example("https://id.example.com")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_LEEWAY: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.leeway",
    PropertyKind::Duration,
    "How far the issuer's clock may be from ours: a token is valid that much earlier and longer.",
)
.default("30s")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_USER_CLAIM: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.user.claim",
    PropertyKind::Text,
    "The claim with the user's name: a text or a whole number.",
)
.default("sub")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_CHANNELS_CLAIM: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.channels.claim",
    PropertyKind::Text,
    "The claim with the channels a client may use: a list of names and patterns for both, or an object of lists `subscribe` and `publish`. A token without it has the grants of `websocket.grants.*`.",
)
.default("channels")
.only_if(AUTH.key, JWT);

pub(crate) const JWT_EXPIRY_REQUIRED: PropertySpec = PropertySpec::new(
    "websocket.auth.jwt.expiry.required",
    PropertyKind::Boolean,
    "Whether to refuse tokens that never end (without claim `exp`).",
)
.default("true")
.only_if(AUTH.key, JWT);

pub(crate) const HTTP_URL: PropertySpec = PropertySpec::new(
    "websocket.auth.http.url",
    PropertyKind::Url(&["https", "http"]),
    "The service that is asked about each client: it gets a POST with the token, the client's address and the path, and answers 200 with user and grants, or 401 or 403. Redirects are not followed.",
)
.required()
.example("https://auth.example.com/websocket/connect")
.only_if(AUTH.key, HTTP);

pub(crate) const HTTP_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.auth.http.timeout",
    PropertyKind::Duration,
    "How long the services of websocket.auth.http.url and websocket.auth.http.subscribe.url may take to answer; then a client is told to come back later.",
)
.default("5s")
.only_if_any(AUTH.key, &[TOKEN, BASIC, JWT, HTTP]);

pub(crate) const HTTP_CACHE: PropertySpec = PropertySpec::new(
    "websocket.auth.http.cache",
    PropertyKind::Duration,
    "How long the service is not asked again about the same token from the same address; never longer than its answer is valid. 0 to ask each time.",
)
.default("30s")
.only_if(AUTH.key, HTTP);

pub(crate) const HTTP_SUBSCRIBE_URL: PropertySpec = PropertySpec::new(
    "websocket.auth.http.subscribe.url",
    PropertyKind::Url(&["https", "http"]),
    "A service that is asked about each subscription its user is granted: it gets a POST with user, session and channel, and answers 200 with {\"allow\": true} or {\"allow\": false}.",
)
.example("https://auth.example.com/websocket/subscribe")
.only_if_any(AUTH.key, &[TOKEN, BASIC, JWT, HTTP]);

pub(crate) const QUERY: PropertySpec = PropertySpec::new(
    "websocket.auth.query",
    PropertyKind::Text,
    "The name of the query parameter that may hold the token, as in ws://host/path?token=abc123; empty for none. Proxies tend to log queries: prefer the other ways where clients can use them.",
)
.example("token")
.default_for(PROTOCOL, &[("channels", "token"), ("events", "token")])
.only_if_any(AUTH.key, &[TOKEN, JWT, HTTP]);

pub(crate) const MESSAGE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.auth.timeout",
    PropertyKind::Duration,
    "How long a client that did not authenticate during the handshake may take to do so with its first message, where the protocol has such a message; then it is closed with code 1008.",
)
.default("10s")
.default_for(PROTOCOL, &[("analytics", "${env:STREAMING_WEBSOCKET__AUTH_TIMEOUT_SECONDS:30}s")])
.only_if_any(AUTH.key, &[TOKEN, JWT, HTTP]);

pub(crate) const ATTEMPTS: PropertySpec = PropertySpec::new(
    "websocket.auth.attempts",
    PropertyKind::Integer { min: 0, max: 1_000_000 },
    "How often clients of one address may fail to authenticate in a minute; then the address is refused until the minute is over. An IPv6 address counts by its network of 64 bits. 0 for any number.",
)
.default("20")
.only_if_any(AUTH.key, &[TOKEN, BASIC, JWT, HTTP]);

pub(crate) const GRANTS_SUBSCRIBE: PropertySpec = PropertySpec::new(
    "websocket.grants.subscribe",
    PropertyKind::Text,
    "The channels that clients may subscribe to whose credentials do not say: names and patterns, separated by commas; empty for none. ${user} stands for the user's name.",
)
.default("*")
.example("public.*, user:${user}:*")
.only_if("websocket.mode", SERVER);

pub(crate) const GRANTS_PUBLISH: PropertySpec = PropertySpec::new(
    "websocket.grants.publish",
    PropertyKind::Text,
    "The channels that clients may publish to whose credentials do not say; as above.",
)
.default("*")
.example("chat.*")
.only_if("websocket.mode", SERVER);
