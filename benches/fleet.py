#!/usr/bin/env python3
"""How long a fleet of orgs takes and how many API calls it makes, by number of shards: measured with small fleets and
predicted by a formula; then the formula for 300 orgs of 300 objects. docs/internals/sizing.md explains the tables.

usage: benches/fleet.py [measure] [huge] [large]; without an argument all three, in about ten minutes.

SFEXPORT    another binary than target/release/sfexport
LATENCY_MS  how long the embedded orgs take for each request (250)
DIRECTORY   where exports and state are written (/dev/shm, a memory disk)
"""

import hashlib
import heapq
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SFEXPORT = str(Path(os.environ.get("SFEXPORT", ROOT / "target/release/sfexport")).resolve())
LATENCY = int(os.environ.get("LATENCY_MS", "250")) / 1000

DIRECTORY = os.environ.get("DIRECTORY", "/dev/shm")

# Exports side by side in a process, as is the default.
SLOTS = 4

# Three sizes at which the formula is checked: orgs, objects of each, shards.
SIZES = [(6, 20, (1, 2, 4)), (12, 40, (1, 2, 4, 8)), (24, 60, (1, 2, 4, 8, 16))]

# A run asks for the descriptions of so many objects at once.
BATCH = 25

# Requests before the first export of a set: the login, the list of objects, the first descriptions.
LEAD = 3


def names(orgs):
    return [f"org{number:03}" for number in range(1, orgs + 1)]


# The formula


def seconds_of_shard(sets, objects, latency, own, start, slots=SLOTS):
    """The wall of a shard with so many equal sets. They go in rounds: as many at once as there are slots, all of which
    log in, export and end together. One set alone can run out of descriptions."""
    wall, left = start, sets
    while left > 0:
        at_once = min(slots, left)
        exports = at_once * objects / slots * (latency + own)
        descriptions = math.ceil(objects / BATCH) * latency
        wall += (LEAD - 1) * latency + max(latency + exports, descriptions)
        left -= at_once
    return wall


def seconds_of_fleet(walls, machines):
    """The wall of shards with these walls if so many run at once, and the next one starts when one ends."""
    ends = [0.0] * machines
    for wall in walls:
        heapq.heapreplace(ends, ends[0] + wall)
    return max(ends)


def calls_of_set(objects, pages=1):
    """API calls of a set: the list of objects, their descriptions, the pages. A login is not an API call."""
    return 1 + math.ceil(objects / BATCH) + objects * pages


def loads(keys, shards):
    """How many of these orgs, or JOB@ORG, each shard has: `run --shard` decides by this hash."""
    counts = [0] * shards
    for key in keys:
        counts[int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % shards] += 1
    return counts


# Measuring


