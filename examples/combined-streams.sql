-- Several symbols over one connection: Binance's combined streams wrap each message in {"stream": ..., "data": {...}}.
-- Needs the internet.
--
--     cargo run --release -- run examples/combined-streams.sql
--
-- A path per column reaches into the message, so that nothing but these four values is decoded.

@source(
    type='websocket',
    websocket.url='wss://stream.binance.com:9443/stream?streams=btcusdt@trade/ethusdt@trade',
    @map(
        type='json',
        json.on.wrong.type='coerce',
        json.path.symbol='$.data.s',
        json.path.price='$.data.p',
        json.path.quantity='$.data.q'
    )
)
CREATE STREAM Trades (
    stream STRING,
    symbol STRING,
    price DOUBLE,
    quantity DOUBLE
);

@sink(type='log')
CREATE STREAM Large (
    symbol STRING,
    notional DOUBLE
);

INSERT INTO Large
SELECT symbol, ROUND(price * quantity, 2) AS notional
FROM Trades
WHERE price * quantity > 10000;
