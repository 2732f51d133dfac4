-- Telemetry by UDP into objects: each datagram is a reading as JSON, readings that are too high for their sensor become
-- lines of files below ./objects, by sensor, day and hour.
--
--     cargo run --release -- run examples/udp-to-objects.sql
--
-- From another terminal:
--
--     echo -n '{"sensor":"roof","value":72.5}' | nc -u -w1 127.0.0.1 14550
--     find objects -name '*.jsonl' | xargs cat
--
-- With objectstore.url='s3://BUCKET/PREFIX' they become objects of S3.

@source(
    type='udp',
    udp.listen='127.0.0.1:14550',
    metadata.sender='address',
    metadata.received='received_time',
    error.strategy='drop',
    @map(type='json', json.on.missing='error')
)
CREATE STREAM Datagrams (sensor STRING, value DOUBLE, sender STRING, received TIMESTAMP);

@sink(
    type='objectstore',
    objectstore.url='file:./objects',
    objectstore.path='high/${sensor}',
    objectstore.batch.delay='2s',
    error.strategy='retry',
    error.dlq.stream='Refused',
    @map(type='json')
)
CREATE STREAM High (sensor STRING, value DOUBLE, sender STRING, received TIMESTAMP);

-- What no object takes: a sensor whose name is no path, such as `../x`.
@sink(type='log', log.target='stderr', @map(type='json'))
CREATE STREAM Refused (originalEvent STRING, errorMessage STRING, timestamp TIMESTAMP);

INSERT INTO High
SELECT sensor, value, sender, received
FROM Datagrams
WHERE value > 50;
