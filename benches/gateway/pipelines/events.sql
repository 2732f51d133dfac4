-- What comes in on /in goes to those clients of /out who have subscribed to a pattern of its type. The runner chooses the
-- address.

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
    websocket.protocol='events',
    websocket.channel='${topic}.tick',
    websocket.max.connections='20000',
    websocket.max.connections.per.address='0',
    websocket.max.subscriptions='1000',
    @map(type='json')
)
CREATE STREAM Messages (mark STRING, topic STRING, pad STRING);
