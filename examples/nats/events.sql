-- Events of services, published to NATS, on every device of the user they are about.
--
--     nats-server --jetstream
--     cargo run --release -- run examples/nats/events.sql
--
-- Services publish to blob.created, processor.completed, book.updated and the like, each with the user in it:
--
--     {"user_id":"user_123","blob_id":"blob_7","preview":"First 200 characters..."}
--
-- Clients connect to ws://localhost:8011/api/v1/ws?token=test_token and subscribe by the names of subjects:
--
--     {"type":"subscribe","events":["blob.*","processor.completed"]}
--
-- Every instance hears every event and has the users that are connected to it, so that many of them need nothing else.

@source(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.subject='blob.>, processor.>, book.>, conversation.>',
    metadata.event='subject',
    error.strategy='drop',
    @map(type='json', json.path.data='$')
)
CREATE STREAM Heard (event STRING, user_id STRING, data JSON);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:0.0.0.0:8011}',
    websocket.path='/api/v1/ws',
    websocket.protocol='events',
    websocket.user='${user_id}',
    websocket.channel='${event}',
    websocket.auth='token',
    websocket.auth.tokens='test_token=user_123, other_token=user_456',
    websocket.origins='*',
    @map(type='json', json.output='template', json.template='${data}')
)
CREATE STREAM Events (event STRING, user_id STRING, data JSON);

INSERT INTO Events
SELECT event, user_id, data
FROM Heard
WHERE user_id IS NOT NULL;
