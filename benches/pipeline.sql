-- The benchmark pipeline: parse a trade, keep about half, cast two columns, encode, send.
-- The runner provides both URLs: the feeder it starts, and the collector it starts.

@source(
    type='websocket',
    websocket.url='${env:EVENTFLUX_BENCH_FEED}',
    @map(type='json')
)
CREATE STREAM Trades (
    s STRING,
    t BIGINT,
    p STRING,
    q STRING,
    T BIGINT,
    m BOOL
);

@sink(
    type='websocket',
    websocket.url='${env:EVENTFLUX_BENCH_OUT}',
    websocket.message.type='text',
    @map(type='json')
)
CREATE STREAM Out (
    s STRING,
    t BIGINT,
    p DOUBLE,
    q DOUBLE,
    T BIGINT
);

INSERT INTO Out
SELECT s, t, CAST(p AS DOUBLE) AS p, CAST(q AS DOUBLE) AS q, T
FROM Trades
WHERE m = true;
