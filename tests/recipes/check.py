"""Follows the pages of docs/recipes; see the script `run` next to this file."""

import csv
import datetime
import decimal
import http.server
import json
import os
import pathlib
import re
import sys
import tempfile
import threading

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet
import sqlglot
import sqlglot.expressions as sql

from keep import keep_current
from living import keep_current_while_it_changes
from pages import Page, reader, with_after
from servers import CLIENT_ID, ENVIRONMENT, Org, Postgres, expect, passed, put_on_path, shell
from stores import S3, Azure, GoogleCloud, stand_in
from warehouses import keep_current_in_warehouses

def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines_of(path):
    # str.splitlines would also split at line ends inside a text.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def timestamp(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


TYPES = {
    "AnnualRevenue": float,
    "NumberOfEmployees": int,
    "IsDeleted": {"true": True, "false": False}.get,
    "CreatedDate": timestamp,
}


def typed(row):
    """A row of the CSV file as Python values, converted by Python itself."""
    return {name: TYPES.get(name, str)(cell) if cell else None for name, cell in row.items()}


def same(name, wanted, found):
    """Compares two lists of records: their number, their columns and each cell."""
    expect(len(wanted) > 2000, f"{name}: only {len(wanted)} records to compare with")
    expect(len(wanted) == len(found), f"{name}: {len(found)} records instead of {len(wanted)}")
    for column in wanted[0]:
        expect(any(want[column] is not None for want in wanted), f"{name}: {column} is null in every record of the export")
    for number, (want, find) in enumerate(zip(wanted, found)):
        expect(set(find) == set(want), f"{name}: record {number} has the columns {list(find)} instead of {list(want)}")
        for column, value in want.items():
            expect(
                find[column] == value and type(find[column]) is type(value),
                f"{name}: record {number}, {column}: {find[column]!r} instead of {value!r}",
            )


def awkward(rows):
    """Checks that the data contains what loaders stumble over. Without it, the comparison would prove little."""
    texts = [cell for row in rows for cell in row.values()]
    for what in ("N/A", "null", "0012"):
        expect(what in texts, f"no cell is {what!r}: the data is too easy")
    for what in ("\n", "\r", "\0", '"', "\\"):
        expect(any(what in text for text in texts), f"no cell has {what!r} in it: the data is too easy")


def in_duckdb(org, work):
    page = Page("duckdb.md")
    directory = reader(org, work / "duckdb", page)
    # Twice, as on two nights.
    for _ in range(2):
        for command in page.unnamed("sh"):
            shell(command, directory)
    rows = rows_of(directory / "exports" / "accounts.csv")
    awkward(rows)
    os.chdir(directory)
    with duckdb.connect("crm.duckdb") as database:
        database.sql("SET TimeZone = 'UTC'")
        by_owner, by_parent, to_parquet = page.unnamed("sql")
        owners = database.execute(by_owner).fetchall()
        database.execute(to_parquet)
        parents = database.execute(by_parent).fetchall()
        table = database.sql("SELECT * FROM accounts").to_arrow_table().to_pylist()
        opportunities = database.sql("SELECT * FROM opportunities").to_arrow_table().to_pylist()
    for record in opportunities:
        account = record.pop("Account")
        record["Account.Name"] = account and account["Name"]
    expect([row[2] for row in parents] == [record["Account.Name"] for record in opportunities], "DuckDB: the parents differ")
    wanted = [typed(row) for row in rows]
    same("DuckDB", wanted, table)
    same("DuckDB, Parquet", wanted, pyarrow.parquet.read_table("accounts.parquet").to_pylist())
    same("DuckDB, JSON Lines", exported_opportunities(directory), opportunities)
    counted = {}
    for row in rows:
        counted[row["Owner.Name"]] = counted.get(row["Owner.Name"], 0) + 1
    # The same by `after`: once more into the same file, and into a new one.
    (after,) = page.unnamed("toml")
    with_after(directory, "accounts", after)
    for _ in range(2):
        shell("sfexport run accounts", directory)
        with duckdb.connect("crm.duckdb") as database:
            database.sql("SET TimeZone = 'UTC'")
            same("DuckDB, after", wanted, database.sql("SELECT * FROM accounts").to_arrow_table().to_pylist())
        (directory / "crm.duckdb").unlink()
    shell("./load_duckdb", directory)
    # A value that is not of its column's type changes nothing.
    path = directory / "exports" / "accounts.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("+0000", "?", 1), encoding="utf-8")
    load = page.unnamed("sh")[1].splitlines()[1]
    shell(load, directory, status=1)
    with duckdb.connect("crm.duckdb") as database:
        (kept,) = database.execute("SELECT count(CreatedDate) FROM accounts").fetchone()
    expect(kept == len(rows), f"DuckDB: {kept} rows after a load that failed")
    expect({owner: count for owner, count, _ in owners} == counted, f"DuckDB: accounts by owner {owners}")
    passed(f"DuckDB: {len(rows)} accounts from CSV and in Parquet, {len(opportunities)} opportunities from JSON Lines, each cell alike")


