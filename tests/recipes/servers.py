"""What the tests of recipes, of `describe` and of formats share: the embedded org, a Postgres server, and commands as a reader runs
them."""

import glob
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

BINARY = pathlib.Path(sys.argv[2])
TESTS = pathlib.Path(sys.argv[0]).parent.name
CLIENT_ID, USERNAME = "3MVG9demo", "integration@example.com"
# The environment of a page's commands: nothing from ours but the path, with the tools installed for this test.
ENVIRONMENT = {
    "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
    "NO_PROXY": "127.0.0.1",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}
# Queries whose columns are not those of one object.
TYPEOF = (
    "SELECT Id, TYPEOF What WHEN Account THEN Phone, NumberOfEmployees WHEN Opportunity THEN Amount, CloseDate "
    "ELSE Name END, Subject FROM Task"
)
GROUPED = (
    "SELECT Type, COUNT(Id) accounts, SUM(AnnualRevenue) revenue, MAX(CreatedDate) newest, MIN(NumberOfEmployees) fewest "
    "FROM Account GROUP BY ROLLUP(Type)"
)


def put_on_path(directory):
    """Makes the binary `sfexport` for the commands that follow, whatever it is called."""
    directory.mkdir()
    (directory / "sfexport").symlink_to(BINARY)
    ENVIRONMENT["PATH"] = f"{directory}:{ENVIRONMENT['PATH']}"


def passed(what):
    print(f"ok  {what}", flush=True)


def expect(holds, what):
    if not holds:
        sys.exit(f"tests/{TESTS}: {what}")


def shell(command, directory, env=None, status=0, timeout=120):
    """Runs a command as a reader would, expects its exit status, and returns its standard output."""
    ended = subprocess.run(
        ["/bin/sh", "-ec", command], cwd=directory, env=ENVIRONMENT | (env or {}), capture_output=True, text=True, timeout=timeout
    )
    expect(
        ended.returncode == status,
        f"{command}\nended with {ended.returncode} instead of {status}:\n{ended.stdout}{ended.stderr}",
    )
    return ended.stdout


class Org:
    """`sfexport demo --serve` on its own port."""

    def __init__(self, directory):
        self.directory, self.process = directory, None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, certificate=None, more=(), records=3000):
        command = [BINARY, "demo", "--serve", "--port", str(self.port), "--records", str(records), "--dir", self.directory, *more]
        if certificate:
            command += ["--certificate", certificate]
        self.log = open(self.directory.with_suffix(".log"), "w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=ENVIRONMENT)
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        sys.exit(f"tests/{TESTS}: the org did not start:\n{pathlib.Path(self.log.name).read_text()}")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def configuration(self, key="server.key", more=""):
        return (
            f'[org]\nlogin_url = "{self.url}"\nclient_id = "{CLIENT_ID}"\nusername = "{USERNAME}"\n'
            f'key_file = "{key}"\n{more}'
        )


class Postgres:
    """A separate server in a temporary directory, on loopback."""

    def __init__(self, directory):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
        postgres = shutil.which("postgres")
        found = found or ([os.path.dirname(postgres)] if postgres else [])
        expect(found, "Postgres is missing: install the package postgresql")
        bin, data = pathlib.Path(found[-1]), directory / "data"
        directory.mkdir()
        # It refuses to run as root.
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(directory, "postgres")
            for parent in list(directory.parents)[:-2]:
                parent.chmod(parent.stat().st_mode | 0o011)
        subprocess.run(
            [*self.user, bin / "initdb", "-D", data, "-A", "trust", "-U", "loader", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL,
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        settings = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.log = open(directory / "log", "w")
        self.server = subprocess.Popen([*self.user, bin / "postgres", "-D", data, *settings], stderr=self.log)
        self.env = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "loader", "PGDATABASE": "postgres"}
        for _ in range(300):
            if subprocess.run([bin / "pg_isready", "-q"], env=ENVIRONMENT | self.env).returncode == 0:
                return
            time.sleep(0.1)
        self.stop()
        sys.exit(f"tests/{TESTS}: Postgres did not start:\n{(directory / 'log').read_text()}")

    def stop(self):
        # SIGINT: a fast shutdown.
        self.server.send_signal(2)
        self.server.wait(30)
