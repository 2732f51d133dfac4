//! Which secrets to plant, and where to look for them.

use eventflux_core::{PropertyKind, PropertySpec};

use super::{SecretProperty, properties::resolve, report::ensure};
use crate::log_capture::LogCapture;

/// A secret for every property that is declared secret and takes any text, besides those the harness names.
pub(super) fn planted(
    own: &[PropertySpec],
    base: &[(String, String)],
    named: Vec<SecretProperty>,
) -> Vec<SecretProperty> {
    // Without properties that work nothing applies; another check says so.
    let resolved = resolve(own, base);
    let applies = |spec: &&PropertySpec| resolved.as_ref().is_ok_and(|properties| properties.applies(own, spec));
    let declared = own.iter().filter(|spec| spec.secret && spec.kind == PropertyKind::Text).filter(applies);
    let declared = declared.map(|spec| {
        let secret = format!("s3cret{:016x}", fastrand::u64(..));
        SecretProperty { key: spec.key.replace('*', "X-Contract"), value: secret.clone(), secret }
    });
    declared.chain(named).collect()
}

/// Texts in which the secret must not appear.
pub(super) struct Inspector<'a> {
    planted: &'a SecretProperty,
    logs: LogCapture,
}

impl<'a> Inspector<'a> {
    pub(super) fn new(planted: &'a SecretProperty) -> Self {
        Self { planted, logs: LogCapture::start() }
    }

    pub(super) fn inspect(&self, place: &str, text: &str) -> Result<(), String> {
        ensure(!text.contains(&self.planted.secret), || {
            format!("the secret of '{}' is shown in {place}: {}", self.planted.key, self.mask(text))
        })
    }

    pub(super) fn inspect_logs(&self) -> Result<(), String> {
        let lines = self.logs.lines();
        let texts = lines.iter().map(|line| format!("{} {}: {}", line.level, line.target, line.message));
        texts.into_iter().try_for_each(|text| self.inspect("the log", &text))
    }

    fn mask(&self, text: &str) -> String {
        text.replace(&self.planted.secret, "<the secret>")
    }
}
