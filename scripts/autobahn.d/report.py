"""What the Autobahn suite found in one direction, read from the files it leaves."""

import html
import json
import re

COLUMNS = ["OK", "NON-STRICT", "INFORMATIONAL", "FAILED"]

# Every other verdict is a failure: FAILED, UNIMPLEMENTED, WRONG CODE, UNCLEAN, FAILED BY CLIENT.
GOOD = set(COLUMNS) - {"FAILED"}

# As the suite calls them.
GROUPS = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragmentation",
    6: "UTF-8",
    7: "closing",
    9: "limits and performance",
    10: "automatic fragmentation",
    12: "compression, payloads",
    13: "compression, parameters",
}

# Characters of a case's description that are shown.
DESCRIPTION_LENGTH = 110


class Report:
    """The verdicts on the cases of one direction."""

    def __init__(self, direction, folder, expected, seconds, problem):
        self.direction = direction
        self.folder = folder
        self.expected = expected
        self.seconds = round(seconds, 1)
        self.problem = problem
        index = folder / "index.json"
        # By the name our side gave itself: there is one.
        agents = json.loads(index.read_text()) if index.exists() else {}
        verdicts = next(iter(agents.values()), {})
        self.cases = [Case(name, verdicts[name]) for name in sorted(verdicts, key=numbers)]
        if problem is None and expected == 0:
            self.problem = "there are no such cases"
        elif problem is None and len(self.cases) != expected:
            self.problem = f"{expected - len(self.cases)} cases did not run"

    def passed(self):
        return bool(self.cases) and self.problem is None and not self.with_verdict("FAILED")

    def with_verdict(self, verdict):
        return [case for case in self.cases if case.verdict == verdict]

    def groups(self):
        """How many cases of each group have each verdict."""
        groups = {}
        for case in self.cases:
            group = groups.setdefault(case.group, dict.fromkeys(COLUMNS, 0))
            group[case.verdict] += 1
        return groups

    def print(self):
        rows = [[f"{group} {GROUPS.get(group, '')}", *counts.values()] for group, counts in self.groups().items()]
        rows.append(["all", *(len(self.with_verdict(verdict)) for verdict in COLUMNS)])
        print(f"{'group':<27}" + "".join(f"{column:>15}" for column in COLUMNS))
        for name, *counts in rows:
            print(f"{name:<27}" + "".join(f"{count or '-':>15}" for count in counts))
        for verdict in ("NON-STRICT", "FAILED"):
            for case in self.with_verdict(verdict):
                print(f"{verdict} {case.name}: {case.describe(self.folder)}")
        if self.problem:
            print(f"FAILED: {self.problem}")
        print(f"our {self.direction}: {'passed' if self.passed() else 'FAILED'}, {len(self.cases)} of {self.expected} cases "
              f"in {self.seconds:.0f} s; pages and logs: {self.folder}", flush=True)

    def as_json(self):
        return {
            "direction": self.direction,
            "passed": self.passed(),
            "problem": self.problem,
            "expected": self.expected,
            "cases": len(self.cases),
            "groups": self.groups(),
            "failed": {case.name: [case.behavior, case.closing] for case in self.with_verdict("FAILED")},
            "non_strict": [case.name for case in self.with_verdict("NON-STRICT")],
            "seconds": self.seconds,
        }


class Case:
    """One case and the verdict on it."""

    def __init__(self, name, verdict):
        self.name = name
        self.group = numbers(name)[0]
        self.behavior = verdict["behavior"]
        self.closing = verdict["behaviorClose"]
        self.file = verdict["reportfile"]
        self.verdict = self.behavior if {self.behavior, self.closing} <= GOOD else "FAILED"

    def describe(self, folder):
        """What the case does; when it failed, what was wrong, and where to read on."""
        details = json.loads((folder / self.file).read_text())
        description = plain(details["description"])
        if self.verdict != "FAILED":
            return description
        return (f"{description}\n    messages {self.behavior}: {plain(details['result'])}"
                f"\n    closing {self.closing}: {plain(details['resultClose'])}\n    {folder / self.file}")


def numbers(name):
    return [int(part) for part in name.split(".")]


def plain(text):
    """One line without HTML, of limited length."""
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())
    return text if len(text) <= DESCRIPTION_LENGTH else text[:DESCRIPTION_LENGTH - 3] + "..."
