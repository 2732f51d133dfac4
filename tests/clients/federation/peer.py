"""A StreamKit that knows nothing but the envelopes its design document prints.

    peer.py client URL   connects to a pipeline of ours
    peer.py server       listens, and says where: sources and sinks of ours connect to it

Either way it says what the document prints, checks that what it hears has the printed shape and nothing else, and ends with
`done` and code 0, or with what was wrong.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

# As printed, line by line.
DATA = """{
  "type": "data",
  "id": "data-001",
  "timestamp": 1704844800000,
  "payload": {
    "sensor_id": "temp-01",
    "value": 23.5,
    "unit": "celsius"
  }
}"""

BACKPRESSURE = """{
  "type": "request",
  "id": "req-001",
  "timestamp": 1704844800000,
  "payload": {
    "method": "backpressure",
    "params": {
      "rate_limit": 100,
      "unit": "msg/sec"
    }
  }
}"""

WITHOUT_TIMESTAMP = """{
  "type": "request",
  "id": "req-bp-001",
  "payload": {
    "method": "backpressure",
    "params": {"rate_limit": 100, "unit": "msg/sec"}
  }
}"""

# Of these the document prints the payloads.
SUBSCRIBE = """{
  "method": "subscribe",
  "params": {
    "filter": {
      "path": "$.severity",
      "operator": ">=",
      "value": "warning"
    }
  }
}"""

REPLAY = """{
  "method": "replay",
  "params": {
    "count": 100,
    "start_time": 1704844700000
  }
}"""

STATUS = """{
  "method": "status",
  "params": {}
}"""

ANNOUNCE = """{
  "method": "announce",
  "params": {
    "capabilities": {
      "region": "us-west",
      "message_types": ["sensor", "telemetry"],
      "max_rate": 1000
    }
  }
}"""

# Events that are looked at before and after anything is asked.
SOME = 20


def shape(value):
    """The members of an object and what they are, in the order in which they are written."""
    if isinstance(value, dict):
        return [(name, shape(member)) for name, member in value.items()]
    return type(value).__name__


def request(identifier, payload):
    return f'{{"type": "request", "id": "{identifier}", "timestamp": 1704844800000, "payload": {payload}}}'


class Peer:
    def __init__(self, socket):
        self.socket = socket
        self.events = []
        self.wanted = lambda payload: True

    async def run(self):
        await self.hear_events()
        await self.socket.send(DATA)
        await self.ask_as_printed()
        await self.ask_what_nobody_knows()
        await self.hear_events()
        # What is no envelope costs nobody the connection.
        await self.socket.send("no envelope")
        await self.socket.send('{"type":"rumour","id":"x","payload":{}}')
        await self.socket.send(DATA.replace("data-001", "data-002"))
        await self.answered()
        print("done")

    async def ask_as_printed(self):
        reply = await self.ask("req-001", BACKPRESSURE)
        assert shape(reply["result"]) == [("current_rate", "int"), ("adjusted_to", "int")], reply
        assert reply["result"]["adjusted_to"] == 100, reply

        reply = await self.ask("req-002", request("req-002", SUBSCRIBE))
        assert shape(reply["result"]) == [("subscription_id", "str"), ("filter_applied", "bool")], reply
        assert reply["result"]["filter_applied"] is True, reply
        self.wanted = lambda payload: payload["severity"] in ("warning", "error")

        reply = await self.ask("req-003", request("req-003", REPLAY))
        # More is said only where something is gone: this asks for what was before there was any process.
        assert shape(reply["result"])[:2] == [("messages_available", "int"), ("replay_started", "bool")], reply
        assert reply["result"]["replay_started"] is True, reply
        assert 1 <= reply["result"]["messages_available"] <= 100, reply
        assert reply["result"]["reason"] == "epoch_changed", reply

        reply = await self.ask("req-004", request("req-004", STATUS))
        throughput = [("current", "int"), ("average_1m", "int"), ("unit", "str")]
        expected = [("throughput", throughput), ("queue_depth", "int"), ("uptime_seconds", "int")]
        assert shape(reply["result"]) == expected, reply
        assert reply["result"]["throughput"]["unit"] == "msg/sec", reply

        reply = await self.ask("req-005", request("req-005", ANNOUNCE))
        assert reply["result"] == {"registered": True, "routing_updated": True}, reply
        is_severe = self.wanted
        self.wanted = lambda payload: (
            is_severe(payload) and payload["region"] == "us-west" and payload["type"] in ("sensor", "telemetry")
        )

        reply = await self.ask("req-bp-001", WITHOUT_TIMESTAMP)
        assert reply["result"]["adjusted_to"] == 100, reply

    async def ask_what_nobody_knows(self):
        reply = await self.ask("req-006", request("req-006", '{"method": "levitate", "params": {}}'), "error")
        assert shape(reply["error"]) == [("code", "str"), ("message", "str")], reply

    async def ask(self, identifier, message, status="ok"):
        await self.socket.send(message)
        while True:
            reply = await self.receive()
            if reply["type"] == "reply":
                assert reply["id"] == identifier, reply
                payload = reply["payload"]
                assert list(payload) == ["status", "result" if status == "ok" else "error"], reply
                assert payload["status"] == status, reply
                return payload

    async def hear_events(self):
        """Some events come, and all are wanted."""
        self.events.clear()
        while len(self.events) < SOME:
            await self.receive()
        assert len({event["id"] for event in self.events}) == SOME, "ids come twice"

    async def answered(self):
        """The pipeline asks again and again, and is answered."""
        while (await self.receive())["type"] != "request":
            pass

    async def receive(self):
        text = await self.socket.recv()
        assert isinstance(text, str), "a binary message"
        message = json.loads(text)
        kinds = [("type", "str"), ("id", "str"), ("timestamp", "int")]
        assert shape({name: message[name] for name in list(message)[:3]}) == kinds, text
        assert list(message) == ["type", "id", "timestamp", "payload"], text
        if message["type"] == "data":
            members = ["sensor_id", "type", "region", "severity", "value", "unit"]
            assert list(message["payload"]) == members, text
            assert self.wanted(message["payload"]), text
            self.events.append(message)
        elif message["type"] == "request":
            assert shape(message["payload"]) == [("method", "str"), ("params", [("verbose", "bool")])], text
            assert message["payload"]["method"] == "inventory", text
            reply = '{"type":"reply","id":%s,"timestamp":1704844800050,"payload":{"status":"ok","result":{"sensors":9}}}'
            await self.socket.send(reply % json.dumps(message["id"]))
        else:
            assert message["type"] == "reply", text
        return message


async def client(url):
    async with connect(url) as socket:
        assert socket.subprotocol is None
        await Peer(socket).run()


async def server():
    over = asyncio.get_running_loop().create_future()

    async def handle(socket):
        try:
            assert socket.subprotocol is None
            await Peer(socket).run()
            over.set_result(None)
        except Exception as error:
            over.set_exception(error)

    async with serve(handle, "127.0.0.1", 0) as listener:
        print("listening at", listener.sockets[0].getsockname()[1])
        await over


asyncio.run(client(sys.argv[2]) if sys.argv[1] == "client" else server())
