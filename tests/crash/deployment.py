"""An embedded org, folders that are exported into from it, and what must hold of each after a crash."""

import calendar
import collections
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

from tracer import RUN_ID, trace

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
[defaults]
api = "rest"
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
                if "The org runs" in said:
                    break
                time.sleep(0.1)
            else:
                raise SystemExit(f"the embedded org did not start:\n{said}")
            yield re.search(r'login_url = "(.*)"', said)[1], work / "org/server.key"
        finally:
            org.send_signal(signal.SIGINT)
            org.wait()


def content(path):
    """What a file holds; but for the run that wrote it, which a Parquet file names."""
    found = path.read_bytes()
    return re.sub(RUN_ID.pattern.encode(), b"RUNID", found) if path.suffix == ".parquet" else found


class Deployment:
    """A folder with a configuration and one job."""

    def __init__(self, binary, folder, org, job, outputs, arguments=("run", "job")):
        self.binary, self.folder, self.arguments = binary, folder, arguments
        self.must_be_new = 'if_exists = "fail"' in job
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
        for path, file in sorted(tree.items()):
            if file is None:
                (self.folder / path).mkdir()
            else:
                (self.folder / path).write_bytes(file[0])
                os.utime(self.folder / path, ns=(file[1], file[1]))

    def environment(self):
        return {"PATH": os.environ["PATH"]}

    def command(self, *arguments):
        return [os.fspath(self.binary), *arguments]

    def trace(self, decide=lambda number, call: None, arguments=None):
        command = self.command(*(arguments or self.arguments))
        return trace(command, self.folder, decide, self.folder, self.environment())

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
        """The same without waiting for its end. It says nothing: nobody reads along."""
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        command = self.command(*(arguments or self.arguments))
        return subprocess.Popen(command, cwd=self.folder, env=self.environment(), **quiet)

    def now(self):
        return {output: content(output) for output in self.outputs if output.exists()}

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
        if self.must_be_new:
            self.outputs[-1].unlink(missing_ok=True)
        again = self.run()
        promise(again.returncode == 0, f"the next run ended {again.returncode}: {again.stderr.decode()}")
        promise(self.now() == self.new, "the next run's export is not the new one")
        promise(self.stages() == [], f"stages are left: {self.stages()}")
        if self.arguments[0] == "run":
            promise(self.state() == self.state_of_success, f"in the state folder: {self.state()}")
            promise(not any("journal/" in path for path in self.state()), f"notes are left: {self.state()}")
            promise(len(self.history_is_whole()) == len(told) + 1, "the next run is not in the history")


