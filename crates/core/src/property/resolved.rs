//! Validated properties: typed access to their values.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::resolve::{Resolver, unmet};
use super::{PropertySpec, PropertyValue};
use crate::{EventFluxError, Template, env};

/// What is wrong with one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyError {
    /// Its key, as written or as declared.
    pub key: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether the value is to blame (else the key, or its absence).
    pub in_value: bool,
}

impl fmt::Display for PropertyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "property '{}': {}", self.key, self.reason)?;
        self.hint.as_deref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl From<PropertyError> for EventFluxError {
    fn from(error: PropertyError) -> Self {
        Self::Configuration { property: Some(error.key), reason: error.reason, hint: error.hint }
    }
}

/// Validated properties: every key declared, every value of its declared kind, defaults filled in.
#[derive(Clone, Default)]
pub struct Properties {
    values: BTreeMap<String, Entry>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: PropertyValue,
    /// What may be shown: the text as written, before environment variables were put in.
    pub(super) shown: String,
    /// Whether it was written by the pipeline author; else it is a default.
    pub(super) given: bool,
}

impl Properties {
    /// Validates `raw` (key, value as written) against the declarations. `lookup` reads environment variables.
    ///
    /// # Errors
    /// All of them at once: unknown, missing, misplaced and malformed properties, unset environment variables.
    pub fn resolve<'a>(
        specs: &[PropertySpec],
        raw: impl IntoIterator<Item = (&'a str, &'a str)>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<PropertyError>> {
        Resolver::new(specs, lookup).resolve(raw).map(|values| Self { values })
    }

    /// Like [`Properties::resolve`] with the process's environment, reporting the first error only; for connectors
    /// built by hand.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for the first bad property.
    pub fn from_pairs<'a>(
        specs: &[PropertySpec],
        raw: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, EventFluxError> {
        Self::resolve(specs, raw, &env::process).map_err(|mut errors| errors.swap_remove(0).into())
    }

