-- Keyed work on several machines: orders of one symbol are handled in order, by one instance at a time.
--
--     nats-server --jetstream
--     cargo run --release -- run examples/nats/orders.sql
--
-- Producers connect to ws://localhost:8015/orders of any instance and send {"id":"o-1","symbol":"BTC","quantity":2}. The symbol
-- decides which of 16 partitions of a stream an order is in. Each instance holds some of the partitions; when one ends, the
-- others take its partitions over within seconds and go on behind the last order that was handled.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:127.0.0.1:8015}',
    websocket.path='/orders',
    @map(type='json')
)
@sink(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.subject='orders',
    nats.stream='ORDERS',
    nats.stream.create='true',
    nats.stream.subjects='orders.*',
    nats.message.id='${id}',
    partition.by='symbol',
    partition.count='16',
    error.strategy='drop',
    @map(type='json')
)
CREATE STREAM Received (id STRING, symbol STRING, quantity DOUBLE);

@source(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.subject='orders',
    nats.stream='ORDERS',
    nats.stream.create='true',
    partition.count='16',
    partition.group='desk',
    partition.lease='5s',
    metadata.partition='partition',
    metadata.sequence='sequence',
    @map(type='json')
)
@sink(type='log', @map(type='json'))
CREATE STREAM Handled (id STRING, symbol STRING, quantity DOUBLE, partition INT, sequence BIGINT);
