-- A live dashboard: simulated trades, and a page that shows them.
--
--     cargo run --release -- run examples/gateway/dashboard.sql
--
-- Then open examples/gateway/dashboard.html in a browser: a double click on the file is enough. It
--
--   - begins with the latest trade of each symbol (websocket.snapshot.keys),
--   - shows only what matches a condition its reader types, which is evaluated here (`symbol = 'BTC' AND notional > 50000`),
--   - goes on where it was after an interruption, without a gap (websocket.history.events).

@source(
    type='generator',
    generator.template='{"symbol":"BTC","side":"${choice:buy,sell}","price":${walk:64000.00:45.00},"size":${float:0.01:2:3},"time":${now.ms}}',
    generator.rate='6',
    @map(type='json')
)
@source(
    type='generator',
    generator.template='{"symbol":"ETH","side":"${choice:buy,sell}","price":${walk:3100.00:3.00},"size":${float:0.1:20:2},"time":${now.ms}}',
    generator.rate='5',
    @map(type='json')
)
@source(
    type='generator',
    generator.template='{"symbol":"SOL","side":"${choice:buy,sell}","price":${walk:140.00:0.20},"size":${float:1:300:1},"time":${now.ms}}',
    generator.rate='4',
    @map(type='json')
)
CREATE STREAM Simulated (symbol STRING, side STRING, price DOUBLE, size DOUBLE, time BIGINT);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='127.0.0.1:8090',
    websocket.path='/trades',
    websocket.protocol='channels',
    websocket.channel='trades',
    websocket.key='${symbol}',
    websocket.snapshot.keys='100',
    websocket.history.events='5000',
    -- A page opened as a file has no origin. One of a web server: websocket.origins='https://app.example.com'
    websocket.origins='null',
    @map(type='json')
)
CREATE STREAM Trades (symbol STRING, side STRING, price DOUBLE, size DOUBLE, notional DOUBLE, time BIGINT);

INSERT INTO Trades
SELECT symbol, side, price, size, price * size AS notional, time
FROM Simulated;
