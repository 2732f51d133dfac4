-- The other end of a link: takes trades, decodes them, and throws them away.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LINK_BENCH_LISTEN}',
    websocket.protocol='federation',
    websocket.link='${env:LINK_BENCH_LINK}',
    websocket.queue.full='block',
    @map(type='json')
)
@sink(type='blackhole', @map(type='json'))
CREATE STREAM trades (n BIGINT, symbol STRING, side STRING, price DOUBLE, size DOUBLE, venue STRING);
