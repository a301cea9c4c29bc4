"""What each client got by Bulk API 2.0, against what it should have got: the data set's own values, put together here by
hand for each query of bulk.json.

usage: compare_bulk.py DUMP.jsonl CLIENT_DIR...    a folder a client with its rows and its summary; prints a table, and the
                                                   status is 1 if a cell, a row or a refusal differs
       compare_bulk.py list    prints the queries: name, flags and SOQL with tabs between them"""

import csv
import json
import pathlib
import sys

from compare import HERE, DataSet

csv.field_size_limit(sys.maxsize)

# It deletes NULs from what it receives.
WITHOUT_NUL = "simple-salesforce"

# Where each relationship of the queries leads from.
REFERENCES = {"Account": "AccountId", "Owner": "OwnerId", "Manager": "ManagerId"}


def columns(query):
    return query["soql"].removeprefix("SELECT ").split(" FROM ")[0].split(", ")


def value(data, row, path):
    *parents, field = path.split(".")
    for parent in parents:
        row = data.up(row, REFERENCES[parent])
    return row and row[field]


def cell(value):
    """A value as Bulk API 2.0 writes it; a number as itself, because its spelling is not the data set's."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return float(value).hex()
    return value.replace("+0000", "Z") if is_time(value) else value


def without_nul(value):
    return value.replace("\0", "") if isinstance(value, str) else value


def is_time(text):
    return len(text) == 28 and text[10] == "T" and text.endswith("+0000")


def expected(data, query):
    object_name = query["soql"].split(" FROM ")[1].split(" ")[0]
    rows = data.all(object_name) if query.get("all_rows") else data.live(object_name)
    if "no such" in query["soql"]:
        rows = []
    if "ORDER BY Id DESC" in query["soql"]:
        rows = rows[::-1]
    return [[value(data, row, path) for path in columns(query)] for row in rows]


def rows_of(path, names):
    """The rows in a client's file: CSV as it came, or JSON Lines of what it made of that."""
    if path.with_suffix(".csv").exists():
        with open(path.with_suffix(".csv"), newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        return header, rows
    records = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().split("\n")[:-1]]
    header = list(records[0]) if records else names
    return header, [[record.get(name) for name in header] for record in records]


def difference(query, header, got, want):
    if header != columns(query):
        return f"the columns are {header}"
    if len(got) != len(want):
        return f"{len(got)} rows where {len(want)} are expected"
    for at, (found, right) in enumerate(zip(got, want)):
        for name, one, other in zip(header, found, right):
            is_number = isinstance(other, (int, float)) and not isinstance(other, bool)
            shown = float(one).hex() if is_number and one else one
            if shown != cell(other):
                return f"row {at}, {name}: {one!r} where {other!r} is expected"
    return None


def main(dump, folders):
    data, wrong, cells = DataSet(dump), 0, 0
    queries = json.loads((HERE / "bulk.json").read_text())
    print(f"{'client':<28}{'query':<26}{'rows':>8}{'pages':>8}  by Bulk API 2.0")
    for folder in folders:
        summary = json.loads((folder / "summary.json").read_text())
        name = f"{summary['client']} {summary['version']}"
        for query in queries:
            want = expected(data, query)
            if summary["client"] == WITHOUT_NUL:
                want = [[without_nul(value) for value in row] for row in want]
            header, got = rows_of(folder / query["name"], columns(query))
            found = difference(query, header, got, want)
            wrong += found is not None
            cells += len(got) * len(header)
            pages = summary["pages"].get(query["name"], "")
            print(f"{name:<28}{query['name']:<26}{len(got):>8}{pages:>8}  {found or 'every cell as in the data set'}")
        if summary.get("refusal") != "API_ERROR":
            wrong += 1
            print(f"{name}: a child query was refused with {summary.get('refusal')!r} where 'API_ERROR' is expected")
    print(f"{cells} cells compared, {wrong} differences")
    return 1 if wrong else 0


def list_queries():
    for query in json.loads((HERE / "bulk.json").read_text()):
        # Not empty: the shell takes two tabs for one.
        flags = "--all-rows" if query.get("all_rows") else "-"
        print(query["name"], flags, query["soql"], sep="\t")


if __name__ == "__main__":
    if sys.argv[1] == "list":
        sys.exit(list_queries())
    sys.exit(main(pathlib.Path(sys.argv[1]), [pathlib.Path(argument) for argument in sys.argv[2:]]))
