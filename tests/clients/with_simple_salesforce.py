"""simple-salesforce against the embedded org: a login by an assertion of PyJWT's, every query of queries.json,
a file of rows each. usage: with_simple_salesforce.py OUT_DIR, the org in ORG_URL, ORG_CLIENT_ID, ORG_USERNAME
and ORG_KEY_FILE."""

import json
import os
import pathlib
import sys
import time
from importlib.metadata import version
from urllib.parse import urlsplit

import jwt
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest

ORG = os.environ["ORG_URL"]
HERE = pathlib.Path(__file__).parent
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class ToTheOrg(requests.adapters.HTTPAdapter):
    """simple-salesforce speaks https only: scheme and host of each request become the org's, nothing else."""

    pages = 0

    def send(self, request, **options):
        asked, org = urlsplit(request.url), urlsplit(ORG)
        request.url = asked._replace(scheme=org.scheme, netloc=org.netloc).geturl()
        self.pages += "/query" in asked.path
        return super().send(request, **options)


def token(session, **changes):
    """What the token endpoint answers to an assertion with these claims changed."""
    claims = {
        "iss": os.environ["ORG_CLIENT_ID"],
        "sub": os.environ["ORG_USERNAME"],
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 170,
    }
    key = pathlib.Path(os.environ["ORG_KEY_FILE"]).read_text()
    assertion = jwt.encode(claims | changes, key, algorithm="RS256")
    form = {"grant_type": GRANT, "assertion": assertion}
    return session.post(ORG + "/services/oauth2/token", data=form)


def whole(salesforce, value):
    """A value with its child records fetched to the last page, which the library leaves to its caller."""
    if isinstance(value, list):
        return [whole(salesforce, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "records" in value:
        records, page = list(value["records"]), value
        while not page["done"]:
            page = salesforce.query_more(page["nextRecordsUrl"], identifier_is_url=True)
            records += page["records"]
        value = {"totalSize": value["totalSize"], "done": True, "records": records}
    return {key: whole(salesforce, item) for key, item in value.items()}


def refusals(session, salesforce):
    """How the library tells what the org refuses."""
    yield "login", token(session, iss="somebody else").json()["error"]
    yield "user", token(session, sub="nobody@example.com").json()["error_description"]
    for name, soql in (("field", "SELECT Id, Nope FROM Account"), ("syntax", "SELECT Id FORM Account")):
        try:
            salesforce.query(soql)
        except SalesforceMalformedRequest as refused:
            yield name, refused.content[0]["errorCode"]


def main(out):
    session = requests.Session()
    session.trust_env = False
    adapter = ToTheOrg()
    session.mount("https://", adapter)
    login = token(session)
    login.raise_for_status()
    salesforce = Salesforce(
        # A host that is nobody's: only the adapter reaches the org.
        instance_url="https://org.invalid",
        session_id=login.json()["access_token"],
        session=session,
        version="62.0",
    )
    summary = {"client": "simple-salesforce", "version": version("simple-salesforce"), "queries": {}}
    for query in json.loads((HERE / "queries.json").read_text()):
        adapter.pages = 0
        soql, all_rows = query["soql"], query.get("all_rows", False)
        records = list(salesforce.query_all_iter(soql, include_deleted=all_rows))
        pages = adapter.pages
        records = whole(salesforce, records)
        total = salesforce.query(soql, include_deleted=all_rows)["totalSize"]
        summary["queries"][query["name"]] = {"pages": pages, "total": total}
        with open(out / (query["name"] + ".jsonl"), "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    summary["refusals"] = dict(refusals(session, salesforce))
    summary["fields"] = [field["name"] for field in salesforce.Account.describe()["fields"]]
    summary["limits"] = sorted(salesforce.limits()["DailyApiRequests"])
    (out / "summary.json").write_text(json.dumps(summary))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
