//! From what was written to validated properties, or every error at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::resolved::{Entry, choice};
use super::spec::MAX_DEPENDENCY_CHAIN;
use super::{Condition, PropertyError, PropertyKind, PropertySpec, nearest};
use crate::env::{self, EnvError};
use crate::redact_url;

/// Validates properties step by step: what was given, then defaults, then what is missing or has no effect.
pub(super) struct Resolver<'a> {
    specs: &'a [PropertySpec],
    lookup: &'a dyn Fn(&str) -> Option<String>,
    values: BTreeMap<String, Entry>,
    errors: Vec<PropertyError>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(specs: &'a [PropertySpec], lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { specs, lookup, values: BTreeMap::new(), errors: Vec::new() }
    }

    pub(super) fn resolve<'p>(
        mut self,
        raw: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<BTreeMap<String, Entry>, Vec<PropertyError>> {
        for (key, text) in raw {
            match self.given(key, text) {
                Ok(entry) => drop(self.values.insert(key.to_owned(), entry)),
                Err(error) => self.errors.push(error),
            }
        }
        self.complete()
    }

    /// The same from values that were given and validated.
    pub(super) fn resolve_given(
        mut self,
        given: BTreeMap<String, Entry>,
    ) -> Result<BTreeMap<String, Entry>, Vec<PropertyError>> {
        self.values = given;
        self.complete()
    }

    fn complete(mut self) -> Result<BTreeMap<String, Entry>, Vec<PropertyError>> {
        for spec in self.specs {
            self.fill_in(spec, MAX_DEPENDENCY_CHAIN);
        }
        let misplaced: Vec<_> = self.specs.iter().filter_map(|spec| self.misplaced(spec)).collect();
        self.errors.extend(misplaced);
        if self.errors.is_empty() { Ok(self.values) } else { Err(self.errors) }
    }

    fn given(&self, key: &str, text: &str) -> Result<Entry, PropertyError> {
        let error = |reason: String, hint: Option<String>, in_value| PropertyError {
            key: key.to_owned(),
            reason,
            hint,
            in_value,
        };
        let Some(spec) = self.specs.iter().find(|spec| spec.matches(key)) else {
            let known = nearest(key, self.specs.iter().map(|spec| spec.key));
            let hint = known.map(|known| format!("did you mean '{known}'?"));
            return Err(error("is not known here".to_owned(), hint, false));
        };
        let (value, variables) =
            self.interpolate(text).map_err(|unset| error(unset.to_string(), unset.hint(), true))?;
        let shown = match spec.kind {
            _ if spec.secret => "***".to_owned(),
            PropertyKind::Url(_) => redact_url(text),
            _ => text.to_owned(),
        };
        let Some(value) = spec.kind.parse(&value, spec.unit) else {
            let what = if spec.secret { "has a value that".to_owned() } else { format!("'{shown}'") };
            let reason = format!("{what} is not allowed{}", because_of(&variables));
            return Err(error(reason, Some(format!("use {}", spec.kind.allowed())), true));
        };
        Ok(Entry { value, shown, given: true })
    }

    /// The text with its environment variables put in, and the names of those that are set.
    fn interpolate(&self, text: &str) -> Result<(String, Vec<String>), EnvError> {
        let found = RefCell::new(Vec::new());
        let lookup = |name: &str| {
            let value = (self.lookup)(name);
            if value.is_some() {
                found.borrow_mut().push(name.to_owned());
            }
            value
        };
        let value = env::interpolate(text, &lookup)?;
        Ok((value, found.into_inner()))
    }

    /// Gives a property its default, after those it depends on have theirs; the chain has at most `links` of them.
    fn fill_in(&mut self, spec: &'a PropertySpec, links: usize) {
        if links == 0 || self.values.contains_key(spec.key) || self.failed(spec.key) {
            return;
        }
        for key in spec.depends_on() {
            if let Some(other) = self.spec(key) {
                self.fill_in(other, links - 1);
            }
        }
        match self.default(spec) {
            Ok(entry) => self.values.extend(entry.map(|entry| (spec.key.to_owned(), entry))),
            Err(error) => self.errors.push(error),
        }
    }

    /// The default of a property. One that does not apply looks at no environment variable and at no column of a stream:
    /// they could only be wrong.
    fn default(&self, spec: &PropertySpec) -> Result<Option<Entry>, PropertyError> {
        let applies = self.unmet(spec).is_none();
        if !applies && matches!(spec.kind, PropertyKind::Template | PropertyKind::Columns) {
            return Ok(None);
        }
        let chosen = spec.default_for.filter(|_| applies).and_then(|chosen| {
            let other = self.spec(chosen.key)?;
            let value = choice(&self.values, chosen.key).filter(|_| self.unmet(other).is_none())?;
            chosen.cases.iter().find(|(case, _)| *case == value).map(|(_, default)| *default)
        });
        let Some(text) = chosen.or(spec.default) else { return Ok(None) };
        let interpolated =
            if applies { self.interpolate(text) } else { env::interpolate(text, &|_| None).map(|text| (text, vec![])) };
        let Ok((value, variables)) = interpolated else { return Ok(None) };
        match spec.kind.parse(&value, spec.unit) {
            Some(value) => Ok(Some(Entry { value, shown: text.to_owned(), given: false })),
            None if variables.is_empty() => Ok(None),
            None => Err(PropertyError {
                key: spec.key.to_owned(),
                reason: format!("its default '{text}' is not allowed{}", because_of(&variables)),
                hint: Some(format!("use {}", spec.kind.allowed())),
                in_value: true,
            }),
        }
    }

    /// What is wrong with a property's presence or absence.
    fn misplaced(&self, spec: &PropertySpec) -> Option<PropertyError> {
        let error =
            |key: &str, reason, hint| PropertyError { key: key.to_owned(), reason, hint: Some(hint), in_value: false };
        let Some(condition) = self.unmet(spec) else {
            let absent = spec.required && !self.values.contains_key(spec.key) && !self.failed(spec.key);
            let example =
                || spec.example.map_or_else(|| spec.kind.allowed(), |example| format!("for example '{example}'"));
            return absent.then(|| error(spec.key, "is required but missing".to_owned(), example()));
        };
        let (key, _) = self.values.iter().find(|(key, entry)| entry.given && spec.matches(key))?;
        let (other, values) = (condition.key, condition.alternatives());
        let reason = format!("has no effect unless {other} is {values}");
        Some(error(key, reason, format!("remove it, or set {condition}")))
    }

    /// The first condition, on the way from a property over those it depends on, that does not hold.
    fn unmet(&self, spec: &PropertySpec) -> Option<Condition> {
        unmet(self.specs, spec, &|key| if self.failed(key) { None } else { Some(choice(&self.values, key)) })
    }

    fn spec(&self, key: &str) -> Option<&'a PropertySpec> {
        self.specs.iter().find(|spec| spec.key == key)
    }

    fn failed(&self, key: &str) -> bool {
        self.errors.iter().any(|error| error.key == key)
    }
}

