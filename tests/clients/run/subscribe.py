"""Uses the class of the printed Python client of the analytics protocol: its own main program authenticates and listens,
but subscribes to nothing.

    subscribe.py PROGRAM TYPE [FILTERS]   subscribes once it is authenticated, then sends what the server does not know
"""

import asyncio
import json
import runpy
import sys

program, subscription_type = sys.argv[1:3]
filters = json.loads(sys.argv[3]) if len(sys.argv) > 3 else None

# The program starts by itself when it is read: let it not.
run, asyncio.run = asyncio.run, lambda main: main.close()
StreamingClient = runpy.run_path(program)["StreamingClient"]
asyncio.run = run


class Subscriber(StreamingClient):
    async def handle_message(self, message):
        await super().handle_message(message)
        if message["type"] == "auth_success":
            await self.subscribe(subscription_type, filters)
            await self.send({"type": "no_such_type"})


run(Subscriber("ws://localhost:8765", "your-token").connect())
