-- A server for producers: whoever connects to ws://127.0.0.1:9103/ingest and sends readings as JSON gets them checked, and
-- everybody connected to ws://127.0.0.1:9103/readings sees the good ones. Both share one listener.
--
--     cargo run --release -- run examples/ingest.sql
--
-- From a browser's console:
--
--     out = new WebSocket("ws://127.0.0.1:9103/readings"); out.onmessage = (event) => console.log(event.data);
--     send = new WebSocket("ws://127.0.0.1:9103/ingest");
--     send.send('{"sensor":"roof","celsius":21.5}');

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
