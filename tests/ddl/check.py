"""Loads exports by what `sfexport describe` prints; see the script `run` next to this file."""

import csv
import datetime
import decimal
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zlib

import duckdb
import jsonschema
import sqlglot
import sqlglot.expressions as sql

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "recipes"))
from servers import GROUPED, TYPEOF, Org, Postgres, expect, passed, put_on_path, shell  # noqa: E402

# A list of children is one cell.
csv.field_size_limit(1 << 30)

OBJECTS = ["Account", "Attachment", "Contact", "Opportunity", "Organization", "Task", "User", "Warehouse__c"]

TYPED = ("AnnualRevenue", "NumberOfEmployees", "Name")
NESTED = (
    "SELECT Id, Name, AnnualRevenue, NumberOfEmployees, IsDeleted, CreatedDate, FoundedOn__c, BillingAddress, "
    "Owner.Name, Owner.Manager.Name, Owner.Manager.CreatedDate, "
    "(SELECT Id, LastName, Birthdate, CreatedDate, MailingAddress, Account.Name FROM Contacts) FROM Account"
)


def jobs():
    """Job files by name."""
    files = {}
    for name in OBJECTS:
        for format in ("csv", "jsonl"):
            files[f"{name}-{format}"] = f'object = "{name}"\noutput = "{{job}}.{format}"\n'
    for name, soql in (("nested", NESTED), ("typeof", TYPEOF), ("grouped", GROUPED)):
        for format in ("csv", "jsonl"):
            files[f"{name}-{format}"] = f'soql = "{soql}"\noutput = "{{job}}.{format}"\n'
    files["parts"] = (
        f'soql = "{NESTED}"\noutput = "odd name; it\'s {{job}}.csv"\nchildren = "files"\ncompound = "columns"\n'
        '[csv]\ndelimiter = "\\t"\nnull = "\\\\N"\nline_ending = "crlf"\nbom = true\n'
    )
    files["bare"] = (
        f'soql = "{NESTED}"\noutput = "{{job}}.csv"\nnumbers = "as_sent"\n'
        '[csv]\ndelimiter = ";"\nquote = "\'"\nnull = "NULL"\nheader = false\n'
    )
    # Line breaks in the first record come before the one that ends it.
    files["broken"] = (
        'soql = "SELECT Remarks__c, Id, Name, Description FROM Account"\noutput = "{job}.csv"\n[csv]\nheader = false\n'
    )
    files["controls"] = (
        'soql = "SELECT Id, Name, AnnualRevenue FROM Account"\noutput = "{job} [1].csv"\n'
        '[csv]\ndelimiter = "\\u0001"\nnull = "\\t"\n'
    )
    files["single"] = 'soql = "SELECT FoundedOn__c FROM Account"\noutput = "{job}.csv"\n'
    # The name before a field is the object's own in one, and a parent's in the other.
    prefixed = "SELECT Id, (SELECT Contact.LastName FROM Account.Contacts), (SELECT What.Name FROM Tasks) FROM Account"
    described = "SELECT FIELDS(STANDARD), Owner.CreatedDate FROM Opportunity"
    for name, soql in (("prefixed", prefixed), ("described", described)):
        for format in ("csv", "jsonl"):
            files[f"{name}-{format}"] = f'soql = "{soql}"\noutput = "{{job}}.{format}"\n'
    files["parents-jsonl"] = 'object = "Contact"\nfields = ["*", "account.OWNER.name"]\noutput = "{job}.jsonl"\n'
    files["attributes"] = f'soql = "{NESTED}"\noutput = "{{job}}.jsonl"\nattributes = true\n'
    named = f'column_names = "snake"\ndatetimes = "rfc3339"\n[columns]\n"Owner.Name" = "Keeper"\n'
    for format in ("csv", "jsonl"):
        files[f"named-{format}"] = f'soql = "{NESTED}"\noutput = "{{job}}.{format}"\n{named}'
        files[f"typed-{format}"] = (
            f'soql = "{NESTED}"\noutput = "{{job}}.{format}"\n'
            '[types]\nAnnualRevenue = "decimal(30,10)"\nNumberOfEmployees = "text"\nName = "text"\n'
        )
        files[f"instants-{format}"] = (
            f'soql = "{NESTED}"\noutput = "{{job}}.{format}"\ndatetimes = "rfc3339"\n'
        )
    files["named-parts"] = f'soql = "{NESTED}"\noutput = "{{job}}.csv"\nchildren = "files"\n{named}'
    packed = '[csv]\nbom = true\n'
    files["packed-csv-gz"] = f'soql = "{NESTED}"\noutput = "{{job}}.csv.gz"\nchildren = "files"\n{packed}'
    files["packed-csv-zst"] = f'soql = "{NESTED}"\noutput = "{{job}}.csv.zst"\n'
    files["packed-jsonl-gz"] = f'soql = "{NESTED}"\noutput = "{{job}} packed"\nformat = "jsonl"\ncompression = "gzip"\n'
    files["packed-jsonl-zst"] = f'soql = "{NESTED}"\noutput = "{{job}}.jsonl.zst"\n'
    files["count"] = 'soql = "SELECT COUNT() FROM Account"\noutput = "{job}.csv"\n'
    # A directory that looks like a partition adds no column.
    for format in ("csv", "jsonl", "parquet"):
        files[f"partition-{format}"] = f'soql = "{NESTED}"\noutput = "day={{date}}/{{job}} [1].{format}"\n'
    files["count-jsonl"] = 'soql = "SELECT COUNT() FROM Account"\noutput = "{job}.jsonl"\n'
    return files | parquet_jobs()


