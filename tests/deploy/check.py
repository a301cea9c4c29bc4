"""Tries the files of docs/deploy and docs/moving.md; see the script `run` beside this."""

import csv
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
import urllib.error
import urllib.request

import jinja2
import kubernetes_validate
import yaml

import fleet
from org import Org
from said import expect, told

ROOT, BINARY = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
DEPLOY = ROOT / "docs" / "deploy"
KUBERNETES = ("1.31", "1.37")
# By docs/deploy.md and the README's table.
NOT_RETRIED = {2, 65, 73, 77, 78}
WORTH_A_RETRY = {69, 70, 74, 75}
# What a pod or a service has of the environment: nothing of this one.
PATH = {"PATH": f"{BINARY.parent}:/usr/local/bin:/usr/bin:/bin"}


def run(*command, env=None, status=0, **more):
    """Runs a command, wants its status, and gives its standard output."""
    ended = subprocess.run(command, env=PATH | (env or {}), capture_output=True, text=True, timeout=120, **more)
    expect(
        ended.returncode == status,
        f"{command} ended with {ended.returncode}, not {status}:\n{ended.stdout}{ended.stderr}",
    )
    return ended.stdout


def records(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def manifests():
    return {file.name: list(yaml.safe_load_all(file.read_text())) for file in sorted((DEPLOY / "kubernetes").iterdir())}


def validate(resource):
    for version in KUBERNETES:
        kubernetes_validate.validate(resource, version, strict=True)


def each_key(node, path=()):
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key)
            yield from each_key(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from each_key(value, (*path, index))


# Below these any key is right.
FREE = {"labels", "matchLabels", "selector", "data", "requests", "limits"}


def schemas():
    files = manifests()
    # A patch holds only what it changes: it is validated within what it patches. The kustomization is read below.
    files.pop("shards.yaml")
    files.pop("kustomization.yaml")
    misspelt = 0
    for documents in files.values():
        for resource in documents:
            validate(resource)
            for path in each_key(resource):
                if FREE & set(path[:-1]) and path[-2] != "labelSelector":
                    continue
                wrong = json.loads(json.dumps(resource))
                *above, key = path
                parent = wrong
                for step in above:
                    parent = parent[step]
                parent[key + "x"] = parent.pop(key)
                try:
                    validate(wrong)
                except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError, KeyError):
                    misspelt += 1
                else:
                    sys.exit(f"tests/deploy: a misspelt {path} passes")
    told(f"manifests: valid for Kubernetes {' and '.join(KUBERNETES)}; each of {misspelt} keys misspelt is refused")
    return files


def merged(node, patch):
    """A strategic merge: tables key by key, lists of named things name by name, everything else replaced."""
    if isinstance(node, dict) and isinstance(patch, dict):
        return node | {key: merged(node.get(key), value) for key, value in patch.items()}
    named = lambda items: isinstance(items, list) and all(isinstance(item, dict) and "name" in item for item in items)
    if named(node) and named(patch):
        names = [item["name"] for item in node]
        added = [item for item in patch if item["name"] not in names]
        changed = [merged(item, next((p for p in patch if p["name"] == item["name"]), {})) for item in node]
        return added + changed
    return patch


def by_identity(resources):
    return {(one["kind"], one["metadata"]["name"]): one for one in resources}


def built(folder, kustomization):
    """What a kustomization makes of the files beside it."""
    resources = by_identity(one for file in kustomization["resources"] for one in yaml.safe_load_all((folder / file).read_text()))
    for patch in kustomization.get("patches", []):
        for one in yaml.safe_load_all((folder / patch["path"]).read_text()):
            key = (one["kind"], one["metadata"]["name"])
            expect(key in resources, f"the kustomization patches {key}, which none of its resources is")
            resources[key] = merged(resources[key], one)
    for resource in resources.values():
        if "template" in str(resource):
            _, container = pod(resource)
            for image in kustomization["images"]:
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    return resources


