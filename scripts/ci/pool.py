# SPDX-License-Identifier: Apache-2.0
"""Runs jobs side by side: processes that mostly wait, several at a time; builds beside them at idle priority."""
import collections
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# Ports that a job may use: 1000 of its own, below the ephemeral ones (scripts/asterisk-sandbox, AsteriskTestKit).
FIRST_PORT = 10_000
PORTS = 1000
SANDBOX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../asterisk-sandbox")


class Job:
    """A process. `step` is the row of the table that its time belongs to.

    lane: "wait": mostly waits, so several run at a time. "idle": needs a processor, and gets what the others leave.
    "alone": measures time or load, so nothing runs beside it.
    """

    def __init__(self, step, name, command, lane="wait", limit=600, environment=None, is_test=False):
        self.step, self.name, self.command, self.lane = step, name, command, lane
        self.limit, self.environment, self.is_test = limit, environment or {}, is_test
        self.process = self.status = None
        self.began = self.ended = self.processor = 0.0
        self.output = ""

    @property
    def seconds(self):
        return self.ended - self.began

    def start(self, folder, slot):
        self.folder = folder
        os.mkdir(folder)
        environment = dict(os.environ, **self.environment)
        environment["AUDIOFORK_PORTS"] = str(FIRST_PORT + slot * PORTS)
        environment["AUDIOFORK_TEST_FOLDER"] = folder
        command = self.command
        if self.lane == "idle":
            command = (["chrt", "--idle", "0"] if shutil.which("chrt") else ["nice", "-n", "19"]) + command
        self.log = tempfile.TemporaryFile()
        self.slot = slot
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True)

    def is_over(self):
        """Whether the process has ended; then its status, times and output are there."""
        found, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if found == 0:
            if time.monotonic() - self.began > self.limit:
                self.end()
                self.output += f"\nended: it ran longer than {self.limit} s\n"
                self.status = self.status or 1
                return True
            return False
        self.take(status, usage)
        return True

    def take(self, status, usage):
        self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
        self.processor = usage.ru_utime + usage.ru_stime
        self.ended = time.monotonic()
        self.log.seek(0)
        self.output = self.log.read().decode(errors="replace")
        self.log.close()
        self.clean()

    def clean(self):
        """Stops each Asterisk that it has left; removes its folder unless it failed."""
        for run, folders, _ in os.walk(self.folder):
            # Scripts keep their sandboxes one folder below their own.
            if run.count("/") >= self.folder.count("/") + 2:
                folders.clear()
            if os.path.exists(os.path.join(run, "pid")):
                subprocess.run([SANDBOX, "stop", "--run", run], stdout=subprocess.DEVNULL)
            if os.path.exists(os.path.join(run, "run_dir")):
                with open(os.path.join(run, "run_dir")) as file:
                    rings = file.read().strip()
                if rings.startswith("/dev/shm/audiofork-sandbox-"):
                    shutil.rmtree(rings, ignore_errors=True)
        if self.status == 0 or not os.listdir(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)

    def end(self):
        """Ends its process group: SIGTERM, and SIGKILL after eight seconds. `clean` stops each Asterisk it started."""
        for number, patience in ((signal.SIGTERM, 8), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                found, status, usage = os.wait4(self.process.pid, os.WNOHANG)
                if found:
                    self.take(status, usage)
                    return
                time.sleep(0.05)


class Pool:
    """Starts the jobs in their order and tells of each that has ended. Idle jobs go on from one `run` to the next.
    Once a step has failed no other step begins or goes on; tests of the failed step do, so that one run shows all
    that fail."""

    def __init__(self, at_once, tell):
        self.at_once, self.tell = at_once, tell
        self.folder = tempfile.mkdtemp(prefix="af-", dir="/tmp")
        self.queues = {lane: collections.deque() for lane in ("wait", "idle", "alone")}
        self.running = []
        self.failed = []
        self.started = 0
        self.slots = list(range(at_once + 1))

    def add(self, jobs):
        for job in jobs:
            self.queues[job.lane].append(job)

    def run(self, jobs, until=()):
        """Adds the jobs. Returns when all but idle ones have ended, and the idle ones of the steps in `until`; with
        jobs of the lane "alone", which begin behind all others, when everything has. Returns whether all went
        well."""
        self.add(jobs)
        while any(job.lane != "idle" or job.step in until for job in self.pending()):
            self.start()
            time.sleep(0.02)
            for job in [job for job in self.running if job.is_over()]:
                self.end(job)
        return not self.failed

    def pending(self):
        return self.running + [job for queue in self.queues.values() for job in queue]

    def start(self):
        for lane, most in (("wait", self.at_once), ("idle", 1), ("alone", 1)):
            queue = self.queues[lane]
            while queue and sum(job.lane == lane for job in self.running) < most:
                if lane == "alone" and (self.running or self.queues["wait"] or self.queues["idle"]):
                    break
                job = queue.popleft()
                if self.failed and not (job.is_test and job.step == self.failed[0].step):
                    continue
                self.started += 1
                job.start(os.path.join(self.folder, str(self.started)), self.slots.pop(0))
                self.running.append(job)

    def end(self, job):
        self.running.remove(job)
        self.slots.insert(0, job.slot)
        self.tell(job)
        if job.status == 0:
            return
        self.failed.append(job)
        for other in [other for other in self.running if not other.is_test or other.step != job.step]:
            other.end()
            self.running.remove(other)
            self.slots.insert(0, other.slot)

    def close(self):
        """Ends what runs; removes the jobs' folders but those of failed ones."""
        for job in self.running:
            job.end()
        if os.listdir(self.folder):
            print(f"what failed left Asterisk's logs and what arrived in {self.folder}", file=sys.stderr)
        else:
            os.rmdir(self.folder)
