//! Sources and sinks that need no network: `replay`, `generator`, `log`, `file` and `blackhole`.
//!
//! | type | role | for |
//! |---|---|---|
//! | `replay` | source | messages from a file of lines, at a rate or at the times they were recorded |
//! | `generator` | source | synthetic messages from a template |
//! | `log` | sink | lines on the terminal, or in the program's log |
//! | `file` | sink | lines in a file, with rotation by size |
//! | `blackhole` | sink | nothing but counting, for benchmarks and tests |
//!
//! [`console`] is the one place that writes to the terminal while a pipeline runs; the command line uses it as well, so
//! that its status line and the events never mix. Nothing here knows SQL, formats or a wire protocol.

pub mod blackhole;
pub mod console;
mod escape;
pub mod file;
pub mod generator;
pub mod log;
mod pace;
pub mod replay;
mod supply;
mod sync;
#[cfg(test)]
mod testing;

pub use pace::Rate;

use eventflux_core::EventFluxContext;

/// Adds every connector of this crate to `context`.
pub fn register(context: &mut EventFluxContext) {
    context.add_source_factory(replay::ReplaySourceFactory);
    context.add_source_factory(generator::GeneratorSourceFactory);
    context.add_sink_factory(log::LogSinkFactory);
    context.add_sink_factory(file::FileSinkFactory);
    context.add_sink_factory(blackhole::BlackholeSinkFactory);
}

#[cfg(test)]
mod tests {
    use eventflux_core::PropertySpec;

    use super::*;

    fn context() -> EventFluxContext {
        let mut context = EventFluxContext::new();
        register(&mut context);
        context
    }

    fn tables() -> Vec<(&'static str, &'static [PropertySpec])> {
        let context = context();
        let sources = context.sources().map(|factory| (factory.name(), factory.properties())).collect::<Vec<_>>();
        let sinks = context.sinks().map(|factory| (factory.name(), factory.properties()));
        sources.into_iter().chain(sinks).collect()
    }

    #[test]
    fn every_connector_is_registered_under_its_name() {
        let names: Vec<_> = tables().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["generator", "replay", "blackhole", "file", "log"]);
    }

    #[test]
    fn every_default_and_example_is_a_value_its_property_allows() {
        for (name, table) in tables() {
            for spec in table {
                assert!(spec.key.starts_with(&format!("{name}.")), "{}", spec.key);
                for text in spec.default.iter().chain(&spec.example) {
                    assert!(spec.kind.parse(text, spec.unit).is_some(), "{} {text}", spec.key);
                }
            }
        }
    }

    #[test]
    fn the_first_format_is_the_one_used_without_a_map_annotation() {
        let context = context();
        let formats = |name| context.sink_factory(name).map(|factory| factory.supported_formats());
        assert_eq!(formats("log"), Some(&["text", "json", "csv", "bytes"][..]));
        assert_eq!(formats("file"), Some(&["json", "csv", "text"][..]));
        assert_eq!(formats("blackhole"), Some(&["json", "text", "csv", "bytes"][..]));
        for source in context.sources() {
            assert_eq!(source.supported_formats(), ["json", "text", "csv", "bytes"]);
        }
    }
}
