-- Each user's events to all of the user's devices, and commands of clients into a stream.
--
--     cargo run --release -- run examples/gateway/events.sql
--
-- Clients connect to ws://localhost:8010/api/v1/ws?token=test_token and subscribe to the events they want:
--
--     {"type":"subscribe","events":["blob.*","processor.completed"]}
--
-- What they send with {"type":"create_blob","data":{"content":"..."}} is printed, and comes back as an event.

@source(
    type='generator',
    generator.template='{"event":"${choice:blob.created,blob.derived,processor.status,book.updated}","user_id":"user_123","blob_id":"blob_${seq}","progress":${float:0:1:2}}',
    generator.rate='5',
    @map(type='json')
)
CREATE STREAM Activity (event STRING, user_id STRING, blob_id STRING, progress DOUBLE);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='0.0.0.0:8010',
    websocket.path='/api/v1/ws',
    websocket.protocol='events',
    websocket.user='${user_id}',
    websocket.channel='${event}',
    websocket.auth='token',
    websocket.auth.tokens='test_token=user_123',
    websocket.origins='*',
    @map(type='json', exclude='event')
)
CREATE STREAM Events (event STRING, user_id STRING, blob_id STRING, progress DOUBLE);

INSERT INTO Events
SELECT event, user_id, blob_id, progress
FROM Activity;

-- Commands of clients, with the name of the user the token stands for.
@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='0.0.0.0:8010',
    websocket.path='/api/v1/ws',
    websocket.protocol='events',
    websocket.accept='create_blob, process_blob',
    metadata.user_id='user',
    metadata.command='kind',
    @map(type='json')
)
@sink(type='log', @map(type='json'))
CREATE STREAM Commands (user_id STRING, command STRING, blob_id STRING, content STRING);

INSERT INTO Events
SELECT 'blob.created' AS event, user_id, COALESCE(blob_id, content) AS blob_id, 0.0 AS progress
FROM Commands
WHERE command = 'create_blob';
