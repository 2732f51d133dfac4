-- The pipeline of these deployment files: trades of a stream of NATS, to browsers at any of several gateways.
--
--     eventflux check deploy/gateway.sql
--
-- The environment says what differs: NATS_URL, NATS_PASSWORD, and API_TOKEN, which clients show.

@source(
    type='nats',
    nats.url='${env:NATS_URL}',
    nats.user='${env:NATS_USER:eventflux}',
    nats.password='${env:NATS_PASSWORD}',
    nats.stream='TRADES',
    nats.stream.create='true',
    nats.stream.subjects='trades.*',
    nats.stream.replicas='${env:NATS_REPLICAS:1}',
    nats.consumer='gateways',
    error.strategy='drop',
    @map(type='json')
)
CREATE STREAM Arriving (symbol STRING, price DOUBLE);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LISTEN:0.0.0.0:8080}',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.channel='trades.${symbol}',
    websocket.history.events='10000',
    websocket.history.age='10m',
    websocket.presence='true',
    websocket.auth='token',
    websocket.auth.tokens='${env:API_TOKEN}=app',
    gateway.backplane='nats',
    gateway.backplane.name='trades',
    gateway.backplane.replicas='${env:NATS_REPLICAS:1}',
    nats.url='${env:NATS_URL}',
    nats.user='${env:NATS_USER:eventflux}',
    nats.password='${env:NATS_PASSWORD}',
    @map(type='json')
)
CREATE STREAM Trades (symbol STRING, price DOUBLE);

INSERT INTO Trades SELECT symbol, price FROM Arriving;
