-- Dead letters: what cannot be decoded or computed is kept, with the reason, instead of stopping the pipeline.
--
--     cargo run --release -- run examples/dlq.sql
--
-- The feed sometimes sends a price that is no number. Good prices are counted by a sink that shows nothing; each bad one is
-- printed with what it was and why it failed. The dead-letter stream is an ordinary one: a query reads it.

@source(
    type='generator',
    generator.template='{"symbol":"BTCUSDT","price":"${choice:60000.5,60001.0,n/a}"}',
    generator.rate='5',
    error.strategy='dlq',
    error.dlq.stream='Failed',
    @map(type='json')
)
CREATE STREAM Ticks (symbol STRING, price STRING);

@sink(type='blackhole')
CREATE STREAM Prices (symbol STRING, price DOUBLE);

CREATE STREAM Failed (
    originalEvent STRING,
    errorMessage STRING,
    errorType STRING,
    stage STRING,
    sourcePosition BIGINT,
    timestamp TIMESTAMP
);

@sink(type='log', @map(type='json'))
CREATE STREAM Report (sourcePosition BIGINT, errorMessage STRING, originalEvent STRING);

INSERT INTO Prices SELECT symbol, CAST(price AS DOUBLE) AS price FROM Ticks;

INSERT INTO Report SELECT sourcePosition, errorMessage, originalEvent FROM Failed WHERE stage = 'query';