class WithCommand(Deployment):
    """One whose job has a command after each export, and whose runs are attempts at one occurrence. The command notes
    that it ran, and the report it got, where no crash and no power cut reaches. It fails while the file `broken` is
    there."""

    SCHEDULED = "2026-03-01T02:00:00Z"
    SCRIPT = """\
read -r report || exit 1
rows=$(wc -l < "$1")
echo "$rows $report" >> "$2/ran"
test ! -e "$2/broken"
"""

    def __init__(self, binary, folder, org, job, outputs):
        self.outside = folder.with_name(folder.name + ".outside")
        self.outside.mkdir()
        after = f'after = ["sh", "after.sh", "{{path}}", "{self.outside}"]\n'
        attempt = ("run", "job", "--at", self.SCHEDULED, "--once", "--json")
        super().__init__(binary, folder, org, job + after, outputs, attempt)
        (folder / "after.sh").write_text(self.SCRIPT)

    def has_run(self):
        promise(self.run("run", "job").returncode == 0, "the first run failed")
        self.former = {output: FORMER for output in self.outputs}
        for output in self.outputs:
            output.write_bytes(FORMER)

    def has_failed(self):
        """As after an attempt whose command failed."""
        (self.outside / "broken").touch()
        promise(self.run().returncode == 70, "the command of the first attempt did not fail")
        (self.outside / "broken").unlink()
        self.former = self.now()

    def settle(self):
        self.notes().unlink(missing_ok=True)
        return super().settle()

    def reset(self):
        super().reset()
        for left in ("ran", "broken"):
            (self.outside / left).unlink(missing_ok=True)

    def trace(self, decide=lambda number, call: None, arguments=None):
        ended = super().trace(decide, arguments)
        self.noted = self.notes().read_bytes() if self.notes().exists() else b""
        return ended

    def become(self, tree):
        super().become(tree)
        self.notes().write_bytes(self.noted)

    def notes(self):
        return self.outside / "ran"

    def state(self):
        """Without the locks of outputs, which mean nothing once their process is gone."""
        return [name for name in super().state() if not name.startswith("state/locks/outputs/")]

    def ran(self):
        """How often the command ran after each export. What it was told must be true."""
        runs, main = collections.Counter(), self.new[self.outputs[-1]]
        expected = {
            "path": str(self.outputs[-1]),
            "status": "ok",
            "exit_status": 0,
            "scheduled": self.SCHEDULED,
            "bytes": len(main),
            "sha256": hashlib.sha256(main).hexdigest(),
        }
        for line in self.notes().read_text().splitlines() if self.notes().exists() else []:
            rows, report = line.split(" ", 1)
            report = json.loads(report)
            promise(int(rows) == main.count(b"\n"), f"the output had {rows} lines when the command ran")
            for key, value in expected.items():
                promise(report[key] == value, f"the command was told that {key} is {report[key]!r}")
            further = [file["path"] for file in report["files"]]
            promise(further == [str(path) for path in self.outputs[:-1]], f"the command was told of {further}")
            runs[report["run_id"]] += 1
        return runs

    def recovers(self):
        """After a crash: the command runs after what was published, and after nothing else."""
        self.holds_the_promise()
        told = self.history_is_whole()
        is_published, before = self.now() == self.new, self.ran()
        promise(is_published or not before, "the command ran, and its export is gone")
        again = self.run()
        promise(again.returncode == 0, f"the next attempt ended {again.returncode}: {again.stderr.decode()}")
        report = json.loads(again.stdout)
        promise(self.now() == self.new, "the next attempt's export is not the new one")
        promise(self.stages() == [], f"stages are left: {self.stages()}")
        is_skipped = report["status"] == "skipped"
        # Only that the command succeeded may have been refused by the disk: then it runs again after the next export.
        may_remain = {"state/journal/job@default.json"} if is_skipped else set()
        left = set(self.state()) ^ set(self.state_of_success)
        promise(left <= may_remain, f"in the state folder: {self.state()}")
        after = self.ran()
        promise(after, "the command never ran")
        if is_published and not before:
            promise(report["api_calls"] == 0, "the command was pending, and the export was repeated")
            promise(report["run_id"] not in after, "the command ran for an export of the retry")
        promise(not is_skipped or before == after, "an attempt that is skipped ran the command")
        promise(len(self.history_is_whole()) == len(told) + (not is_skipped), "the attempt is not in the history")
        promise(json.loads(self.run().stdout)["status"] == "skipped", "everything is done, and is not skipped")
        promise(self.ran() == after, "everything is done, and the command ran again")


class ByBulk(Deployment):
    """One whose run that is killed exports by a query job of Bulk API 2.0. The run after it uses REST, which is faster, and
    must remove from the org what is noted."""

    def __init__(self, binary, folder, org, job, outputs):
        super().__init__(binary, folder, org, job, outputs)
        configuration = (folder / "sfexport.toml").read_text()
        (folder / "bulk.toml").write_text(configuration.replace('api = "rest"', 'api = "bulk"'))
        # Jobs of others, and those that the org has created and whose ids no run has received.
        self.unknown = self.query_jobs()

    def trace(self, decide=lambda number, call: None, arguments=None):
        return super().trace(decide, arguments or ("--config", "bulk.toml", "run", "job"))

    def start(self, *arguments):
        return super().start(*(arguments or ("--config", "bulk.toml", "run", "job")))

    def state(self):
        """Without the API that the last run used, which differs here on purpose."""
        return [name for name in super().state() if not name.startswith("state/last_api")]

    def named_scratch_files(self):
        """The scratch files that have names: path and size."""
        return {path.name: path.stat().st_size for path in self.folder.rglob("*.spool")}

    def query_jobs(self):
        """The ids of all query jobs in the org."""
        shown = self.run("token", "--shell")
        promise(shown.returncode == 0, f"token ended {shown.returncode}: {shown.stderr.decode()}")
        settings = dict(re.findall(r"(SF_\w+)='?([^'\n]*)'?", shown.stdout.decode()))
        address = f"{settings['SF_INSTANCE_URL']}/services/data/v62.0/jobs/query"
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {settings['SF_ACCESS_TOKEN']}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return {job["id"] for job in json.load(response)["records"]}

    def recovers(self):
        journal = self.folder / "state/journal/job@default.json"
        noted = journal.read_text() if journal.exists() else ""
        super().recovers()
        left = self.query_jobs() - self.unknown
        # A job may stay only if the process died before it knew the id.
        allowed = 1 if '"query_job"' in noted and not re.search(r"\b750\w{15}\b", noted) else 0
        promise(len(left) <= allowed, f"query jobs are left: {left}; noted was {noted}")
        self.unknown |= left


