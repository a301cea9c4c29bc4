"""Reads exports back with Python's own csv, sqlite3 and json, and says where they differ from what is expected.

The argument is a file of cases, made by dialects.rs: a path, how the file is to be read, and what it must hold.
"""

import csv
import json
import sqlite3
import sys

csv.field_size_limit(1 << 30)


def check_csv(case):
    raw = open(case["path"], "rb").read()
    assert raw.startswith(b"\xef\xbb\xbf") == case["bom"], "the byte order mark"
    end = b"\r\n" if case["crlf"] else b"\n"
    assert raw.endswith(end) and raw.endswith(b"\r\n") == case["crlf"], "the last line's end"
    encoding = "utf-8-sig" if case["bom"] else "utf-8"
    with open(case["path"], newline="", encoding=encoding) as file:
        reader = csv.reader(
            file, delimiter=case["delimiter"], quotechar=case["quote"], doublequote=True, strict=True
        )
        rows = list(reader)
    if case["header"]:
        assert rows[0] == case["columns"], f"the header {rows[0]}"
        head = case["delimiter"].join(case["columns"]).encode()
        assert raw[3 if case["bom"] else 0 :].startswith(head + end), "the header's end"
        rows = rows[1:]
    assert len(rows) == len(case["cells"]), f"{len(rows)} rows for {len(case['cells'])}"
    for number, (found, expected) in enumerate(zip(rows, case["cells"])):
        assert found == expected, f"row {number}: {found} for {expected}"
    if case["guarded"]:
        return
    # Into a database, as a loader does it: the null token is NULL, the types are the columns'.
    values = [[None if cell == case["null"] else cell for cell in row] for row in rows]
    database = sqlite3.connect(":memory:")
    columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(case["columns"], case["types"]))
    database.execute(f"CREATE TABLE export ({columns})")
    marks = ", ".join("?" * len(case["columns"]))
    database.executemany(f"INSERT INTO export VALUES ({marks})", values)
    loaded = database.execute("SELECT * FROM export ORDER BY rowid").fetchall()
    for number, (found, expected) in enumerate(zip(loaded, case["values"])):
        assert list(found) == expected, f"row {number} of the table: {found} for {expected}"
    kinds = {"INTEGER": {"integer", "null"}, "REAL": {"real", "null"}, "TEXT": {"text", "null"}}
    for name, kind in zip(case["columns"], case["types"]):
        stored = {kind for (kind,) in database.execute(f'SELECT DISTINCT typeof("{name}") FROM export')}
        assert stored <= kinds[kind], f"{name} is stored as {stored}"


def check_jsonl(case):
    with open(case["path"], newline="\n", encoding="utf-8") as file:
        text = file.read()
    assert text.endswith("\n"), "the last line's end"
    lines = text[:-1].split("\n")
    assert len(lines) == len(case["values"]), f"{len(lines)} lines for {len(case['values'])}"
    for number, (line, expected) in enumerate(zip(lines, case["values"])):
        found = json.loads(line)
        assert list(found) == case["columns"], f"line {number}: {list(found)}"
        assert list(found.values()) == expected, f"line {number}: {found} for {expected}"
        exponents = []
        json.loads(line, parse_float=lambda number: exponents.append("E" in number))
        assert not (case["plain"] and any(exponents)), f"line {number} has an exponent"


for case in json.load(open(sys.argv[1], encoding="utf-8")):
    try:
        (check_jsonl if case["jsonl"] else check_csv)(case)
    except Exception as error:
        sys.exit(f"{case['name']}: {type(error).__name__}: {error}")
print(f"{sys.version.split()[0]} read all")