def parquet_jobs():
    files = {f"{name}-parquet": f'object = "{name}"\noutput = "{{job}}.parquet"\n' for name in OBJECTS}
    for name, soql in (("nested", NESTED), ("typeof", TYPEOF), ("grouped", GROUPED), ("count", "SELECT COUNT() FROM Account")):
        files[f"{name}-parquet"] = f'soql = "{soql}"\noutput = "{{job}}.parquet"\n'
    job = f'soql = "{NESTED}"\noutput = "{{job}}.parquet"\n'
    files["parts-parquet"] = f'{job}compound = "columns"\ncolumn_names = "snake"\n'
    files["texts-parquet"] = f'{job}column_names = "snake"\n[parquet]\ntemporal = "text"\ncodec = "snappy"\n'
    files["typed-parquet"] = (
        f'{job}column_names = "snake"\n'
        '[types]\nAnnualRevenue = "decimal(30,10)"\nNumberOfEmployees = "text"\nName = "text"\n'
    )
    numbers = 'object = "Account"\nfields = ["Id", "*Revenue", "NumberOfEmployees", "Discount__c"]\noutput = "{job}.parquet"\n'
    files["decimals-parquet"] = f'{numbers}[parquet]\ndecimals = "decimal"\n'
    files["doubles-parquet"] = f'{numbers}[types]\nDiscount__c = "text"\n'
    # The data has no times, but a file of no records has the column.
    files["times-parquet"] = (
        "soql = \"SELECT Id, Name FROM Account WHERE Name = 'nobody'\"\noutput = \"{job}.parquet\"\n"
        '[types]\nName = "time"\n'
    )
    return files


class Records:
    """The records of a query, asked of the org without sfexport, apart from the token."""

    def __init__(self, directory):
        # The token is shown to nobody.
        token = json.loads(shell("sfexport token", directory))
        self.url, self.token, self.known = token["instance_url"], token["access_token"], {}

    def get(self, path):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response, parse_float=decimal.Decimal)

    def of(self, soql):
        if soql not in self.known:
            page = self.get(f"/services/data/v62.0/query?q={urllib.parse.quote(soql)}")
            if soql.startswith("SELECT COUNT() "):
                self.known[soql] = [{"count": page["totalSize"]}]
            else:
                self.known[soql] = self.complete(page)
        return self.known[soql]

    def complete(self, page):
        records = list(page["records"])
        while not page["done"]:
            page = self.get(page["nextRecordsUrl"])
            records += page["records"]
        for record in records:
            for key, value in record.items():
                if isinstance(value, dict) and "records" in value:
                    record[key] = self.complete(value)
        return records


