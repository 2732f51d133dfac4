//! Where objects go: the URL, and what belongs to it.

use std::fmt;
use std::path::PathBuf;

use eventflux_core::{EventFluxError, Properties, Secret, redact_url};

use crate::properties::{
    S3_ACCESS_KEY_ID, S3_ENDPOINT, S3_ONLY, S3_REGION, S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN, S3_VIRTUAL_HOSTS, SYNC,
    URL,
};

/// Where objects go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory of this machine.
    Directory {
        /// Its path; a relative one starts at the working directory.
        path: PathBuf,
        /// Whether the disk has to have an object before it counts as written.
        sync: bool,
    },
    /// A bucket of S3, or of a service that speaks its protocol.
    S3(S3Location),
}

/// A bucket, and how to get to it. What is `None` comes from the environment, as with Amazon's own tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Location {
    /// Name of the bucket.
    pub bucket: String,
    /// What the path of every object begins with; may be empty.
    pub prefix: String,
    /// Another service than Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Who we are.
    pub access_key_id: Option<String>,
    /// The secret that belongs to it.
    pub secret_access_key: Option<Secret>,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
    /// Whether the bucket is part of the host name.
    pub virtual_hosts: bool,
}

impl Location {
    /// Reads validated properties. Does no I/O.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for a URL that is none, and for properties that do not belong to it.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let url = properties.text(URL)?.trim();
        if let Some(rest) = url.strip_prefix("file:") {
            if let Some(key) = S3_ONLY.iter().find(|key| properties.is_given(key)) {
                return Err(EventFluxError::property(key, "has no effect when objects go into a directory")
                    .with_hint("remove it, or write objectstore.url='s3://BUCKET/PREFIX'"));
            }
            return Ok(Self::Directory { path: directory(url, rest)?, sync: properties.text(SYNC)? == "object" });
        }
        if let Some(rest) = url.strip_prefix("s3://") {
            if properties.is_given(SYNC) {
                return Err(EventFluxError::property(SYNC, "has no effect on S3, which always keeps what it accepted")
                    .with_hint("remove it"));
            }
            return s3(url, rest, properties).map(Self::S3);
        }
        Err(no_url(url, "starts neither with 'file:' nor with 's3://'"))
    }

    /// What every path in the store begins with.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Self::Directory { .. } => "",
            Self::S3(s3) => &s3.prefix,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, .. } => path.display().fmt(f),
            Self::S3(S3Location { bucket, prefix, .. }) if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3(S3Location { bucket, prefix, .. }) => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

fn no_url(url: &str, reason: &str) -> EventFluxError {
    EventFluxError::property(URL, format!("'{}' {reason}", redact_url(url)))
        .with_hint("write file:./DIRECTORY, file:///DIRECTORY or s3://BUCKET/PREFIX")
}

fn directory(url: &str, rest: &str) -> Result<PathBuf, EventFluxError> {
    let path = match rest.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return Err(no_url(url, "names a host: two slashes stand before it, three before a directory")),
        None => rest,
    };
    if path.is_empty() || path.chars().any(char::is_control) {
        return Err(no_url(url, "names no directory"));
    }
    Ok(PathBuf::from(path))
}

