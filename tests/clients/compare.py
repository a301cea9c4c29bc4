"""What each client got, against what it should have got: the data set's own records, put together here by hand
for each query of queries.json. usage: compare.py DUMP.jsonl CLIENT_DIR..., a folder a client with its rows and
its summary. Prints a table; the status is 1 if a row, a count or a refusal differs."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
VERSION = "v62.0"


class DataSet:
    """The records of `examples/dump.rs`, in the order of their ids."""

    def __init__(self, path):
        self.rows, self.by_id = {}, {}
        # Not splitlines(): a record's text may hold a line separator of Unicode's.
        for line in path.read_text().split("\n")[:-1]:
            record = json.loads(line)
            fields = record["fields"] | {"object": record["object"]}
            self.rows.setdefault(record["object"], []).append(fields)
            self.by_id[fields["Id"]] = fields

    def all(self, object):
        return self.rows[object]

    def live(self, object):
        return [row for row in self.rows[object] if not row.get("IsDeleted")]

    def up(self, row, reference):
        """The record that a reference leads to; None where it is null or the record is not to be seen."""
        return row and self.by_id.get(row[reference])


def attributes(row):
    url = f"/services/data/{VERSION}/sobjects/{row['object']}/{row['Id']}"
    return {"type": row["object"], "url": url}


def record(row, *fields, **others):
    """A record as the API tells it; null for no record."""
    if row is None:
        return None
    return {"attributes": attributes(row)} | {field: row[field] for field in fields} | others


def group(**values):
    return {"attributes": {"type": "AggregateResult"}} | values


def fields_of(query):
    """The fields of a plain query; enough where the select list holds nothing else."""
    return query["soql"].removeprefix("SELECT ").split(" FROM ")[0].split(", ")


def known(rows, field):
    return [row[field] for row in rows if row[field] is not None]


def expected_contacts(data, query):
    return [record(row, *fields_of(query)) for row in data.live("Contact")]


def expected_parents(data, _):
    def one(row):
        account = data.up(row, "AccountId")
        parent = data.up(account, "ParentId")
        owner = data.up(account, "OwnerId")
        shown = account and record(
            account,
            "Name",
            "AnnualRevenue",
            Parent=record(parent, "Name"),
            Owner=record(owner, Manager=record(data.up(owner, "ManagerId"), "Name")),
        )
        user = data.up(row, "OwnerId")
        user = record(user, "BadgeText", Profile=record(data.up(user, "ProfileId"), "Name"))
        superior = record(data.up(row, "ReportsToId"), "LastName")
        return record(row, "Id", "Name", Account=shown, Owner=user, ReportsTo=superior)

    return [one(row) for row in data.live("Contact")]


def expected_numbers_and_long_texts(data, query):
    return [record(row, *fields_of(query)) for row in reversed(data.live("Account"))]


def expected_children(data, _):
    families = {}
    for contact in data.live("Contact"):
        owner = record(data.up(contact, "OwnerId"), "Alias")
        child = record(contact, "Id", "LastName", Owner=owner)
        families.setdefault(contact["AccountId"], []).append(child)

    def one(row):
        contacts = families.get(row["Id"])
        nested = contacts and {"totalSize": len(contacts), "done": True, "records": contacts}
        return record(row, "Id", "Name", Contacts=nested)

    return [one(row) for row in data.live("Account")]


def expected_polymorphic(data, _):
    branches = {"Account": ("Phone", "Name"), "Opportunity": ("Amount",)}

    def one(row):
        what = data.up(row, "WhatId")
        what = what and record(what, *branches[what["object"]])
        return record(row, "Id", Who=record(data.up(row, "WhoId"), "LastName"), What=what)

    return [one(row) for row in data.live("Task")]


def expected_all_fields(data, _):
    def one(row):
        fields = [field for field in row if field != "object"]
        body = f"{attributes(row)['url']}/Body"
        return record(row, *fields) | {"Body": body}

    return [one(row) for row in data.live("Attachment")[:200]]


def expected_filter(data, query):
    def fits(row):
        return (
            (row["Amount"] is None or row["Amount"] > 500000)
            and not row["StageName"].startswith("Closed")
            and row["CreatedDate"] >= "2022-06-01T00:00:00.000+0000"
            and row["LeadSource"] in ("Web", "Other")
        )

    def order(row):
        return (row["Amount"] is None, -(row["Amount"] or 0), row["Id"])

    rows = sorted(filter(fits, data.live("Opportunity")), key=order)
    return [record(row, *fields_of(query)) for row in rows[:3000]]


def expected_awkward_literal(data, _):
    sites = {"O'Neil \\ backslash \\n", "first line\nsecond line", "Zürich, Straße 5", "😀 👩‍👩‍👧 🇩🇪"}
    return [record(row, "Id", "Site") for row in data.live("Account") if row["Site"] in sites]


def expected_semi_join(data, _):
    winners = {row["AccountId"] for row in data.live("Opportunity") if row["IsWon"]}
    return [record(row, "Id", "Name") for row in data.live("Account") if row["Id"] in winners]


def expected_offset(data, _):
    # By Id already, and sorting is stable.
    rows = sorted(data.live("Opportunity"), key=lambda row: row["CloseDate"], reverse=True)
    return [record(row, "Id", "CloseDate") for row in rows[1500:2000]]


def expected_aggregate(data, _):
    def one(stage):
        rows = [row for row in data.live("Opportunity") if row["StageName"] == stage]
        total = 0.0
        # One after the other, as the org does: `sum` of newer Pythons makes up for rounding.
        for amount in known(rows, "Amount"):
            total += amount
        return group(
            StageName=stage,
            n=len(rows),
            total=total,
            expr0=min(known(rows, "Amount")),
            latest=max(known(rows, "CloseDate")),
            expr1=len(set(known(rows, "AccountId"))),
        )

    return [one(stage) for stage in sorted({row["StageName"] for row in data.live("Opportunity")})]


def expected_grouped_parent(data, _):
    counts = {}
    for row in data.live("Account"):
        alias = data.up(row, "OwnerId")["Alias"]
        counts[alias] = counts.get(alias, 0) + 1
    counts = {alias: count for alias, count in counts.items() if count > 10}
    order = sorted(counts, key=lambda alias: (-counts[alias], alias))
    return [group(Alias=alias, expr0=counts[alias]) for alias in order]


def expected_count(data, _):
    return []


def expected_nothing(data, _):
    return []


def expected_query_all(data, query):
    return [record(row, *fields_of(query)) for row in data.all("Account")]


def expected_only_deleted(data, _):
    def one(row):
        return record(row, "Id", "Name", Account=record(data.up(row, "AccountId"), "Name"))

    return [one(row) for row in data.all("Contact") if row["IsDeleted"]]


def canonical(value):
    """JSON with each number by its bits: neither library tells 1 from 1.0, and -0.0 is not 0.0."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return {"number": float(value).hex()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return {key: canonical(item) for key, item in value.items()}


