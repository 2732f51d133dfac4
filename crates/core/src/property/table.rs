//! Checks of a property table, for the tests of whoever declares one.

use super::spec::MAX_DEPENDENCY_CHAIN;
use super::{PropertyKind, PropertySpec};
use crate::env::{self, EnvError};

/// What is wrong with the declarations of a table, one sentence each: keys declared twice, missing documentation,
/// defaults and examples that are no value of their kind, conditions and defaults that depend on what the table does not
/// have.
pub fn table_mistakes(specs: &[PropertySpec]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let key = spec.key;
        let mut complain = |what: String| mistakes.push(format!("'{key}' {what}"));
        if specs[..index].iter().any(|other| other.key == key) {
            complain("is declared twice".to_owned());
        }
        if spec.doc.trim().is_empty() || !spec.doc.ends_with('.') {
            complain("has no doc sentence that ends with a full stop".to_owned());
        }
        if spec.required && spec.default.is_some() {
            complain("is required and has a default".to_owned());
        }
        spec.defaults().filter(|text| !is_default(spec, text)).for_each(|text| {
            complain(format!("has a default that is no {}: '{text}'", spec.kind.name()));
        });
        if let Some(example) = spec.example.filter(|text| spec.kind.parse(text, spec.unit).is_none()) {
            complain(format!("has an example that is no {}: '{example}'", spec.kind.name()));
        }
        dependencies(specs, spec).into_iter().for_each(&mut complain);
    }
    mistakes
}

/// Whether a default is a value of the property's kind when no environment variable is set; one that needs a variable
/// may be anything.
fn is_default(spec: &PropertySpec, text: &str) -> bool {
    match env::interpolate(text, &|_| None) {
        Ok(value) => spec.kind.parse(&value, spec.unit).is_some(),
        Err(EnvError::Unset(_)) => true,
        Err(EnvError::Malformed) => false,
    }
}

fn dependencies(specs: &[PropertySpec], spec: &PropertySpec) -> Vec<String> {
    let mut mistakes = Vec::new();
    let condition =
        spec.only_if.iter().flat_map(|condition| condition.values().iter().map(|value| (condition.key, *value)));
    let chosen = spec.default_for.iter().flat_map(|chosen| chosen.cases.iter().map(|(value, _)| (chosen.key, *value)));
    for (key, value) in condition.chain(chosen) {
        let known = specs.iter().find(|other| other.key == key).is_some_and(|other| match other.kind {
            PropertyKind::Choice(choices) => choices.contains(&value),
            PropertyKind::Boolean => matches!(value, "true" | "false"),
            _ => false,
        });
        if !known {
            mistakes.push(format!("depends on {key}='{value}', which is no choice of this table"));
        }
    }
    if chain(specs, spec, MAX_DEPENDENCY_CHAIN) {
        mistakes.push(format!("depends on itself, or on a chain of more than {MAX_DEPENDENCY_CHAIN} properties"));
    }
    mistakes
}

/// Whether there are more than `links` properties in the longest chain from `spec`.
fn chain(specs: &[PropertySpec], spec: &PropertySpec, links: usize) -> bool {
    let others = specs.iter().filter(|other| spec.depends_on().any(|key| key == other.key));
    others.into_iter().any(|other| links == 0 || chain(specs, other, links - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODE: PropertySpec = PropertySpec::new("x.mode", PropertyKind::Choice(&["a", "b"]), "Mode.").default("a");
    const SIZE: PropertySpec = PropertySpec::new("x.size", PropertyKind::Size, "Size.").default("1KiB");

    #[test]
    fn a_sound_table_has_no_mistakes() {
        let specs = [
            MODE,
            SIZE.default_for("x.mode", &[("b", "${env:SIZE:2}")]).only_if_any("x.mode", &["a", "b"]),
            PropertySpec::new("x.key", PropertyKind::Size, "Key.").default("${env:KEY}").only_if("x.flag", "true"),
            PropertySpec::new("x.flag", PropertyKind::Boolean, "Flag.").only_if("x.mode", "b"),
        ];
        assert_eq!(table_mistakes(&specs), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let cases: [(&[PropertySpec], &str); 9] = [
            (&[SIZE, SIZE], "'x.size' is declared twice"),
            (&[PropertySpec::new("x", PropertyKind::Text, "Text")], "full stop"),
            (&[SIZE.required()], "is required and has a default"),
            (&[SIZE.default("${env:SIZE:x}")], "has a default that is no size: '${env:SIZE:x}'"),
            (&[MODE, SIZE.default_for("x.mode", &[("a", "big")])], "has a default that is no size: 'big'"),
            (&[SIZE.example("big")], "has an example that is no size: 'big'"),
            (&[MODE, SIZE.only_if_any("x.mode", &["a", "c"])], "depends on x.mode='c', which is no choice"),
            (&[SIZE.default_for("x.mode", &[("a", "1")])], "depends on x.mode='a', which is no choice"),
            (&[MODE.only_if("x.mode", "a")], "depends on itself"),
        ];
        for (specs, expected) in cases {
            let mistakes = table_mistakes(specs);
            assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{expected}: {mistakes:?}");
        }
    }
}
