"""Runs the array of docs/deploy/slurm on a real Slurm with three nodes; see the script `slurm` next to this."""

import collections
import contextlib
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

ROOT, BINARY = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(ROOT / "tests" / "deploy"))

from doors import BUSY, Door, Stall, first
from org import Org

FILES = ROOT / "docs" / "deploy" / "slurm"
PATH = "/usr/sbin:/usr/local/bin:/usr/bin:/bin"
NODES = ("n1", "n2", "n3")
# By their shards of 4, as tests/deploy/fleet.py has them.
ORGS = ("latam", "anz", "default", "emea", "prod", "apac", "uat")
OBJECTS = {"accounts": "Account", "contacts": "Contact"}
# Each wait, in seconds. A requeued task waits as long as a credential lives.
PATIENCE, CREDENTIAL = 90, 6


def expect(holds, what):
    if not holds:
        sys.exit(f"tests/engines/slurm: {what}")


def said(what):
    print(what, flush=True)


def until(holds, what):
    for _ in range(PATIENCE * 10):
        if holds():
            return
        time.sleep(0.1)
    expect(False, f"waited {PATIENCE} s {what}")


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Cluster:
    """slurmctld, three slurmd and munged, in the foreground. `mark` is in the environment of all that they start."""

    def __init__(self, folder):
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.environment = {"PATH": PATH, "SLURM_CONF": str(self.conf), "HOME": str(folder)}
        self.daemons = {}
        me = subprocess.check_output(["id", "-un"], text=True).strip()
        controller, *ports = free_ports(1 + len(NODES))
        # The lines to add are those of the documentation, as they are.
        added = (FILES / "slurm.conf").read_text()
        lines = f"""ClusterName=sfexport
SlurmctldHost={socket.gethostname()}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={me}
SlurmdUser={me}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire={CREDENTIAL}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmdTimeout=5
{added}
"""
        for node, port in zip(NODES, ports):
            lines += f"NodeName={node} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=2\n"
        lines += f"PartitionName=all Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP\n"
        self.conf.write_text(lines)
        for name in ("munge", "controller", *NODES):
            (folder / name).mkdir(mode=0o755)

    def start(self):
        munge = self.folder / "munge"
        key = munge / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self.daemon(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}/socket", f"--pid-file={munge}/pid",
            f"--log-file={munge}/log", f"--seed-file={munge}/seed", "--num-threads=2",
        )
        until((munge / "socket").exists, "for munged")
        self.daemon("slurmctld", "-D", "-i", "-f", str(self.conf))
        for node in NODES:
            self.start_node(node)
        until(lambda: self.nodes().count("idle") == 3, "for three idle nodes")

    def start_node(self, node):
        self.daemon("slurmd", "-D", "-N", node, "-f", str(self.conf), name=node, NODE_OF_THE_TEST=f"{self.folder}/{node}")

    def daemon(self, *command, name=None, **more):
        name = name or command[0]
        with open(self.folder / f"{name}.out", "w") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment | more, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def ask(self, *command):
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        expect(ended.returncode == 0, f"{command} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def nodes(self):
        found = subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%t"], env=self.environment, capture_output=True, text=True, timeout=60
        )
        return found.stdout.split()

    def task(self, job, index):
        """The fields of a task of an array."""
        return dict(re.findall(r"(\w+)=(\S*)", self.ask("scontrol", "show", "job", "-o", f"{job}_{index}")))

    def kill_node(self, node):
        """As if its power failed: the daemon and all that it started, at once."""
        self.daemons.pop(node).kill()
        for pid in self.started(f"NODE_OF_THE_TEST={self.folder}/{node}", f"SLURMD_NODENAME={node}"):
            kill(pid)

    def started(self, *marks):
        """The processes of this cluster that have one of these in their environment."""
        ours = f"SLURM_CONF={self.conf}".encode()
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if ours in environment and any(mark.encode() in environment for mark in marks):
                found.append(int(entry.name))
        return [pid for pid in found if pid != os.getpid()]

    def stop(self):
        for daemon in self.daemons.values():
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for pid in self.started(f"SLURM_CONF={self.conf}"):
            kill(pid)


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def deployment(folder, org, doors):
    """The configuration, and the shipped script with this directory's paths."""
    (folder / "jobs").mkdir(parents=True)
    tables = "".join(
        f'[{"org" if name == "default" else "orgs." + name}]\nlogin_url = "{door.url}"\nclient_id = "{org.login["client_id"]}"\n'
        f'username = "integration@example.com"\nkey_file = "{org.key}"\naudience = "https://login.salesforce.com"\n'
        for name, door in doors.items()
    )
    (folder / "sfexport.toml").write_text(tables + '[http]\nattempts = 2\nwait_min = "10ms"\nbatch_size = 500\n')
    for name in doors:
        for job, object in OBJECTS.items():
            (folder / "jobs" / f"{job}_{name}.toml").write_text(
                f'soql = "SELECT Id, Name FROM {object}"\norg = "{name}"\ntimezone = "UTC"\n'
                f'output = "{{org}}/{job}/{{date}}.csv"\n'
            )
    (folder / "logs").mkdir()
    script = (FILES / "sfexport.sbatch").read_text()
    for shipped, here in (("/etc/sfexport/sfexport.toml", "sfexport.toml"), ("/var/lib/sfexport/logs", "logs")):
        expect(script.count(shipped) == 1, f"the script has {script.count(shipped)} times {shipped}")
        script = script.replace(shipped, str(folder / here))
    (folder / "sfexport.sbatch").write_text(re.sub(r"(?m)^#SBATCH --mem=.*\n", "", script))


