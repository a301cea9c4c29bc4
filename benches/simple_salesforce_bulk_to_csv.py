"""What one writes with simple-salesforce for a large result by Bulk API 2.0: `bulk2` downloads the pages into files, which
csv rewrites into one. With `identity` the pages come without gzip. usage: simple_salesforce_bulk_to_csv.py SOQL FILE
[identity], with tests/clients in PYTHONPATH."""

import csv
import sys
import tempfile

import requests
from simple_salesforce import Salesforce
from with_simple_salesforce import ToTheOrg, token

csv.field_size_limit(sys.maxsize)


def main(soql, file, encoding="gzip"):
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", ToTheOrg())
    session.headers["Accept-Encoding"] = encoding
    login = token(session).json()
    salesforce = Salesforce(
        instance_url="https://org.invalid", session_id=login["access_token"], session=session, version="62.0"
    )
    with tempfile.TemporaryDirectory(dir=file.rpartition("/")[0]) as pages, open(file, "w", newline="") as out:
        writer = csv.writer(out)
        for number, page in enumerate(salesforce.bulk2.Account.download(soql, pages, wait=1)):
            with open(page["file"], newline="") as rows:
                reader = csv.reader(rows)
                header = next(reader)
                if number == 0:
                    writer.writerow(header)
                writer.writerows(reader)


main(*sys.argv[1:])
