"""The Autobahn suite as a server: `wstest -m fuzzingserver`, but on a port that is free, and on loopback alone.

Runs on the suite's own CPython 2.7. Prints `listening on ADDRESS`; the client asks for the cases it is to run.
"""

import json
import socket
import sys

from autobahntestsuite.fuzzing import FuzzingServerFactory
from twisted.internet import reactor


def main():
    with open(sys.argv[1]) as file:
        spec = json.load(file)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(50)
    listener.setblocking(False)
    address = "127.0.0.1:%d" % listener.getsockname()[1]
    # The suite compares it with what clients ask for.
    spec["url"] = "ws://" + address
    reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, FuzzingServerFactory(spec))
    print("listening on " + address)
    reactor.run()


main()
