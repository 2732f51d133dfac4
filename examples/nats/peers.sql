-- Requests of linked pipelines, answered by services that listen at ws.request.METHOD.
--
--     nats-server --jetstream
--     cargo run --release -- run examples/nats/peers.sql
--
-- A peer at ws://localhost:8082/ingest asks, in the envelope of a link:
--
--     {"type":"request","id":"req-001","timestamp":1704844800000,"payload":{"method":"inventory","params":{"shelf":7}}}
--
-- What this end answers itself (backpressure, status and the others) does not get that far.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:127.0.0.1:8082}',
    websocket.path='/ingest',
    websocket.protocol='federation',
    websocket.accept='request',
    metadata.request='request',
    metadata.method='method',
    @map(type='json')
)
CREATE STREAM Requests (request STRING, method STRING, params JSON);

@sink(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.subject='ws.request.${method}',
    nats.request='methods',
    nats.request.timeout='4s',
    nats.correlation='${request}',
    error.strategy='drop',
    @map(type='json', json.output='template', json.template='${params}')
)
CREATE STREAM Asked (request STRING, method STRING, params JSON);

INSERT INTO Asked
SELECT request, method, params
FROM Requests
WHERE request IS NOT NULL;

@source(
    type='nats',
    nats.replies='methods',
    metadata.request='correlation',
    metadata.status='status',
    @map(type='json', json.path.answer='$')
)
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:127.0.0.1:8082}',
    websocket.path='/ingest',
    websocket.protocol='federation',
    websocket.send='reply',
    websocket.reply='${request}',
    websocket.status='${status}',
    @map(type='json', json.output='template', json.template='${answer}')
)
CREATE STREAM Answered (request STRING, status STRING, answer JSON);
