//! One property, as text, as a row of a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use eventflux_core::PropertySpec;
use eventflux_core::property::either;
use serde_json::{Value, json};

use super::cells::{cell, code};

pub(super) fn property_text(text: &mut String, spec: &PropertySpec) {
    let mut facts = vec![spec.kind.allowed()];
    facts.extend(spec.unit.map(|unit| format!("in {unit}")));
    facts.extend(default_text(spec));
    facts.extend(spec.required.then(|| "required".to_owned()));
    facts.extend(spec.secret.then(|| "secret".to_owned()));
    facts.extend(spec.only_if.map(|only| format!("only with {only}")));
    let _ = writeln!(text, "  {}\n      {}\n      ({})", spec.key, spec.doc, facts.join("; "));
    if let Some(example) = spec.example {
        let _ = writeln!(text, "      example: {}='{example}'", spec.key);
    }
    text.push('\n');
}

pub(super) fn property_table<'a>(text: &mut String, specs: impl Iterator<Item = &'a PropertySpec>) {
    text.push_str("| Property | Value | Default | Meaning |\n|---|---|---|---|\n");
    for spec in specs {
        let unit = spec.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
        let default = default_cell(spec);
        let mut meaning = cell(spec.doc);
        if let Some(only) = spec.only_if {
            let values = only.values().iter().enumerate().map(|(index, value)| match index {
                0 => code(&format!("{}='{value}'", only.key)),
                _ => code(&format!("'{value}'")),
            });
            let _ = write!(meaning, " Only with {}.", either(values));
        }
        if spec.secret {
            meaning.push_str(" Secret.");
        }
        if let Some(example) = spec.example {
            let _ = write!(meaning, " Example: {}", code(example));
        }
        let _ = writeln!(text, "| {} | {}{unit} | {default} | {meaning} |", code(spec.key), cell(&spec.kind.allowed()));
    }
    text.push('\n');
}

pub(super) fn property_json(spec: &PropertySpec) -> Value {
    json!({
        "key": spec.key,
        "type": spec.kind.name(),
        "allowed": spec.kind.allowed(),
        "doc": spec.doc,
        "default": spec.default,
        "defaultFor": spec.default_for.map(|chosen| json!({
            "key": chosen.key,
            "defaults": chosen.cases.iter().copied().collect::<BTreeMap<_, _>>(),
        })),
        "required": spec.required,
        "secret": spec.secret,
        "unit": spec.unit,
        "example": spec.example,
        "onlyIf": spec.only_if.map(|only| json!({ "key": only.key, "values": only.values() })),
    })
}

/// The default of a property for a terminal, if it has one.
fn default_text(spec: &PropertySpec) -> Option<String> {
    let Some(chosen) = spec.default_for else {
        return spec.default.map(|default| format!("default {}", or_empty(default)));
    };
    let case = |(value, default): &(&str, &str)| format!("{} with {}='{value}'", or_empty(default), chosen.key);
    let mut defaults: Vec<_> = chosen.cases.iter().map(case).collect();
    defaults.extend(spec.default.map(|default| format!("else {}", or_empty(default))));
    Some(format!("default {}", defaults.join(", ")))
}

/// The default of a property for a table.
fn default_cell(spec: &PropertySpec) -> String {
    let shown = |default: &str| if default.is_empty() { or_empty(default).to_owned() } else { code(default) };
    let otherwise = match (spec.default, spec.required) {
        (Some(default), _) => shown(default),
        (None, true) => "required".to_owned(),
        (None, false) => "–".to_owned(),
    };
    let Some(chosen) = spec.default_for else { return otherwise };
    let mut cell = String::new();
    for (value, default) in chosen.cases {
        let _ = write!(cell, "{} with {}; ", shown(default), code(&format!("{}='{value}'", chosen.key)));
    }
    cell + "else " + &otherwise
}

/// A default as it is shown.
fn or_empty(default: &str) -> &str {
    if default.is_empty() { "empty" } else { default }
}
