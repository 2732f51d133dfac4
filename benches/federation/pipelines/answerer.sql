-- Answers a request with a number: what it was asked, and one more.

@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LINK_BENCH_LISTEN}',
    websocket.protocol='federation',
    websocket.accept='request',
    metadata.request='request',
    metadata.asked='method',
    @map(type='json')
)
CREATE STREAM Asked (request STRING, asked STRING, n BIGINT);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='${env:LINK_BENCH_LISTEN}',
    websocket.protocol='federation',
    websocket.send='reply',
    websocket.reply='${request}',
    @map(type='json', exclude='request')
)
CREATE STREAM Answers (request STRING, n BIGINT);

INSERT INTO Answers
SELECT request, n + 1 AS n
FROM Asked
WHERE asked = 'next' AND request IS NOT NULL;
