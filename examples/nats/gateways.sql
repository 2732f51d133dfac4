-- Several gateways that act as one: what one of them publishes reaches subscribers of all, and a client may come back to any.
--
--     nats-server --jetstream
--     cargo run --release -- run examples/nats/gateways.sql
--     LISTEN=127.0.0.1:8014 cargo run --release -- run examples/nats/gateways.sql
--
-- Clients connect to ws://localhost:8013/ws of any instance and subscribe:
--
--     {"type":"subscribe","data":{"channels":["trades.BTC","chat"]}}
--
-- Trades come from a stream of NATS: publish {"symbol":"BTC","price":64000.5} to trades.BTC. The instances share its consumer, so
-- each trade is taken by one of them. What a client says in a channel reaches everybody:
--
--     {"type":"event","data":{"text":"hello"},"metadata":{"channel":"chat"}}

@source(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.stream='TRADES',
    nats.stream.create='true',
    nats.stream.subjects='trades.*',
    nats.consumer='gateways',
    @map(type='json')
)
CREATE STREAM Arriving (symbol STRING, price DOUBLE);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:127.0.0.1:8013}',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.channel='trades.${symbol}',
    websocket.history.events='1000',
    websocket.history.age='10m',
    websocket.presence='true',
    gateway.backplane='nats',
    gateway.backplane.name='trades',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    @map(type='json')
)
CREATE STREAM Trades (symbol STRING, price DOUBLE);

INSERT INTO Trades SELECT symbol, price FROM Arriving;

-- What is said of the place above holds here too.
@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:127.0.0.1:8013}',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.accept='event',
    metadata.channel='channel',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:127.0.0.1:8013}',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.channel='${channel}',
    @map(type='json', exclude='channel')
)
CREATE STREAM Said (channel STRING, text STRING);
