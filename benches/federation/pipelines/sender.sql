-- One end of a link: trades as fast as the link takes them, as many as the runner says.

@source(
    type='generator',
    generator.template='{"n":${seq},"symbol":"${choice:BTC-USD,ETH-USD,SOL-USD,ADA-EUR}","side":"${choice:bid,ask}","price":${float:60000:60999:2},"size":${float:0:1:8},"venue":"XNAS-EAST-7"}',
    generator.rate='max',
    generator.count='${env:LINK_BENCH_COUNT}',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.url='${env:LINK_BENCH_URL}',
    websocket.protocol='federation',
    websocket.link='${env:LINK_BENCH_LINK}',
    websocket.reconnect.delay.ms='10',
    websocket.reconnect.max.delay.ms='20',
    @map(type='json')
)
CREATE STREAM trades (n BIGINT, symbol STRING, side STRING, price DOUBLE, size DOUBLE, venue STRING);

-- A pipeline ends when all of its sources have ended, and this one never does.
@source(type='generator', generator.template='{"tick":${seq}}', generator.rate='0.001', @map(type='json'))
@sink(type='blackhole', @map(type='json'))
CREATE STREAM Ticks (tick BIGINT);