def kustomization(folder):
    text = (DEPLOY / "kubernetes" / "kustomization.yaml").read_text()
    shipped = yaml.safe_load(text)
    # The other forms, as the file's comments say: several shards, and the daemon instead of the CronJob.
    expect("cronjob.yaml" in shipped["resources"], f"the kustomization's resources are {shipped['resources']}")
    uncommented = re.sub(r"(?m)^# (patches:|  - path:)", r"\1", text)
    shards = yaml.safe_load(uncommented)
    expect(shards == shipped | {"patches": [{"path": "shards.yaml"}]}, f"with its comments removed, it is {shards}")
    daemon = json.loads(json.dumps(shipped))
    daemon["resources"][daemon["resources"].index("cronjob.yaml")] = "daemon.yaml"
    listed = {*shipped["resources"], *daemon["resources"], *(patch["path"] for patch in shards["patches"])}
    there = {file.name for file in (DEPLOY / "kubernetes").iterdir()} - {"kustomization.yaml"}
    expect(listed == there, f"the kustomization lists {sorted(listed)}, there are {sorted(there)}")
    compared, built_forms = 0, {}
    for name, form in (("run", shipped), ("shards", shards), ("daemon", daemon)):
        here = folder / name
        shutil.copytree(DEPLOY / "kubernetes", here)
        (here / "kustomization.yaml").write_text(yaml.safe_dump(form))
        resources = built(here, form)
        for resource in resources.values():
            validate(resource)
        pods = [pod(one)[1]["image"] for one in resources.values() if "template" in str(one)]
        expect(pods == ["sfexport:latest"], f"images {pods}")
        built_forms[name] = resources
        if shutil.which("kubectl"):
            said = by_identity(yaml.safe_load_all(run("kubectl", "kustomize", str(here))))
            expect(said == resources, f"kubectl kustomize makes of it:\n{yaml.safe_dump_all(said.values())}")
            compared += 1
    if not compared:
        expect(not os.environ.get("CI"), "kubectl is not installed")
        told("SKIPPED: kubectl is not installed, the kustomization was built by this test alone")
    told(f"kustomization: three forms built and valid; {compared} of them compared with kubectl's")
    return built_forms["shards"]


