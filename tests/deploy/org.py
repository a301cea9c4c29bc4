"""`sfexport demo --serve`, and what a configuration needs to log in there."""

import re
import signal
import subprocess
import sys
import time

from said import expect


class Org:
    def __init__(self, folder, binary, environment):
        self.folder = folder
        log = folder.with_suffix(".log")
        with open(log, "w") as out:
            command = [binary, "demo", "--serve", "--records", "3000", "--dir", folder]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environment
            )
        for _ in range(300):
            if "The org runs" in log.read_text():
                break
            time.sleep(0.1)
        else:
            sys.exit(f"the demo org did not start:\n{log.read_text()}")
        text = (folder / "sfexport.toml").read_text()
        self.login = {name: re.search(rf'^{name} *= *"(.*)"$', text, re.M)[1] for name in ("login_url", "client_id")}
        self.key = folder / "server.key"

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)

    def pointed_at(self, text):
        """A configuration of the documentation, with this org's URL and client id in place of its own."""
        for name, value in self.login.items():
            text, found = re.subn(rf'(?m)^(\s*{name}\s*=\s*)"[^"]*"', rf'\g<1>"{value}"', text)
            expect(found == 1, f"{found} lines {name} in:\n{text}")
        return text