def original(column):
    """A column's name in the query."""
    return column.get("original", column["name"])


def without_attributes(value):
    if isinstance(value, dict):
        return {key: without_attributes(inner) for key, inner in value.items() if key != "attributes"}
    if isinstance(value, list):
        return [without_attributes(inner) for inner in value]
    return value


def without_nul(value):
    if isinstance(value, dict):
        return {key: without_nul(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_nul(inner) for inner in value]
    return value.replace("\0", "") if isinstance(value, str) else value


def at(record, keys):
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def timestamp(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def with_z(value):
    """The datetimes in a JSON value as RFC 3339 has them."""
    if isinstance(value, dict):
        return {key: with_z(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_z(inner) for inner in value]
    is_one = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", value)
    return value.removesuffix("+0000") + "Z" if is_one else value


def content(path):
    """The text of a file, whatever it is compressed with."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(wbits=31)
        data = unpacker.decompress(data)
        expect(unpacker.eof and not unpacker.unused_data, f"{path} is not one gzip member")
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        data = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data.decode("utf-8-sig")


class Described:
    """A job as `describe --json` has it, and the values that its files must hold."""

    def __init__(self, name, directory, records):
        self.name, self.directory = name, directory
        self.job = json.loads(shell(f"sfexport describe {name} --json", directory))
        self.is_csv = self.job["format"] == "csv"
        self.is_parquet = self.job["format"] == "parquet"
        self.records = records.of(self.job["soql"])
        self.has_z = name.startswith(("named", "instants"))
        self.null = {"parts": "\\N", "bare": "NULL"}.get(name, "") if self.is_csv else None

    def script(self, database):
        return shell(f"sfexport describe {self.name} --as {database}", self.directory)

    def table(self, file):
        name = self.name + (f"_{file['of']}" if file["of"] else "")
        return re.sub(r"[^A-Za-z0-9]", "_", name)

    def rows(self, file):
        """The values as the org sends them, by column."""
        records = self.records if self.name == "attributes" else without_attributes(self.records)
        records = with_z(records) if self.has_z else records
        if file["of"]:
            # A file of children begins with the Id of the parent.
            rows = []
            for parent in records:
                for child in parent[file["of"]] or []:
                    own = [at(child, original(column).split(".")) for column in file["columns"][1:]]
                    rows.append([parent["Id"], *own])
            return rows
        is_flat = self.is_csv or self.is_parquet or self.name.startswith("named")
        keys = [original(column).split(".") if is_flat else column["keys"] for column in file["columns"]]
        return [[at(record, path) for path in keys] for record in records]

    def expected(self, file, value):
        """The rows with each value as `value(type, value)` has it."""
        kinds = [column["type"] for column in file["columns"]]
        rows = []
        for row in self.rows(file):
            # With the default token for null, an empty text is an empty cell too.
            row = [None if cell == "" and self.null == "" else cell for cell in row]
            rows.append([None if cell is None else value(kind, cell) for kind, cell in zip(kinds, row)])
        return rows


def split(script):
    """A script's tables, and the commands in its comments, found as docs/types.md says."""
    lines = script.splitlines()
    commands = [line.removeprefix("--   ") for line in lines if line.startswith("--   ")]
    tables = [line for line in lines if line and not line.startswith("--")]
    expect(tables and commands, f"the script is {script}")
    return "\n".join(tables), "\n".join(commands) + "\n"


def same(what, columns, wanted, found):
    """Compares rows, whose order is not theirs to keep, value by value."""
    expect(len(wanted) == len(found), f"{what}: {len(found)} rows instead of {len(wanted)}")
    order = lambda row: json.dumps(row[:2], default=str, sort_keys=True)
    for want, find in zip(sorted(wanted, key=order), sorted(found, key=order)):
        for column, one, other in zip(columns, want, find):
            expect(
                one == other and type(one) is type(other),
                f"{what}: {column['name']} ({column['type']}) of {want[0]} is {other!r} instead of {one!r}",
            )


def in_duckdb(described):
    def value(kind, cell):
        match kind:
            case "datetime":
                return timestamp(cell)
            case "date":
                return datetime.date.fromisoformat(cell)
            case "double":
                return float(cell)
            case "integer" | "long":
                return int(cell)
            case "any" | "text":
                # In Parquet, JSON is text.
                return cell if isinstance(cell, (dict, list)) else str(cell)
        return decimal.Decimal(cell) if kind.startswith("decimal") else cell

    script = described.script("duckdb")
    _, commands = split(script)
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute(script)
        database.execute(commands)
        for file in described.job["files"]:
            rows = database.execute(f'SELECT * FROM "{described.table(file)}"').fetchall()
            names = [column[0] for column in database.description]
            columns = file["columns"]
            if described.is_csv or described.is_parquet:
                expect(names == [column["name"] for column in columns], f"DuckDB: {described.name} has {names}")
                found = [list(row) for row in rows]
            else:
                found = [[at(dict(zip(names, row)), column["keys"]) for column in columns] for row in rows]
            wanted = described.expected(file, value)
            for place, column in enumerate(columns):
                if column["type"] == "json" or any(isinstance(row[place], (dict, list)) for row in wanted):
                    for row in found:
                        if row[place] is not None:
                            row[place] = json.loads(row[place], parse_float=decimal.Decimal)
            same(f"DuckDB, {described.name}", columns, wanted, found)


POSTGRES = {
    "text": "text", "base64": "text", "any": "text", "datetime": "timestamp with time zone",
    "time": "time without time zone", "boolean": "boolean", "integer": "bigint", "long": "bigint", "double": "numeric",
    "date": "date", "json": "json", "decimal(30,10)": "numeric",
}


def in_postgres(described, postgres):
    def value(kind, cell):
        match kind:
            case "datetime":
                return timestamp(cell)
            case "double" | "decimal(30,10)":
                return decimal.Decimal(cell)
            case "json":
                # In CSV, the escape of NUL is text in a cell.
                return cell if described.is_csv else without_nul(cell)
            case "text" | "any":
                return without_nul(str(cell))
        return cell

    def loaded(kind, cell):
        match kind:
            case "datetime":
                return datetime.datetime.fromisoformat(cell)
            case "double" | "decimal(30,10)":
                return decimal.Decimal(cell)
        return cell

    if described.is_parquet:
        return shell(f"sfexport describe {described.name} --as postgres", described.directory, status=2)
    script = described.script("postgres")
    _, commands = split(script)
    (described.directory / "tables.sql").write_text(script)
    (described.directory / "load.sql").write_text(commands)
    psql = "psql -q -v ON_ERROR_STOP=1"
    shell(f"{psql} -f tables.sql\n{psql} -f load.sql", described.directory, postgres.env)
    for file in described.job["files"]:
        select = f'SELECT row_to_json(t) FROM "{described.table(file)}" t'
        command = f"{psql} -c 'SET timezone TO UTC' -c 'COPY ({select}) TO STDOUT (FORMAT csv)' > loaded.csv"
        shell(command, described.directory, postgres.env)
        with open(described.directory / "loaded.csv", newline="", encoding="utf-8") as lines:
            rows = [json.loads(row[0], parse_float=decimal.Decimal) for row in csv.reader(lines)]
        columns = file["columns"]
        catalog = (
            "SELECT data_type FROM information_schema.columns WHERE table_schema = 'public' "
            f"AND table_name = '{described.table(file)}' ORDER BY ordinal_position"
        )
        types = shell(f'psql -qAt -c "{catalog}"', described.directory, postgres.env).splitlines()
        expect(types == [POSTGRES[column["type"]] for column in columns], f"Postgres: {described.name} has {types}")
        names = [column["name"] for column in columns]
        expect(not rows or list(rows[0]) == names, f"Postgres: {described.name} has {list(rows[0])}")
        kinds = [column["type"] for column in columns]
        found = [
            [None if row[name] is None else loaded(kind, row[name]) for name, kind in zip(names, kinds)] for row in rows
        ]
        same(f"Postgres, {described.name}", columns, described.expected(file, value), found)


def statements(text, dialect):
    """The statements of a script, each of which must be one that the dialect has."""
    parsed = sqlglot.parse(text, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    parsed = [statement for statement in parsed if statement is not None]
    expect(not any(isinstance(statement, sql.Command) for statement in parsed), f"{dialect} does not have: {text}")
    return parsed


def tables(script, dialect):
    """The columns of each table: name, type, and whether null is allowed."""
    found = []
    for create in statements(script, dialect):
        expect(isinstance(create, sql.Create) and create.args["kind"] == "TABLE", f"{create} makes no table")
        columns = []
        for column in create.this.expressions:
            constraints = column.args.get("constraints") or []
            required = any(isinstance(one.args["kind"], sql.NotNullColumnConstraint) for one in constraints)
            columns.append((column.name, column.args["kind"], not required))
        found.append((create.this.this.name, columns))
    return found


BIGQUERY = {
    "text": "STRING", "base64": "STRING", "datetime": "STRING", "time": "STRING", "boolean": "BOOL", "integer": "INT64",
    "long": "INT64", "double": "FLOAT64", "date": "DATE", "json": "JSON",
    "decimal(30,10)": "BIGNUMERIC(30, 10)",
}
# Those of a Parquet file, by DuckDB's names.
BIGQUERY_OF_PARQUET = {
    "VARCHAR": "STRING", "BOOLEAN": "BOOL", "INTEGER": "INT64", "BIGINT": "INT64", "DOUBLE": "FLOAT64", "DATE": "DATE",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "TIME WITH TIME ZONE": "TIME", "DECIMAL(18,2)": "NUMERIC(18, 2)",
    "DECIMAL(30,10)": "BIGNUMERIC(30, 10)",
}
BQ_FLAGS = {
    "--source_format", "--skip_leading_rows", "--field_delimiter", "--quote", "--null_marker", "--allow_quoted_newlines",
    "--preserve_ascii_control_characters", "--decimal_target_types",
}


def for_bigquery(described):
    has_dot = described.is_parquet and any("." in column["name"] for column in described.job["files"][0]["columns"])
    if described.name.endswith("-zst") or has_dot:
        return shell(f"sfexport describe {described.name} --as bigquery", described.directory, status=65)
    script, commands = split(described.script("bigquery"))
    found = tables(script, "bigquery")
    files = described.job["files"]
    expect([name for name, _ in found] == [described.table(file) for file in files], f"BigQuery: {found}")
    # A shell reads the words, because `printf` makes some of their characters.
    arguments = lambda line: shell(f"printf '%s\\0' {line.partition(' < ')[0]}", described.directory).split("\0")[:-1]
    create, *loads = [arguments(line) for line in commands.splitlines()]
    expect(create[:3] == ["bq", "query", "--use_legacy_sql=false"], f"BigQuery: {create}")
    for (name, columns), load, file in zip(found, loads, files, strict=True):
        expect(load[:2] == ["bq", "load"] and load[-2] == f"DATASET.{name}", f"BigQuery: {load}")
        expect({flag.split("=")[0] for flag in load[2:-2]} <= BQ_FLAGS, f"BigQuery: {load}")
        path = described.directory / load[-1]
        if described.is_parquet:
            wanted = [(name, BIGQUERY_OF_PARQUET[kind], True) for name, kind in parquet_columns(path)]
            flat = [(name, kind.sql("bigquery"), nullable) for name, kind, nullable in columns]
            expect(flat == wanted, f"BigQuery: {described.name} has {flat} instead of {wanted}")
            expect(load[2] == "--source_format=PARQUET", f"BigQuery: {load}")
            has_decimals = any("NUMERIC" in kind for _, kind, _ in wanted)
            targets = [f"--decimal_target_types={kind}" for kind in ("NUMERIC", "BIGNUMERIC") if has_decimals]
            expect(load[3:-2] == targets, f"BigQuery: {load}")
            continue
        of_type = lambda kind: "TIMESTAMP" if kind == "datetime" and described.has_z else BIGQUERY[kind]
        if described.is_csv:
            wanted = [
                (re.sub(r"[^A-Za-z0-9_]", "_", one["name"]), of_type(one["type"]), one["nullable"]) for one in file["columns"]
            ]
            flat = [(name, kind.sql("bigquery"), nullable) for name, kind, nullable in columns]
            expect(flat == wanted, f"BigQuery: {described.name} has {flat} instead of {wanted}")
            first = read_csv(path, load[2:-2])
            expect(all(len(row) == len(columns) for row in first), f"BigQuery: {described.name} has rows of another width")
            continue
        for line in content(path).split("\n"):
            if line:
                fits_bigquery(described.name, json.loads(line), [(name, kind) for name, kind, _ in columns])


def parquet_columns(path):
    """The names and types of a file's columns."""
    with duckdb.connect() as database:
        pattern = str(path).replace("[", "[[]")
        found = database.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [pattern]).fetchall()
    return [(name, kind) for name, kind, *_ in found]


def read_csv(path, flags):
    """The rows of a file as the flags of `bq load` say, by Python's reader."""
    values = dict(flag.removeprefix("--").partition("=")[::2] for flag in flags)
    expect("allow_quoted_newlines" in values and values["source_format"] == "CSV", f"BigQuery: {flags}")
    delimiter = values.get("field_delimiter", ",").replace("\\t", "\t")
    with io.StringIO(content(path), newline="") as file:
        return list(csv.reader(file, delimiter=delimiter, quotechar=values.get("quote", '"')))


def fits_bigquery(name, record, columns):
    """Whether a record can be a row of columns: unknown keys and other types end a load."""
    known = dict(columns)
    for key, value in record.items():
        expect(key in known, f"BigQuery: {name} has no column for {key}")
        kind = known[key]
        if value is None or kind.this == sql.DataType.Type.JSON:
            continue
        if kind.this == sql.DataType.Type.STRUCT:
            fits_bigquery(name, value, [(field.name, field.args["kind"]) for field in kind.expressions])
            continue
        shown = kind.sql("bigquery")
        number = (int, float)
        kinds = {
            "STRING": str, "INT64": int, "FLOAT64": number, "BOOL": bool, "DATE": str, "TIMESTAMP": str,
            "BIGNUMERIC(30, 10)": number,
        }
        expect(isinstance(value, kinds[shown]), f"BigQuery: {name} has {value!r} for {key} {shown}")
        if shown == "DATE":
            datetime.date.fromisoformat(value)
        if shown == "TIMESTAMP":
            expect(timestamp(value).utcoffset() == datetime.timedelta() and value[-1] == "Z", f"BigQuery: {value}")


SNOWFLAKE = {
    "text": "VARCHAR", "base64": "VARCHAR", "any": "VARCHAR", "datetime": "TIMESTAMPTZ", "time": "TIME",
    "boolean": "BOOLEAN", "integer": "DECIMAL(38, 0)", "long": "DECIMAL(38, 0)", "double": "DOUBLE", "date": "DATE",
    "json": "VARIANT", "decimal(30,10)": "DECIMAL(30, 10)", "decimal(18,2)": "DECIMAL(18, 2)",
}
# The elements of Snowflake's formats that are used, as Python has them.
SNOWFLAKE_FORMAT = [
    ("YYYY", "%Y"), ("MM", "%m"), ("DD", "%d"), ('"T"', "T"), ("HH24", "%H"), ("MI", "%M"), ("SS", "%S"), ("FF3", "%f"),
    ("TZHTZM", "%z"), ('"Z"', "Z"),
]


def for_snowflake(described):
    script, commands = split(described.script("snowflake"))
    found = tables(script, "snowflake")
    files = described.job["files"]
    loads = statements(commands, "snowflake")
    has_datetimes = any(column["type"] == "datetime" for file in files for column in file["columns"])
    if described.is_parquet and has_datetimes:
        zone, *loads = loads
        expect(zone.sql("snowflake") == "ALTER SESSION SET TIMEZONE = 'UTC'", f"Snowflake: {zone.sql('snowflake')}")
    stage, *loads = loads
    expect(isinstance(stage, sql.Create) and stage.args["kind"] == "STAGE", f"Snowflake: {stage}")
    for (name, columns), put, copy, file in zip(found, loads[::2], loads[1::2], files, strict=True):
        expect(name == described.table(file).upper(), f"Snowflake: the table {name}")
        wanted = [(one["name"].upper(), SNOWFLAKE[one["type"]], one["nullable"]) for one in file["columns"]]
        flat = [(name, kind.sql("snowflake"), nullable) for name, kind, nullable in columns]
        expect(flat == wanted, f"Snowflake: {described.name} has {flat} instead of {wanted}")
        expect(isinstance(put, sql.Put) and isinstance(copy, sql.Copy), f"Snowflake: {put}; {copy}")
        path = put.this.name.removeprefix("file://")
        expect(pathlib.Path(path).is_file(), f"Snowflake: there is no file {path}")
        if described.is_parquet:
            names = [name for name, _ in parquet_columns(path)]
            expect(names == [column["name"] for column in file["columns"]], f"Snowflake: the file has {names}")
            expect("TYPE=PARQUET" in copy.sql("snowflake").replace(" ", ""), f"Snowflake: {copy.sql('snowflake')}")
            staged = f"@sfexport_stage/{pathlib.Path(path).name}"
            expect(staged in copy.sql("snowflake"), f"Snowflake: {copy.sql('snowflake')}")
        select = next(copy.find_all(sql.Select))
        expect(len(select.expressions) == len(columns), f"Snowflake: {described.name} selects {select}")
        for place, (expression, column) in enumerate(zip(select.expressions, file["columns"]), 1):
            parameter = next(iter(expression.find_all(sql.Parameter)))
            number = place if described.is_csv else 1
            expect(parameter.name == str(number), f"Snowflake: {column['name']} is {expression}")
            if not described.is_csv:
                keys = re.findall(r"\['([^']*)'\]", expression.sql("snowflake"))
                keys = keys or re.findall(r"[:.]\"?(\w+)\"?", expression.sql("snowflake").split("::")[0].split(",")[0])
                wanted = [column["name"]] if described.is_parquet else column["keys"]
                expect(keys == wanted, f"Snowflake: {column['name']} is {expression.sql('snowflake')}")
    formats = set(re.findall(r"'([^']*(?:HH24)[^']*)'", commands))
    for format in formats:
        for element, python in SNOWFLAKE_FORMAT:
            format = format.replace(element, python)
        datetime.datetime.strptime("2026-05-01T07:25:37.000+0000" if "%z" in format else "07:25:37.000Z", format)


def by_json_schema(described):
    if described.is_csv or described.is_parquet:
        return shell(f"sfexport describe {described.name} --as json-schema", described.directory, status=2)
    schema = json.loads(described.script("json-schema"))
    kind = jsonschema.Draft202012Validator
    expect(schema["$schema"] == kind.META_SCHEMA["$id"], f"the schema is of {schema['$schema']}")
    kind.check_schema(schema)
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    path = described.directory / described.job["files"][0]["path"]
    records = [json.loads(line) for line in content(path).split("\n") if line]
    expect(len(records) == len(described.records), f"{described.name}: {len(records)} records")
    for record in records:
        error = next(validator.iter_errors(record), None)
        expect(error is None, f"{described.name}: {record} does not fit the schema: {error}")
    # A schema that everything fits says nothing.
    record = records[0]
    for column in described.job["files"][0]["columns"]:
        is_open = column["type"] == "any" or described.name == "typed-jsonl" and column["name"] in TYPED
        if not is_open and isinstance(at(record, column["keys"][:-1]), dict):
            changed = json.loads(json.dumps(record))
            at(changed, column["keys"][:-1])[column["keys"][-1]] = 7 if column["type"] in ("text", "json") else "seven"
            expect(not validator.is_valid(changed), f"{described.name}: the schema takes any {column['name']}")
    expect(not validator.is_valid(record | {"More__c": 1}), f"{described.name}: the schema takes any key")
    first = next(iter(record))
    expect(
        not validator.is_valid({key: value for key, value in record.items() if key != first}),
        f"{described.name}: the schema does without {first}",
    )


def types_are_the_orgs(described):
    """The types of an object's fields, against the list of its fields."""
    (file,) = described.job["files"]
    kinds = {
        "int": "integer", "double": "double", "currency": "double", "percent": "double", "boolean": "boolean",
        "date": "date", "datetime": "datetime", "base64": "base64",
    }
    listed = shell(f"sfexport fields {described.name.split('-')[0]} --json", described.directory)
    fields = {field["name"]: field["type"] for field in map(json.loads, listed.splitlines())}
    for column in file["columns"]:
        kind = kinds.get(fields[column["name"]], "text")
        expect(column["type"] == kind, f"{described.name}: {column['name']} is {column['type']} instead of {kind}")


def times(directory, postgres):
    """Whether a time as the org sends it is one to the engines whose tables have times. The data has none."""
    sent = "13:30:00.000Z"
    (time,) = duckdb.execute(f"SELECT CAST('{sent}' AS TIME)").fetchone()
    expect(time == datetime.time(13, 30), f"DuckDB: {sent} is {time}")
    time = shell(f"""psql -qAt -c "SELECT '{sent}'::time" """, directory, postgres.env)
    expect(time == "13:30:00\n", f"Postgres: {sent} is {time}")
    passed(f"{sent} is a time")


def awkward(records):
    """The data is only worth comparing with if it holds what loaders stumble over."""
    texts = [cell for record in records for cell in record.values() if isinstance(cell, str)]
    for what in ("N/A", "null", "0012"):
        expect(what in texts, f"no value is {what!r}: the data is too easy")
    for what in ("\n", "\r", "\0", '"', "\\"):
        expect(any(what in text for text in texts), f"no value has {what!r} in it: the data is too easy")


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        put_on_path(work / "bin")
        org, postgres = Org(work / "org"), None
        org.start()
        try:
            directory = work / "exports of all kinds"
            (directory / "jobs").mkdir(parents=True)
            shutil.copy(org.directory / "server.key", directory)
            (directory / "sfexport.toml").write_text(org.configuration())
            for name, text in jobs().items():
                (directory / "jobs" / f"{name}.toml").write_text(text)
            shell("sfexport run --all", directory)
            postgres = Postgres(work / "server")
            records = Records(directory)
            awkward(records.of("SELECT FIELDS(ALL) FROM Account LIMIT 200"))
            os.chdir(directory)
            times(directory, postgres)
            for name in jobs():
                described = Described(name, directory, records)
                if name.split("-")[0] in OBJECTS:
                    types_are_the_orgs(described)
                in_duckdb(described)
                in_postgres(described, postgres)
                for_bigquery(described)
                for_snowflake(described)
                by_json_schema(described)
                columns = sum(len(file["columns"]) for file in described.job["files"])
                passed(f"{name}: {len(described.records)} records, {columns} columns")
        finally:
            os.chdir("/")
            if postgres:
                postgres.stop()
            org.stop()
    print("ddl/run: everything held")


main()
