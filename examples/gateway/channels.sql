-- A stream served to browsers and programs by channels.
--
--     cargo run --release -- run examples/gateway/channels.sql
--
-- Clients connect to ws://localhost:8080/ws?token=abc123 and subscribe to `agent-updates`, `notifications` or `metrics`:
--
--     {"type":"subscribe","data":{"channels":["agent-updates"]}}
--
-- They get the events of those channels, may ask for what they missed, and get answers to their requests:
--
--     {"type":"request","data":{"agent_id":"agent-7"},"correlation_id":"req-1"}

@source(
    type='generator',
    generator.template='{"channel":"${choice:agent-updates,notifications,metrics}","agent_id":"agent-${int:1:9}","status":"${choice:running,idle,failed}","load":${float:0:1:2}}',
    generator.rate='10',
    @map(type='json')
)
CREATE STREAM Agents (channel STRING, agent_id STRING, status STRING, load DOUBLE);

@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='0.0.0.0:8080',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.channel='${channel}',
    websocket.key='${agent_id}',
    websocket.history.events='100',
    websocket.snapshot.keys='100',
    websocket.auth='token',
    websocket.auth.tokens='abc123=demo',
    websocket.origins='*',
    @map(type='json', exclude='channel')
)
CREATE STREAM Updates (channel STRING, type STRING, agent_id STRING, status STRING, load DOUBLE);

INSERT INTO Updates
SELECT channel, 'agent-status-changed' AS type, agent_id, status, load
FROM Agents;

-- Requests of clients come in here, with where their answers go; what is said of the place above holds here too ...
@source(
    type='websocket',
    websocket.mode='server',
    websocket.listen='0.0.0.0:8080',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.accept='request',
    metadata.request='request',
    @map(type='json')
)
CREATE STREAM Requests (request STRING, agent_id STRING);

-- ... and go out here, each to the client that asked.
@sink(
    type='websocket',
    websocket.mode='server',
    websocket.listen='0.0.0.0:8080',
    websocket.path='/ws',
    websocket.protocol='channels',
    websocket.reply='${request}',
    @map(type='json', exclude='request')
)
CREATE STREAM Answers (request STRING, agent_id STRING, known BOOL);

INSERT INTO Answers
SELECT request, agent_id, agent_id LIKE 'agent-%' AS known
FROM Requests;
