//! Finds the connector and the format that an annotation names.

use eventflux_core::property::nearest;
use eventflux_core::{ConnectorRole, MapperFactory, PropertySpec};

use super::connector::Planner;
use super::properties::{TYPE, Written};
use crate::diagnostic::Diagnostic;
use crate::sql::Spelling;

/// What a source factory and a sink factory have in common.
pub(super) struct Plugin<'a> {
    pub(super) role: ConnectorRole,
    pub(super) name: &'a str,
    pub(super) formats: &'static [&'static str],
    pub(super) specs: Vec<PropertySpec>,
}

impl<'a> Planner<'a> {
    /// The value of `type`, when a plugin of that name is known.
    pub(super) fn type_name(
        &self,
        role: ConnectorRole,
        known: impl Iterator<Item = &'static str>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<&'a str> {
        let known: Vec<_> = known.collect();
        let written = Written::new(&self.annotation.properties, self.annotation.name_span);
        let key = if self.annotation.spelling == Spelling::With { "extension" } else { TYPE };
        let Some((name, span)) = written.type_name() else {
            if !self.complete {
                return None;
            }
            let message = format!("this {} has no '{key}'", role.name());
            let hint = format!("add {key}='...', one of {}", known.join(", "));
            diagnostics.push(Diagnostic::error(self.annotation.name_span, message).with_hint(hint));
            return None;
        };
        if known.contains(&name) {
            return Some(name);
        }
        let mistake = Diagnostic::error(span, format!("there is no {} of type '{name}'", role.name()));
        diagnostics.push(mistake.with_hint(match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("use one of {}", known.join(", ")),
        }));
        None
    }

    /// The mapper factory: that of `@map(type='...')`, else the connector's first format.
    pub(super) fn format(
        &self,
        plugin: &Plugin<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<&'a dyn MapperFactory> {
        let context = self.environment.context;
        let map = self.annotation.map.as_ref();
        let given = map.and_then(|map| Written::new(&map.properties, map.span).type_name());
        let (name, span) = match (given, map) {
            (Some(given), _) => given,
            (None, Some(map)) => {
                let hint = format!("add type='...', one of {}", plugin.formats.join(", "));
                diagnostics.push(Diagnostic::error(map.span, "@map has no 'type'").with_hint(hint));
                return None;
            }
            (None, None) => (*plugin.formats.first()?, self.annotation.name_span),
        };
        let factory = context.mapper_factory(name).filter(|_| plugin.formats.contains(&name));
        if factory.is_none() {
            let message = format!("a {} {} has no format '{name}'", plugin.name, plugin.role.name());
            diagnostics.push(Diagnostic::error(span, message).with_hint(
                match nearest(name, plugin.formats.iter().copied()) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("use one of {}", plugin.formats.join(", ")),
                },
            ));
        }
        factory.map(|factory| &**factory)
    }
}