class Fleet:
    """Embedded orgs, one process each, and a configuration for all of them."""

    def __init__(self, work, orgs, objects, latency, slots=SLOTS, jobs=None):
        self.work, self.names, self.processes = Path(work), names(orgs), []
        self.work.mkdir()
        key = self.work / "key"
        config = ["[daemon]", f"max_concurrent_runs = {slots}"]
        for name in self.names:
            directory = self.work / "orgs" / name
            directory.mkdir(parents=True)
            for file in ("server.key", "server.crt"):
                if key.exists():
                    shutil.copy(key / file, directory / file)
            log = open(self.work / f"{name}.log", "w")
            port = free_port()
            command = [SFEXPORT, "demo", "--serve", "--objects", str(objects), "--records", "20", "--dir", str(directory)]
            command += ["--port", str(port), "--latency", str(round(latency * 1000))]
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
            wait_for(directory / "sfexport.toml")
            if not key.exists():
                shutil.copytree(directory, key)
            config += [f"[orgs.{name}]", f'login_url = "http://127.0.0.1:{port}"', 'client_id = "3MVG9demo"']
            config += ['username = "integration@example.com"', f'key_file = "{directory}/server.key"']
        for process, name in zip(self.processes, self.names):
            wait_for(self.work / f"{name}.log", "The org runs until")
        (self.work / "sfexport.toml").write_text("\n".join(config) + "\n")
        (self.work / "jobs").mkdir()
        for job, terms in (jobs or {"backup": ["Obj*"]}).items():
            for org in self.names:
                text = f'org = "{org}"\nobjects = {json.dumps(terms)}\noutput = "{org}/{job}/{{object}}.csv"\n'
                (self.work / "jobs" / f"{job}-{org}.toml").write_text(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()

    def run(self, shards, spread=None, by="org"):
        """Runs all shards at once, from nothing: the wall, and what the runs report."""
        for directory in ("exports", "state"):
            shutil.rmtree(self.work / directory, ignore_errors=True)
        begun = time.monotonic()
        with ThreadPoolExecutor(shards) as pool:
            ended = list(pool.map(lambda shard: self.shard(f"{shard}/{shards}", by), range(shards)))
        wall = time.monotonic() - begun
        if spread is not None and [len(reports) for reports, _ in ended] != spread:
            sys.exit(f"the shards ran {[len(reports) for reports, _ in ended]} sets, where {spread} were expected")
        reports = [report for reports, _ in ended for report in reports]
        total = lambda key: sum(report[key] for report in reports)
        return {
            "wall": wall,
            "api_calls": total("api_calls"),
            "logins": total("logins"),
            "records": total("records"),
            "exported": sum(report["set"]["exported"] for report in reports),
            "cpu": sum(usage.ru_utime + usage.ru_stime for _, usage in ended),
            "peak": max(usage.ru_maxrss for _, usage in ended),
        }

    def shard(self, shard, by):
        command = [SFEXPORT, "--log-level", "error", "run", "--all", "--shard", shard, "--shard-by", by, "--json"]
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        process = subprocess.Popen(command, cwd=self.work, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            err.seek(0)
            sys.exit(f"shard {shard} ended with status {process.returncode}: {err.read().decode()}")
        out.seek(0)
        # The objects of a set have lines too, and the set's line has their sums.
        reports = map(json.loads, out.read().splitlines())
        return [report for report in reports if report["object"] is None], usage

    def calls(self):
        """How many API calls the orgs have answered, by their own count."""
        return sum(self.used(name) for name in self.names)

    def used(self, org):
        command = [SFEXPORT, "token", "--org", org, "--shell"]
        lines = subprocess.run(command, cwd=self.work, capture_output=True, check=True, text=True).stdout.splitlines()
        found = dict(line.removeprefix("export ").split("=", 1) for line in lines if "=" in line)
        found = {name: value.strip("'\"") for name, value in found.items()}
        request = urllib.request.Request(f"{found['SF_INSTANCE_URL']}/services/data/v62.0/limits")
        request.add_header("Authorization", f"Bearer {found['SF_ACCESS_TOKEN']}")
        with urllib.request.urlopen(request, timeout=20) as response:
            # This request counts itself.
            return int(response.headers["Sforce-Limit-Info"].split("=")[1].split("/")[0]) - 1


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(path, text=""):
    for _ in range(600):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.05)
    sys.exit(f"{path} does not come")


def own_time(work):
    """What an export takes besides its request, of it CPU, and what a process takes besides its runs: one export after the
    other, from an org that responds at once."""
    objects = 100
    with Fleet(work / "own", 1, objects, 0, slots=1) as fleet:
        # Once before, so that the programs are in memory.
        fleet.run(1)
        run = fleet.run(1)
        begun = time.monotonic()
        subprocess.run([SFEXPORT, "jobs"], cwd=fleet.work, capture_output=True, check=True)
        start = time.monotonic() - begun
    return (run["wall"] - start) / objects, run["cpu"] / objects, start


# The parts


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def header(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def compare(fleet, shards, keys, objects, times, by="org"):
    """Runs a fleet in so many shards, and gives the cells that compare it with what was predicted."""
    spread = loads(keys, shards)
    predicted = max(seconds_of_shard(sets, objects, LATENCY, *times) for sets in spread)
    before = fleet.calls()
    run = fleet.run(shards, spread, by)
    # Each reading of the counter is counted.
    counted = fleet.calls() - before - len(fleet.names)
    calls = len(keys) * calls_of_set(objects)
    if (run["exported"], run["api_calls"], counted) != (len(keys) * objects, calls, calls):
        sys.exit(f"{calls} API calls for {len(keys) * objects} objects were expected, {counted} counted: {run}")
    off = f"{run['wall'] / predicted - 1:+.0%}"
    return [max(spread), f"{predicted:.1f}", f"{run['wall']:.1f}", off, f"{calls:,}", run["logins"], f"{run['cpu']:.1f}"]


CELLS = ["predicted, s", "measured, s", "off by", "API calls", "logins", "CPU, s"]


def measure(work):
    own, cpu, start = own_time(work)
    print(f"An export's own time: {own * 1000:.1f} ms, of it {cpu * 1000:.1f} ms of CPU. A process's start: {start * 1000:.0f} ms.")
    print(f"A request: {LATENCY * 1000:.0f} ms. Exports side by side in a process: {SLOTS}.\n")
    header("orgs x objects", "shards", "orgs of the largest", *CELLS)
    for orgs, objects, all_shards in SIZES:
        with Fleet(work / f"fleet-{orgs}", orgs, objects, LATENCY) as fleet:
            for shards in all_shards:
                row(f"{orgs} x {objects}", shards, *compare(fleet, shards, fleet.names, objects, (own, start)))


def huge(work):
    """One org, whose objects are divided among eight sets."""
    own, _, start = own_time(work)
    jobs = {f"part{number}": [f"Obj{2 * number:02}*", f"Obj{2 * number + 1:02}*"] for number in range(8)}
    header("shards", "sets of the largest", *CELLS)
    with Fleet(work / "huge", 1, 160, LATENCY, jobs=jobs) as fleet:
        keys = [f"{job}-{org}@{org}" for job in jobs for org in fleet.names]
        for shards in (1, 2, 4, 8):
            row(shards, *compare(fleet, shards, keys, 20, (own, start), by="job"))


def large(work):
    orgs, objects = 300, 300
    own, cpu, start = own_time(work)
    print(f"{orgs} orgs of {objects} objects: {orgs * calls_of_set(objects):,} API calls, {calls_of_set(objects)} of each org,")
    print(f"and {orgs} logins, whatever the number of shards. CPU of sfexport: {orgs * objects * cpu:.0f} s.")
    print(f"A request: {LATENCY * 1000:.0f} ms; an export's own time: {own * 1000:.1f} ms.\n")
    machines = (4, 8, 16, 32)
    header(
        "shards", "orgs of the largest", "of 100 fleets", f"all at once, {SLOTS} slots", "16 slots",
        *(f"{count} machines" for count in machines),
    )
    for shards in (1, 2, 4, 8, 16, 32, 64, 128, 300):
        spread = loads(names(orgs), shards)
        walls = [seconds_of_shard(sets, objects, LATENCY, own, start) for sets in spread]
        quick = max(seconds_of_shard(sets, objects, LATENCY, own, start, slots=16) for sets in spread)
        others = sorted(max(loads([f"{fleet}-{org}" for org in range(orgs)], shards)) for fleet in range(100))
        row(
            shards, max(spread), f"{others[10]} to {others[89]}", minutes(max(walls)), minutes(quick),
            *(minutes(seconds_of_fleet(walls, count)) if shards > count else "" for count in machines),
        )


def minutes(seconds):
    return f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    # So that the orgs end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for part in sys.argv[1:] or ["measure", "huge", "large"]:
        with tempfile.TemporaryDirectory(dir=DIRECTORY) as directory:
            {"measure": measure, "huge": huge, "large": large}[part](Path(directory))
        print()
