//! The property tables themselves.

use eventflux_core::property::table_mistakes;
use eventflux_core::{DataType, EventFluxContext, MapperFactory, Properties};

use crate::support::{schema, source};

fn every_table(check: impl Fn(&dyn MapperFactory, &'static [eventflux_core::PropertySpec])) {
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    for factory in context.mappers() {
        check(&**factory, factory.source_properties());
        check(&**factory, factory.sink_properties());
    }
}

#[test]
fn four_formats_are_registered() {
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    let names: Vec<_> = context.mappers().map(|factory| factory.name()).collect();
    assert_eq!(names, ["bytes", "csv", "json", "text"]);
}

#[test]
fn tables_are_sound_and_keys_start_with_the_format() {
    every_table(|factory, specs| {
        assert_eq!(table_mistakes(specs), Vec::<String>::new());
        assert!(!factory.doc().is_empty());
        for spec in specs {
            assert!(spec.key.starts_with(&format!("{}.", factory.name())), "{}", spec.key);
        }
    });
}

#[test]
fn unknown_properties_are_refused_with_the_nearest() {
    let error = source("json", &schema(&[("a", DataType::Long)]), &[("json.rot", "$")]).err().unwrap();
    assert_eq!(error.to_string(), "property 'json.rot': is not known here (did you mean 'json.root'?)");
    every_table(|factory, specs| {
        assert!(Properties::from_pairs(specs, [("no.such", "1")]).is_err(), "{}", factory.name());
    });
}
