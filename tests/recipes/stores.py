"""Local stand-ins for object stores, to which the stores' own tools upload: moto for S3, fake-gcs-server for Google Cloud
Storage, Azurite for Azure."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from servers import ENVIRONMENT, TESTS, expect

# Where the script `run` installs them.
TOOLS = pathlib.Path(os.environ.get("RECIPES_TOOLS", "tools"))
NODE = pathlib.Path(os.environ.get("RECIPES_NODE", "node")) / "node_modules"


def ask(method, url, body=None, headers=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.read()


class Store:
    """A server on a free port."""

    def __init__(self, directory, *command):
        directory.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [str(part).replace("PORT", str(self.port)) for part in command]
        self.log = open(directory / "log", "w")
        self.process = subprocess.Popen(
            command, cwd=directory, env=ENVIRONMENT | {"HOME": str(directory)}, stdout=self.log, stderr=self.log
        )
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        self.stop()
        sys.exit(f"tests/{TESTS}: {command[0]} did not start:\n{(directory / 'log').read_text()}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            # Azurite waits for connections that are open.
            self.process.kill()
            self.process.wait()


class S3(Store):
    tool = "aws"

    def __init__(self, directory, bin):
        (bin / "aws").symlink_to(TOOLS / "bin" / "aws")
        super().__init__(directory, TOOLS / "bin" / "moto_server", "-H", "127.0.0.1", "-p", "PORT")
        ask("PUT", f"{self.url}/my-bucket")
        self.env = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def local(self, text):
        return text

    def get(self, key):
        # It takes only signed requests.
        command = [TOOLS / "bin" / "aws", "s3", "cp", f"s3://my-bucket/{key}", "-"]
        return subprocess.run(command, env=ENVIRONMENT | self.env, stdout=subprocess.PIPE, check=True, timeout=60).stdout


class GoogleCloud(Store):
    """The emulator ignores conditions, which `gcloud storage cp` does not need here."""

    def __init__(self, directory, bin):
        (server,) = TOOLS.glob("lib/python*/site-packages/fake_gcs*/vendor/**/fake-gcs-server-linux-amd64")
        server.chmod(0o755)
        address = "127.0.0.1:PORT"
        super().__init__(
            directory, server, "-scheme", "http", "-host", "127.0.0.1", "-port", "PORT", "-public-host", address,
            "-external-url", f"http://{address}", "-backend", "memory",
        )
        ask("POST", f"{self.url}/storage/v1/b?project=p", json.dumps({"name": "my-bucket"}).encode())
        self.env = {
            "CLOUDSDK_CONFIG": str(directory / "gcloud"),
            "CLOUDSDK_CORE_PROJECT": "p",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{self.url}/storage/v1/",
        }
        self.tool = "gcloud"
        if not shutil.which("gcloud", path=ENVIRONMENT["PATH"]):
            # No registry has it.
            self.tool = "a stand-in for gcloud"
            stand_in(bin / "gcloud", GCLOUD)

    def local(self, text):
        return text

    def get(self, key):
        return ask("GET", f"{self.url}/storage/v1/b/my-bucket/o/{urllib.parse.quote(key, safe='')}?alt=media")


GCLOUD = '''
import os, re, sys, urllib.parse, urllib.request
_, *words, source, target = sys.argv
found = re.fullmatch(r"gs://([a-z0-9][a-z0-9._-]+)/(.*/)?([^/]*)", target)
if words != ["storage", "cp"] or source.startswith("-") or not found:
    sys.exit(f"usage: gcloud storage cp FILE gs://BUCKET/[PREFIX/][NAME], not {sys.argv}")
name = (found[2] or "") + (found[3] or os.path.basename(source))
server = os.environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"].replace("/storage/", "/upload/storage/")
url = f"{server}b/{found[1]}/o?uploadType=media&name={urllib.parse.quote(name, safe='')}"
with open(source, "rb") as file:
    urllib.request.urlopen(urllib.request.Request(url, data=file.read(), method="POST"), timeout=20)
'''


def stand_in(path, program):
    """A program in Python, as a command."""
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(0o755)


class Azure(Store):
    tool = "azcopy"
    # Azurite's account and its key are public.
    ACCOUNT = "devstoreaccount1"
    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, directory, bin):
        azcopy = NODE / "@azure-tools" / "azcopy-linux" / "dist" / "bin" / "azcopy_linux_amd64"
        expect(azcopy.exists(), f"no {azcopy}: start tests/recipes/run")
        azcopy.chmod(0o755)
        (bin / "azcopy").symlink_to(azcopy)
        super().__init__(
            directory, NODE / ".bin" / "azurite-blob", "--silent", "--blobHost", "127.0.0.1", "--blobPort", "PORT",
            "--location", directory, "--skipApiVersionCheck",
        )
        self.sas = self.signature()
        headers = {"x-ms-version": "2020-08-04", "Content-Length": "0"}
        ask("PUT", f"{self.url}/{self.ACCOUNT}/salesforce?restype=container&{self.sas}", headers=headers)
        self.env = {
            "HOME": str(directory), "AZCOPY_LOG_LOCATION": str(directory / "logs"),
            "AZCOPY_JOB_PLAN_LOCATION": str(directory / "plans"), "AZCOPY_DISABLE_SYSLOG": "true",
        }

    def signature(self):
        """A shared access signature of the account: the fields in the order that the documentation names."""
        fields = {
            "sp": "rwlac", "ss": "b", "srt": "sco", "st": "", "se": "2099-01-01T00:00:00Z", "sip": "",
            "spr": "https,http", "sv": "2020-08-04",
        }
        signed = "\n".join([self.ACCOUNT, *fields.values(), ""])
        digest = hmac.new(base64.b64decode(self.KEY), signed.encode(), hashlib.sha256).digest()
        fields = {name: value for name, value in fields.items() if value}
        return urllib.parse.urlencode(fields | {"sig": base64.b64encode(digest).decode()})

    def local(self, text):
        """The recipe's URL, as this server has it: with a signature, because there is no identity here."""
        shown = "https://myaccount.blob.core.windows.net/"
        expect(text.count(shown) == 1, f"the recipe does not have {shown}")
        here = text.replace(shown, f"{self.url}/{self.ACCOUNT}/")
        return here.replace('/"]', f'/?{self.sas}"]')

    def get(self, key):
        return ask("GET", f"{self.url}/{self.ACCOUNT}/salesforce/{key.removeprefix('salesforce/')}?{self.sas}")
