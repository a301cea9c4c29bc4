"""What loaders got, against the records of the data set.

usage: loaders.py select-tap    writes the catalog on standard input, with the streams selected, to standard output
       loaders.py select-airbyte    the same for Airbyte's protocol
       loaders.py compare DUMP.jsonl GOT_DIR    prints a table; the status is 1 if a row differs"""

import csv
import json
import pathlib
import re
import sys

# Of what the org lists, the objects that people keep records in. Airbyte reads those with a compound or a base64 field by
# REST, the others by Bulk API 2.0.
PLAIN = ["Account", "Attachment", "Contact", "Opportunity", "Organization", "Profile", "Task", "User", "Warehouse__c"]
BY_REST = ["Account", "Attachment", "Contact", "Warehouse__c"]
BY_BULK = ["Opportunity", "Organization", "Profile", "Task", "User"]


def select_tap(catalog):
    streams = [stream for stream in catalog["streams"] if stream["stream"] in PLAIN]
    for stream in streams:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"] |= {"selected": True, "replication-method": "FULL_TABLE"}
    return {"streams": streams}


def select_airbyte(messages):
    catalog = next(message["catalog"] for message in messages if message["type"] == "CATALOG")
    streams = [stream for stream in catalog["streams"] if stream["name"] in BY_REST + BY_BULK]
    modes = {"sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    return {"streams": [{"stream": stream} | modes for stream in streams]}


def messages(path):
    """A message a line; not splitlines(), because texts may hold other line separators."""
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def data_set(path):
    rows = {}
    for record in messages(path):
        fields = record["fields"]
        for name, value in fields.items():
            if isinstance(value, dict) and list(value) == ["blob"]:
                fields[name] = f"/services/data/VERSION/sobjects/{record['object']}/{value['blob']}"
        rows.setdefault(record["object"], []).append(fields)
    return rows


def versionless(value):
    return re.sub(r"^/services/data/v\d+\.0/", "/services/data/VERSION/", value) if isinstance(value, str) else value


def of_tap(path):
    """Rows by stream. Dates and date-times come in one form; the schema tells which fields they are."""
    rows, times = {}, {}
    for message in messages(path / "out.jsonl"):
        if message["type"] == "SCHEMA":
            schema = message["schema"]["properties"]
            is_time = lambda of: any(one.get("format") == "date-time" for one in of.get("anyOf", []))
            times[message["stream"]] = {name for name, of in schema.items() if is_time(of)}
        elif message["type"] == "RECORD":
            rows.setdefault(message["stream"], []).append(message["record"])
    return rows, times


def as_tap_writes(row, times):
    """It leaves out base64 fields, and takes an empty text for none."""

    def one(name, value):
        if name not in times or value is None:
            return None if value == "" else value
        if len(value) == 10:
            return value + "T00:00:00.000000Z"
        return value.replace("+0000", "000Z")

    return {name: one(name, value) for name, value in row.items() if name != "Body"}


def of_airbyte(path):
    rows = {}
    for message in messages(path / "out.jsonl"):
        if message["type"] == "RECORD":
            rows.setdefault(message["record"]["stream"], []).append(message["record"]["data"])
    return rows


def without_nulls(row):
    return {name: value for name, value in row.items() if value is not None}


def of_airbyte_by_bulk(rows, expected):
    """An integer that the org sends as `3.0`, as real ones do, stays the text "3.0"."""
    whole = {name for row in expected for name, value in row.items() if type(value) is int}

    def one(name, value):
        is_text_of_integer = name in whole and isinstance(value, str) and value.endswith(".0")
        return int(float(value)) if is_text_of_integer else value

    return [{name: one(name, value) for name, value in without_nulls(row).items()} for row in rows]


def as_airbyte_reads_bulk(row):
    """Bulk API 2.0 has no empty texts and another form of date-times. Airbyte deletes NULs, makes every line break a line
    feed, and takes the texts "null" and "N/A" and a lone line break for no value."""

    def one(value):
        if not isinstance(value, str):
            return value
        value = value.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
        return re.sub(r"^(\d{4}-\d\d-\d\dT[\d:.]{12})\+0000$", r"\1Z", value)

    return {name: one(value) for name, value in row.items() if value not in (None, "", "null", "N/A", "\r")}


def of_sfdmu(path, data):
    """Numbers have passed through a double of JavaScript's, and come in its spelling."""

    def typed(row, like):
        return {name: float(text) if isinstance(like[name], float) else text for name, text in row.items()}

    rows = {}
    for name in ("Contact", "Warehouse__c"):
        by_id = {row["Id"]: row for row in data[name]}
        with open(path / f"{name}.csv", newline="") as file:
            rows[name] = [typed(row, by_id[row["Id"]]) for row in csv.DictReader(file)]
    return rows


def as_sfdmu_writes(row, columns):
    def one(value):
        if isinstance(value, bool):
            return str(value).lower()
        return "" if value is None else value

    return {name: one(row[name]) for name in columns}


def difference(got, expected):
    """Where two lists of rows differ first, sorted by Id; None if they don't."""
    order = lambda row: row["Id"]
    got, expected = sorted(got, key=order), sorted(expected, key=order)
    if len(got) != len(expected):
        return f"{len(got)} rows where {len(expected)} are expected"
    for one, other in zip(got, expected):
        for name in one.keys() | other.keys():
            if one.get(name, "missing") != other.get(name, "missing"):
                return f"{other['Id']}, {name}: {one.get(name)!r} where {other.get(name)!r} is expected"
    return None


def compared(data, got):
    """Client, object, rows got and rows expected."""
    tap, times = of_tap(got / "tap-salesforce")
    for name in PLAIN:
        # A base64 field is text to it: the URL.
        rows = [{field: versionless(value) for field, value in row.items()} for row in tap.get(name, [])]
        yield "tap-salesforce", name, rows, [as_tap_writes(row, times.get(name, ())) for row in data[name]]
    airbyte = of_airbyte(got / "airbyte")
    for name in BY_REST:
        rows = [{field: versionless(value) for field, value in row.items()} for row in airbyte.get(name, [])]
        for row in rows:
            row.pop("attributes")
        yield "airbyte", name, rows, [without_nulls(row) for row in data[name]]
    for name in BY_BULK:
        expected = [as_airbyte_reads_bulk(row) for row in data[name]]
        yield "airbyte, Bulk", name, of_airbyte_by_bulk(airbyte.get(name, []), expected), expected
    for name, rows in of_sfdmu(got / "sfdmu", data).items():
        live = [row for row in data[name] if not row["IsDeleted"]]
        yield "sfdmu", name, rows, [as_sfdmu_writes(row, rows[0].keys()) for row in live]


def compare(dump, got):
    wrong = 0
    print(f"{'client':<16}{'object':<16}{'rows':>8}  result")
    for client, name, rows, expected in compared(data_set(dump), got):
        found = difference(rows, expected)
        wrong += found is not None
        print(f"{client:<16}{name:<16}{len(rows):>8}  {found or 'every row as in the data set'}")
    return 1 if wrong else 0


def main(command, *arguments):
    if command == "compare":
        return compare(*map(pathlib.Path, arguments))
    if command == "select-tap":
        json.dump(select_tap(json.load(sys.stdin)), sys.stdout)
    else:
        json.dump(select_airbyte(map(json.loads, sys.stdin)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
