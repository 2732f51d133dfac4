-- What comes in on /in is stored in a stream of JetStream. The runner chooses the addresses.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:NATS_BENCH_LISTEN}',
    websocket.path='/in',
    @map(type='json')
)
@sink(
    type='nats',
    nats.url='${env:NATS_BENCH_URL}',
    nats.subject='bench.trades',
    nats.stream='BENCH',
    nats.max.in.flight='${env:NATS_BENCH_IN_FLIGHT}',
    @map(type='json')
)
CREATE STREAM Trades (client INT, n LONG, symbol STRING, side STRING, price DOUBLE, size DOUBLE, venue STRING);
