//! What to ask for and agree to of permessage-deflate.

use eventflux_core::{EventFluxError, Properties};
use eventflux_websocket_wire::deflate::{DeflateConfig, DirectionConfig};

/// The configuration, when the extension is wanted.
///
/// # Errors
/// When a property is missing, which the property table rules out.
pub(crate) fn from_properties(properties: &Properties) -> Result<Option<DeflateConfig>, EventFluxError> {
    if matches!(properties.text("websocket.permessage-deflate")?, "false" | "none") {
        return Ok(None);
    }
    let direction = |name: &str| {
        Ok::<_, EventFluxError>(DirectionConfig {
            window_bits: properties.integer(&format!("websocket.permessage-deflate.{name}.window.bits"))?,
            context_takeover: properties.flag(&format!("websocket.permessage-deflate.{name}.context.takeover"))?,
        })
    };
    Ok(Some(DeflateConfig {
        threshold_bytes: properties.size("websocket.permessage-deflate.threshold")?,
        level: properties.integer("websocket.permessage-deflate.level")?,
        send: direction("send")?,
        receive: direction("receive")?,
    }))
}
