//! A bucket of S3 as a store.

use std::time::Duration;

use eventflux_core::EventFluxError;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{ClientOptions, RetryConfig};

use crate::location::S3Location;
use crate::properties::URL;
use crate::transport::HyperConnector;

/// Tries after the first one of a single request: a connection that went away unnoticed is no failure. Everything beyond
/// is the error strategy's.
const QUICK_RETRIES: usize = 2;

/// Makes the client of a bucket. What the properties do not say comes from the environment. Connects to nobody.
///
/// # Errors
/// [`EventFluxError::Configuration`] when properties and environment make no client.
pub(crate) fn open(location: &S3Location, timeout: Duration) -> Result<AmazonS3, EventFluxError> {
    let retries = RetryConfig { max_retries: QUICK_RETRIES, retry_timeout: timeout, ..RetryConfig::default() };
    let mut builder = credentials(location)
        .with_bucket_name(&location.bucket)
        .with_virtual_hosted_style_request(location.virtual_hosts)
        // Not what AWS_* says of proxies, timeouts and certificates: our transport knows none of it.
        .with_client_options(ClientOptions::new())
        .with_http_connector(HyperConnector)
        .with_retry(retries);
    let environment = AmazonS3Builder::from_env();
    let or_environment = |own: &Option<String>, key| own.clone().or_else(|| environment.get_config_value(&key));
    if let Some(endpoint) = or_environment(&location.endpoint, AmazonS3ConfigKey::Endpoint) {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = or_environment(&location.region, AmazonS3ConfigKey::Region) {
        builder = builder.with_region(region);
    }
    builder.build().map_err(|error| {
        EventFluxError::property(URL, format!("the bucket cannot be used: {error}"))
            .with_hint("look at the properties objectstore.s3.* and the environment variables AWS_*")
    })
}

/// A client with our credentials: those of the properties, and else those of the environment. They are not mixed.
fn credentials(location: &S3Location) -> AmazonS3Builder {
    let (Some(id), Some(key)) = (&location.access_key_id, &location.secret_access_key) else {
        return AmazonS3Builder::from_env();
    };
    let builder = AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(key.expose());
    match &location.session_token {
        Some(token) => builder.with_token(token.expose()),
        None => builder,
    }
}