def lines(rows):
    return [json.dumps(canonical(row), sort_keys=True) for row in rows]


def read(path):
    return lines(json.loads(line) for line in path.read_text().split("\n")[:-1])


def difference(one, other):
    """Where two lists of lines differ first; None if they don't."""
    for at, (left, right) in enumerate(zip(one, other)):
        if left != right:
            return f"row {at}: {left[:300]} where {right[:300]} is expected"
    return None if len(one) == len(other) else f"{len(one)} rows where {len(other)} are expected"


def main(dump, folders):
    data, wrong = DataSet(dump), []
    queries = json.loads((HERE / "queries.json").read_text())
    expected = {query["name"]: lines(globals()["expected_" + query["name"]](data, query)) for query in queries}
    summaries = {folder: json.loads((folder / "summary.json").read_text()) for folder in folders}
    names = [f"{summary['client']} {summary['version']}" for summary in summaries.values()]
    print("{:<24}{:>8}  ".format("query", "rows") + "  ".join(f"{name:<26}" for name in names).rstrip())
    rows = dict.fromkeys(names, 0)
    for query in queries:
        cells, first = [], None
        for name, (folder, summary) in zip(names, summaries.items()):
            got, told = read(folder / f"{query['name']}.jsonl"), summary["queries"][query["name"]]
            rows[name] += len(got)
            want = expected[query["name"]]
            total = len(data.live("Contact")) if query["name"] == "count" else len(want)
            ordered = "ORDER BY" in query["soql"]
            found = difference(*((got, want) if ordered else (sorted(got), sorted(want))))
            if found is None and told["total"] != total:
                found = f"totalSize is {told['total']} where {total} is expected"
            if found is None and first is not None:
                found = difference(got, first)
            first = got if first is None else first
            if found:
                wrong.append(f"{name}, {query['name']}: {found}")
            pages = f"{told['pages']} page" + "s" * (told["pages"] != 1)
            cells.append(f"{'DIFFERS' if found else 'the same'}, {pages}")
        print(f"{query['name']:<24}{len(expected[query['name']]):>8}  " + "  ".join(f"{c:<26}" for c in cells).rstrip())
    asked = {
        "login": "invalid_client_id",
        "user": "user hasn't approved this consumer",
        "field": "INVALID_FIELD",
        "syntax": "MALFORMED_QUERY",
    }
    account = sorted(field for field in data.all("Account")[0] if field != "object")
    for name, summary in zip(names, summaries.values()):
        for what, got, want in (
            ("refusals", summary["refusals"], asked),
            ("described fields of Account", sorted(summary["fields"]), account),
            ("limits", summary["limits"], ["Max", "Remaining"]),
        ):
            if got != want:
                wrong.append(f"{name}, {what}: {got} where {want} is expected")
    print()
    for difference_found in wrong:
        print(difference_found)
    for name in names:
        bad = sum(line.startswith(name) for line in wrong)
        result = f"DIFFERS in {bad}" if bad else "every row as the data set has it"
        print(f"{name}: {len(queries)} queries, {rows[name]} rows, {result}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), [pathlib.Path(argument) for argument in sys.argv[2:]]))
