"""The CronJob as a fleet: its Indexed Job with real processes against an org behind seven doors. Each retry must repeat
only what failed, by the requests that arrive."""

import collections
import datetime
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import time

from doors import BUSY, USED_UP, Door, Stall, first
from indexed_job import IndexedJob
from said import expect, told

# By their shards of 4.
ORGS = {0: ["latam"], 1: ["anz", "default"], 2: ["emea", "prod"], 3: ["apac", "uat"]}
OBJECTS = {"accounts": "Account", "contacts": "Contact"}

# No test may wait for a door for long.
PATIENCE = 20


def shard(org, count):
    """As docs/fleets.md says it, by another implementation."""
    return int.from_bytes(hashlib.sha256(org.encode()).digest()[:4], "big") % count


class Fleet:
    """A deployment of the manifest with several orgs, and its Jobs."""

    def __init__(self, resource, volumes, org, environment):
        self.spec = resource["spec"]["jobTemplate"]["spec"]
        (self.container,) = self.spec["template"]["spec"]["containers"]
        self.name = resource["metadata"]["name"]
        self.volumes, self.environment = volumes, environment
        self.doors = {name: Door(org.login["login_url"]) for names in ORGS.values() for name in names}
        shards = {name: shard(name, self.spec["completions"]) for name in self.doors}
        expect(all(shards[name] == number for number, names in ORGS.items() for name in names), f"shards {shards}")
        config = pathlib.Path(volumes.paths["/etc/sfexport"])
        key = volumes.here("/run/secrets/sfexport/server.key")
        tables = "".join(
            f'[{"org" if name == "default" else "orgs." + name}]\nlogin_url = "{door.url}"\nusername = "integration@example.com"\n'
            f'client_id = "{org.login["client_id"]}"\nkey_file = "{key}"\naudience = "https://login.salesforce.com"\n'
            for name, door in self.doors.items()
        )
        http = '[http]\nattempts = 2\nwait_min = "10ms"\nbatch_size = 500\n'
        (config / "sfexport.toml").unlink()
        (config / "sfexport.toml").write_text(tables + http)
        jobs = pathlib.Path(volumes.paths["/jobs"])
        for file in jobs.glob("*.toml"):
            file.unlink()
        for org in self.doors:
            for job, object in OBJECTS.items():
                (jobs / f"{job}_{org}.toml").write_text(
                    f'soql = "SELECT Id, Name FROM {object}"\noutput = "{{org}}/{job}/{{datetime:%Y%m%dT%H%M}}.csv"\n'
                    f'org = "{org}"\ntimezone = "UTC"\n'
                )
        # This command fails the first two times, and notes each time.
        self.commands = volumes.paths["/state"].parent / "commands"
        with open(jobs / "contacts_latam.toml", "a") as file:
            file.write(f"after = ['sh', '-c', 'echo $0 >>{self.commands}; test $(wc -l <{self.commands}) -gt 2', '{{path}}']\n")
        self.logs = volumes.paths["/state"].parent / "logs"
        self.logs.mkdir()

    def close(self):
        for door in self.doors.values():
            door.close()

    def job(self, name, uid, **rules):
        """A Job of this name. `rules` are those of the doors from now on; what they saw before is forgotten."""
        for org, door in self.doors.items():
            door.rule = rules.get(org, lambda request: None)
            door.requests.clear()
            door.usage.clear()
        return self.another_job(name, uid)

    def another_job(self, name, uid):
        started = collections.Counter()

        def start(index):
            started[index] += 1
            inside = {"JOB_NAME": name, "JOB_UID": uid, "JOB_COMPLETION_INDEX": str(index)}
            inside["HOSTNAME"] = f"{name}-{index}-{started[index]}"
            command = [*map(self.volumes.here, [*self.container["command"], *self.container["args"]])]
            with open(self.logs / f"{uid}-{index}-{started[index]}", "w") as log:
                return subprocess.Popen(
                    command,
                    env=self.environment | self.volumes.env | inside,
                    cwd=self.volumes.paths["/etc/sfexport"],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # In a group of its own, as a container's process is; without it the shell gets this test's signals.
                    start_new_session=True,
                )

        return IndexedJob(self.spec, start).begin()

    def queries(self):
        """How often each export's query was asked."""
        return collections.Counter(f"{org}/{name}" for org, door in self.doors.items() for name in door.queries())

    def logins(self):
        return {org: sum("/oauth2/" in one for one in door.requests) for org, door in self.doors.items()}

    def exported(self, stamp):
        """The exports of a scheduled time, as ORG/JOB."""
        return {"/".join(path.parts[-3:-1]) for path in self.volumes.paths["/exports"].glob(f"*/*/{stamp}.csv")}

    def done(self, *orgs):
        """What the history has of these orgs, as ORG/JOB."""
        return {f"{org}/{job}" for org, job, _ in self.history() if org in orgs}

    def as_counted_by_the_org(self):
        """No request reached the org but through a door: its own counter says the same."""
        usage = [count for door in self.doors.values() for count in door.usage]
        expect(len(usage) == max(usage) - min(usage) + 1, f"the org counted {max(usage) - min(usage) + 1} calls, the doors {len(usage)}")

    def history(self):
        """Every successful export with its scheduled time."""
        path = self.volumes.paths["/state"] / "runs.jsonl"
        reports = (json.loads(line) for line in path.read_text().splitlines()) if path.exists() else ()
        return [(one["org"], one["job"].split("_")[0], one["scheduled"]) for one in reports if one["status"] == "ok"]