def queries(doors):
    return collections.Counter(f"{org}/{name}" for org, door in doors.items() for name in door.queries())


def exported(folder):
    return {"/".join(path.relative_to(folder / "exports").parts[:-1]) for path in folder.glob("exports/*/*/2026-02-01.csv")}


def scenario(cluster, folder, doors):
    # Long ago, so a date in a path can only come from this argument.
    at = "2026-02-01T03:15:00Z"
    stalled = Stall(r"/query/\w+-500")
    refused = (400, b'[{"message":"No such column \'Name\' on entity \'Account\'.","errorCode":"INVALID_FIELD"}]')
    doors["latam"].rule = first(2, "FROM Account", BUSY)
    doors["default"].rule = first(99, "FROM Account", refused)
    doors["emea"].rule = stalled
    job = cluster.ask("sbatch", "--parsable", str(folder / "sfexport.sbatch"), at).strip()
    said(f"$ sbatch --parsable sfexport.sbatch {at}\n{job}")

    expect(stalled.reached.wait(PATIENCE), "emea's second page was never asked for")
    history = folder / "state" / "runs.jsonl"
    of_emea = lambda: {name for name in exported(folder) if name.startswith("emea/")}
    until(lambda: {"prod/accounts", "prod/contacts"} <= exported(folder) and len(of_emea()) == 1, "for the other exports of shard 2")
    until(lambda: history.exists() and history.read_text().count('"org":"emea"') == 1, "for emea's first export in the history")
    (interrupted,) = {"emea/accounts", "emea/contacts"} - of_emea()
    prod = len(doors["prod"].requests)
    node = cluster.task(job, 2)["NodeList"]
    until(lambda: cluster.task(job, 1)["JobState"] == "SPECIAL_EXIT", "for the task with the refused query to be held")
    until(lambda: cluster.task(job, 3)["JobState"] == "COMPLETED", "for task 3, which may be on the same node")
    said(f"$ squeue  # while task 2 exports {interrupted} on {node}\n{cluster.ask('squeue', '-r', '-o', '%.8i %.12T %.4N %r')}")
    cluster.kill_node(node)
    stalled.released.set()
    until(lambda: cluster.task(job, 2)["Restarts"] == "1", "for the dead node's task to be requeued")
    said(f"$ sinfo -N  # {node} is dead\n{cluster.ask('sinfo', '-N', '-o', '%N %T')}")
    for index in (0, 2):
        until(lambda: cluster.task(job, index)["JobState"] == "COMPLETED", f"for task {index}")
    other = cluster.task(job, 2)["NodeList"]
    expect(other != node, f"task 2 ran on the dead node {node} again")
    expect(len(doors["prod"].requests) == prod, "a retry asked an org again whose exports were done")

    doors["default"].rule = lambda request: None
    said(f"$ scontrol release {job}_1  # the query is corrected")
    cluster.ask("scontrol", "release", f"{job}_1")
    until(lambda: cluster.task(job, 1)["JobState"] == "COMPLETED", "for the released task")
    tasks = [cluster.task(job, index) for index in range(4)]
    rows = ["{ArrayTaskId:4} {JobState:9} {Restarts:8} {NodeList}".format(**task) for task in tasks]
    said("\n".join(["TASK STATE     RESTARTS NODE", *rows]))

    expect(len(exported(folder)) == 14, f"exports {exported(folder)}")
    restarts = [task["Restarts"] for task in tasks]
    expect(restarts == ["1", "1", "1", "0"], f"restarts {restarts}")
    once = collections.Counter(f"{org}/{object}" for org in doors for object in OBJECTS.values())
    org, name = interrupted.split("/")
    again = {"latam/Account": 2, "default/Account": 1, f"{org}/{OBJECTS[name]}": 1}
    expect(queries(doors) == once + collections.Counter(again), f"queries {queries(doors)}")
    usage = [count for door in doors.values() for count in door.usage]
    expect(len(usage) == max(usage) - min(usage) + 1, f"the org counted other calls than the {len(usage)} of the doors")
    said(f"14 exports; {queries(doors).total()} queries, of which {sum(again.values())} repeat what had failed: {again}")
    for index in range(4):
        log = (folder / "logs" / f"{job}_{index}.log").read_text().replace(f"{folder}/exports/", "").replace(f"{folder}/", "")
        lines = [line for line in log.expandtabs(18).splitlines() if not re.match(r"\S+Z +(INFO|WARN) ", line)]
        said(f"$ cat {job}_{index}.log\n" + "\n".join(lines))


