# SPDX-License-Identifier: Apache-2.0
"""The package's tests, as the built test program lists them, each as a job of its own."""
import json
import os
import re
import subprocess
import sys
import tempfile

from pool import Job

PROGRAM = ".build/release/audioforkPackageTests.xctest"
RUN = [PROGRAM, "--testing-library", "swift-testing", "--no-parallel"]


# As swift test's --skip has it: what the step of unit tests leaves to jobs of their own.
NO_UNIT_TEST = r"^IntegrationTests\.|RealTimeTests"


class Test:
    def __init__(self, identifier, tags):
        # Module.Outer/Inner/function(_:)/File.swift:1:2
        self.is_skipped_by_unit_tests = re.search(NO_UNIT_TEST, identifier) is not None
        self.name = re.sub(r"/[^/]+\.swift:\d+:\d+$", "", identifier)
        self.suite = self.name.rpartition("/")[0]
        self.tags = tags

    @property
    def kind(self):
        """"asterisk", "real time" or "unit"."""
        if self.name.startswith("IntegrationTests."):
            return "asterisk"
        return "real time" if "RealTimeTests" in self.name else "unit"


def all_tests():
    """Every test of the built program, with its tags and those of its suites."""
    with tempfile.TemporaryDirectory() as folder:
        stream = os.path.join(folder, "tests.json")
        subprocess.run(
            [PROGRAM, "--testing-library", "swift-testing", "--list-tests", "--event-stream-output-path", stream,
             "--event-stream-version", "0"], check=True, stdout=subprocess.DEVNULL)
        with open(stream) as lines:
            records = [json.loads(line)["payload"] for line in lines if '"kind":"test"' in line]
    suites = {record["id"]: record.get("_tags", []) for record in records if record["kind"] == "suite"}
    tests = []
    for record in records:
        if record["kind"] != "function":
            continue
        tags = set(record.get("_tags", []))
        for suite, inherited in suites.items():
            if record["id"].startswith(suite + "/"):
                tags.update(inherited)
        tests.append(Test(record["id"], tags))
    check(tests)
    return tests


def check(tests):
    """Ends the program where a test would run in no step, or where the list cannot be what it should be."""
    lost = [test.name for test in tests if test.is_skipped_by_unit_tests == (test.kind == "unit")]
    if lost:
        sys.exit(
            f"test: no step runs {', '.join(lost)}: a suite is named ...RealTimeTests if its file is, and only then")
    for kind in ("unit", "real time", "asterisk"):
        if not any(test.kind == kind for test in tests):
            sys.exit(f"test: the test program lists no test of the kind '{kind}'")
    for tag in (".alone", ".together"):
        if not any(tag in test.tags for test in tests):
            sys.exit(f"test: the test program lists no test with the tag {tag}")


def jobs(tests, step):
    """A job for each test, the slow ones first; for a suite with the tag `together` one job with all of its tests."""
    together = {}
    found = []
    for test in sorted(tests, key=lambda test: ".slow" not in test.tags):
        lane = "alone" if ".alone" in test.tags else "wait"
        if ".together" in test.tags:
            together.setdefault((test.suite, lane), []).append(test)
        else:
            found.append(job(step, test.name, lane))
    return [job(step, suite, lane) for suite, lane in together] + found


def job(step, name, lane):
    return Job(step, name, RUN + ["--filter", "^" + re.escape(name) + "/"], lane, limit=600, is_test=True)


def durations(output):
    """(seconds, title) of each test in the output of a test program."""
    return [
        (float(seconds), title)
        for title, seconds in re.findall(r"Test (\"?.*\"?) (?:passed|failed) after ([0-9.]+) seconds", output)
        if not title.startswith("run with ")
    ]


def ran(output):
    """How many tests a test program has run."""
    found = re.search(r"Test run with (\d+) tests?", output)
    return int(found.group(1)) if found else 0


def is_skipped(output):
    """Whether a test program with one test skipped it."""
    return re.search(r"^\S+ +Test .* skipped", output, re.MULTILINE) is not None


def issues(output):
    """The lines that say what failed; where there are none, the end."""
    lines = [
        line[:600] for line in output.splitlines()
        if re.search(r"recorded an issue|error: |Fatal error|↳", line)
        and not re.search(r"↳ (Testing Library|Target Platform|//)", line)
    ]
    return lines[-40:] or output.splitlines()[-40:]