    /// These properties of `specs`, and those of `keys` that were given in `other` and not here, with the defaults that go
    /// with them: for connectors that share something, so that it is enough when one of them describes it.
    ///
    /// # Errors
    /// The first property that was given in both with different values, or that does not fit the others.
    pub fn together_with(
        &self,
        other: &Self,
        keys: &[&'static str],
        specs: &[PropertySpec],
    ) -> Result<Self, EventFluxError> {
        let given =
            |of: &Self| of.values.clone().into_iter().filter(|(_, entry)| entry.given).collect::<BTreeMap<_, _>>();
        let mut together = given(self);
        for (key, theirs) in given(other).into_iter().filter(|(key, _)| keys.contains(&key.as_str())) {
            match together.get(&key) {
                Some(ours) if ours.value != theirs.value => {
                    return Err(EventFluxError::property(&key, "differs from what another one says"));
                }
                Some(_) => {}
                None => drop(together.insert(key, theirs)),
            }
        }
        let resolved = Resolver::new(specs, &env::process).resolve_given(together);
        resolved.map(|values| Self { values }).map_err(|mut errors| errors.swap_remove(0).into())
    }

    /// The text of a property that has a value; `None` without one.
    pub fn optional_text(&self, key: &str) -> Option<&str> {
        match &self.values.get(key)?.value {
            PropertyValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a property that is required or has a default.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when it has no text.
    pub fn text(&self, key: &str) -> Result<&str, EventFluxError> {
        self.optional_text(key).ok_or_else(|| missing(key))
    }

    /// The whole number of a property; `None` without one.
    pub fn optional_integer(&self, key: &str) -> Option<i64> {
        match self.values.get(key)?.value {
            PropertyValue::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The whole number of a property that is required or has a default, in any integer type that holds it.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when it has no number or the number does not fit `T`.
    pub fn integer<T: TryFrom<i64>>(&self, key: &str) -> Result<T, EventFluxError> {
        let value = self.optional_integer(key).ok_or_else(|| missing(key))?;
        T::try_from(value).map_err(|_| EventFluxError::property(key, "is out of range"))
    }

    /// The number of a property that is required or has a default.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when it has no number.
    pub fn number(&self, key: &str) -> Result<f64, EventFluxError> {
        match self.values.get(key).map(|entry| &entry.value) {
            Some(PropertyValue::Number(value)) => Ok(*value),
            _ => Err(missing(key)),
        }
    }

    /// The flag of a property that is required or has a default.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when it has no value.
    pub fn flag(&self, key: &str) -> Result<bool, EventFluxError> {
        match self.values.get(key).map(|entry| &entry.value) {
            Some(PropertyValue::Boolean(value)) => Ok(*value),
            _ => Err(missing(key)),
        }
    }

    /// The duration of a property; `None` without one.
    pub fn optional_duration(&self, key: &str) -> Option<Duration> {
        match self.values.get(key)?.value {
            PropertyValue::Duration(value) => Some(value),
            _ => None,
        }
    }

    /// The duration of a property that is required or has a default.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when it has no value.
    pub fn duration(&self, key: &str) -> Result<Duration, EventFluxError> {
        self.optional_duration(key).ok_or_else(|| missing(key))
    }

    /// The size in bytes of a property that is required or has a default.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when it has no value.
    pub fn size(&self, key: &str) -> Result<usize, EventFluxError> {
        match self.values.get(key).map(|entry| &entry.value) {
            Some(PropertyValue::Size(value)) => {
                usize::try_from(*value).map_err(|_| EventFluxError::property(key, "is out of range"))
            }
            _ => Err(missing(key)),
        }
    }

    /// The template of a property; `None` without one.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the property is declared as something else.
    pub fn template(&self, key: &str) -> Result<Option<Template>, EventFluxError> {
        match self.values.get(key).map(|entry| &entry.value) {
            None => Ok(None),
            Some(PropertyValue::Template(template)) if template.constant().is_some() => Ok(Some(template.clone())),
            Some(PropertyValue::Template(_)) => {
                Ok(self.row_templates().find(|(other, _)| *other == key).map(|(_, template)| template))
            }
            Some(_) => Err(EventFluxError::property(key, "is not declared as a template")),
        }
    }

    /// The templates that name a column, each with its key: those whose text the engine computes for every row.
    pub fn row_templates(&self) -> impl Iterator<Item = (&str, Template)> {
        let templates = self.values.iter().filter_map(|(key, entry)| match &entry.value {
            PropertyValue::Template(template) if template.constant().is_none() => Some((key.as_str(), template)),
            _ => None,
        });
        templates.enumerate().map(|(slot, (key, template))| (key, template.at(slot)))
    }

    /// What follows `prefix` in each given key, with its text: `websocket.headers.` yields header names and values.
    pub fn prefixed<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(key, entry)| match &entry.value {
            PropertyValue::Text(text) => Some((key.strip_prefix(prefix)?, text.as_str())),
            _ => None,
        })
    }

    /// What follows `prefix` in each given key, with its template, also one without columns.
    pub fn prefixed_templates<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, Template)> {
        self.values.keys().filter_map(move |key| Some((key.strip_prefix(prefix)?, self.template(key).ok()??)))
    }

    /// Whether the pipeline author gave the property (a default does not count).
    pub fn is_given(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|entry| entry.given)
    }

    /// Whether `spec`, one of the declarations these properties were resolved with, applies: whether its condition holds,
    /// and those of the properties it depends on.
    pub fn applies(&self, specs: &[PropertySpec], spec: &PropertySpec) -> bool {
        unmet(specs, spec, &|key| Some(choice(&self.values, key))).is_none()
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(key, entry)| (key, &entry.shown))).finish()
    }
}

/// The value of a property that conditions and defaults may name: a text, or `true` and `false`.
pub(super) fn choice<'a>(values: &'a BTreeMap<String, Entry>, key: &str) -> Option<&'a str> {
    match &values.get(key)?.value {
        PropertyValue::Boolean(true) => Some("true"),
        PropertyValue::Boolean(false) => Some("false"),
        PropertyValue::Text(text) => Some(text),
        _ => None,
    }
}

