-- Nested JSON: a column of type JSON is reached into by name and index. Also shows the other way to declare a source.
--
--     cargo run --release -- run examples/nested.sql
--
-- Prints a line for each order with its first item.

CREATE STREAM Orders (id BIGINT, customer JSON, items JSON) WITH (
    type='source',
    extension='generator',
    format='json',
    "generator.template"='{"id":${seq},"customer":{"name":"Ada","address":{"city":"${choice:Paris,Lima,Oslo}"}},"items":[{"sku":"A-${int:1:9}","price":"${float:5:90:2}"}]}',
    "generator.rate"='5'
);

CREATE STREAM FirstItems (id BIGINT, city STRING, sku STRING, price DOUBLE) WITH (
    type='sink', extension='log', format='json'
);

INSERT INTO FirstItems
SELECT id,
       customer.address->>'city' AS city,
       items[0]->>'sku' AS sku,
       CAST(items[0].price AS DOUBLE) AS price
FROM Orders;