def exported_opportunities(directory):
    """The records of the opportunities' file as Python values, with the parent's name as a column."""
    lines = lines_of(directory / "exports" / "opportunities.jsonl")
    expect({line["Account"] is None for line in lines} == {True, False}, "all or none of the opportunities have an account")
    return [flat(line) for line in lines]


def flat(record):
    account = record.pop("Account")
    return record | {
        "Amount": record["Amount"] if record["Amount"] is None else float(record["Amount"]),
        "CloseDate": datetime.date.fromisoformat(record["CloseDate"]),
        "CreatedDate": timestamp(record["CreatedDate"]),
        "Account.Name": account and account["Name"],
    }


def in_data_frames(org, work):
    page = Page("pandas-polars.md")
    directory = reader(org, work / "frames", page)
    (export,) = page.unnamed("sh")
    shell(export, directory)
    rows = rows_of(directory / "exports" / "accounts.csv")
    awkward(rows)
    os.chdir(directory)
    frames = {}
    for name, text in page.files().items():
        if name.endswith(".py"):
            scope = {}
            exec(compile(text, name, "exec"), scope)
            frames[name] = scope
    wanted = [typed(row) for row in rows]
    same("pandas", wanted, plain(frames["accounts_pandas.py"]["accounts"]))
    same("polars", wanted, frames["accounts_polars.py"]["accounts"].to_dicts())
    wanted = exported_opportunities(directory)
    same("polars, JSON Lines", wanted, frames["opportunities_polars.py"]["opportunities"].to_dicts())
    # pandas has no type for dates, so they stay text there.
    wanted = [record | {"CloseDate": record["CloseDate"].isoformat()} for record in wanted]
    same("pandas, JSON Lines", wanted, plain(frames["opportunities_pandas.py"]["opportunities"]))
    passed(f"pandas and polars: {len(rows)} accounts from CSV, {len(wanted)} opportunities from JSON Lines, each cell alike")


def plain(frame):
    """The records of a pandas frame as Python values."""
    columns = {}
    for column in frame.columns:
        values = [None if pd.isna(value) else value for value in frame[column]]
        values = [value.to_pydatetime() if isinstance(value, pd.Timestamp) else value for value in values]
        columns[column] = [value.item() if hasattr(value, "item") else value for value in values]
    return [dict(zip(columns, record)) for record in zip(*columns.values())]


