-- The edge of two linked pipelines: what is measured here is kept until the hub has it.
--
--     cargo run --release -- run examples/federation/edge.sql examples/federation/hub.sql
--
-- Stop one of them, or cut the connection, and start it again: nothing is missing, and nothing comes twice. The edge keeps
-- what the hub has not taken in memory; with websocket.spool.path it keeps it through restarts of its own.

@source(
    type='generator',
    generator.template='{"sensor":"temp-${int:1:9}","type":"sensor","region":"${choice:us-west,eu-north}","severity":"${choice:info,warning,error}","value":${float:0:100:1}}',
    generator.rate='20',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.url='ws://127.0.0.1:8090/edges',
    websocket.protocol='federation',
    websocket.connection='hub',
    @map(type='json')
)
CREATE STREAM Sensors (sensor STRING, type STRING, region STRING, severity STRING, value DOUBLE);

-- What the hub asks of this edge besides the methods that every end answers.
@source(
    type='websocket',
    websocket.url='ws://127.0.0.1:8090/edges',
    websocket.protocol='federation',
    websocket.connection='hub',
    websocket.accept='request',
    metadata.request='request',
    metadata.asked='method',
    @map(type='json')
)
CREATE STREAM Asked (request STRING, asked STRING, params JSON);

@sink(
    type='websocket',
    websocket.url='ws://127.0.0.1:8090/edges',
    websocket.protocol='federation',
    websocket.connection='hub',
    websocket.send='reply',
    websocket.reply='${request}',
    @map(type='json', exclude='request')
)
CREATE STREAM Answers (request STRING, firmware STRING, sensors INT);

INSERT INTO Answers
SELECT request, '4.2.1' AS firmware, 9 AS sensors
FROM Asked
WHERE asked = 'inventory' AND request IS NOT NULL;
