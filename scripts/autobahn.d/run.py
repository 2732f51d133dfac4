"""Runs the Autobahn suite against an echo server, an echo client or both, and sums up. Called by scripts/autobahn.

The echo server is run as `SERVER 127.0.0.1:0` and has to print `listening on ADDRESS`; the echo client is run as
`CLIENT ws://ADDRESS`. Exits with 1 when a case failed or did not run.
"""

import argparse
import contextlib
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from report import Report

# What `quick` stands for: all but most of the compression cases, which take most of the time.
QUICK = (
    "1.* 2.* 3.* 4.* 5.* 6.* 7.* 9.* 10.* "
    "12.1.1 12.1.2 12.1.3 12.1.11 12.2.1 12.2.2 12.2.3 12.3.1 12.4.1 12.5.1 12.5.11 "
    "13.1.1 13.1.2 13.2.1 13.2.2 13.3.1 13.3.2 13.4.1 13.4.2 13.5.1 13.5.2 13.6.1 13.6.2 13.7.1 13.7.2"
).split()

# What our server is called in the reports; the client tells its name.
AGENT = "eventflux-websocket-wire"

# How long a program may take until it listens, in seconds.
START_DEADLINE = 30
# How long one direction may take, in seconds.
RUN_DEADLINE = 60 * 60
# How long a program may take to end when told to, in seconds.
STOP_DEADLINE = 5


def main():
    arguments = parse_arguments()
    # So that the programs started are stopped on these too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    directions = ["server", "client"] if arguments.direction == "both" else [arguments.direction]
    reports = []
    for direction in directions:
        print(f"\n==> Our {direction}, cases: {arguments.cases}", flush=True)
        report = Run(arguments, direction).report()
        report.print()
        reports.append(report)
    summary = arguments.reports / "summary.json"
    summary.write_text(json.dumps([report.as_json() for report in reports], indent=2) + "\n")
    print(f"\nsummary: {summary}")
    sys.exit(0 if all(report.passed() for report in reports) else 1)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", type=pathlib.Path, required=True, help="folder the suite is installed in")
    parser.add_argument("--reports", type=pathlib.Path, required=True, help="folder to write reports to")
    parser.add_argument("--cases", default="quick", help="quick, all, or a comma-separated list of patterns")
    parser.add_argument("--direction", choices=["server", "client", "both"], default="both")
    parser.add_argument("--server", required=True, help="program of the echo server")
    parser.add_argument("--client", required=True, help="program of the echo client")
    return parser.parse_args()


class Run:
    """All cases in one direction."""

    def __init__(self, arguments, direction):
        self.suite = arguments.suite.resolve() / "bin"
        self.ours = arguments.server if direction == "server" else arguments.client
        self.cases = {"quick": QUICK, "all": ["*"]}.get(arguments.cases) or arguments.cases.split(",")
        self.direction = direction
        self.folder = arguments.reports.resolve() / direction
        self.suite_log = self.folder / "suite.log"
        self.our_log = self.folder / f"echo_{direction}.log"

    def report(self):
        """Runs the cases and gives their report."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        started = time.monotonic()
        try:
            if self.direction == "server":
                self.test_server()
            else:
                self.test_client()
            problem = None
        except RunFailed as failure:
            problem = str(failure)
        return Report(self.direction, self.folder, self.expected_cases(), time.monotonic() - started, problem)

    def test_server(self):
        with running([self.ours, "127.0.0.1:0"], self.our_log) as server:
            address = wait_for_address(server, self.our_log)
            spec = self.write_spec(servers=[{"agent": AGENT, "url": f"ws://{address}"}])
            with running([self.suite / "wstest", "-m", "fuzzingclient", "-s", spec], self.suite_log) as suite:
                wait_for_end(suite, self.suite_log)
            if server.poll() is not None:
                raise RunFailed(f"the echo server ended with status {server.returncode}: see {self.our_log}")

    def test_client(self):
        fuzzing_server = pathlib.Path(__file__).resolve().parent / "fuzzing_server.py"
        with running([self.suite / "python", "-u", fuzzing_server, self.write_spec()], self.suite_log) as suite:
            address = wait_for_address(suite, self.suite_log)
            with running([self.ours, f"ws://{address}"], self.our_log) as client:
                wait_for_end(client, self.our_log)

    def write_spec(self, **more):
        spec = {"outdir": str(self.folder), "cases": self.cases, "exclude-cases": [], "exclude-agent-cases": {}}
        path = self.folder / "spec.json"
        path.write_text(json.dumps({**spec, **more}, indent=2))
        return path

    def expected_cases(self):
        """How many cases the suite meant to run."""
        log = self.suite_log.read_text(errors="replace") if self.suite_log.exists() else ""
        announced = re.search(r"will run (\d+) test cases", log)
        return int(announced[1]) if announced else 0


class RunFailed(Exception):
    """A run that did not come to its end."""


@contextlib.contextmanager
def running(command, log):
    """A program that writes to the file `log`, and is stopped at the end in any case."""
    try:
        with open(log, "wb") as output:
            process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output)
    except OSError as error:
        raise RunFailed(f"{command[0]} cannot be run: {error}") from error
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_address(process, log):
    """Waits for the line that says where a program listens."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        line = re.search(r"^listening on (\S+)$", log.read_text(errors="replace"), re.MULTILINE)
        if line:
            return line[1]
        if ended:
            raise RunFailed(f"{process.args[0]} ended with status {process.returncode}: see {log}")
        time.sleep(0.05)
    raise RunFailed(f"{process.args[0]} does not listen after {START_DEADLINE} s: see {log}")


def wait_for_end(process, log):
    try:
        status = process.wait(RUN_DEADLINE)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"{process.args[0]} still runs after {RUN_DEADLINE} s: see {log}") from None
    if status != 0:
        raise RunFailed(f"{process.args[0]} ended with status {status}: see {log}")


if __name__ == "__main__":
    main()