def in_postgres(org, work):
    page = Page("postgres.md")
    directory = reader(org, work / "postgres", page)
    postgres = Postgres(work / "server")
    try:
        schema, load = page.unnamed("sh")
        shell(schema, directory, postgres.env)
        # Twice, as on two nights.
        for _ in range(2):
            shell(load, directory, postgres.env)
        query = "SELECT * FROM accounts ORDER BY \\\"Id\\\" COLLATE \\\"C\\\""
        command = f'psql -q -c "SET timezone TO UTC" -c "COPY ({query}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)" > loaded.csv'
        shell(command, directory, postgres.env)
        with open(directory / "loaded.csv", newline="", encoding="utf-8") as file:
            loaded = list(csv.reader(file))
        rows = sorted(rows_of(directory / "exports" / "accounts.csv"), key=lambda row: row["Id"])
        awkward(rows)
        wanted = [[expected_of_postgres(name, cell) for name, cell in row.items()] for row in rows]
        loaded = [[expected_of_postgres(name, cell) for name, cell in zip(rows[0], row)] for row in loaded]
        expect(wanted == loaded, f"Postgres: {next((pair for pair in zip(wanted, loaded) if pair[0] != pair[1]), None)}")
        # A file with other columns changes nothing.
        job = directory / "jobs" / "accounts.toml"
        job.write_text(job.read_text().replace("Id, Name, Type", "Id, Type, Name"))
        shell(load, directory, postgres.env, status=3)
        count = shell('psql -At -c "SELECT count(*) FROM accounts"', directory, postgres.env)
        expect(int(count) == len(rows), f"Postgres: {count} rows after a load that failed")
        passed(f"Postgres: {len(rows)} accounts loaded twice, each cell alike; another header is refused, and the rows stay")
    finally:
        postgres.stop()


def expected_of_postgres(name, cell):
    if name == "AnnualRevenue":
        return cell and decimal.Decimal(cell)
    if name == "IsDeleted":
        return cell[0]
    if name == "CreatedDate":
        return datetime.datetime.fromisoformat(cell.replace("+0000", "+00:00").replace(" ", "T").removesuffix("+00").removesuffix("+00:00"))
    return cell.replace("\0", "")