fn missing(key: &str) -> EventFluxError {
    EventFluxError::property(key, "has no value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PropertyKind;

    const SPECS: &[PropertySpec] = &[
        PropertySpec::new("x.mode", PropertyKind::Choice(&["client", "server"]), "Mode.").default("client"),
        PropertySpec::new("x.url", PropertyKind::Url(&["ws"]), "Where.").required().only_if("x.mode", "client"),
        PropertySpec::new("x.delay.ms", PropertyKind::Integer { min: 0, max: 10 }, "Delay.").default("5"),
        PropertySpec::new("x.headers.*", PropertyKind::Text, "Headers.").secret(),
        PropertySpec::new("x.listen", PropertyKind::Address, "Listen.").only_if("x.mode", "server"),
        PropertySpec::new("x.pack", PropertyKind::Boolean, "Pack.").default("false"),
        PropertySpec::new("x.pack.level", PropertyKind::Integer { min: 1, max: 9 }, "Level.").only_if("x.pack", "true"),
    ];

    fn environment(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "sesame".to_owned())
    }

    fn resolve(raw: &[(&str, &str)]) -> Result<Properties, Vec<PropertyError>> {
        Properties::resolve(SPECS, raw.iter().copied(), &environment)
    }

    #[test]
    fn defaults_and_given_values_are_typed() {
        let properties = resolve(&[("x.url", "ws://h"), ("x.headers.A-B", "${env:TOKEN}")]).unwrap();
        assert_eq!(properties.integer::<u64>("x.delay.ms").unwrap(), 5);
        assert_eq!(properties.text("x.url").unwrap(), "ws://h");
        assert_eq!(properties.prefixed("x.headers.").collect::<Vec<_>>(), [("A-B", "sesame")]);
        assert!(properties.is_given("x.url") && !properties.is_given("x.delay.ms"));
    }

    #[test]
    fn all_errors_come_at_once_with_key_reason_and_fix() {
        let errors = resolve(&[("x.dely.ms", "1"), ("x.delay.ms", "11"), ("x.listen", "127.0.0.1:0")]).unwrap_err();
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "property 'x.dely.ms': is not known here (did you mean 'x.delay.ms'?)",
                "property 'x.delay.ms': '11' is not allowed (use a whole number from 0 to 10)",
                "property 'x.url': is required but missing (a URL that starts with ws://)",
                "property 'x.listen': has no effect unless x.mode is 'server' (remove it, or set x.mode='server')",
            ]
        );
    }

    #[test]
    fn a_property_may_depend_on_a_switch() {
        let given = |pack| resolve(&[("x.url", "ws://h"), ("x.pack", pack), ("x.pack.level", "3")]);
        assert_eq!(given("true").unwrap().integer::<u32>("x.pack.level").unwrap(), 3);
        assert!(given("false").unwrap_err()[0].to_string().contains("has no effect unless x.pack is 'true'"));
    }

    #[test]
    fn what_came_from_the_environment_or_is_secret_is_not_shown() {
        let properties = resolve(&[("x.url", "ws://h/?t=${env:TOKEN}"), ("x.headers.K", "hunter2")]).unwrap();
        let shown = format!("{properties:?}");
        assert!(!shown.contains("sesame") && !shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("ws://h/?***"), "{shown}");
        let errors = resolve(&[("x.url", "http://me:hunter2@h/?t=hunter3")]).unwrap_err();
        assert!(!errors[0].to_string().contains("hunter"), "{}", errors[0]);
        assert_eq!(properties.text("x.url").unwrap(), "ws://h/?t=sesame");
    }

    #[test]
    fn an_unset_environment_variable_is_named() {
        let errors = resolve(&[("x.url", "ws://${env:HOST_X}/")]).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().contains("HOST_X"), "{}", errors[0]);
    }

    #[test]
    fn templates_have_places_of_their_own_and_constants_none() {
        let kind = PropertyKind::Template;
        let specs = ["t.a", "t.b", "t.c", "t.d", "t.text"].map(|key| match key {
            "t.text" => PropertySpec::new(key, PropertyKind::Text, "Text."),
            key => PropertySpec::new(key, kind, "Template."),
        });
        let raw = [("t.d", "${env:TOKEN}.${x}"), ("t.b", "constant"), ("t.a", "${y}"), ("t.text", "${y}")];
        let properties = Properties::resolve(&specs, raw, &environment).unwrap();
        let templates: Vec<_> = properties.row_templates().collect();
        assert_eq!(templates.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["t.a", "t.d"]);
        let of = |key: &str| properties.template(key).unwrap();
        assert_eq!((of("t.a").as_ref(), of("t.d").as_ref()), (Some(&templates[0].1), Some(&templates[1].1)));
        assert_eq!((templates[0].1.slot(), templates[1].1.slot()), (0, 1));
        assert_eq!((of("t.b").unwrap().constant(), of("t.c")), (Some("constant"), None));
        assert!(properties.template("t.text").unwrap_err().to_string().contains("'t.text'"));
        let literal = crate::template::TemplatePart::Literal("sesame.".into());
        assert_eq!(templates[1].1.parts()[0], literal, "environment variables come first");
    }

    #[test]
    fn a_required_property_is_not_asked_for_where_it_does_not_apply() {
        assert!(resolve(&[("x.mode", "server"), ("x.listen", ":0")]).is_ok());
    }
}
