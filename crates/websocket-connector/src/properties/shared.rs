//! What the properties of the source and of the sink have in common, in the order in which pages list them.

use eventflux_core::PropertySpec;

use super::{access, client, connection, deflate, gateway, http, server};
use crate::net::properties as net;

/// Where a client connects to, and when it tries again.
pub(super) const REACHING: &[PropertySpec] =
    &[connection::MODE, client::URL, client::RECONNECT, client::RECONNECT_DELAY, client::RECONNECT_MAX_DELAY];

/// How a connection is opened; of sources and sinks that listen as well.
pub(super) const OPENING: &[PropertySpec] = &[
    client::RECONNECT_STABLE,
    client::HEADERS,
    connection::SUBPROTOCOL,
    connection::SUBPROTOCOL_REQUIRED,
    client::CONNECT_TIMEOUT,
];

/// What goes with a connection that was made.
pub(super) const CONNECTED: &[PropertySpec] = &[
    client::HEARTBEAT_MESSAGE,
    client::HEARTBEAT_INTERVAL,
    connection::NODELAY,
    net::TCP_KEEP_ALIVE,
    net::ADDRESS_FAMILY,
    net::PROXY_URL,
    client::AUTH_TYPE,
    client::AUTH_BEARER_TOKEN,
    client::AUTH_BEARER_FILE,
    client::AUTH_USERNAME,
    client::AUTH_PASSWORD,
    net::TLS_CA,
    net::TLS_CERT,
    net::TLS_KEY,
    net::TLS_SKIP_VERIFY,
];

/// Where to listen, who the clients are, and what they may do.
pub(super) const SERVING: &[PropertySpec] = &[
    server::LISTEN,
    server::PATH,
    gateway::PROTOCOL,
    access::AUTH,
    access::REQUIRED,
    access::TOKENS,
    access::TOKENS_FILE,
    access::USERS,
    access::USERS_FILE,
    access::JWT_SECRET,
    access::JWT_KEY,
    access::JWT_KEY_FILE,
    access::JWKS_URL,
    access::JWKS_REFRESH,
    access::JWT_ALGORITHMS,
    access::JWT_AUDIENCE,
    access::JWT_ISSUER,
    access::JWT_LEEWAY,
    access::JWT_USER_CLAIM,
    access::JWT_CHANNELS_CLAIM,
    access::JWT_EXPIRY_REQUIRED,
    access::HTTP_URL,
    access::HTTP_TIMEOUT,
    access::HTTP_CACHE,
    access::HTTP_SUBSCRIBE_URL,
    access::QUERY,
    access::MESSAGE_TIMEOUT,
    access::ATTEMPTS,
    access::GRANTS_SUBSCRIBE,
    access::GRANTS_PUBLISH,
    gateway::DRAIN_SPREAD,
    gateway::MAX_CONNECTIONS_PER_USER,
    gateway::MAX_SUBSCRIPTIONS,
    gateway::MAX_SUBSCRIBERS,
    gateway::MAX_CHANNELS,
    gateway::MAX_REPLY_BYTES,
    gateway::RATE_LIMITING,
    gateway::RATE_LIMIT,
    gateway::RATE_PERIOD,
    gateway::FILTER_MAX_SIZE,
    gateway::FILTER_MAX_TERMS,
    gateway::PRESENCE,
    gateway::MAX_REQUESTS,
    gateway::REQUEST_TIMEOUT,
    gateway::BATCH_DELAY,
    gateway::BATCH_SIZE,
];

/// What else is served, and who is let in.
pub(super) const ADMITTING: &[PropertySpec] = &[
    http::SSE,
    http::PUBLISH,
    server::MAX_CONNECTIONS,
    server::MAX_CONNECTIONS_TOTAL,
    server::MAX_CONNECTIONS_PER_ADDRESS,
    server::MAX_HANDSHAKES,
    server::MAX_HEAD_SIZE,
    server::HANDSHAKE_TIMEOUT,
    net::TLS_CLIENT_AUTH,
    net::TLS_CLIENT_CA,
    net::ORIGINS,
    net::ORIGIN_REQUIRED,
    net::HOSTS,
    net::TRUSTED_PROXIES,
    net::PROXY_PROTOCOL,
];

/// What holds for every connection, whoever opened it.
pub(super) const KEEPING: &[PropertySpec] = &[
    connection::PING_INTERVAL,
    connection::PONG_TIMEOUT,
    connection::IDLE_TIMEOUT,
    connection::MESSAGE_TIMEOUT,
    connection::WRITE_TIMEOUT,
    connection::CLOSE_TIMEOUT,
    connection::MAX_MESSAGE_SIZE,
    connection::MAX_FRAGMENTS,
    connection::MAX_PINGS,
    deflate::DEFLATE,
    deflate::DEFLATE_THRESHOLD,
    deflate::DEFLATE_LEVEL,
    deflate::DEFLATE_SEND_WINDOW,
    deflate::DEFLATE_SEND_TAKEOVER,
    deflate::DEFLATE_RECEIVE_WINDOW,
    deflate::DEFLATE_RECEIVE_TAKEOVER,
];