fn s3(url: &str, rest: &str, properties: &Properties) -> Result<S3Location, EventFluxError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || !bucket.chars().all(is_part) {
        return Err(no_url(url, "names no bucket: letters, digits, '.', '-' and '_' only"));
    }
    let text = |key| properties.optional_text(key).map(str::to_owned);
    let secret = |key| properties.optional_text(key).map(Secret::new);
    let location = S3Location {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_end_matches('/').to_owned(),
        endpoint: text(S3_ENDPOINT),
        region: text(S3_REGION),
        access_key_id: text(S3_ACCESS_KEY_ID),
        secret_access_key: secret(S3_SECRET_ACCESS_KEY),
        session_token: secret(S3_SESSION_TOKEN),
        virtual_hosts: properties.flag(S3_VIRTUAL_HOSTS)?,
    };
    let (id, key) = (location.access_key_id.is_some(), location.secret_access_key.is_some());
    let incomplete = |key, other: &str| {
        Err(EventFluxError::property(key, format!("is given without {other}")).with_hint("give both, or neither"))
    };
    match (id, key) {
        (true, false) => incomplete(S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY),
        (false, true) => incomplete(S3_SECRET_ACCESS_KEY, S3_ACCESS_KEY_ID),
        (false, false) if location.session_token.is_some() => incomplete(S3_SESSION_TOKEN, S3_ACCESS_KEY_ID),
        _ => Ok(location),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::SINK_PROPERTIES;

    fn location(pairs: &[(&str, &str)]) -> Result<Location, EventFluxError> {
        Location::from_properties(&Properties::from_pairs(SINK_PROPERTIES, pairs.iter().copied()).unwrap())
    }

    fn of(url: &str) -> Result<Location, EventFluxError> {
        location(&[(URL, url)])
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        location(pairs).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_is_relative_or_absolute() {
        let directory = |path: &str| Ok(Location::Directory { path: PathBuf::from(path), sync: true });
        assert_eq!(location(&[]), directory("./objects"));
        assert_eq!(of("file:objects/a b"), directory("objects/a b"));
        assert_eq!(of("file:/var/lib/objects"), directory("/var/lib/objects"));
        assert_eq!(of("file:///var/lib/objects"), directory("/var/lib/objects"));
        let unsynced = Location::Directory { path: "x".into(), sync: false };
        assert_eq!(location(&[(URL, "file:x"), (SYNC, "none")]), Ok(unsynced));
    }

    #[test]
    fn a_bucket_has_a_prefix_and_what_belongs_to_it() {
        let Ok(Location::S3(s3)) = location(&[
            (URL, "s3://measurements/edge/a/"),
            (S3_ENDPOINT, "http://localhost:9000"),
            (S3_REGION, "eu-central-1"),
            (S3_ACCESS_KEY_ID, "id"),
            (S3_SECRET_ACCESS_KEY, "hunter2"),
            (S3_SESSION_TOKEN, "t0ken"),
            (S3_VIRTUAL_HOSTS, "true"),
        ]) else {
            panic!("no S3")
        };
        assert_eq!((&*s3.bucket, &*s3.prefix, s3.virtual_hosts), ("measurements", "edge/a", true));
        assert_eq!(s3.endpoint.as_deref(), Some("http://localhost:9000"));
        assert_eq!((s3.region.as_deref(), s3.access_key_id.as_deref()), (Some("eu-central-1"), Some("id")));
        let shown = format!("{s3:?} {}", Location::S3(s3.clone()));
        assert!(!shown.contains("hunter2") && !shown.contains("t0ken"), "{shown}");
        assert!(shown.ends_with("s3://measurements/edge/a"), "{shown}");
        assert_eq!(of("s3://bucket").map(|bucket| bucket.to_string()).as_deref(), Ok("s3://bucket"));
    }

    #[test]
    fn what_is_no_place_is_refused_and_not_shown() {
        for url in ["objects", "gs://bucket", "file:", "file://host/x", "s3://", "s3:///x", "s3://id:hunter2@bucket/x"]
        {
            let refused = refusal(&[(URL, url)]);
            assert!(refused.starts_with("property 'objectstore.url': '"), "{url}: {refused}");
            assert!(!refused.contains("hunter2") && refused.contains("s3://BUCKET/PREFIX"), "{url}: {refused}");
        }
    }

    #[test]
    fn properties_of_the_other_kind_of_place_are_refused() {
        assert!(refusal(&[(S3_REGION, "eu-central-1")]).starts_with("property 'objectstore.s3.region': has no effect"));
        let refused = refusal(&[(URL, "s3://bucket"), (SYNC, "none")]);
        assert!(refused.starts_with("property 'objectstore.sync': has no effect"), "{refused}");
    }

    #[test]
    fn half_of_the_credentials_are_refused() {
        let url = (URL, "s3://bucket");
        for (key, other) in [
            ((S3_ACCESS_KEY_ID, "id"), S3_SECRET_ACCESS_KEY),
            ((S3_SECRET_ACCESS_KEY, "hunter2"), S3_ACCESS_KEY_ID),
            ((S3_SESSION_TOKEN, "hunter2"), S3_ACCESS_KEY_ID),
        ] {
            let refused = refusal(&[url, key]);
            assert!(refused.contains(key.0) && refused.contains(other) && !refused.contains("hunter2"), "{refused}");
        }
    }
}