def parsed(text, dialect):
    """The statements of a script; each must be valid in the dialect."""
    statements = sqlglot.parse(text, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    # Comments behind the last statement are one too.
    return [statement for statement in statements if statement is not None and not isinstance(statement, sql.Semicolon)]


def for_bigquery(org, work):
    page = Page("bigquery.md")
    directory = reader(org, work / "bigquery", page)
    describe, load = page.unnamed("sh")
    shell(describe, directory)
    shell("sfexport run accounts_jsonl", directory)
    script = (directory / "bigquery_staging.sql").read_text()
    (staging,) = parsed(script, "bigquery")
    (shown,) = page.unnamed("sql")
    expect(shown in script, f"BigQuery: the page shows\n{shown}instead of\n{script}")
    columns = [column.name for column in staging.this.expressions]
    records = lines_of(directory / "exports" / "accounts.jsonl")
    expect(len(records) > 2000, f"BigQuery: {len(records)} records")
    for record in records:
        expect(list(record) == columns, f"BigQuery: {list(record)} is not the table")
        expect(record["CreatedDate"].endswith("Z") and timestamp(record["CreatedDate"]), f"BigQuery: {record}")
    # The page loads from a bucket, otherwise by the command that is in the script.
    (command,) = [line for line in load.splitlines() if line.startswith("bq load")]
    flags = [word for word in command.split() if word.startswith("--")]
    expect(f"bq load {' '.join(flags)} DATASET.accounts_jsonl exports/accounts.jsonl\n" in script, f"BigQuery: {command}")
    (create,) = parsed(page.files()["bigquery_accounts.sql"], "bigquery")
    named = {column.parts[0].name for column in create.find_all(sql.Column)}
    expect(named == set(columns), f"BigQuery: the query names {named}")
    # There is no BigQuery here, but commands that accept what bq and gcloud do.
    (directory / "bin").mkdir()
    stand_in(directory / "bin" / "bq", BQ)
    stand_in(directory / "bin" / "gcloud", RECORDED)
    (after,) = page.unnamed("toml")
    with_after(directory, "accounts_jsonl", after)
    shell("sfexport run accounts_jsonl", directory, {"PATH": f"{directory}/bin:{ENVIRONMENT['PATH']}"})
    calls = [json.loads(line) for line in (directory / "calls").read_text().splitlines()]
    exported = str(directory / "exports" / "accounts.jsonl")
    shown = [line.split(" < ") for line in load.splitlines()[1:]]
    wanted = [[word.replace("exports/accounts.jsonl", exported) for word in words.split()] for words, *_ in shown]
    expect([call["words"] for call in calls] == wanted, f"BigQuery: after runs {calls}, the page shows {wanted}")
    scripts = [(directory / script.strip()).read_text() for _, *rest in shown for script in rest]
    expect([call["input"] for call in calls if call["input"]] == scripts, f"BigQuery: {calls}")
    for script in scripts:
        parsed(script, "bigquery")
    passed(f"BigQuery: {len(records)} records have the columns of the table; the SQL parses and names its fields")


# Commands that keep how they were called.
RECORDED = """
import json, os, pathlib, sys
script = sys.stdin.read() if sys.argv[1:2] == ["query"] else ""
with open(pathlib.Path(__file__).parent.parent / "calls", "a") as file:
    file.write(json.dumps({"words": [os.path.basename(sys.argv[0]), *sys.argv[1:]], "input": script}) + "\\n")
"""
BQ = """
import argparse
parser = argparse.ArgumentParser("bq", allow_abbrev=False)
commands = parser.add_subparsers(required=True)
load = commands.add_parser("load", allow_abbrev=False)
load.add_argument("--source_format", choices=["CSV", "NEWLINE_DELIMITED_JSON", "PARQUET"])
load.add_argument("table")
load.add_argument("source")
query = commands.add_parser("query", allow_abbrev=False)
query.add_argument("--use_legacy_sql", choices=["false"])
query.add_argument("--dataset_id")
parser.parse_args()
""" + RECORDED
SNOW = """
import argparse
parser = argparse.ArgumentParser("snow", allow_abbrev=False)
sql = parser.add_subparsers(required=True).add_parser("sql", allow_abbrev=False)
sql.add_argument("-f", "--filename", type=argparse.FileType(), required=True)
parser.parse_args()
""" + RECORDED


def for_snowflake(org, work):
    page = Page("snowflake.md")
    directory = reader(org, work / "snowflake", page)
    once, nightly = page.unnamed("sh")
    # There is no Snowflake here.
    for commands in (once, nightly):
        shell("\n".join(line for line in commands.splitlines() if not line.startswith("snow ")), directory)
    header = list(rows_of(directory / "exports" / "accounts.csv")[0])
    (table,) = parsed((directory / "snowflake_accounts.sql").read_text(), "snowflake")
    columns = [column.name for column in table.find_all(sql.ColumnDef)]
    expect(columns == [name.upper() for name in header], f"Snowflake: {columns} for {header}")
    load = parsed((directory / "snowflake_load.sql").read_text(), "snowflake")
    kinds = [type(statement).__name__ for statement in load]
    expect(kinds == ["Create", "Create", "Put", "Copy", "Insert"], f"Snowflake: snowflake_load.sql is {kinds}")
    expect(load[3].this.name == "accounts_new", f"Snowflake: the load goes into {load[3].this}")
    (directory / "bin").mkdir()
    stand_in(directory / "bin" / "snow", SNOW)
    (after,) = page.unnamed("toml")
    with_after(directory, "accounts", after)
    shell("sfexport run accounts", directory, {"PATH": f"{directory}/bin:{ENVIRONMENT['PATH']}"})
    called = [json.loads(line)["words"] for line in (directory / "calls").read_text().splitlines()]
    expect(called == [["snow", "sql", "-f", str(directory / "snowflake_load.sql")]], f"Snowflake: after runs {called}")
    passed(f"Snowflake: the SQL parses; its table has the {len(columns)} columns of the file in their order")


def rotation(org, work):
    page = Page("rotate-certificate.md")
    directory = work / "rotation"
    directory.mkdir()
    openssl, keygen, trial, rehearsal = page.unnamed("sh")
    configuration = org.configuration(more='cert_file = "server.crt"\n')
    (directory / "sfexport.toml").write_text(configuration)
    (directory / "jobs").mkdir()
    (directory / "jobs" / "accounts.toml").write_text('soql = "SELECT Id FROM Account"\noutput = "accounts.csv"\n')
    shell("sfexport keygen", directory)
    shell(openssl, directory)
    org.stop()
    org.start(directory / "renewed.crt")
    shell("mv renewed.crt server.crt\nsfexport check", directory)
    shell(keygen, directory)
    shell(trial, directory, {"NEW_CONSUMER_KEY": CLIENT_ID}, status=77)
    # Without the new app's key, the command must not try the new key with the old app.
    said = shell(f"({trial}) 2>&1 || true", directory)
    expect("NEW_CONSUMER_KEY" in said and "login" not in said, f"without NEW_CONSUMER_KEY, the trial prints {said}")
    both, serve = rehearsal.splitlines()
    expect(serve.startswith("sfexport demo --serve") and "both.crt" in serve, f"the rehearsal serves by {serve}")
    shell(both, directory)
    org.stop()
    org.start(directory / "both.crt")
    shell("sfexport check", directory)
    shell(trial, directory, {"NEW_CONSUMER_KEY": CLIENT_ID})
    org.stop()
    org.start()
    passed("rotation: a renewed certificate and a second key are accepted; one whose certificate is not there is refused")


def many_objects(org, work):
    page = Page("many-objects.md")
    directory = reader(org, work / "many", page)
    (commands,) = page.unnamed("sh")
    shell(commands, directory)
    backup = directory / "exports" / "backup"
    files = [file["path"] for file in json.loads((backup / "backup.manifest.json").read_text())["files"]]
    expect(sorted(files) == sorted(path.name for path in backup.glob("*.csv")), f"the manifest lists {files}")
    exported = {
        path.parent.name: rows_of(path)
        for path in directory.glob("exports/*/*.csv")
        # Those of other pages' jobs.
        if path.parent.name not in ("backup", "current")
    }
    expect(sorted(exported) == ["Account", "Contact", "Opportunity"], f"exports of {sorted(exported)}")
    expect(exported["Account"] == rows_of(backup / "Account.csv"), "the set exports the same accounts")
    expect(all(len(rows) > 2000 for rows in exported.values()), "too few records")
    expect("BillingCity" in exported["Account"][0] and "BillingAddress" not in exported["Account"][0], "compound fields")
    passed(f"many objects: {', '.join(f'{name} with {len(rows[0])} fields' for name, rows in sorted(exported.items()))}")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what a webhook and a health check receive."""

    received = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.received.append((self.path, json.loads(body) if body else None))
        self.send_response(404 if self.path == "/gone" else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


def notifications(org, work):
    page = Page("notifications.md")
    directory = reader(org, work / "notifications", page)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    job, settings = directory / "jobs" / "accounts.toml", directory / "sfexport.toml"
    settings.write_text(settings.read_text().replace("https://hooks.slack.com", f"{here}/slack"))
    slack, teams, ping = page.unnamed("toml")
    job.write_text(job.read_text() + ping.replace("https://hc-ping.com", f"{here}/ping"))
    good = job.read_text()
    bad = good.replace("Id, Name", "Id, Nope")

    shell("sfexport run accounts", directory)
    check = "/ping/00000000-0000-0000-0000-000000000000"
    expect([path for path, _ in Receiver.received] == [f"{check}/start", check], f"a success sends {Receiver.received}")
    Receiver.received.clear()
    job.write_text(bad)
    shell("sfexport run accounts", directory, status=65)
    sent = dict(Receiver.received)
    expect(set(sent) == {f"{check}/start", f"{check}/fail", "/slack/services/T000/B000/XXXX"}, f"a failure sends {set(sent)}")
    message = sent["/slack/services/T000/B000/XXXX"]
    (shown,) = (json.loads(block) for block in page.unnamed("json"))
    expect(set(message) == set(shown) and message["event"] == shown["event"], f"the webhook gets {message}")
    begins = re.match(r"accounts \(default\) failed with status ", shown["text"])
    expect(begins and message["text"].startswith(begins[0]), f"the webhook's text is {message['text']}")
    Receiver.received.clear()
    job.write_text(good.replace("ping_url", "#ping_url").replace('"accounts.csv"', '"a<b>&c/accounts.csv"'))
    settings.write_text(org.configuration())
    posts(directory, here, slack, teams)
    (teams_command, command) = page.unnamed("sh")
    job.write_text(bad.replace("ping_url", "#ping_url"))
    shell(teams_command, directory, {"TEAMS_WEBHOOK": f"{here}/teams"}, status=65)
    ((_, sent),) = Receiver.received
    text = card_text(sent)
    expect("exit status 65" in text and "Nope" in text, f"the card's text is {text}")
    Receiver.received.clear()
    server.shutdown()

    # A mail command that keeps what it is given.
    (directory / "bin").mkdir()
    (directory / "bin" / "mail").write_text('#!/bin/sh\n{ echo "$@"; cat; } >>sent\n')
    (directory / "bin" / "mail").chmod(0o755)
    env = {"PATH": f"{directory}/bin:{ENVIRONMENT['PATH']}"}
    sent = directory / "sent"
    settings.write_text(org.configuration())
    job.write_text(good.replace("ping_url", "#ping_url"))
    # The script gets `--all`: the other recipes' jobs run too.
    shell(command, directory, env)
    shell("./page-or-wait", directory, env)
    expect(not sent.exists(), "mail about a success")
    job.write_text(bad.replace("ping_url", "#ping_url"))
    shell(command, directory, env, status=65)
    expect("exit status 65" in sent.read_text() and "Nope" in sent.read_text(), f"the mail is {sent.read_text()}")
    sent.unlink()
    shell("./page-or-wait", directory, env, status=65)
    expect("exit status 65" in sent.read_text(), f"the mail is {sent.read_text()}")
    sent.unlink()
    org.stop()
    job.write_text(good.replace("ping_url", "#ping_url"))
    settings.write_text(org.configuration(more='[http]\nattempts = 1\n'))
    shell("./page-or-wait", directory, env, status=69)
    expect(not sent.exists(), "mail about a failure that is worth a retry")
    org.start()
    passed("notifications: webhook and pings as the page shows them; mail after a failure, with the exit status kept")


def uploads(org, work):
    page = Page("upload.md")
    directory = reader(org, work / "upload", page)
    bin = directory / "bin"
    bin.mkdir()
    job = directory / "jobs" / "accounts.toml"
    plain = job.read_text()
    *blocks, of_set = page.unnamed("toml")
    tools = []
    for block, start in zip(blocks, (S3, GoogleCloud, Azure), strict=True):
        target = start(work / start.__name__, bin)
        env = target.env | {"PATH": f"{bin}:{ENVIRONMENT['PATH']}"}
        try:
            job.write_text(plain)
            with_after(directory, "accounts", target.local(block))
            # Twice, as on two nights.
            for _ in range(2):
                shell("sfexport run accounts", directory, env)
            exported = (directory / "exports" / "accounts.csv").read_bytes()
            expect(len(exported) > 100_000, f"{target.tool}: only {len(exported)} bytes")
            uploaded = target.get("salesforce/default/accounts.csv")
            expect(uploaded == exported, f"{target.tool}: {len(uploaded)} bytes instead of {len(exported)}")
            tools.append(target.tool)
            if start is S3:
                # An upload that fails: the export stands.
                job.write_text(job.read_text().replace("my-bucket", "no-such-bucket"))
                shell("sfexport run accounts", directory, env, status=70)
                of_a_set(directory, target, of_set, env)
        finally:
            target.stop()
    passed(f"uploads by {', '.join(tools)}: the same bytes arrive; all files of a set, then its manifest; 70 if there is no bucket")


def of_a_set(directory, store, block, env):
    """The upload of a set's files, and then of its manifest."""
    job = directory / "jobs" / "backup.toml"
    job.write_text('objects = ["Account", "Contact"]\noutput = "backup/{object}.csv"\n')
    with_after(directory, "backup", block)
    shell("sfexport run backup", directory, env)
    backup = directory / "exports" / "backup"
    for name in ("Account.csv", "Contact.csv", "backup.manifest.json"):
        expect(store.get(f"salesforce/default/backup/{name}") == (backup / name).read_bytes(), f"the uploaded {name} differs")
    # Without one of the files, the manifest is not uploaded.
    (backup / "Account.csv").unlink()
    before = store.get("salesforce/default/backup/backup.manifest.json")
    (backup / "backup.manifest.json").write_bytes(before + b"\n")
    command = "./upload_set exports/backup/backup.manifest.json s3://my-bucket/salesforce/default/backup"
    shell(f"! {command}", directory, env)
    after = store.get("salesforce/default/backup/backup.manifest.json")
    expect(after == before, "the manifest is uploaded without one of its files")


def posts(directory, here, slack, teams):
    """What `after` posts to Slack and Teams."""
    job = directory / "jobs" / "accounts.toml"
    plain = job.read_text()
    path = directory / "exports" / "a<b>&c" / "accounts.csv"
    with_after(directory, "accounts", slack)
    shell("sfexport run accounts", directory, {"SLACK_WEBHOOK": f"{here}/slack"})
    records = len(rows_of(path))
    ((_, sent),) = Receiver.received
    shown = str(path).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    expect(sent == {"text": f"accounts (default): {records} records in {shown}"}, f"Slack gets {sent}")
    Receiver.received.clear()
    job.write_text(plain)
    with_after(directory, "accounts", teams)
    shell("sfexport run accounts", directory, {"TEAMS_WEBHOOK": f"{here}/teams"})
    ((_, sent),) = Receiver.received
    expect(card_text(sent) == f"accounts (default) is exported: {path}", f"Teams gets {sent}")
    Receiver.received.clear()
    # A server that refuses the message.
    shell("sfexport run accounts", directory, {"TEAMS_WEBHOOK": f"{here}/gone"}, status=70)
    Receiver.received.clear()
    job.write_text(plain)


def card_text(message):
    """The text of a message with one Adaptive Card, which is what a Workflows webhook accepts."""
    expect(set(message) == {"type", "attachments"} and message["type"] == "message", f"the message is {message}")
    (attachment,) = message["attachments"]
    expect(attachment["contentType"] == "application/vnd.microsoft.card.adaptive", f"the attachment is {attachment}")
    card = attachment["content"]
    expect(card["type"] == "AdaptiveCard" and re.fullmatch(r"1\.[0-5]", card["version"]), f"the card is {card}")
    (block,) = card["body"]
    expect(block["type"] == "TextBlock" and block["wrap"] is True, f"the card's body is {block}")
    return block["text"]


def load_after_export(org, work):
    page = Page("README.md")
    directory = reader(org, work / "nightly", page)
    (directory / "load").write_text("#!/bin/sh\ntouch loaded\n")
    (directory / "load").chmod(0o755)
    job = directory / "jobs" / "accounts.toml"
    job.write_text('soql = "SELECT Nope FROM Account"\noutput = "accounts.csv"\n')
    shell("./nightly", directory, status=65)
    expect(not (directory / "loaded").exists(), "a load after an export that failed")
    job.write_text('soql = "SELECT Id FROM Account"\noutput = "accounts.csv"\n')
    shell("./nightly", directory)
    expect((directory / "loaded").exists(), "no load after an export")
    (directory / "loaded").unlink()
    (after,) = page.unnamed("toml")
    with_after(directory, "accounts", after)
    (directory / "load").write_text(f"#!/bin/sh\ntouch {directory}/loaded\n")
    shell("sfexport run accounts", directory)
    expect((directory / "loaded").exists(), "after did not load")
    passed("load after the export: only if it succeeded, with its exit status otherwise")


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        put_on_path(work / "bin")
        org = Org(work / "org")
        org.start()
        try:
            for recipe in (
                in_duckdb, in_data_frames, in_postgres, for_bigquery, for_snowflake, uploads, many_objects, load_after_export,
                keep_current, keep_current_while_it_changes, keep_current_in_warehouses,
            ):
                recipe(org, work)
            rotation(org, work)
            notifications(org, work)
        finally:
            os.chdir("/")
            org.stop()
    print("recipes/run: everything held")


main()
