-- Requests of browsers, answered by a service that listens at a subject of NATS.
--
--     nats-server --jetstream
--     cargo run --release -- run examples/nats/service.sql examples/nats/quotes.sql
--
-- Clients connect to ws://localhost:8012/ws and ask:
--
--     {"type":"request","data":{"symbol":"BTC","quantity":2},"correlation_id":"req-1"}
--
-- The service is examples/nats/quotes.sql; any program that answers at quotes.* will do, in as many instances as it takes. When
-- nobody answers, the client gets the status `no_responders` or `timeout`.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:127.0.0.1:8012}',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.accept='request',
    websocket.request.timeout='5s',
    metadata.request='request',
    @map(type='json')
)
-- The subject is made of what a client says: a symbol that is not a single token of a subject is refused.
@sink(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.subject='quotes.${symbol}',
    nats.request='quotes',
    nats.request.timeout='3s',
    nats.correlation='${request}',
    error.strategy='drop',
    @map(type='json', exclude='request')
)
CREATE STREAM Asked (request STRING, symbol STRING, quantity DOUBLE);

@source(
    type='nats',
    nats.replies='quotes',
    metadata.request='correlation',
    metadata.status='status',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:127.0.0.1:8012}',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.reply='${request}',
    @map(type='json', exclude='request')
)
CREATE STREAM Answered (request STRING, status STRING, symbol STRING, total DOUBLE);
