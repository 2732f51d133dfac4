-- A gateway by itself: what comes in on /in is published to one channel, whose subscribers connect to /out. The runner
-- chooses the address.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:NATS_BENCH_LISTEN}',
    websocket.path='/in',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:NATS_BENCH_LISTEN}',
    websocket.path='/out',
    websocket.protocol='channels',
    websocket.channel='bench',
    websocket.max.connections='20000',
    websocket.max.connections.per.address='0',
    @map(type='json')
)
CREATE STREAM Messages (mark STRING, topic STRING, pad STRING);