def network_policies(files):
    for kind, name in (("CronJob", "sfexport-run"), ("Deployment", "sfexport-daemon")):
        resource = of_kind(files, kind)
        spec = resource["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else resource["spec"]
        labels = spec["template"]["metadata"]["labels"]
        policies = [
            one for documents in files.values() for one in documents
            if one["kind"] == "NetworkPolicy" and one["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        expect([one["metadata"]["name"] for one in policies] == [name], f"the policies of the {kind}: {policies}")
        (policy,) = policies
        expect(policy["spec"]["policyTypes"] == ["Ingress"], "what the policy restricts")
        open_to = policy["spec"].get("ingress", [])
        if kind == "CronJob":
            expect(open_to == [], f"something reaches the CronJob: {open_to}")
            continue
        (rule,) = open_to
        ports = {one["name"]: one["containerPort"] for one in pod(resource)[1]["ports"]}
        expect([one["port"] for one in rule["ports"]] == list(ports), f"ports {rule['ports']} of {ports}")
        expect(rule["from"] and all(rule["from"]), "everybody reaches the status port")
    told("network policies: nothing reaches the CronJob, one namespace reaches the daemon's status port")


def pod(resource):
    spec = resource["spec"]
    spec = spec["jobTemplate"]["spec"]["template"]["spec"] if resource["kind"] == "CronJob" else spec["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


def of_kind(files, kind):
    (found,) = (resource for documents in files.values() for resource in documents if resource["kind"] == kind)
    return found


def data(files, name):
    (found,) = (r["data"] for d in files.values() for r in d if r["kind"] == "ConfigMap" and r["metadata"]["name"] == name)
    return found


class Volumes:
    """The volumes of a pod as folders, and the pod's paths in any text turned into theirs."""

    def __init__(self, folder, files, spec, container, org):
        self.paths = {"/exports": folder / "exports", "/state": folder / "state", "/usr/local/bin": BINARY.parent}
        for volume in spec["volumes"]:
            (mount,) = (m for m in container["volumeMounts"] if m["name"] == volume["name"])
            here = folder / volume["name"]
            here.mkdir(parents=True)
            self.paths[mount["mountPath"]] = here
            if "configMap" in volume:
                # As the kubelet does it: links into a hidden folder.
                (here / "..data").mkdir()
                for name, text in data(files, volume["configMap"]["name"]).items():
                    (here / "..data" / name).write_text(text)
                    (here / name).symlink_to(f"..data/{name}")
            if "secret" in volume:
                expect(volume["secret"]["defaultMode"] == 0o440, "the key's mode")
                shutil.copy(org.key, here / "server.key")
                (here / "server.key").chmod(0o440)
        config = self.paths["/etc/sfexport"] / "..data" / "sfexport.toml"
        config.write_text(self.here(org.pointed_at(config.read_text())))
        # The image's own variables, and the pod's.
        self.env = {"SFEXPORT_OUTPUT_ROOT": "/exports", "SFEXPORT_STATE_DIR": "/state"}
        self.env |= {one["name"]: one["value"] for one in container["env"] if "value" in one}
        self.env = {name: self.here(value) for name, value in self.env.items()}
        for init in spec.get("initContainers", []):
            run(*map(self.here, init["command"]))

    def here(self, text):
        pattern = "|".join(re.escape(path) for path in sorted(self.paths, key=len, reverse=True))
        return re.sub(rf"(?<![\w/])({pattern})(?![\w])", lambda found: str(self.paths[found[1]]), text)


def cron_job(files, sharded, org, folder):
    resource = of_kind(files, "CronJob")
    sharded = next(one for (kind, _), one in sharded.items() if kind == "CronJob")
    for form in (resource, sharded):
        spec = form["spec"]["jobTemplate"]["spec"]
        shards = next(int(one["value"]) for one in pod(form)[1]["env"] if one["name"] == "SHARDS")
        expect(spec["completions"] == spec["parallelism"] == shards, f"{spec['completions']} indexes for {shards} shards")
    spec, container = pod(resource)
    rules = resource["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    (fails,) = (rule["onExitCodes"]["values"] for rule in rules if rule["action"] == "FailIndex")
    expect(set(fails) == NOT_RETRIED | {1}, f"podFailurePolicy fails the index on {fails}")
    expect(not set(fails) & WORTH_A_RETRY and spec["restartPolicy"] == "Never", "what is tried again")

    volumes = Volumes(folder / "cronjob", files, spec, container, org)
    # Half past eleven at night in UTC is the next day in Berlin.
    night = datetime.datetime.now(datetime.timezone.utc).replace(hour=23, minute=30) - datetime.timedelta(days=1)
    name = f"{resource['metadata']['name']}-{int(night.timestamp()) // 60}"
    inside = volumes.env | {"JOB_NAME": name, "JOB_UID": "cronjob", "JOB_COMPLETION_INDEX": "0"}
    command = map(volumes.here, [*container["command"], *container["args"]])
    run(*command, env=inside, cwd=volumes.paths["/etc/sfexport"])
    (export,) = volumes.paths["/exports"].glob("accounts/*.csv")
    date = f"{night + datetime.timedelta(days=1):%Y-%m-%d}"
    expect(export.stem == date and len(records(export)) > 2900, f"{export} has {len(records(export))} records")
    told(f"CronJob: Job {name}: {len(records(export))} records for {date} in Berlin by its own configuration, key of mode 0440")
    several = Volumes(folder / "fleet", files, *pod(sharded), org)
    fleet.play(sharded, several, org, PATH)


def deployment(files, org, folder):
    resource = of_kind(files, "Deployment")
    spec, container = pod(resource)
    expect(resource["spec"]["replicas"] == 1 and resource["spec"]["strategy"]["type"] == "Recreate", "one at a time")
    grace = re.search(r"`daemon.shutdown_grace` \| duration \| `(\d+)s`", (ROOT / "docs/configuration.md").read_text())[1]
    expect(spec["terminationGracePeriodSeconds"] > int(grace), "terminationGracePeriodSeconds beside shutdown_grace")
    service = of_kind(files, "Service")
    labels = resource["spec"]["template"]["metadata"]["labels"]
    expect(service["spec"]["selector"].items() <= labels.items(), "the Service's selector")

    volumes = Volumes(folder / "deployment", files, spec, container, org)
    port = container["ports"][0]["containerPort"]
    expect(volumes.env["SFEXPORT_STATUS__LISTEN"] == f"0.0.0.0:{port}", "the status port")
    # Any free port in its place.
    volumes.env["SFEXPORT_STATUS__LISTEN"] = "127.0.0.1:0"
    log = folder / "daemon.log"
    with open(log, "w") as out:
        daemon = subprocess.Popen(
            [BINARY, *container["args"]], env=PATH | volumes.env, cwd=volumes.paths["/etc/sfexport"], stderr=out
        )
    try:
        address = None
        for _ in range(100):
            found = re.search(r"127\.0\.0\.1:(\d+)", log.read_text())
            if found and found[1] != "0":
                address = found[0]
                break
            time.sleep(0.1)
        expect(address, f"the daemon did not say where it listens:\n{log.read_text()}")
        for probe in ("livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            expect(container[probe]["httpGet"]["port"] == container["ports"][0]["name"], probe)
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                expect(answer.status == 200, f"{path} gives {answer.status}")
        daemon.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        daemon.send_signal(signal.SIGTERM)
        expect(daemon.wait(20) == 0, "the daemon's status")
    finally:
        daemon.kill()
    told(f"Deployment: {' '.join(container['args'])}: both probes answer 200; SIGHUP; SIGTERM ends it with 0")


def memory(files):
    """The shipped limits leave room for pages of 50 MB in as many runs at once as there may be."""
    keys = (ROOT / "docs/configuration.md").read_text()
    for page in ("docs/limits.md", "docs/deploy.md"):
        text = " ".join((ROOT / page).read_text().split())
        expect("(limit - 48 MiB) / 4 / runs at once" in text, f"{page} does not say what the default of page_cap is")
    runs = int(re.search(r"`daemon.max_concurrent_runs` \| [^|]* \| `(\d+)`", keys)[1])
    units = {"Mi": 1 << 20, "Gi": 1 << 30, "M": 1 << 20, "G": 1 << 30}
    limits = {kind: pod(of_kind(files, kind))[1]["resources"]["limits"]["memory"] for kind in ("CronJob", "Deployment")}
    for name in ("sfexport.service", "sfexport-run.service"):
        limits[name] = re.search(r"^MemoryMax=(\w+)$", (DEPLOY / "systemd" / name).read_text(), re.M)[1]
    for name, limit in limits.items():
        number, unit = re.fullmatch(r"(\d+)(\w+)", limit).groups()
        cap = (int(number) * units[unit] - (48 << 20)) // 4 // runs
        expect(cap >= 50_000_000, f"{name}: {limit} leaves {runs} runs pages of {cap} bytes")
    told(f"memory: limits of {', '.join(sorted(set(limits.values())))} leave {runs} runs at once pages of 50 MB and more")


def systemd(folder):
    units = ("sfexport.service", "sfexport-run.service", "sfexport-run.timer")
    system = folder / "system"
    (system / "etc/systemd/system").mkdir(parents=True)
    for command in ("usr/local/bin/sfexport", "bin/kill"):
        (system / command).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BINARY, system / command)
    library = pathlib.Path("/usr/lib/systemd/system")
    library = library if library.exists() else pathlib.Path("/lib/systemd/system")
    shutil.copytree(library, system / "usr/lib/systemd/system", symlinks=True)
    (system / "lib").symlink_to("usr/lib")

    def verify(wrong=None):
        for name in units:
            text = (DEPLOY / "systemd" / name).read_text()
            if wrong:
                text = text.replace(*wrong)
            (system / "etc/systemd/system" / name).write_text(text)
        # Without the manual page: units that name it are refused until it is installed.
        command = ["systemd-analyze", "verify", "--man=yes", f"--root={system}", *units]
        ended = subprocess.run(command, capture_output=True, text=True)
        said = [line for line in ended.stderr.splitlines() if "sfexport" in line]
        return said or ([] if ended.returncode == 0 else [ended.stderr])

    said = verify()
    expect(not said, f"systemd-analyze verify says {said}")
    for wrong in (("\nWatchdogSec=", "\nWachdogSec="), ("/usr/local/bin/sfexport ", "/usr/local/bin/sfexporter "),
                  ("OnCalendar=*-*-* 04:15:00", "OnCalendar=*-*-* 24:15:00"),
                  ("[Unit]\n", "[Unit]\nDocumentation=man:sfexport(1)\n")):
        expect(verify(wrong), f"systemd-analyze verify does not see {wrong}")
    verify()
    text = (DEPLOY / "systemd" / "sfexport-run.service").read_text()
    prevents = {int(status) for status in re.search(r"^RestartPreventExitStatus=(.*)$", text, re.M)[1].split()}
    expect(prevents == NOT_RETRIED | {1}, f"RestartPreventExitStatus {prevents}")
    calendar = re.search(r"^OnCalendar=(.*)$", (DEPLOY / "systemd" / "sfexport-run.timer").read_text(), re.M)[1]
    run("systemd-analyze", "calendar", calendar)
    security = []
    for name in units[:2]:
        table = run("systemd-analyze", "security", "--offline=yes", "--no-pager", f"--root={system}", name)
        security.append(re.search(r"exposure level for \S+ (\S+)", table)[1])
    expect(all(float(level) <= 2 for level in security), f"exposure {security}")
    told(f"systemd: three units verified, four mistakes seen; exposure {' and '.join(security)}")


def cron(org, folder):
    (line,) = (
        line for line in (DEPLOY / "cron" / "sfexport").read_text().splitlines() if re.match(r"[\d*]", line)
    )
    *times, user, command = line.split(maxsplit=6)
    expect(len(times) == 5 and user == "sfexport", f"cron's line {line}")
    expect(re.findall(r"(?<!\\)%", command) == [], "a % in cron's line")
    conf = configured(org, folder / "cron", "")
    ran = subprocess.run(
        ["/bin/sh", "-c", command.replace("/etc/sfexport", str(conf))], env=PATH, capture_output=True, text=True
    )
    expect(
        (ran.returncode, ran.stdout, ran.stderr) == (0, "", ""),
        f"cron would send mail: {ran.returncode} {ran.stdout}{ran.stderr}",
    )
    (conf / "jobs" / "accounts.toml").write_text('soql = "SELECT Nope FROM Account"\noutput = "a.csv"\n')
    ran = subprocess.run(
        ["/bin/sh", "-c", command.replace("/etc/sfexport", str(conf))], env=PATH, capture_output=True, text=True
    )
    expect(ran.returncode == 65 and "Nope" in ran.stderr, f"cron's mail: {ran.returncode} {ran.stderr}")
    told("cron: its line is silent after a success, and has something to send after a failure")


def configured(org, conf, more):
    (conf / "jobs").mkdir(parents=True)
    shutil.copy(org.key, conf / "server.key")
    text = '[org]\nlogin_url = ""\nclient_id = ""\nusername = "integration@example.com"\nkey_file = "server.key"\n'
    (conf / "sfexport.toml").write_text(org.pointed_at(text) + more)
    (conf / "jobs" / "accounts.toml").write_text(
        'soql = "SELECT Id, Name FROM Account"\noutput = "accounts-{date}.csv"\ntimezone = "Europe/Berlin"\n'
    )
    return conf


class Stubs:
    """Airflow's names that the DAG imports. They record what it builds, without Airflow."""

    def __init__(self):
        self.operators, self.commands, self.status = [], [], None
        stubs = self

        class BaseOperator:
            def __init__(self, **settings):
                self.settings = settings

            @classmethod
            def partial(cls, **settings):
                class Partial:
                    def expand(self, **lists):
                        ((name, values),) = lists.items()
                        stubs.operators += [cls(**settings, **{name: value}) for value in values]

                return Partial()

        class SubprocessHook:
            def run_command(self, command):
                stubs.commands.append(command)
                ended = stubs.status
                if ended is None:
                    ended = subprocess.run(command, env=PATH, capture_output=True, timeout=120).returncode
                return types.SimpleNamespace(exit_code=ended)

        class AirflowException(Exception):
            pass

        class AirflowFailException(AirflowException):
            pass

        self.names = {
            # pendulum takes the zone as `tz`.
            "pendulum": {"datetime": lambda *date, tz: (date, tz)},
            "airflow.providers.standard.hooks.subprocess": {"SubprocessHook": SubprocessHook},
            "airflow.sdk": {"BaseOperator": BaseOperator, "dag": lambda **_: lambda function: function},
            "airflow.sdk.exceptions": {"AirflowException": AirflowException, "AirflowFailException": AirflowFailException},
        }

    def load(self, text):
        """Runs the DAG's file, and gives its names."""
        for name, content in self.names.items():
            for depth in range(name.count(".") + 1):
                package = ".".join(name.split(".")[: depth + 1])
                sys.modules.setdefault(package, types.ModuleType(package))
            vars(sys.modules[name]).update(content)
        scope = {}
        exec(compile(text, "sfexport_dag.py", "exec"), scope)
        return scope

    def outcome(self, operator, status):
        """The exception that a task ends with if sfexport ends with this status."""
        self.status = status
        try:
            operator.execute({})
        except Exception as error:
            return type(error).__name__
        finally:
            self.status = None
        return None


def airflow(org, folder):
    stubs = Stubs()
    scope = stubs.load((DEPLOY / "airflow" / "sfexport_dag.py").read_text())
    tasks = stubs.operators
    shards = [f"{shard}/{scope['SHARDS']}" for shard in range(scope["SHARDS"])]
    expect([task.shard for task in tasks] == shards, f"the DAG's tasks are {[task.shard for task in tasks]}")
    expect({task.settings["max_active_tis_per_dagrun"] for task in tasks} == {scope["AT_ONCE"]}, "tasks at once")
    expect({task.at for task in tasks} == {scope["RUN_AFTER"]} and "at" in scope["SfexportOperator"].template_fields, "--at")
    for status in (0, *NOT_RETRIED, 1, *WORTH_A_RETRY, 143, -9):
        wanted = None if status == 0 else "AirflowFailException" if status in NOT_RETRIED | {1} else "AirflowException"
        found = stubs.outcome(tasks[0], status)
        expect(found == wanted, f"status {status} ends the task with {found}, not {wanted}")

    template = scope["RUN_AFTER"]
    documented = (ROOT / "docs" / "deploy.md").read_text()
    expect(f"--at '{template}'" in documented, f"docs/deploy.md does not have {template}")
    # What Airflow 3 gives its templates: a manual trigger has no data interval.
    scheduled = datetime.datetime(2026, 11, 21, 23, 30, tzinfo=datetime.timezone.utc)
    triggered = datetime.datetime(2026, 11, 21, 23, 31, 7, 250000, tzinfo=datetime.timezone.utc)
    contexts = {
        "scheduled": {"dag_run": {"run_after": scheduled}, "data_interval_end": scheduled},
        "manual": {"dag_run": {"run_after": triggered}},
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["ts"] = lambda value: value.isoformat()
    conf = configured(org, folder / "airflow", "")
    export = conf / "exports" / "accounts-2026-11-22.csv"

    def exported():
        expect(export.exists(), f"no {export}")
        export.unlink()

    shipped = scope["SFEXPORT"].index("/etc/sfexport/sfexport.toml")
    for name, context in contexts.items():
        scope["SFEXPORT"][shipped] = str(conf / "sfexport.toml")
        for task in tasks:
            task.at = environment.from_string(template).render(context)
            task.execute({})
        exported()
    # The other spelling of a timestamp, str(), has a space in it.
    run(str(BINARY), "--config", str(conf / "sfexport.toml"), "run", "accounts", "--at", str(scheduled))
    exported()
    try:
        environment.from_string("{{ data_interval_end | ts }}").render(contexts["manual"])
    except (jinja2.UndefinedError, AttributeError):
        pass
    else:
        expect(False, "data_interval_end is defined for a manual trigger")
    command = " ".join(stubs.commands[-1][shipped + 1 :])
    told(f"Airflow: {command}: the shards export for the date in the job's time zone, scheduled and manual")


def moving(org, folder):
    text = (ROOT / "docs" / "moving.md").read_text()
    blocks = dict(re.findall(r"```toml\n# (\S+)\n(.*?)```", text, re.S))
    expect(set(blocks) == {"sfexport.toml", "jobs/account_extract.toml"}, f"blocks {set(blocks)}")
    conf = folder / "moving"
    (conf / "jobs").mkdir(parents=True)
    shutil.copy(org.key, conf / "server.key")
    for name, block in blocks.items():
        (conf / name).write_text(org.pointed_at(block) if name == "sfexport.toml" else block)
    said = json.loads(run(str(BINARY), "run", "account_extract", "--json", cwd=conf))
    rows = records(conf / "exports" / "extract.csv")
    # All 3,000: with those in the recycle bin.
    expect(len(rows) == 3000 and list(rows[0]) == ["Id", "Name", "Owner.Name"], f"{len(rows)} rows, {list(rows[0])}")
    expect(said["pages"] == 6, f"{said['pages']} pages of 500")
    # The keys in the tables' right columns exist: each `key` of `[org]`, `[http]`, `[csv]` there.
    known = (ROOT / "docs" / "configuration.md").read_text()
    for table, key in re.findall(r"`\[(org|http|csv|daemon)\] (\w+)", text):
        name = key if table == "org" else f"{table}.{key}"
        expect(f"| `{name}` |" in known, f"moving.md names [{table}] {key}")
    # The script for `sf data query`, its last line.
    (conf / "accounts.soql").write_text("SELECT Id FROM Account\n")
    (script,) = re.findall(r"```sh\n(export SFEXPORT_ORG__CLIENT_ID.*?)```", text, re.S)
    script = script.replace("https://login.salesforce.com", org.login["login_url"])
    other = folder / "script"
    other.mkdir()
    shutil.copy(org.key, other / "server.key")
    (other / "accounts.soql").write_text("SELECT Id FROM Account\n")
    run("/bin/sh", "-ec", script, env={"ID": org.login["client_id"]}, cwd=other)
    expect(len(records(other / "accounts.csv")) == 3000, "the script's records")
    told("moving: Data Loader's process as a job, 3,000 records in 6 pages of 500; the script of sf data query")


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # Whatever the binary is called.
        (folder / "bin").mkdir()
        (folder / "bin" / "sfexport").symlink_to(BINARY)
        PATH["PATH"] = f"{folder}/bin:/usr/local/bin:/usr/bin:/bin"
        files = schemas()
        sharded = kustomization(folder / "kustomize")
        network_policies(files)
        memory(files)
        systemd(folder)
        org = Org(folder / "org", BINARY, PATH)
        try:
            cron_job(files, sharded, org, folder)
            deployment(files, org, folder)
            cron(org, folder)
            airflow(org, folder)
            moving(org, folder)
        finally:
            org.stop()
    print("deploy/run: everything held")


main()
