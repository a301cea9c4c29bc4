"""What the tests of this directory say."""

import sys


def told(what):
    print(f"ok  {what}", flush=True)


def expect(holds, what):
    if not holds:
        sys.exit(f"tests/deploy: {what}")
