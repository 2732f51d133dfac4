"""A WebSocket client on the Python library `websockets`, as a peer of the interoperability tests.

    client.py send URL COUNT   sends COUNT messages and closes
    client.py collect URL      prints what it receives

It prints a line for each thing that happens: `connected`, `message TEXT`, `closed CODE`.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def say(line):
    print(line, flush=True)


async def main():
    role, url = sys.argv[1], sys.argv[2]
    async with connect(url) as connection:
        say("connected")
        if role == "send":
            for number in range(1, int(sys.argv[3]) + 1):
                text = json.dumps({"n": number, "text": f"snowman \u2603 number {number}"}, ensure_ascii=False)
                await connection.send([text[:7], text[7:]] if number % 3 == 0 else text)
            await connection.close()
        else:
            try:
                while True:
                    say(f"message {await connection.recv()}")
            except ConnectionClosed:
                pass
        say(f"closed {connection.close_code}")


asyncio.run(main())
