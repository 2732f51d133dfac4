-- A service of NATS in SQL: it answers requests at quotes.*.
--
--     nats-server --jetstream
--     cargo run --release -- run examples/nats/quotes.sql
--
-- Anybody can ask it: examples/nats/service.sql does for browsers, and `nats request quotes.BTC '{"quantity":2}'` by hand. Several
-- instances share the requests, because they are of the same queue group.

@source(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.subject='quotes.*',
    nats.queue='quotes',
    metadata.subject='subject',
    metadata.reply_to='reply',
    @map(type='json')
)
CREATE STREAM Requests (subject STRING, reply_to STRING, quantity DOUBLE);

@sink(
    type='nats',
    nats.url='${env:NATS_URL:nats://127.0.0.1:4222}',
    nats.reply='${reply_to}',
    @map(type='json', exclude='reply_to')
)
CREATE STREAM Replies (reply_to STRING, symbol STRING, total DOUBLE);

INSERT INTO Replies
SELECT reply_to,
       SUBSTRING(subject, 8) AS symbol,
       quantity * CASE subject WHEN 'quotes.BTC' THEN 64000.5 ELSE 3000.25 END AS total
FROM Requests
WHERE reply_to IS NOT NULL;
