-- What comes in on /in goes to every client of /out. The runner chooses the address.

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
    websocket.max.connections='20000',
    @map(type='json')
)
CREATE STREAM Messages (mark STRING, topic STRING, pad STRING);
