"""Runs a Python client against the embedded org. Where the client logs in at a Salesforce host that cannot be set, scheme
and host of the request become the org's; nothing else changes. usage: to_the_org.py MODULE FUNCTION [ARGUMENT...], the
org in ORG_URL."""

import importlib
import os
import sys
from urllib.parse import urlsplit

import requests

send = requests.adapters.HTTPAdapter.send


def to_the_org(adapter, request, *arguments, **options):
    asked, org = urlsplit(request.url), urlsplit(os.environ["ORG_URL"])
    if asked.hostname.endswith(".salesforce.com"):
        request.url = asked._replace(scheme=org.scheme, netloc=org.netloc).geturl()
    return send(adapter, request, *arguments, **options)


if __name__ == "__main__":
    requests.adapters.HTTPAdapter.send = to_the_org
    module, function = sys.argv[1:3]
    sys.argv = [module, *sys.argv[3:]]
    sys.exit(getattr(importlib.import_module(module), function)())
