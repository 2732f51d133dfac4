//! Metrics as Prometheus reads them: its text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;

use eventflux_core::metrics::{Family, Labels, MILLION, MetricKind};

use crate::process::{Phase, Process};

/// The format, for the header of the answer.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Label that says of which pipeline a series is.
const PIPELINE: &str = "pipeline";

/// Gauges of where each pipeline is in its life, with the labels `pipeline` and `state`.
const PIPELINE_STATE: &str = "eventflux_pipeline_state";

/// All metrics of the process and of its pipelines, by name. Those of a pipeline have its name as first label.
pub(super) fn collect(process: &Process) -> Vec<Family> {
    let mut families: BTreeMap<&'static str, Family> = BTreeMap::new();
    let of_process = process.metrics.families();
    let of_pipelines = process.pipelines.iter().flat_map(|pipeline| {
        let name = &pipeline.name;
        pipeline.metrics().families().into_iter().map(move |family| labelled(family, name))
    });
    for family in of_process.into_iter().chain(of_pipelines).chain([pipeline_states(process)]) {
        match families.get_mut(family.name) {
            Some(known) => {
                known.help = known.help.or(family.help);
                known.series.extend(family.series);
            }
            None => drop(families.insert(family.name, family)),
        }
    }
    families.into_values().collect()
}

/// The families as text.
pub(super) fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        // Writing to a string cannot fail.
        if let Some(help) = family.help {
            let _ = writeln!(text, "# HELP {} {}", family.name, escape(help, false));
        }
        let _ = writeln!(text, "# TYPE {} {}", family.name, family.kind.name());
        for (labels, value) in &family.series {
            text.push_str(family.name);
            write_labels(&mut text, labels);
            text.push(' ');
            write_value(&mut text, family.kind, *value);
            text.push('\n');
        }
    }
    text
}

/// The family, with the name of its pipeline.
fn labelled(mut family: Family, pipeline: &str) -> Family {
    for (labels, _) in &mut family.series {
        labels.retain(|(name, _)| *name != PIPELINE);
        labels.insert(0, (PIPELINE, pipeline.to_owned()));
    }
    family
}

fn pipeline_states(process: &Process) -> Family {
    let states = process.pipelines.iter().flat_map(|pipeline| {
        let now = pipeline.phase();
        Phase::NAMES.map(|state| {
            let labels = vec![(PIPELINE, pipeline.name.clone()), ("state", state.to_owned())];
            (labels, u64::from(state == now.name()))
        })
    });
    Family {
        name: PIPELINE_STATE,
        kind: MetricKind::Gauge,
        help: Some("1 for the present state of the pipeline, 0 for the others."),
        series: states.collect(),
    }
}

fn write_labels(text: &mut String, labels: &Labels) {
    for (index, (name, value)) in labels.iter().enumerate() {
        let before = if index == 0 { '{' } else { ',' };
        let _ = write!(text, "{before}{name}=\"{}\"", escape(value, true));
    }
    if !labels.is_empty() {
        text.push('}');
    }
}

fn write_value(text: &mut String, kind: MetricKind, value: u64) {
    let (whole, millionths) = match kind {
        MetricKind::Decimal => (value / MILLION, value % MILLION),
        MetricKind::Counter | MetricKind::Gauge => (value, 0),
    };
    let _ = write!(text, "{whole}");
    if millionths > 0 {
        let decimals = format!("{millionths:06}");
        let _ = write!(text, ".{}", decimals.trim_end_matches('0'));
    }
}

