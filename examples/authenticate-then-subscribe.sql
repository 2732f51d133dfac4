-- A private feed that wants to be asked: authenticate, wait for the answer, then subscribe. The URL is an example; put in
-- your own, and the key into the environment.
--
--     FEED_KEY=... cargo run --release -- run examples/authenticate-then-subscribe.sql
--
-- The second message is sent only when the reply to the first one has come, and both are sent again after every reconnect.
-- The key never appears in a log. Acknowledgements and heartbeats have no "data": they are skipped.

@source(
    type='websocket',
    websocket.url='${env:FEED_URL:wss://feed.example.com/private}',
    websocket.subscribe.message='{"op":"auth","key":"${env:FEED_KEY:}"}',
    websocket.subscribe.message.expect='{"op":"auth","success":true}',
    websocket.subscribe.message.timeout='5s',
    websocket.subscribe.message.2='{"op":"subscribe","args":["orders"]}',
    websocket.heartbeat.message='{"op":"ping"}',
    websocket.heartbeat.interval='20s',
    @map(type='json', json.root='$.data', json.on.missing.root='skip')
)
CREATE STREAM Orders (
    id STRING,
    state STRING,
    price DOUBLE
);

@sink(type='log')
CREATE STREAM Filled (
    id STRING,
    price DOUBLE
);

INSERT INTO Filled SELECT id, price FROM Orders WHERE state = 'filled';