class Incremental(Deployment):
    """One that exports changes. Each run has files of its own, and its mark moves only together with them."""

    def __init__(self, binary, folder, org, deletes):
        job = (
            'object = "Account"\nfields = ["Id", "SystemModstamp"]\noutput = "{kind}-{run_id}.csv"\n'
            f'[incremental]\ndeletes = "{deletes}"\n'
        )
        super().__init__(binary, folder, org, job, [], ("run", "job", "--json"))
        self.has_deletes = deletes == "ids"

    def has_run(self):
        """As after a full run, with a mark behind which half of the records have changed. Deletes cannot be followed from so
        far back, so with them the mark is of yesterday, and nothing has changed since."""
        full = self.run()
        promise(full.returncode == 0, f"the first run failed: {full.stderr.decode()}")
        path = pathlib.Path(json.loads(full.stdout)["path"])
        header, *rows = path.read_text().splitlines(keepends=True)
        stamps = sorted(row.split(",")[1] for row in rows)
        self.since = stamps[len(stamps) // 2][:19] + "Z"
        if self.has_deletes:
            self.since = instant(int(time.time()) - 86400)
        later = [row for row in rows if row.split(",")[1] > self.since.replace("Z", ".000+0000")]
        promise(self.has_deletes or 0 < len(later) < len(rows), f"{len(later)} of {len(rows)} records have changed")
        self.changes = "".join([header, *later]).encode()
        moved = self.run("watermark", "job", "--set", self.since)
        promise(moved.returncode == 0, f"the mark cannot be set: {moved.stderr.decode()}")
        path.unlink()

    def settle(self):
        calls = super().settle()
        expected = {"changes-RUNID.csv": [self.changes]}
        if self.has_deletes:
            expected["changes-RUNID.deleted.csv"] = [b"Id,deletedDate\n"]
        promise(self.new == expected, f"an undisturbed run wrote {self.new}")
        return calls

    def now(self):
        files = collections.defaultdict(list)
        for path in sorted((self.folder / "exports").glob("*.csv")):
            files[RUN_ID.sub("RUNID", path.name)].append(path.read_bytes())
        return dict(files)

    def state(self):
        """Without the locks of outputs, which mean nothing once their process is gone."""
        return [name for name in super().state() if not name.startswith("state/locks/outputs/")]

    def mark(self):
        shown = self.run("watermark", "job", "--json")
        promise(shown.returncode == 0, f"watermark ended {shown.returncode}: {shown.stderr.decode()}")
        return json.loads(shown.stdout)["mark"]

    def holds_the_promise(self):
        """After a crash: the files are there, whole, or not; and the mark has moved only if they are."""
        now = self.now()
        for name, contents in now.items():
            promise(contents == self.new.get(name), f"{name} holds {contents}")
        promise("changes-RUNID.csv" not in now or now == self.new, f"of the files there is only {sorted(now)}")
        promise(now == self.new or self.mark() == self.since, f"the mark is {self.mark()}, without its files")

    def recovers(self):
        """The next run begins where the files end, some of which it may publish first."""
        self.holds_the_promise()
        told, was_published = self.history_is_whole(), self.now() == self.new
        again = self.run()
        promise(again.returncode == 0, f"the next run ended {again.returncode}: {again.stderr.decode()}")
        report = json.loads(again.stdout)
        begins_again = report["since"] == self.since
        promise(not (begins_again and was_published), "the mark did not move with its files")
        promise(report["kind"] == "changes" and self.mark() == report["mark"] > self.since, f"the report is {report}")
        for name, contents in self.now().items():
            promise(len(contents) == (1 if begins_again else 2), f"it begins at {report['since']}, and {name} is {contents}")
            promise(self.new[name][0] in contents, f"what was to be in {name} was never exported")
        promise(self.stages() == [], f"stages are left: {self.stages()}")
        promise(self.state() == self.state_of_success, f"in the state folder: {self.state()}")
        promise(len(self.history_is_whole()) == len(told) + 1, "the next run is not in the history")


# 2020-01-01, and the runs of half a year from then on.
OLD_START = 1577836800
OLD = {f"20200101T000000Z-{number:08x}" for number in range(26)}


class Daemon(Deployment):
    """One whose job is due as soon as a daemon starts."""

    def is_due(self):
        """As if a daemon had stopped three days ago, with a history so old that some of it is pruned."""
        # Once a day, half an hour ago: no other falls due while this lasts.
        self.due = int(time.time()) // 60 * 60 - 1800
        with (self.folder / "jobs/job.toml").open("a") as job:
            job.write(time.strftime('schedule = "%M %H * * *"\n', time.gmtime(self.due)))
            # A run that a crash cut off is done again after this time.
            job.write('retry_after = "100ms"\n')
        promise(self.run("run", "job").returncode == 0, "the first run failed")
        self.until(self.mark)
        mark = self.mark() | {"settled": instant(self.due - 3 * 86400), "begun": None, "started": []}
        kept = {"job": "job", "org": "default", "content": mark}
        (self.folder / "state/marks/job@default.json").write_text(json.dumps(kept))
        history = self.folder / "state/runs.jsonl"
        line = json.loads(history.read_text())
        # One a week: a longer gap would not count as a whole.
        weekly = zip(sorted(OLD), range(0, 7 * len(OLD), 7))
        old = [line | {"run_id": run, "ended": instant(OLD_START + day * 86400)} for run, day in weekly]
        history.write_text("".join(json.dumps(line) + "\n" for line in [*old, line]))
        self.former = {self.outputs[0]: FORMER}
        self.outputs[0].write_bytes(FORMER)

    def settle(self):
        calls = super().settle()
        self.flushed = self.flushed[:1]
        return calls

    def mark(self):
        file = self.folder / "state/marks/job@default.json"
        return json.loads(file.read_text())["content"] if file.exists() else None

    def is_done(self):
        """Whether the occurrence that is due is settled."""
        mark = self.mark()
        return mark["begun"] is None and seconds(mark["settled"]) >= self.due

    def until(self, reached):
        """Runs a daemon until it has `reached` something, and drains it."""
        running = self.start("daemon")
        try:
            promise(wait_for(lambda: reached() and drains(running.pid)), "the daemon does not do its work")
        finally:
            running.terminate()
            status = running.wait()
        promise(status == 0, f"the daemon ended {status}")

    def trace(self, decide=lambda number, call: None):
        def drain_when_done(process):
            wait_for(lambda: self.is_done() and drains(process), while_there_is=process)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)

        watch = []

        def started(process):
            watch.append(threading.Thread(target=drain_when_done, args=[process]))
            watch[0].start()

        ended = trace(self.command("daemon"), self.folder, decide, self.folder, self.environment(), started)
        watch[0].join()
        return ended

    def occurrences(self, status):
        """How many lines of the history each occurrence has that ended so."""
        shown = self.run("history", "--json", "--limit", "0")
        reports = map(json.loads, shown.stdout.splitlines())
        return collections.Counter(report["scheduled"] for report in reports if report["status"] == status)

    def recovers(self):
        """After a crash: the next daemon does what is due, and nothing that was done and noted."""
        self.holds_the_promise()
        told, done, was_settled = self.history_is_whole(), self.occurrences("ok"), self.is_done()
        self.until(self.is_done)
        promise(set(told) - set(self.history()) <= OLD, "the next daemon lost a run")
        now, due = self.occurrences("ok"), instant(self.due)
        promise(now[due] >= 1, "the occurrence that was due has no run that worked")
        promise(now[due] == done[due] + (not was_settled), f"it ran {now[due]} times, {done[due]} of them before")
        promise(all(count <= 2 for count in self.occurrences("missed").values()), "a missed one is told again")
        promise(self.now() == self.new, "the export is not the new one")
        promise(self.stages() == [], f"stages are left: {self.stages()}")
        left = [path for path in self.state() if "journal/" in path or path.endswith(".aside")]
        promise(left == [], f"in the state folder: {left}")


def wait_for(reached, while_there_is=None):
    """Whether it came, within a time that is long for what takes milliseconds."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        # A mark that is being written, or a process that has gone.
        with contextlib.suppress(ValueError, OSError):
            if reached():
                return True
        if while_there_is and not os.path.exists(f"/proc/{while_there_is}"):
            break
        time.sleep(0.002)
    return False


def drains(process):
    """Whether a process has come so far that SIGTERM does not simply end it."""
    caught = re.search(r"^SigCgt:\s*(\w+)$", pathlib.Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(caught[1], 16) >> (signal.SIGTERM - 1) & 1 == 1


def instant(second):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def seconds(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
