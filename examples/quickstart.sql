-- A feed comes in over WebSocket, SQL works on it, the result goes out over WebSocket. All in this one file: it needs no
-- other process and no internet.
--
--     cargo run --release -- run examples/quickstart.sql
--
-- Shows trades of more than 2,000 dollars, one per line, a few each second. While it runs, a browser can connect to
-- ws://127.0.0.1:9101/large-trades and sees the same as JSON. Ctrl-C ends it with a summary.

-- 1. The exchange: a file of sample trades, played over and over at 50 a second, and served to whoever connects. In real
--    life this part is somebody else's; see examples/binance.sql.
@source(type='replay', replay.file='examples/data/trades.jsonl', replay.rate='50', replay.loop='true', @map(type='text'))
@sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:9100', websocket.path='/trades', @map(type='text'))
CREATE STREAM Exchange (message STRING);

-- 2. The feed: connect to the exchange, take symbol, price, quantity and time from each message.
@source(type='websocket', websocket.url='ws://127.0.0.1:9100/trades', @map(type='json'))
CREATE STREAM Trades (s STRING, p STRING, q STRING, T BIGINT);

-- 3. The result: to browsers on a WebSocket of our own, and to the terminal.
@sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:9101', websocket.path='/large-trades', @map(type='json'))
@sink(type='log')
CREATE STREAM LargeTrades (symbol STRING, price DOUBLE, quantity DOUBLE, notional DOUBLE, time TIMESTAMP);

-- 4. The query between them. The exchange sends numbers as strings, so they are cast.
INSERT INTO LargeTrades
SELECT s AS symbol,
       CAST(p AS DOUBLE) AS price,
       CAST(q AS DOUBLE) AS quantity,
       ROUND(CAST(p AS DOUBLE) * CAST(q AS DOUBLE), 2) AS notional,
       FROM_MILLIS(T) AS time
FROM Trades
WHERE CAST(p AS DOUBLE) * CAST(q AS DOUBLE) > 2000;
