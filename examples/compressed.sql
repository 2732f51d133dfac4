-- Small messages over a slow line: trades of about 85 bytes, compressed by the protocol (permessage-deflate) to about 30.
--
--     cargo run --release -- run examples/compressed.sql
--
-- Prints each trade, and serves the same on ws://127.0.0.1:9104/trades. A client that cannot decompress gets them as they
-- are; `npx wscat -c ws://127.0.0.1:9104/trades` and browsers can.
--
-- Two properties make it work for messages this small: the threshold, because the default compresses from 1 KiB on, and
-- the context takeover, because a trade hardly repeats itself, but repeats the one before. It costs 176 KiB of memory for
-- each client, so there is room for 50 clients and no more. Large messages need neither.

@source(
    type='generator',
    generator.template='{"symbol":"${choice:BTCUSDT,ETHUSDT,SOLUSDT}","price":${walk:100:2.5},"quantity":${float:0.1:20:3},"trade":${seq},"time":${now.ms}}',
    generator.rate='5',
    @map(type='json')
)
CREATE STREAM Trades (symbol STRING, price DOUBLE, quantity DOUBLE, trade BIGINT, time BIGINT);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='127.0.0.1:9104',
    websocket.path='/trades',
    websocket.max.connections='50',
    websocket.permessage-deflate='true',
    websocket.permessage-deflate.threshold='64',
    websocket.permessage-deflate.send.context.takeover='true',
    @map(type='json')
)
@sink(type='log', @map(type='json'))
CREATE STREAM Served (symbol STRING, price DOUBLE, quantity DOUBLE, trade BIGINT, time BIGINT);

INSERT INTO Served SELECT * FROM Trades;
