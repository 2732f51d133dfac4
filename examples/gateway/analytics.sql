-- Subscriptions by type, each with filters of its own.
--
--     cargo run --release -- run examples/gateway/analytics.sql
--
-- Clients connect to ws://localhost:8765, say who they are, and subscribe:
--
--     {"type":"auth","data":{"token":"your-auth-token"}}
--     {"type":"subscribe","data":{"type":"events","filters":{"event_type":"user_action","payload.user_id":"user123"}}}
--     {"type":"subscribe","data":{"type":"metrics"}}
--
-- Address, limits and origins come from the environment where they are set: STREAMING_WEBSOCKET__PORT and so on.

@source(
    type='generator',
    generator.template='{"event_id":"evt_${seq}","event_type":"${choice:user_action,login,purchase}","user_id":"user${int:121:125}","timestamp":"${now.rfc3339}","payload":{"user_id":"user${int:121:125}","amount":${float:1:100:2}}}',
    generator.rate='10',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.protocol='analytics',
    websocket.channel='events',
    websocket.auth.tokens='your-auth-token=demo, your-token=demo',
    @map(type='json')
)
CREATE STREAM Events (event_id STRING, event_type STRING, user_id STRING, timestamp STRING, payload JSON);

@source(
    type='generator',
    generator.template='{"name":"${choice:cpu,memory,queue}","value":${walk:50:5}}',
    generator.rate='2',
    @map(type='json')
)
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.protocol='analytics',
    websocket.channel='metrics',
    websocket.key='${name}',
    websocket.snapshot.keys='100',
    @map(type='json')
)
CREATE STREAM Metrics (name STRING, value DOUBLE);
