-- Something to look at: trades of five symbols into a stream of NATS, each confirmed by it.
--
--     nats-server --jetstream
--     cargo run --release -- run examples/nats/trades.sql
--
-- examples/nats/gateways.sql shows them to browsers.

@source(
    type='generator',
    generator.template='{"symbol":"${choice:BTC,ETH,SOL,ADA,DOT}","price":${float:1:70000:2}}',
    generator.rate='20',
    @map(type='json')
)
@sink(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.subject='trades.${symbol}',
    nats.stream='TRADES',
    nats.stream.create='true',
    nats.stream.subjects='trades.*',
    @map(type='json')
)
CREATE STREAM Made (symbol STRING, price DOUBLE);