def limit(cluster, folder, doors):
    """An org that stays away: the script's last attempt holds the task."""
    script = folder / "limit.sbatch"
    # One restart instead of six, each of which takes a credential's lifetime.
    script.write_text((folder / "sfexport.sbatch").read_text().replace("-ge 6 ]", "-ge 1 ]"))
    doors["latam"].rule = lambda request: BUSY
    expect(script.read_text().count("-ge 1 ]") == 1, "where the script counts its restarts")
    job = cluster.ask("sbatch", "--parsable", str(script), "2026-02-02T03:15:00Z").strip()
    until(lambda: cluster.task(job, 0)["JobState"] == "SPECIAL_EXIT", "for the last attempt to be held")
    task = cluster.task(job, 0)
    expect(task["Restarts"] == "2", f"restarts {task['Restarts']}")
    said(f"org latam stays away: task 0 of array {job} is {task['JobState']} after its last attempt")
    cluster.ask("scancel", job)


def main():
    for tool in ("slurmctld", "slurmd", "munged", "sbatch"):
        expect(shutil.which(tool, path=PATH), f"{tool} is missing: apt-get install --no-install-recommends slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="sfexport-slurm-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        (folder / "bin").mkdir()
        (folder / "bin" / "sfexport").symlink_to(BINARY)
        with contextlib.ExitStack() as stack:
            org = Org(folder / "org", BINARY, {"PATH": PATH})
            stack.callback(org.stop)
            doors = {name: Door(org.login["login_url"]) for name in ORGS}
            for door in doors.values():
                stack.callback(door.close)
            deployment(folder / "deployment", org, doors)
            (folder / "cluster").mkdir()
            cluster = Cluster(folder / "cluster")
            cluster.environment["PATH"] = f"{folder}/bin:{PATH}"
            stack.callback(cluster.stop)
            cluster.start()
            said(f"$ sinfo --version; sinfo -N\n{cluster.ask('sinfo', '--version')}{cluster.ask('sinfo', '-N', '-o', '%N %T')}")
            scenario(cluster, folder / "deployment", doors)
            limit(cluster, folder / "deployment", doors)
    said("engines/slurm: everything held")


main()
