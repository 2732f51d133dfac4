//! Checks of a connector's property table, the same for sources and sinks.

use eventflux_core::{
    COMMON_PROPERTIES, EventFluxError, MetadataSpec, Properties, PropertyKind, PropertySpec, property, strategy,
};

use super::report::ensure;

/// A value that no kind but text, path and template allows.
const NONSENSE: &str = "!nonsense!";

/// A factory seen from its properties.
pub(super) struct Table<'a> {
    pub(super) own: &'static [PropertySpec],
    /// Of a source.
    pub(super) metadata: &'static [MetadataSpec],
    pub(super) required: Vec<&'static str>,
    pub(super) optional: Vec<&'static str>,
    /// Properties that work.
    pub(super) base: Vec<(String, String)>,
    /// Values that only the factory refuses.
    pub(super) invalid: Vec<(String, String)>,
    pub(super) create: &'a dyn Fn(&Properties) -> Result<(), EventFluxError>,
}

impl Table<'_> {
    fn with(&self, key: &str, value: &str) -> Vec<(String, String)> {
        let mut pairs = self.without(key);
        pairs.push((key.to_owned(), value.to_owned()));
        pairs
    }

    fn without(&self, key: &str) -> Vec<(String, String)> {
        self.base.iter().filter(|(name, _)| name != key).cloned().collect()
    }

    /// What is wrong with these properties, one line each; empty when they work.
    fn complaints(&self, pairs: &[(String, String)]) -> Vec<String> {
        match resolve(self.own, pairs) {
            Err(errors) => errors,
            Ok(properties) => (self.create)(&properties).err().iter().map(ToString::to_string).collect(),
        }
    }
}

/// Resolves properties against a connector's table and the common ones, without the environment.
pub(super) fn resolve(own: &[PropertySpec], pairs: &[(String, String)]) -> Result<Properties, Vec<String>> {
    let specs: Vec<PropertySpec> = own.iter().chain(strategy::PROPERTIES).chain(COMMON_PROPERTIES).copied().collect();
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    Properties::resolve(&specs, pairs, &|_| None).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

pub(super) fn base_properties_work(table: &Table<'_>) -> Result<(), String> {
    let complaints = table.complaints(&table.base);
    ensure(complaints.is_empty(), || format!("the peer's own properties are refused: {}", complaints.join("; ")))
}

pub(super) fn a_missing_required_property_is_named(table: &Table<'_>) -> Result<(), String> {
    for key in &table.required {
        if !table.base.iter().any(|(name, _)| name == key) {
            // It does not apply with the peer's properties.
            continue;
        }
        let complaints = table.complaints(&table.without(key));
        ensure(complaints.iter().any(|text| text.contains(key)), || {
            format!("without the required '{key}' the complaints are {complaints:?}")
        })?;
    }
    Ok(())
}

pub(super) fn an_unknown_property_is_refused_with_the_nearest(table: &Table<'_>) -> Result<(), String> {
    for spec in table.own.iter().filter(|spec| spec.prefix().is_none()) {
        let typo = format!("{}x", spec.key);
        let complaints = table.complaints(&table.with(&typo, "1"));
        let helped = complaints.iter().any(|text| {
            let rest = text.replacen(&typo, "", 1);
            text.contains(&typo) && table.own.iter().any(|known| rest.contains(known.key))
        });
        ensure(helped, || format!("for the unknown '{typo}' the complaints are {complaints:?}"))?;
    }
    Ok(())
}

pub(super) fn an_invalid_value_is_refused_with_key_value_and_what_is_allowed(table: &Table<'_>) -> Result<(), String> {
    let any_text =
        |kind| matches!(kind, PropertyKind::Text | PropertyKind::Path | PropertyKind::Template | PropertyKind::Columns);
    let checked = table.own.iter().filter(|spec| !any_text(spec.kind));
    for spec in checked {
        let key = spec.key.replace('*', "contract");
        let complaints = table.complaints(&table.with(&key, NONSENSE));
        let about: Vec<&String> = complaints.iter().filter(|text| text.contains(&key)).collect();
        ensure(!about.is_empty(), || format!("'{key}' = '{NONSENSE}' is not refused: {complaints:?}"))?;
        ensure(spec.secret || about.iter().any(|text| text.contains(NONSENSE)), || {
            format!("the refusal of '{key}' does not show the value: {about:?}")
        })?;
        ensure(about.iter().any(|text| text.contains(&spec.kind.allowed())), || {
            format!("the refusal of '{key}' does not say what is allowed: {about:?}")
        })?;
    }
    for (key, value) in &table.invalid {
        let secret = table.own.iter().any(|spec| spec.secret && spec.matches(key));
        let complaints = table.complaints(&table.with(key, value));
        let named = complaints.iter().any(|text| text.contains(key.as_str()) && (secret || text.contains(value)));
        ensure(named, || format!("the refusal of '{key}' = '{value}' does not name both: {complaints:?}"))?;
    }
    Ok(())
}

pub(super) fn every_property_is_documented_and_its_values_parse(table: &Table<'_>) -> Result<(), String> {
    let mut mistakes = property::table_mistakes(table.own);
    mistakes.extend(metadata_mistakes(table.metadata));
    ensure(mistakes.is_empty(), || mistakes.join("; "))?;
    for spec in table.own {
        let key = spec.key;
        let listed = if spec.required { &table.required } else { &table.optional };
        ensure(listed.contains(&key), || format!("'{key}' is missing from the required or optional parameters"))?;
    }
    ensure(table.required.len() + table.optional.len() == table.own.len(), || {
        "the required and optional parameters name more than the table has".to_owned()
    })
}

fn metadata_mistakes(fields: &[MetadataSpec]) -> Vec<String> {
    let mistake = |(index, field): (usize, &MetadataSpec)| match field {
        MetadataSpec { name, .. } if fields[..index].iter().any(|other| other.name == *name) => {
            Some(format!("metadata '{name}' is declared twice"))
        }
        MetadataSpec { name, doc, .. } if !doc.ends_with('.') => {
            Some(format!("metadata '{name}' has no doc sentence that ends with a full stop"))
        }
        _ => None,
    };
    fields.iter().enumerate().filter_map(mistake).collect()
}

pub(super) fn no_allowed_value_makes_the_factory_panic(table: &Table<'_>) -> Result<(), String> {
    for spec in table.own {
        for value in candidates(spec) {
            let key = spec.key.replace('*', "contract");
            let complaints =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| table.complaints(&table.with(&key, &value))));
            ensure(complaints.is_ok(), || format!("'{key}' = '{value}' makes the factory panic"))?;
        }
    }
    Ok(())
}

