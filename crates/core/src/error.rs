//! The one error type of the plugin boundary. What to do follows from the value, never from its text.

/// What a fault means for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// Nothing will help without a change by a person.
    Fatal,
    /// The same attempt may succeed later.
    Transient,
    /// This event is bad; others are not.
    Invalid,
}

impl FaultClass {
    /// `fatal`, `transient` or `invalid`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Transient => "transient",
            Self::Invalid => "invalid",
        }
    }
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A bug of this program.
    Ours,
    /// The other end, the network, or the data that came from there.
    Peer,
    /// The pipeline author's file, environment or machine.
    Configuration,
}

/// Everything that can go wrong at a boundary between the engine and a connector, mapper or function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventFluxError {
    /// A property or another setting is wrong.
    #[error("{}{reason}{}", property.as_deref().map(|p| format!("property '{p}': ")).unwrap_or_default(),
        hint.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
    Configuration {
        /// Key of the property, when one is to blame.
        property: Option<String>,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// An endpoint cannot be reached, refused us, or went away.
    #[error("{endpoint}: {reason}")]
    ConnectionUnavailable {
        /// The endpoint, redacted.
        endpoint: String,
        /// Why.
        reason: String,
        /// Whether a later attempt may succeed without a change of configuration.
        retryable: bool,
    },
    /// Bytes do not fit the stream's schema, or a row does not fit the format.
    #[error("{}{reason}", column.as_deref().map(|c| format!("column {c}: ")).unwrap_or_default())]
    Mapping {
        /// The column, when one is to blame.
        column: Option<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// An expression has no result for this row.
    #[error("{reason}")]
    Query {
        /// What went wrong, with the function or operator.
        reason: String,
        /// Whether the same evaluation may succeed later (functions that look something up).
        retryable: bool,
    },
    /// A sink could not deliver this payload.
    #[error("{reason}")]
    Send {
        /// What went wrong.
        reason: String,
        /// Whether the same payload may be accepted later.
        retryable: bool,
    },
    /// The pipeline or connector is stopped.
    #[error("stopped")]
    Stopped,
    /// A connector, mapper or function panicked; it was contained.
    #[error("{component} panicked: {reason}")]
    Panic {
        /// Who panicked.
        component: String,
        /// The panic's message.
        reason: String,
    },
}

impl EventFluxError {
    /// A [`EventFluxError::Configuration`] about one property.
    pub fn property(key: &str, reason: impl Into<String>) -> Self {
        Self::Configuration { property: Some(key.to_owned()), reason: reason.into(), hint: None }
    }

    /// A [`EventFluxError::Configuration`] about no property in particular.
    pub fn configuration(reason: impl Into<String>) -> Self {
        Self::Configuration { property: None, reason: reason.into(), hint: None }
    }

    /// The same error with advice, where it is one of configuration.
    #[must_use]
    pub fn with_hint(mut self, advice: impl Into<String>) -> Self {
        if let Self::Configuration { hint, .. } = &mut self {
            *hint = Some(advice.into());
        }
        self
    }

    /// A [`EventFluxError::Mapping`].
    pub fn mapping(column: Option<&str>, reason: impl Into<String>) -> Self {
        Self::Mapping { column: column.map(str::to_owned), reason: reason.into() }
    }

    /// What the error means for what comes next.
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Configuration { .. } | Self::Stopped | Self::Panic { .. } => FaultClass::Fatal,
            Self::ConnectionUnavailable { retryable, .. } => {
                if *retryable {
                    FaultClass::Transient
                } else {
                    FaultClass::Fatal
                }
            }
            Self::Mapping { .. } => FaultClass::Invalid,
            Self::Query { retryable, .. } | Self::Send { retryable, .. } => {
                if *retryable {
                    FaultClass::Transient
                } else {
                    FaultClass::Invalid
                }
            }
        }
    }

    /// Whether the same attempt may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.class() == FaultClass::Transient
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Configuration { .. } => Fault::Configuration,
            Self::ConnectionUnavailable { retryable: false, .. } => Fault::Configuration,
            Self::Panic { .. } => Fault::Ours,
            _ => Fault::Peer,
        }
    }

    /// The kind as one word: the `errorType` of a dead letter and the `type` label of a metric.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Configuration { .. } => "configuration",
            Self::ConnectionUnavailable { .. } => "connection",
            Self::Mapping { .. } => "mapping",
            Self::Query { .. } => "query",
            Self::Send { .. } => "send",
            Self::Stopped => "stopped",
            Self::Panic { .. } => "panic",
        }
    }
}

/// One message, row or payload of a batch that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// Its index in the batch.
    pub row: usize,
    /// Why.
    pub error: EventFluxError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_can_decide_from_the_value_alone() {
        let down = EventFluxError::ConnectionUnavailable {
            endpoint: "ws://h".into(),
            reason: "refused".into(),
            retryable: true,
        };
        assert_eq!((down.class(), down.fault()), (FaultClass::Transient, Fault::Peer));
        let bad = EventFluxError::mapping(Some("p"), "not a number");
        assert_eq!((bad.class(), bad.is_retryable()), (FaultClass::Invalid, false));
    }

    #[test]
    fn messages_name_the_thing_the_reason_and_the_way_out() {
        let error = EventFluxError::property("websocket.url", "is missing").with_hint("ws://host:port/path");
        assert_eq!(error.to_string(), "property 'websocket.url': is missing (ws://host:port/path)");
        assert_eq!(EventFluxError::mapping(Some("p"), "is null").to_string(), "column p: is null");
    }
}
