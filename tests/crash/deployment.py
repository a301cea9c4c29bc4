"""An embedded org, folders that are exported into from it, and what must hold of each after a crash."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from tracer import trace

FORMER = b"Id,Name\nof the night before,\n"

CONFIGURATION = """\
[org]
login_url = "{url}"
client_id = "3MVG9demo"
username  = "integration@example.com"
key_file  = "{key}"
[http]
attempts = 1
batch_size = 200
"""


class Broken(Exception):
    """The promise is."""


def promise(holds, what):
    if not holds:
        raise Broken(what)


@contextlib.contextmanager
def embedded_org(binary, work, records):
    """The URL and the key's path of an org that is up meanwhile."""
    with open(work / "org.log", "w+") as log:
        command = [binary, "demo", "--serve", "--records", str(records), "--dir", work / "org"]
        org = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            for _ in range(300):
                said = (work / "org.log").read_text()
                if "The org is up" in said:
                    break
                time.sleep(0.1)
            else:
                raise SystemExit(f"the embedded org did not start:\n{said}")
            yield re.search(r'login_url = "(.*)"', said)[1], work / "org/server.key"
        finally:
            org.send_signal(signal.SIGINT)
            org.wait()


class Deployment:
    """A folder with a configuration and one job."""

    def __init__(self, binary, folder, org, job, outputs, arguments=("run", "job")):
        self.binary, self.folder, self.arguments = binary, folder, arguments
        url, key = org
        # The main file last, as they are published.
        self.outputs = [folder / "exports" / output for output in outputs]
        (folder / "jobs").mkdir(parents=True)
        (folder / "sfexport.toml").write_text(CONFIGURATION.format(url=url, key=key))
        (folder / "jobs/job.toml").write_text(job)
        self.former, self.new, self.flushed = {}, {}, []

    def has_run(self):
        """As after a night: a history, the job's columns, and outputs that can be told from new ones."""
        promise(self.run().returncode == 0, "the first run failed")
        self.former = {output: FORMER for output in self.outputs}
        for output in self.outputs:
            output.write_bytes(FORMER)

    def settle(self):
        """What is there now is where every crash begins; and what a run makes of it is what every run must make."""
        self.flushed = self.history()
        self.begin = self.folder.with_name(self.folder.name + ".begin")
        shutil.copytree(self.folder, self.begin)
        undisturbed = self.trace()
        promise(undisturbed.status == 0, f"an undisturbed run ended {undisturbed.status}: {undisturbed.stderr}")
        self.new = self.now()
        self.state_of_success = self.state()
        self.reset()
        return undisturbed.calls

    def reset(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self.begin, self.folder)

    def become(self, tree):
        """Puts what a power cut left into the folder."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for path, contents in sorted(tree.items()):
            if contents is None:
                (self.folder / path).mkdir()
            else:
                (self.folder / path).write_bytes(contents)

    def environment(self):
        return {"PATH": os.environ["PATH"]}

    def command(self, *arguments):
        return [os.fspath(self.binary), *arguments]

    def trace(self, decide=lambda number, call: None):
        return trace(self.command(*self.arguments), self.folder, decide, self.folder, self.environment())

    def run(self, *arguments):
        return subprocess.run(
            self.command(*(arguments or self.arguments)),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )

    def start(self, *arguments):
        return subprocess.Popen(
            self.command(*(arguments or self.arguments)),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def now(self):
        return {output: output.read_bytes() for output in self.outputs if output.exists()}

    def stages(self):
        return sorted(path.name for path in self.folder.rglob("*.partial"))

    def state(self):
        """The names in the state folder."""
        return sorted(str(path.relative_to(self.folder)) for path in (self.folder / "state").rglob("*"))

    def history(self):
        """The run ids of the history, as `sfexport history` tells it, the newest first."""
        shown = self.run("history", "--json", "--limit", "0")
        promise(shown.returncode == 0, f"history ended {shown.returncode}: {shown.stderr.decode()}")
        return [json.loads(line)["run_id"] for line in shown.stdout.splitlines()]

    def written_history(self):
        """The run ids of the whole lines in the history's file."""
        file = self.folder / "state/runs.jsonl"
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        ids = []
        for line in lines:
            with contextlib.suppress(ValueError):
                ids.append(json.loads(line)["run_id"])
        return ids

    def holds_the_promise(self):
        """After a crash: each output is the former or the new one, whole; the main one is new only where all are."""
        now = self.now()
        for output in self.outputs:
            name, found = output.name, now.get(output)
            is_whole = found in (self.former.get(output), self.new[output])
            promise(is_whole, f"{name} is neither the former export nor the new one: {found and found[:80]!r}")
        *further, main = self.outputs
        if now.get(main) == self.new[main]:
            promise(now == self.new, "the main file is new, and a child query's file is not")

    def history_is_whole(self):
        """Every line that was written to its end is told, those of before among them, each once."""
        told, written = self.history(), self.written_history()
        promise(sorted(told) == sorted(written), f"the history tells {told}, and its file holds {written}")
        promise(set(self.flushed) <= set(told), "a run that was in the history is not in it any more")
        promise(len(set(told)) == len(told), "a run is twice in the history")
        jobs = self.run("jobs")
        promise(jobs.returncode == 0, f"jobs ended {jobs.returncode}: {jobs.stderr.decode()}")
        return told

    def recovers(self):
        """The next run succeeds, and then everything is as if nothing had happened."""
        self.holds_the_promise()
        told = self.history_is_whole() if self.arguments[0] == "run" else []
        begun = len(self.outputs) > 1 and any(self.now().get(output) == self.new[output] for output in self.outputs)
        if begun:
            # Some of the files have appeared: the rest must, and also before a run is whole.
            tried = self.run("run", "job", "--dry-run")
            promise(tried.returncode == 0, f"a dry run ended {tried.returncode}: {tried.stderr.decode()}")
            promise(self.now() == self.new, "a publish that was half done is still half done")
        if 'if_exists = "fail"' in (self.folder / "jobs/job.toml").read_text():
            self.outputs[-1].unlink(missing_ok=True)
        again = self.run()
        promise(again.returncode == 0, f"the next run ended {again.returncode}: {again.stderr.decode()}")
        promise(self.now() == self.new, "the next run's export is not the new one")
        promise(self.stages() == [], f"stages are left: {self.stages()}")
        if self.arguments[0] == "run":
            promise(self.state() == self.state_of_success, f"in the state folder: {self.state()}")
            promise(len(self.history_is_whole()) == len(told) + 1, "the next run is not in the history")
