-- One feed, many queries: each reads the same stream and feeds a stream of its own.
--
--     cargo run --release -- run examples/fan-out.sql
--
-- Prints BTCUSDT prices, appends every trade to a file in the folder for temporary files, and serves alerts on
-- ws://127.0.0.1:9102/alerts.

@source(
    type='generator',
    generator.template='{"symbol":"${choice:BTCUSDT,ETHUSDT,SOLUSDT}","price":${walk:100:2.5},"quantity":${float:0.1:20:1},"time":${now.ms}}',
    generator.rate='20',
    @map(type='json')
)
CREATE STREAM Trades (symbol STRING, price DOUBLE, quantity DOUBLE, time TIMESTAMP);

@sink(type='log', @map(type='json'))
CREATE STREAM Bitcoin (price DOUBLE, time TIMESTAMP);

@sink(type='file', file.path='${env:TMPDIR:/tmp}/eventflux-trades.jsonl')
CREATE STREAM Archive (symbol STRING, price DOUBLE, quantity DOUBLE, time TIMESTAMP);

@sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:9102', websocket.path='/alerts', @map(type='json'))
CREATE STREAM Alerts (symbol STRING, level STRING, notional DOUBLE);

INSERT INTO Bitcoin SELECT price, time FROM Trades WHERE symbol = 'BTCUSDT';

INSERT INTO Archive SELECT * FROM Trades;

INSERT INTO Alerts
SELECT symbol,
       CASE WHEN price * quantity > 1500 THEN 'high' ELSE 'normal' END AS level,
       ROUND(price * quantity, 2) AS notional
FROM Trades
WHERE price * quantity > 1000;