/// Backslashes and line breaks as the format wants them; in the value of a label also quotation marks.
fn escape(text: &str, quoted: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if quoted => escaped.push_str("\\\""),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use eventflux_core::metrics::Metrics;

    use super::*;
    use crate::process::testing;

    fn process(files: &[&str]) -> Process {
        testing::process("", files)
    }

    #[test]
    fn names_are_in_order_and_each_has_its_kind_and_help_once() {
        let metrics = Metrics::default();
        metrics.gauge("open", &[("door", "b")]).set(2);
        metrics.gauge("open", &[("door", "a")]).set(1);
        metrics.describe("open", "Doors \\ that are\nopen.");
        metrics.counter("closed_total", &[]).add(u64::MAX);
        assert_eq!(
            text(&metrics.families()),
            "# TYPE closed_total counter\n\
             closed_total 18446744073709551615\n\
             # HELP open Doors \\\\ that are\\nopen.\n\
             # TYPE open gauge\n\
             open{door=\"a\"} 1\n\
             open{door=\"b\"} 2\n"
        );
    }

    #[test]
    fn values_with_decimals_have_as_many_as_they_need() {
        let metrics = Metrics::default();
        for (label, value) in [("a", 0.0), ("b", 0.045), ("c", 1.0), ("d", 12.5), ("e", 0.000_187)] {
            metrics.decimal_gauge("part", &[("of", label)]).set(value);
        }
        assert_eq!(
            text(&metrics.families()),
            "# TYPE part gauge\n\
             part{of=\"a\"} 0\n\
             part{of=\"b\"} 0.045\n\
             part{of=\"c\"} 1\n\
             part{of=\"d\"} 12.5\n\
             part{of=\"e\"} 0.000187\n"
        );
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let metrics = Metrics::default();
        metrics.counter("a_total", &[("x", "say \"hi\"\\\n{}é"), ("y", "")]).increment();
        assert!(text(&metrics.families()).ends_with("a_total{x=\"say \\\"hi\\\"\\\\\\n{}é\",y=\"\"} 1\n"));
    }

    #[test]
    fn pipelines_share_a_family_and_are_told_apart_by_their_names() {
        let process = process(&["a.sql", "b.sql"]);
        for pipeline in &process.pipelines {
            pipeline.metrics().counter("b_total", &[("stream", "S")]).increment();
        }
        process.pipelines[1].metrics().describe("b_total", "Bees.");
        let text = text(&collect(&process));
        let expected = "# HELP b_total Bees.\n\
             # TYPE b_total counter\n\
             b_total{pipeline=\"a.sql\",stream=\"S\"} 1\n\
             b_total{pipeline=\"b.sql\",stream=\"S\"} 1\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn what_a_source_of_links_shows_is_measured_when_it_is_asked_for() {
        let sql = "@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0',
                           websocket.protocol='federation', @map(type='json'))
                   CREATE STREAM Edges (n INT);";
        let process = testing::process(sql, &["hub.sql"]);
        process.pipelines[0].start().unwrap();
        let text = text(&collect(&process));
        for line in [
            "# TYPE websocket_input_queue_utilization gauge\n",
            "websocket_input_queue_utilization{pipeline=\"hub.sql\",component=\"Edges\"} 0\n",
            "websocket_input_messages_dropped_total{pipeline=\"hub.sql\",component=\"Edges\",reason=\"queue_full\"} 0\n",
            "websocket_input_connection_state{pipeline=\"hub.sql\",component=\"Edges\",state=\"listening\"} 1\n",
            "websocket_input_connection_state{pipeline=\"hub.sql\",component=\"Edges\",state=\"connected\"} 0\n",
            "websocket_input_errors_total{pipeline=\"hub.sql\",component=\"Edges\",type=\"publish_error\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn the_state_of_a_pipeline_is_a_gauge() {
        let process = process(&["a.sql"]);
        let starting = "eventflux_pipeline_state{pipeline=\"a.sql\",state=\"starting\"} 1\n";
        assert!(text(&collect(&process)).contains(starting));
        process.pipelines[0].start().unwrap();
        let text = text(&collect(&process));
        assert!(text.contains(&starting.replace(" 1", " 0")), "{text}");
        assert!(text.contains("eventflux_pipeline_state{pipeline=\"a.sql\",state=\"running\"} 1\n"), "{text}");
    }
}
