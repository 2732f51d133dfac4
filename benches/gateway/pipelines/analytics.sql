-- What comes in on /in goes to those clients of /out whose filters it passes. The runner chooses the address.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:GATEWAY_BENCH_LISTEN}',
    websocket.path='/in',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:GATEWAY_BENCH_LISTEN}',
    websocket.path='/out',
    websocket.protocol='analytics',
    websocket.channel='events',
    websocket.auth.tokens='bench',
    websocket.max.connections='20000',
    websocket.max.connections.per.address='0',
    @map(type='json')
)
CREATE STREAM Messages (mark STRING, topic STRING, pad STRING);
