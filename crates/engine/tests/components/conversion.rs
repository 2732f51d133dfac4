//! The SQL that a component file becomes says the same.

use eventflux_engine::{EventFlux, SourceFile};

use crate::stand_in::{context, convert};
use crate::support::World;

const EDGE: &str = include_str!("../../../../examples/federation/edge-config.json");
const CLOUD: &str = include_str!("../../../../examples/federation/cloud-config.json");
const SCHEMA: &str = include_str!("schema.json");

#[test]
fn the_printed_edge_becomes_this() {
    let expected = r#"@source(
    type='udp',
    udp.listen='0.0.0.0:14550',
    @map(type='json', json.root.array='event', json.path.payload='$')
)
CREATE STREAM "raw.data" (payload JSON);

@sink(
    type='websocket',
    websocket.protocol='federation',
    websocket.mode='server',
    websocket.listen='0.0.0.0:8080',
    websocket.path='/federation',
    websocket.max.connections='100',
    websocket.control='true',
    websocket.request.timeout='5s',
    @map(type='json', json.output='template', json.template='${payload}')
)
CREATE STREAM "filtered.data" (payload JSON);

INSERT INTO "filtered.data"
SELECT payload
FROM "raw.data"
WHERE JSON_COMPARE(payload, '$.value', 50) > 0;
"#;
    assert_eq!(convert(EDGE), expected);
}

#[test]
fn what_is_printed_plans_without_a_remark() {
    for text in [EDGE, CLOUD] {
        let file = SourceFile::new("converted.sql", convert(text));
        let planned = EventFlux::from_file(file, &[], &context(&World::new())).unwrap();
        assert_eq!(planned.warnings().to_string(), "");
    }
}

#[test]
fn a_variable_need_not_be_set_to_convert() {
    let sql = convert(SCHEMA);
    assert!(sql.contains("websocket.auth.tokens='${env:WS_INGEST_TOKEN}=peer'"), "{sql}");
}