/// The first condition, on the way from `spec` over the properties it depends on, that does not hold. `value` tells the
/// value of a property, or `None` when it cannot be told: then nobody is to blame.
pub(super) fn unmet<'v>(
    specs: &[PropertySpec],
    spec: &PropertySpec,
    value: &dyn Fn(&str) -> Option<Option<&'v str>>,
) -> Option<Condition> {
    let mut next = spec.only_if;
    for _ in 0..MAX_DEPENDENCY_CHAIN {
        let condition = next?;
        let found = value(condition.key)?;
        if !found.is_some_and(|found| condition.values().contains(&found)) {
            return Some(condition);
        }
        next = specs.iter().find(|other| other.key == condition.key)?.only_if;
    }
    None
}

/// The end of a sentence about a value that environment variables are part of.
fn because_of(variables: &[String]) -> String {
    match variables {
        [] => String::new(),
        [one] => format!(" with the value of environment variable {one}"),
        several => format!(" with the values of environment variables {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Properties, PropertyKind, PropertySpec};

    const SPECS: &[PropertySpec] = &[
        // Before what it depends on: the order of a table does not matter.
        PropertySpec::new("x.listen", PropertyKind::Address, "Where.")
            .required()
            .default_for("x.protocol", &[("analytics", "${env:X__HOST:0.0.0.0}:${env:X__PORT:8765}")])
            .only_if("x.mode", "server"),
        PropertySpec::new("x.mode", PropertyKind::Choice(&["client", "server"]), "Mode.").default("client"),
        PropertySpec::new("x.protocol", PropertyKind::Choice(&["raw", "channels", "events", "analytics"]), "Protocol.")
            .default("raw")
            .only_if("x.mode", "server"),
        PropertySpec::new("x.queue", PropertyKind::Size, "Queue.")
            .default("16KiB")
            .default_for("x.protocol", &[("raw", "1KiB"), ("channels", "64KiB")]),
        PropertySpec::new("x.channel", PropertyKind::Text, "Channel.")
            .only_if_any("x.protocol", &["channels", "events"]),
        PropertySpec::new("x.history", PropertyKind::Integer { min: 0, max: 9 }, "History.")
            .default("${env:X__HISTORY:3}")
            .only_if_any("x.protocol", &["channels", "events"]),
        PropertySpec::new("x.raw", PropertyKind::Boolean, "Raw.").only_if("x.protocol", "raw"),
        PropertySpec::new("x.key", PropertyKind::Choice(&["a"]), "Key.").default("${env:X__KEY}").secret(),
        PropertySpec::new("x.user", PropertyKind::Template, "User.")
            .default("${env:X__PREFIX:u}.${id}")
            .only_if("x.protocol", "events"),
    ];

    fn resolve(raw: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Properties, Vec<String>> {
        let lookup =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Properties::resolve(SPECS, raw.iter().copied(), &lookup)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    const ANALYTICS: &[(&str, &str)] = &[("x.mode", "server"), ("x.protocol", "analytics")];

    #[test]
    fn a_default_follows_the_choice_of_another_property() {
        let size = |raw: &[(&str, &str)]| resolve(raw, &[]).unwrap().size("x.queue").unwrap();
        let listening = [("x.mode", "server"), ("x.listen", ":0")];
        assert_eq!(size(&listening), 1 << 10);
        assert_eq!(size(&[listening[0], listening[1], ("x.protocol", "channels")]), 64 << 10);
        assert_eq!(size(ANALYTICS), 16 << 10, "no case of its own");
        assert_eq!(size(&[ANALYTICS[0], ANALYTICS[1], ("x.queue", "5")]), 5);
    }

    #[test]
    fn a_choice_that_does_not_apply_chooses_no_default() {
        // Clients have no protocol, although 'raw' is its default.
        assert_eq!(resolve(&[], &[]).unwrap().size("x.queue").unwrap(), 16 << 10);
    }

    #[test]
    fn a_chosen_default_satisfies_what_is_required_and_comes_from_the_environment() {
        let listen = |environment: &[(&str, &str)]| {
            resolve(ANALYTICS, environment).unwrap().text("x.listen").unwrap().to_owned()
        };
        assert_eq!(listen(&[]), "0.0.0.0:8765");
        assert_eq!(listen(&[("X__PORT", "9")]), "0.0.0.0:9");
        let errors = resolve(&[("x.mode", "server")], &[]).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("'x.listen': is required but missing"), "{errors:?}");
    }

    #[test]
    fn a_bad_value_from_the_environment_is_blamed_on_the_variable_and_not_shown() {
        let errors = resolve(ANALYTICS, &[("X__PORT", "hunter2"), ("X__KEY", "hunter3")]).unwrap_err();
        assert_eq!(
            errors,
            [
                "property 'x.listen': its default '${env:X__HOST:0.0.0.0}:${env:X__PORT:8765}' is not allowed with the \
                 value of environment variable X__PORT (use an address such as 127.0.0.1:8080 or 0.0.0.0:8080)",
                "property 'x.key': its default '${env:X__KEY}' is not allowed with the value of environment variable \
                 X__KEY (use a)"
            ]
        );
        let errors = resolve(&[("x.queue", "${env:A}${env:B}")], &[("A", "1"), ("B", "b")]).unwrap_err();
        assert!(errors[0].contains("'${env:A}${env:B}' is not allowed with the values of environment variables A, B"));
    }

    #[test]
    fn the_environment_of_what_does_not_apply_is_not_looked_at() {
        assert!(resolve(&[], &[("X__HISTORY", "many"), ("X__PORT", "none")]).is_ok());
        let channels = [("x.mode", "server"), ("x.listen", ":0"), ("x.protocol", "channels")];
        assert!(resolve(&channels, &[("X__HISTORY", "many")]).unwrap_err()[0].contains("X__HISTORY"));
        assert_eq!(resolve(&channels, &[("X__HISTORY", "7")]).unwrap().integer::<u8>("x.history").unwrap(), 7);
    }

    #[test]
    fn a_default_that_only_the_environment_has_may_be_absent() {
        assert_eq!(resolve(&[], &[]).unwrap().optional_text("x.key"), None);
        assert_eq!(resolve(&[], &[("X__KEY", "a")]).unwrap().optional_text("x.key"), Some("a"));
    }

    #[test]
    fn a_template_has_a_default_only_where_it_applies() {
        assert_eq!(resolve(&[], &[]).unwrap().row_templates().count(), 0);
        let events = [("x.mode", "server"), ("x.listen", ":0"), ("x.protocol", "events")];
        let user = resolve(&events, &[]).unwrap().template("x.user").unwrap().unwrap();
        assert_eq!(user.columns().collect::<Vec<_>>(), ["id"]);
    }

    #[test]
    fn any_of_several_values_meets_a_condition() {
        for protocol in ["channels", "events"] {
            let raw = [("x.mode", "server"), ("x.listen", ":0"), ("x.protocol", protocol), ("x.channel", "c")];
            assert!(resolve(&raw, &[]).is_ok(), "{protocol}");
        }
        let raw = [("x.mode", "server"), ("x.listen", ":0"), ("x.channel", "c")];
        assert_eq!(
            resolve(&raw, &[]).unwrap_err(),
            ["property 'x.channel': has no effect unless x.protocol is 'channels' or 'events' (remove it, or set \
              x.protocol='channels' or 'events')"]
        );
    }

    #[test]
    fn a_condition_holds_only_where_the_property_it_names_applies() {
        let errors = resolve(&[("x.raw", "true")], &[]).unwrap_err();
        assert_eq!(
            errors,
            ["property 'x.raw': has no effect unless x.mode is 'server' (remove it, or set x.mode='server')"]
        );
    }
}
