-- Trades of Binance, straight from the exchange. Needs the internet.
--
--     cargo run --release -- run examples/binance.sql
--
-- Shows each trade as a line: symbol, price, quantity, time. Binance sends numbers as strings, so the columns are STRING
-- and the query casts them. `t` (the trade's number) and `T` (its time) are different columns: names are case-sensitive.

@source(
    type='websocket',
    websocket.url='wss://stream.binance.com:9443/ws/btcusdt@trade',
    @map(type='json')
)
CREATE STREAM RawTrades (
    e STRING,
    s STRING,
    p STRING,
    q STRING,
    T BIGINT
);

@sink(type='log')
CREATE STREAM Trades (
    symbol STRING,
    price DOUBLE,
    quantity DOUBLE,
    time TIMESTAMP
);

INSERT INTO Trades
SELECT s AS symbol, CAST(p AS DOUBLE) AS price, CAST(q AS DOUBLE) AS quantity, FROM_MILLIS(T) AS time
FROM RawTrades
WHERE e = 'trade';
