"""Runs docs/deploy/airflow/sfexport_dag.py on a real Airflow; see the script `run` next to this file."""

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "recipes"))
from servers import BINARY, CLIENT_ID, ENVIRONMENT, USERNAME, Org, Postgres, expect, passed, shell  # noqa: E402

ROOT = pathlib.Path(sys.argv[1])
DAG = ROOT / "docs" / "deploy" / "airflow" / "sfexport_dag.py"
SHARDS = 6
# An org for each shard but the last, which stays empty.
ORGS = {"japan": 0, "anz": 1, "emea": 2, "uat": 3, "france": 4}
# These orgs take this long for each page.
SLOW, THINK = ("uat", "france"), 5000
JOBS = {"accounts": "SELECT Id, Name FROM Account LIMIT 10", "contacts": "SELECT Id, LastName FROM Contact"}
AIRFLOW = pathlib.Path(sys.executable).parent / "airflow"
UTC = datetime.timezone.utc


def wait_for(what, condition, seconds):
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < end, f"waited {seconds} s in vain: {what}")
        time.sleep(0.3)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def processes():
    """Every process: its id, its parent's id and its command."""
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ProcessLookupError):
            command = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            yield int(directory.name), parent, command


class Fleet:
    """Two jobs in five orgs, two of which are slow."""

    def __init__(self, directory, quick, slow):
        self.directory = directory
        (directory / "jobs").mkdir(parents=True)
        self.state, self.exports = directory / "state", directory / "exports"
        tables = [f'state_dir = "{self.state}"\noutput_root = "{self.exports}"\n']
        for name in ORGS:
            org = slow if name in SLOW else quick
            shutil.copy(org.directory / "server.key", directory / f"{name}.key")
            tables.append(
                f'[orgs.{name}]\nlogin_url = "{org.url}"\nclient_id = "{CLIENT_ID}"\nusername = "{USERNAME}"\n'
                f'key_file = "{name}.key"\nmax_concurrent_runs = 1\n'
            )
        self.settings = directory / "sfexport.toml"
        self.settings.write_text("\n".join(tables))
        for name, soql in JOBS.items():
            (directory / "jobs" / f"{name}.toml").write_text(
                f'soql = "{soql}"\norgs = ["*"]\noutput = "{{org}}/{name}-{{datetime}}.csv"\ntimezone = "UTC"\n'
            )

    def attempts(self, at, org):
        """What the history has of an org's exports for a time, oldest first: the job and its exit status."""
        said = shell(f"'{BINARY}' --config '{self.settings}' history --json --limit 1000", self.directory)
        reports = [json.loads(line) for line in said.splitlines()]
        wanted = [r for r in reports if r["org"] == org and r["scheduled"] and moment(r["scheduled"]) == at]
        return [(r["job"], r["exit_status"]) for r in reversed(wanted)]

    def files(self, at, org):
        return sorted(path.name for path in self.exports.glob(f"{org}/*-{at:%Y%m%dT%H%M%S}*.csv"))

    def process(self, shard):
        """The running sfexport of a shard, and its parent."""
        for pid, parent, command in processes():
            if str(self.settings) in command and f"{shard}/{SHARDS}" in command:
                return pid, parent
        return None


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Airflow:
    """Airflow's processes, each in a session of its own, and its API."""

    def __init__(self, directory, postgres):
        self.directory, self.processes = directory, []
        self.dags = directory / "dags"
        self.dags.mkdir(parents=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        database = f"postgresql+psycopg2://{postgres.env['PGUSER']}@127.0.0.1:{postgres.env['PGPORT']}/postgres"
        settings = {
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "8",
            "CORE__DAGS_FOLDER": self.dags,
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": directory / "passwords.json",
            "DATABASE__SQL_ALCHEMY_CONN": database,
            "API__HOST": "127.0.0.1",
            "API__PORT": port,
            "API__WORKERS": "1",
            "API__BASE_URL": self.url,
            "API_AUTH__JWT_SECRET": hashlib.sha256(os.urandom(32)).hexdigest(),
            "LOGGING__BASE_LOG_FOLDER": directory / "logs",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        self.environment = ENVIRONMENT | {"AIRFLOW_HOME": str(directory), "HOME": str(directory)}
        self.environment |= {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}

    def command(self, *arguments):
        ended = subprocess.run(
            [AIRFLOW, *arguments], env=self.environment, capture_output=True, text=True, timeout=180
        )
        expect(ended.returncode == 0, f"airflow {arguments} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def start(self):
        self.command("db", "migrate")
        for arguments in (["api-server"], ["scheduler", "--skip-serve-logs"], ["dag-processor"]):
            with open(self.directory / f"{arguments[0]}.log", "w") as log:
                self.processes.append(
                    subprocess.Popen([AIRFLOW, *arguments], env=self.environment, stdout=log, stderr=log, start_new_session=True)
                )
        self.token = None
        self.token = wait_for("Airflow's API", self.try_token, 120)
        return self

    def try_token(self):
        for process in self.processes:
            expect(process.poll() is None, f"{process.args} ended:\n{self.output()}")
        with contextlib.suppress(OSError):
            return self.call("GET", "/auth/token")["access_token"]

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def output(self):
        return "\n".join(f"{log.name}:\n{log.read_text()[-4000:]}" for log in self.directory.glob("*.log"))

    def knows_the_dag(self):
        errors = self.call("GET", "/api/v2/importErrors")["import_errors"]
        expect(errors == [], f"Airflow does not import the DAG: {errors}")
        return [dag for dag in self.call("GET", "/api/v2/dags")["dags"] if dag["dag_id"] == "sfexport"]

    def runs(self):
        return self.call("GET", "/api/v2/dags/sfexport/dagRuns")["dag_runs"]

    def tasks(self, run):
        """A run's shards, as Airflow shows them."""
        found = self.call("GET", f"/api/v2/dags/sfexport/dagRuns/{run}/taskInstances")["task_instances"]
        return {task["map_index"]: task for task in found if task["map_index"] >= 0}

    def state(self, run):
        return self.call("GET", f"/api/v2/dags/sfexport/dagRuns/{run}")["state"]

    def finished(self, run, seconds):
        wait_for(f"the end of {run}", lambda: self.state(run) in ("success", "failed"), seconds)
        return self.tasks(run)

    def tries(self, run, shard):
        path = f"/api/v2/dags/sfexport/dagRuns/{run}/taskInstances/export/{shard}/tries"
        return sorted(self.call("GET", path)["task_instances"], key=lambda task: task["try_number"])

    def log(self, run, shard, attempt):
        """What the task logged, with the messages of exceptions."""
        path = f"/api/v2/dags/sfexport/dagRuns/{run}/taskInstances/export/logs/{attempt}?map_index={shard}"
        lines = []
        for line in self.call("GET", path)["content"]:
            lines.append(line["event"])
            lines += [error["exc_value"] for error in line.get("error_detail") or []]
        return "\n".join(lines)

    def trigger(self):
        """As the button of the user interface does it."""
        return self.call("POST", "/api/v2/dags/sfexport/dagRuns", {"logical_date": None})["dag_run_id"]

    def stop(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def install(airflow, fleet, due):
    """The DAG, with another configuration, six shards, short waits and a time of day that comes soon. It starts today:
    otherwise Airflow would make up for yesterday's run at once."""
    text = DAG.read_text()
    for old, new in (
        ('"sfexport", "--config", "/etc/sfexport/sfexport.toml"', f'"{BINARY}", "--config", "{fleet.settings}"'),
        ("SHARDS = 8", f"SHARDS = {SHARDS}"),
        ("timedelta(minutes=10)", "timedelta(seconds=8)"),
        ('schedule="15 4 * * *"', f'schedule="{due.minute} {due.hour} * * *"'),
        ('datetime(2026, 1, 1, tz="Europe/Berlin")', f'datetime({due.year}, {due.month}, {due.day}, {due.hour}, tz="UTC")'),
    ):
        expect(text.count(old) == 1, f"{DAG.name} has {text.count(old)} times {old}")
        text = text.replace(old, new)
    (airflow.dags / "sfexport_dag.py").write_text(text)


def told(run, tasks):
    """A table of a run's shards."""
    for shard, task in sorted(tasks.items()):
        print(f"    {run}  shard {task['rendered_map_index']}  {task['state']:8} attempts {task['try_number']}", flush=True)


def everything(fleet, at, org):
    return fleet.files(at, org) == sorted(f"{job}-{at:%Y%m%dT%H%M%S%z}.csv" for job in JOBS)


def scheduled(airflow, fleet, due):
    """The scheduler starts the run; each shard exports its orgs for the scheduled time."""
    wait_for("the DAG", airflow.knows_the_dag, 60)
    run = wait_for("the scheduled run", lambda: airflow.runs(), (due - datetime.datetime.now(UTC)).total_seconds() + 60)[0]
    expect(run["run_type"] == "scheduled" and moment(run["run_after"]) == due, f"the scheduled run is {run}")
    tasks = airflow.finished(run["dag_run_id"], 120)
    told("scheduled", tasks)
    expect({(t["state"], t["try_number"]) for t in tasks.values()} == {("success", 1)}, f"shards of the scheduled run: {tasks}")
    expect([tasks[shard]["rendered_map_index"] for shard in sorted(tasks)] == [f"{i}/{SHARDS}" for i in range(SHARDS)], "labels")
    for org in ORGS:
        expect(fleet.attempts(due, org) == [(job, 0) for job in JOBS], f"{org}: {fleet.attempts(due, org)}")
        expect(everything(fleet, due, org), f"{org}: {fleet.files(due, org)}")
    at_once = most_at_once(tasks.values())
    expect(1 < at_once <= 4, f"{at_once} shards ran at once")
    log = airflow.log(run["dag_run_id"], 0, 1)
    expect(re.search(r"^contacts\S*\t\d+\t\S+/japan/contacts\S+\.csv$", log, re.M), f"the log of shard 0 is\n{log}")
    passed(f"scheduled for {due:%H:%M}: {SHARDS} shards, at most {at_once} at once, one of them empty; every file has that time")
    return run["dag_run_id"]


def most_at_once(tasks):
    """How many tasks overlapped."""
    ends = [(moment(task["start_date"]), 1) for task in tasks] + [(moment(task["end_date"]), -1) for task in tasks]
    running = most = 0
    for _, change in sorted(ends):
        running += change
        most = max(most, running)
    return most


def in_trouble(airflow, fleet):
    """A manual run in which one shard has to try again, one cannot succeed, and two are killed."""
    # Another process exports contacts from anz.
    (lock,) = fleet.state.glob("**/contacts@anz.lock")
    held = open(lock, "r+")
    fcntl.flock(held, fcntl.LOCK_EX)
    # A version that emea's org does not know: 78.
    settings = fleet.settings.read_text()
    fleet.settings.write_text(settings.replace('key_file = "emea.key"', 'key_file = "emea.key"\napi_version = "99.0"'))
    run = airflow.trigger()
    at = moment(airflow.call("GET", f"/api/v2/dags/sfexport/dagRuns/{run}")["run_after"])
    # Only whole seconds fit into the paths; the history has the rest.
    exported = lambda org, job: (job, 0) in fleet.attempts(at, org)

    def halfway(shard, org):
        pid, task = wait_for(f"shard {shard}'s process", lambda: fleet.process(shard), 90)
        wait_for(f"{org}'s first export", lambda: exported(org, "accounts"), 60)
        return pid, task

    # The task's process alone: sfexport continues.
    pid, task = halfway(3, "uat")
    os.kill(task, signal.SIGKILL)
    time.sleep(0.5)
    expect(fleet.process(3) and fleet.process(3)[0] == pid, "sfexport ended with its task")
    # Both, as when a machine is lost.
    pid, task = halfway(4, "france")
    os.kill(pid, signal.SIGKILL)
    os.kill(task, signal.SIGKILL)
    wait_for("anz's second attempt", lambda: airflow.tasks(run)[1]["state"] == "up_for_retry", 60)
    held.close()

    tasks = airflow.finished(run, 240)
    told("manual   ", tasks)
    wanted = {0: "success", 1: "success", 2: "failed", 3: "success", 4: "success", 5: "success"}
    expect({shard: task["state"] for shard, task in tasks.items()} == wanted, f"shards of the manual run: {tasks}")
    expect(airflow.state(run) == "failed", "a run with a shard that failed")
    fleet.settings.write_text(settings)

    expect(fleet.attempts(at, "japan") == [("accounts", 0), ("contacts", 0)], f"japan: {fleet.attempts(at, 'japan')}")
    anz = fleet.attempts(at, "anz")
    expect(sorted(anz) == [("accounts", 0), ("contacts", 0), ("contacts", 75)], f"anz: {anz}")
    expect(tasks[1]["try_number"] == 2, f"anz: {tasks[1]['try_number']} attempts")
    passed("status 75: retried once; the retry exported what was locked, and nothing else")
    expect({status for _, status in fleet.attempts(at, "emea")} == {78}, f"emea: {fleet.attempts(at, 'emea')}")
    expect(tasks[2]["try_number"] == 1, f"emea: {tasks[2]['try_number']} attempts")
    passed("status 78: failed at once, without a retry")
    uat = fleet.attempts(at, "uat")
    expect(sorted(one for one in uat if one[1] == 0) == [("accounts", 0), ("contacts", 0)], f"uat: {uat}")
    expect({one for one in uat if one[1] != 0} <= {("contacts", 75)} and tasks[3]["try_number"] > 1, f"uat: {uat}")
    passed(f"a killed task process: sfexport finished alone, attempt {tasks[3]['try_number']} found everything done")
    france = fleet.attempts(at, "france")
    expect(sorted(france) == [("accounts", 0), ("contacts", 0)], f"france: {france}")
    expect(tasks[4]["try_number"] == 2, f"france: {tasks[4]['try_number']} attempts")
    passed("a killed task process and a killed sfexport: the retry exported what was missing, and nothing else")
    for org in ("japan", "anz", "uat", "france"):
        expect(len(fleet.files(at, org)) == 2, f"{org}: {fleet.files(at, org)}")
    log = airflow.log(run, 2, 1)
    expect("99.0" in log and "sfexport ended with 78: not retried" in log, f"the log of shard 2 is\n{log}")
    return run


def stopped(airflow, fleet):
    """A shard that is set to failed in the user interface."""
    run = airflow.trigger()
    at = moment(airflow.call("GET", f"/api/v2/dags/sfexport/dagRuns/{run}")["run_after"])
    pid, _ = wait_for("shard 3's process", lambda: fleet.process(3), 90)
    wait_for("uat's first export", lambda: ("accounts", 0) in fleet.attempts(at, "uat"), 60)
    airflow.call("PATCH", f"/api/v2/dags/sfexport/dagRuns/{run}/taskInstances/export/3", {"new_state": "failed"})
    wait_for("the end of sfexport", lambda: not pathlib.Path(f"/proc/{pid}").exists(), 60)
    expect(fleet.attempts(at, "uat") == [("accounts", 0), ("contacts", 143)], f"uat: {fleet.attempts(at, 'uat')}")
    left = [path.name for path in fleet.exports.glob("uat/.*")]
    expect(left == [], f"sfexport left {left}")
    tasks = airflow.finished(run, 120)
    told("stopped  ", tasks)
    expect({shard: task["state"] for shard, task in tasks.items()} == {s: "failed" if s == 3 else "success" for s in tasks}, "states")
    passed("a shard set to failed while it runs: sfexport ended with 143 and left nothing unfinished")
    # What a person does then: Clear.
    body = {"dry_run": False, "dag_run_id": run, "task_ids": [["export", 3]], "only_failed": True, "reset_dag_runs": True}
    airflow.call("POST", "/api/v2/dags/sfexport/clearTaskInstances", body)
    wait_for("the cleared shard", lambda: airflow.tasks(run)[3]["state"] == "success", 120)
    uat = fleet.attempts(at, "uat")
    expect(uat == [("accounts", 0), ("contacts", 143), ("contacts", 0)], f"uat: {uat}")
    passed("the same shard, cleared: it exported what was missing, and nothing else")


def main():
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as ending:
        work = pathlib.Path(work)
        quick, slow = Org(work / "quick"), Org(work / "slow")
        quick.start()
        ending.callback(quick.stop)
        slow.start(more=["--think", str(THINK)])
        ending.callback(slow.stop)
        for org, shard in ORGS.items():
            # The documented hash, by Python.
            hashed = int.from_bytes(hashlib.sha256(org.encode()).digest()[:4]) % SHARDS
            expect(hashed == shard, f"{org} is in shard {hashed}")
        fleet = Fleet(work / "fleet", quick, slow)
        postgres = Postgres(work / "server")
        ending.callback(postgres.stop)
        airflow = Airflow(work / "airflow", postgres)
        ending.callback(airflow.stop)
        airflow.start()
        version = airflow.command("version").split()[-1]
        passed(f"Airflow {version}, LocalExecutor, on Postgres")
        # The next minute that leaves enough time to read the DAG.
        due = (datetime.datetime.now(UTC) + datetime.timedelta(seconds=90)).replace(second=0, microsecond=0)
        install(airflow, fleet, due)
        try:
            scheduled(airflow, fleet, due)
            in_trouble(airflow, fleet)
            stopped(airflow, fleet)
        except BaseException:
            print(airflow.output(), file=sys.stderr)
            raise
    print("engines/airflow/run: everything held")


main()