def until(holds, what):
    for _ in range(PATIENCE * 50):
        if holds():
            return
        time.sleep(0.02)
    expect(False, f"waited {PATIENCE} s {what}")


def name_and_stamp(fleet, minutes_ago):
    """The name of the Job of a scheduled time, and that time in a path."""
    minutes = int(time.time()) // 60 - minutes_ago
    at = datetime.datetime.fromtimestamp(minutes * 60, datetime.timezone.utc)
    return f"{fleet.name}-{minutes}", at.strftime("%Y%m%dT%H%M")


EVERY_EXPORT = {f"{org}/{job}" for names in ORGS.values() for org in names for job in OBJECTS}
ONCE = collections.Counter(f"{org}/{name}" for names in ORGS.values() for org in names for name in OBJECTS.values())


def retries(fleet):
    """One Job in which each shard fails in a different way."""
    name, stamp = name_and_stamp(fleet, 300)
    second_page = r"/query/\w+-500"
    killed, drained = Stall(second_page), Stall(second_page)
    refused = (400, b'[{"message":"No such column \'Name\' on entity \'Account\'.","errorCode":"INVALID_FIELD"}]')
    job = fleet.job(
        name,
        "retries",
        latam=first(2, "FROM Account", BUSY),
        anz=first(2, "FROM Contact", BUSY),
        default=first(99, "FROM Account", refused),
        emea=killed,
        apac=drained,
        uat=first(4, "FROM", USED_UP),
    )
    expect(killed.reached.wait(PATIENCE), "emea's second page was never asked for")
    until(lambda: len(fleet.done("emea", "prod")) == 3, "for the other exports of shard 2")
    prod = len(fleet.doors["prod"].requests)
    job.pod(2).process.kill()
    expect(drained.reached.wait(PATIENCE), "apac's second page was never asked for")
    until(lambda: len(fleet.done("apac")) == 1 and len(fleet.doors["uat"].queries()) == 2, "for the other exports of shard 3")
    interrupted = {f"{org}/{job}" for org in ("emea", "apac") for job in OBJECTS} - fleet.done("emea", "apac")
    job.drain(3)
    condition = job.end()
    killed.released.set()
    drained.released.set()
    ended = (job.statuses(), condition, job.failed())
    expect(ended == ([[75, 70, 0], [75, 65], [137, 0], [143, 75, 0]], "Failed", [1]), f"pods, condition and failed indexes: {ended}")
    expect(job.indexes[3].failures == 1, f"the drained pod counts: {job.indexes[3].failures} failures")
    expect(fleet.exported(stamp) == EVERY_EXPORT - {"default/accounts"}, f"exports {fleet.exported(stamp)}")
    commands = fleet.commands.read_text().splitlines()
    path = fleet.volumes.paths["/exports"] / "latam" / "contacts" / f"{stamp}.csv"
    expect(commands == [str(path)] * 3, f"the command after latam's contacts ran for {commands}")
    # Two attempts of a request in each run of the busy org's.
    again = {"latam/Account": 2, "anz/Contact": 2, "default/Account": 1, "uat/Account": 2, "uat/Contact": 2}
    again |= {as_query(one): 1 for one in interrupted}
    expect(fleet.queries() == ONCE + collections.Counter(again), f"queries {fleet.queries()}")
    expect(len(fleet.doors["prod"].requests) == prod, "a retry asked an org again whose exports were done")
    fleet.as_counted_by_the_org()
    told(
        f"Indexed Job: pods ended with {job.statuses()}; index 1 failed for good, a pod was killed, one was drained, a command "
        f"after an export failed; "
        f"{sum(again.values())} of {fleet.queries().total()} queries were repeats, each of something that had failed"
    )