/// Values worth trying: those the table names, and the bounds of the kind.
fn candidates(spec: &PropertySpec) -> Vec<String> {
    let mut values: Vec<String> = spec.defaults().chain(spec.example).map(str::to_owned).collect();
    match spec.kind {
        PropertyKind::Integer { min, max } | PropertyKind::Number { min, max } => {
            values.extend([min.to_string(), max.to_string()]);
        }
        PropertyKind::Boolean => values.extend(["true".to_owned(), "false".to_owned()]),
        PropertyKind::Choice(choices) => values.extend(choices.iter().map(|choice| (*choice).to_owned())),
        PropertyKind::Duration => values.extend(["0".to_owned(), "1000000h".to_owned()]),
        PropertyKind::Size => values.extend(["0".to_owned(), "1000000MiB".to_owned()]),
        PropertyKind::Url(schemes) => {
            values.extend(
                schemes
                    .iter()
                    .flat_map(|scheme| ["x", "[", "host:99999", "a b"].map(|rest| format!("{scheme}://{rest}"))),
            );
        }
        PropertyKind::Columns => values.extend(["", ",", "a,", "a b"].map(str::to_owned)),
        PropertyKind::Template => values.extend(["", " ", "${a}", "\r\n${a}"].map(str::to_owned)),
        PropertyKind::Text | PropertyKind::Address | PropertyKind::Path => {
            values.extend(["", " ", "\r\nx", "\u{0}", "ü:1"].map(str::to_owned));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use eventflux_core::DataType;

    use super::*;

    #[test]
    fn metadata_are_named_once_and_explained() {
        let field = |name, doc| MetadataSpec::new(name, DataType::String, doc);
        assert!(metadata_mistakes(&[field("a", "A."), field("b", "B.")]).is_empty());
        let mistakes = metadata_mistakes(&[field("a", "A"), field("a", "A."), field("b", "B.")]);
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].contains("full stop") && mistakes[1].contains("twice"), "{mistakes:?}");
    }
}
