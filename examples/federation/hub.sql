-- The hub of two linked pipelines: takes what its edges measure, and asks them now and then.
--
--     cargo run --release -- run examples/federation/edge.sql examples/federation/hub.sql
--     cargo run --release -- request ws://127.0.0.1:8090/edges status

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='127.0.0.1:8090',
    websocket.path='/edges',
    websocket.protocol='federation',
    metadata.edge='connection',
    metadata.id='id',
    @map(type='json')
)
@sink(type='log', @map(type='json'))
CREATE STREAM Measured (edge STRING, id STRING, sensor STRING, region STRING, severity STRING, value DOUBLE);

-- Every ten seconds each edge is asked for its inventory.
@source(type='generator', generator.template='{"verbose":true}', generator.rate='0.1', @map(type='json'))
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='127.0.0.1:8090',
    websocket.path='/edges',
    websocket.protocol='federation',
    websocket.send='request',
    websocket.method='inventory',
    error.strategy='drop',
    @map(type='json')
)
CREATE STREAM Questions (verbose BOOL);

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='127.0.0.1:8090',
    websocket.path='/edges',
    websocket.protocol='federation',
    websocket.accept='reply',
    metadata.edge='connection',
    metadata.outcome='status',
    @map(type='json')
)
@sink(type='log', @map(type='json'))
CREATE STREAM Inventories (edge STRING, outcome STRING, result JSON);