def limit(fleet):
    """An org that stays away costs its own index, after as many retries as the manifest allows."""
    name, stamp = name_and_stamp(fleet, 240)
    job = fleet.job(name, "limit", latam=lambda request: BUSY)
    condition = job.end()
    expect((condition, job.failed()) == ("Failed", [0]), f"{condition}, failed indexes {job.failed()}")
    pods = 1 + fleet.spec["backoffLimitPerIndex"]
    statuses = [{*one} for one in job.statuses()]
    expect(statuses == [{69}, {0}, {0}, {0}] and len(job.statuses()[0]) == pods, f"pods ended with {job.statuses()}")
    expect(fleet.exported(stamp) == {one for one in EVERY_EXPORT if not one.startswith("latam/")}, f"{fleet.exported(stamp)}")
    told(f"Indexed Job: index 0 ended with 69 in {pods} pods and failed; the other three succeeded at once")


def doubled(fleet):
    """Two Jobs of one scheduled time, as a CronJob may create them."""
    name, stamp = name_and_stamp(fleet, 180)
    stalls = {org: Stall("FROM Account") for org in ("latam", "default", "emea", "uat")}
    job = fleet.job(name, "first", **stalls)
    expect(all(stall.reached.wait(PATIENCE) for stall in stalls.values()), "the first Job does not export")
    other = fleet.another_job(name, "second")
    until(lambda: all(75 in statuses for statuses in other.statuses()), "for the second Job to find the locks held")
    for stall in stalls.values():
        stall.released.set()
    conditions = [job.end(), other.end()]
    expect(conditions == ["Complete"] * 2, f"the Jobs are {conditions}: {job.statuses()}, {other.statuses()}")
    expect(fleet.queries() == ONCE, f"queries {fleet.queries()}")
    expect(fleet.exported(stamp) == EVERY_EXPORT, f"exports {fleet.exported(stamp)}")
    fleet.as_counted_by_the_org()
    told(f"Indexed Job, doubled: pods ended with {job.statuses()} and {other.statuses()}; {fleet.queries().total()} queries, each once")


def by_hand(fleet):
    """A Job whose name has no time: its pods agree on one, in retries too. Eight digits alone are not a time."""
    for name in (f"{fleet.name}-now", f"{fleet.name}-20261128"):
        before = len(fleet.history())
        # Times by hand are whole seconds, and two Jobs of one second would be the same export.
        time.sleep(1.1)
        job = fleet.job(name, name, latam=first(2, "FROM Account", BUSY))
        condition = job.end()
        expect(condition == "Complete" and job.statuses() == [[69, 0], [0], [0], [0]], f"{condition}: {job.statuses()}")
        times = {at for _, _, at in fleet.history()[before:]}
        expect(len(times) == 1, f"{name} exported for {times}")
        (at,) = times
        age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(at.replace("Z", "+00:00"))
        expect(datetime.timedelta(0) <= age < datetime.timedelta(minutes=2), f"{name} exported for {at}")
        expect(fleet.queries() == ONCE + collections.Counter({"latam/Account": 2}), f"queries {fleet.queries()}")
    told("Indexed Job by hand: the time of its first pod, the same in the others and in a retry")


def as_query(export):
    org, job = export.split("/")
    return f"{org}/{OBJECTS[job]}"


def play(resource, volumes, org, environment):
    fleet = Fleet(resource, volumes, org, environment)
    try:
        retries(fleet)
        limit(fleet)
        doubled(fleet)
        by_hand(fleet)
    finally:
        fleet.close()
