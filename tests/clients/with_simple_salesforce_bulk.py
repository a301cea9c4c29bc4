"""simple-salesforce's `bulk2` against the embedded org: every query of bulk.json, a CSV file each. usage:
with_simple_salesforce_bulk.py OUT_DIR, the org as with_simple_salesforce.py wants it."""

import json
import pathlib
import sys
from importlib.metadata import version

import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceError

from with_simple_salesforce import HERE, ToTheOrg, token

# Smaller than the results, so each is read in several pages.
MAX_RECORDS = 1500


def main(out):
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", ToTheOrg())
    login = token(session)
    login.raise_for_status()
    salesforce = Salesforce(
        instance_url="https://org.invalid",
        session_id=login.json()["access_token"],
        session=session,
        version="62.0",
    )
    summary = {"client": "simple-salesforce", "version": version("simple-salesforce"), "pages": {}}
    for query in json.loads((HERE / "bulk.json").read_text()):
        object_name = query["soql"].split(" FROM ")[1].split(" ")[0]
        handler = getattr(salesforce.bulk2, object_name)
        ask = handler.query_all if query.get("all_rows") else handler.query
        # The library waits 5 s before the first poll unless it is told otherwise.
        pages = list(ask(query["soql"], max_records=MAX_RECORDS, wait=0.2))
        with open(out / (query["name"] + ".csv"), "w", newline="", encoding="utf-8") as file:
            for number, page in enumerate(pages):
                # Every page begins with the header, and the library leaves it there.
                file.write(page if number == 0 else page.split("\n", 1)[1])
        summary["pages"][query["name"]] = len(pages)
    try:
        list(salesforce.bulk2.Account.query("SELECT Id, (SELECT Id FROM Contacts) FROM Account"))
    except SalesforceError as refused:
        summary["refusal"] = refused.content[0]["errorCode"]
    (out / "summary.json").write_text(json.dumps(summary))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
