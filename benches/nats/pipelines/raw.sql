-- What is published to a subject goes to every client of /out. The runner chooses the addresses.

@source(
    type='nats',
    nats.url='${env:NATS_BENCH_URL}',
    nats.subject='bench',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:NATS_BENCH_LISTEN}',
    websocket.path='/out',
    websocket.max.connections='20000',
    @map(type='json')
)
CREATE STREAM Messages (mark STRING, topic STRING, pad STRING);
