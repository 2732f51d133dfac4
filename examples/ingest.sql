-- A server for producers: whoever connects to ws://127.0.0.1:9103/ingest and sends readings as JSON gets them checked, and
-- everybody connected to ws://127.0.0.1:9103/readings sees the good ones. Both share one listener.
--
--     cargo run --release -- run examples/ingest.sql
--
-- From two other terminals, with any WebSocket client:
--
--     npx wscat -c ws://127.0.0.1:9103/readings
--     npx wscat -c ws://127.0.0.1:9103/ingest -x '{"sensor":"roof","celsius":21.5}'
--
-- Web pages are refused: neither path has websocket.origins.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='127.0.0.1:9103',
    websocket.path='/ingest',
    error.strategy='drop',
    @map(type='json', json.on.missing='error')
)
CREATE STREAM Received (sensor STRING, celsius DOUBLE);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='127.0.0.1:9103',
    websocket.path='/readings',
    websocket.client.queue.full='disconnect',
    @map(type='json')
)
CREATE STREAM Readings (sensor STRING, celsius DOUBLE, received TIMESTAMP);

INSERT INTO Readings
SELECT sensor, celsius, NOW() AS received
FROM Received
WHERE celsius BETWEEN -90 AND 60;
