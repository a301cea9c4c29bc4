"""What one writes with simple-salesforce for a large result: query_all_iter into csv.writer, a record at a time.
With `first-page` for the file's name it reads one page and writes nothing. usage: simple_salesforce_to_csv.py SOQL
FILE, with tests/clients in PYTHONPATH."""

import csv
import sys

import requests
from simple_salesforce import Salesforce
from with_simple_salesforce import ToTheOrg, token


def cell(record, path):
    for name in path:
        record = record and record[name]
    return record


def main(soql, file):
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", ToTheOrg())
    login = token(session).json()
    salesforce = Salesforce(
        instance_url="https://org.invalid", session_id=login["access_token"], session=session, version="62.0"
    )
    if file == "first-page":
        salesforce.query(soql)
        return
    columns = soql.removeprefix("SELECT ").split(" FROM ")[0].split(", ")
    paths = [column.split(".") for column in columns]
    with open(file, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        for record in salesforce.query_all_iter(soql):
            writer.writerow([cell(record, path) for path in paths])


main(*sys.argv[1:])
