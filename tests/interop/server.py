"""A WebSocket server on the Python library `websockets`, as a peer of the interoperability tests. It accepts compression,
and compresses all it sends when the client offers it.

    server.py feed COUNT FIRST   sends COUNT messages: FIRST of them to the first client, whom it then sends away with
                                 close code 1012, the others to the next one, which it pings before
    server.py collect            prints what it receives

It prints `listening PORT` first, then a line for each thing that happens: `extensions TEXT` (what it chose for a client,
or `none`), `message TEXT`, `pong`, `closed CODE`.
"""

import asyncio
import sys

from messages import numbered
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(line):
    print(line, flush=True)


def say_extensions(connection):
    say(f"extensions {connection.response.headers.get('Sec-WebSocket-Extensions', 'none')}")


async def send(connection, number):
    text = numbered(number)
    # Every third message goes out in two fragments.
    if number % 3 == 0:
        await connection.send([text[:7], text[7:]])
    else:
        await connection.send(text)


def feed(count, first):
    next_number = 1
    # One client after the other, so that what is said of them does not mix.
    turn = asyncio.Lock()

    async def handler(connection):
        nonlocal next_number
        async with turn:
            say_extensions(connection)
            if next_number > 1:
                await asyncio.wait_for(await connection.ping(), timeout=20)
                say("pong")
            last = first if next_number == 1 else count
            while next_number <= last:
                await send(connection, next_number)
                next_number += 1
            if last < count:
                await connection.close(1012, "restart")
            await connection.wait_closed()
            say(f"closed {connection.close_code}")

    return handler


async def collect(connection):
    say_extensions(connection)
    try:
        while True:
            say(f"message {await connection.recv()}")
    except ConnectionClosed:
        say(f"closed {connection.close_code}")


async def main():
    handler = collect if sys.argv[1] == "collect" else feed(int(sys.argv[2]), int(sys.argv[3]))
    async with serve(handler, "127.0.0.1", 0) as server:
        say(f"listening {server.sockets[0].getsockname()[1]}")
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
