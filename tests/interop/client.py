"""A WebSocket client on the Python library `websockets`, as a peer of the interoperability tests. It offers compression,
and compresses all it sends when the server accepts.

    client.py send URL COUNT      sends COUNT messages and closes
    client.py collect URL COUNT   prints what it receives

It prints a line for each thing that happens: `extensions TEXT` (what the server chose, or `none`), `connected`,
`message TEXT`, `closed CODE`.
"""

import asyncio
import sys

from messages import numbered
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def say(line):
    print(line, flush=True)


async def main():
    role, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # Without a timeout of its own: a server that does not end the connection after the goodbyes is to be noticed.
    async with connect(url, close_timeout=None) as connection:
        say(f"extensions {connection.response.headers.get('Sec-WebSocket-Extensions', 'none')}")
        say("connected")
        if role == "send":
            for number in range(1, count + 1):
                text = numbered(number)
                # Every third message goes out in two fragments.
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
