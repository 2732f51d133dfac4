-- A first pipeline: made-up readings of sensors, the hot ones converted and printed.
--
--     cargo run --release -- run examples/first.sql
--
-- Shows a line for each reading above 30 degrees, until Ctrl-C.

@source(
    type='generator',
    generator.template='{"sensor":"${choice:north,south,roof}","celsius":${float:10:45:1}}',
    generator.rate='5',
    @map(type='json')
)
CREATE STREAM Readings (sensor STRING, celsius DOUBLE);

@sink(type='log', @map(type='json'))
CREATE STREAM Hot (sensor STRING, fahrenheit DOUBLE);

INSERT INTO Hot
SELECT sensor, ROUND(celsius * 9 / 5 + 32, 1) AS fahrenheit
FROM Readings
WHERE celsius > 30;
