"""Reads exports by other people's programs; see the script `run` next to this file."""

import csv
import datetime
import decimal
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "recipes"))
from servers import GROUPED, TYPEOF, Org, expect, passed, put_on_path, shell  # noqa: E402

# A list of children is one cell.
csv.field_size_limit(1 << 30)

# More than a row group holds, and more than memory may: the others are spilled.
LARGE = 300_000

NESTED = (
    "SELECT Id, Name, AnnualRevenue, NumberOfEmployees, IsDeleted, CreatedDate, FoundedOn__c, BillingAddress, "
    "Owner.Name, Owner.Manager.CreatedDate, (SELECT Id, LastName, Birthdate, CreatedDate FROM Contacts) FROM Account"
)
NULL = "(null)"
LARGE_QUERY = (
    "SELECT Id, Name, CreatedDate, AnnualRevenue, NumberOfEmployees, IsDeleted, Industry, Site FROM Account "
    f"LIMIT {LARGE}"
)
# Each job is exported as CSV and as Parquet: its source, keys for both, and keys for Parquet.
JOBS = {
    "objects": ('objects = ["*"]\noutput = "{job}/{object}.EXTENSION"\n', "", ""),
    "nested": (f'soql = "{NESTED}"\n', "", ""),
    "parts": (f'soql = "{NESTED}"\n', 'compound = "columns"\ncolumn_names = "snake"\n', ""),
    "typeof": (f'soql = "{TYPEOF}"\n', "", ""),
    "grouped": (f'soql = "{GROUPED}"\n', "", ""),
    "count": ('soql = "SELECT COUNT() FROM Account"\n', "", ""),
    "empty": ("soql = \"SELECT Id, Name, AnnualRevenue FROM Account WHERE Name = 'nobody'\"\n", "", ""),
    "bulk": ('object = "Account"\napi = "bulk"\n', "", ""),
    "decimals": (
        'object = "Account"\nfields = ["Id", "*Revenue", "Discount__c", "Owner.Name"]\n',
        "",
        '[parquet]\ndecimals = "decimal"\n',
    ),
    "digits": (
        'soql = "SELECT Id, AnnualRevenue, NumberOfEmployees FROM Account"\n',
        '[types]\nAnnualRevenue = "decimal(38,6)"\nNumberOfEmployees = "decimal(9,0)"\n',
        "",
    ),
    "texts": ('object = "Account"\n', "", '[parquet]\ntemporal = "text"\ncodec = "snappy"\n'),
    "large": (f'soql = "{LARGE_QUERY}"\n', "", ""),
}

# The type of a column in Python, by its type in sfexport.
PYTHON = {
    "text": str, "json": str, "any": str, "base64": str, "boolean": bool, "integer": int, "long": int, "double": float,
    "date": datetime.date, "datetime": datetime.datetime, "time": datetime.time,
}  # fmt: skip


def job_files():
    for name, (source, both, parquet) in JOBS.items():
        for extension in ("csv", "parquet"):
            text = source if "output" in source else f'{source}output = "{{job}}.{extension}"\n'
            # A number in a column of any type stays as the org sent it, and an empty text is not null.
            before, after = ("", parquet) if extension == "parquet" else ('numbers = "as_sent"\n', f'[csv]\nnull = "{NULL}"\n')
            yield f"{name}-{extension}", text.replace("EXTENSION", extension) + before + both + after
    for extension in ("csv.gz", "csv.zst", "jsonl", "jsonl.gz", "jsonl.zst"):
        yield f"nested-{extension.replace('.', '-')}", (
            f'soql = "{NESTED}"\noutput = "{{job}}.{extension}"\n'
            + (f'numbers = "as_sent"\n[csv]\nnull = "{NULL}"\n' if "csv" in extension else "")
        )


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    return names, rows


def value_of(text, kind):
    """What a typed column must hold for a cell of CSV."""
    if text == NULL:
        return None
    if kind.startswith("decimal"):
        return decimal.Decimal(text)
    match kind:
        case "boolean":
            return {"true": True, "false": False}[text]
        case "integer" | "long":
            return int(text)
        case "double":
            return float(text)
        case "date":
            return datetime.date.fromisoformat(text)
        case "datetime":
            return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
        case "time":
            return datetime.time.fromisoformat(text.removesuffix("Z"))
    return text


def by_pyarrow(path):
    # A path that looks like a Hive partition must not add columns.
    table = pa.parquet.read_table(path, partitioning=None)
    return {name: column.to_pylist() for name, column in zip(table.column_names, table.columns)}


def by_polars(path):
    frame = polars.read_parquet(path, hive_partitioning=False)
    return {column.name: column.to_list() for column in frame}


def by_duckdb(path):
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        found = database.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(path)])
        names = [column[0] for column in found.description]
        rows = found.fetchall()
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def by_pandas(path):
    # By default, integers become floats if one of them is null.
    frame = pandas.read_parquet(path, dtype_backend="pyarrow", partitioning=None)

    def value(cell):
        if cell is pandas.NA:
            return None
        return cell.to_pydatetime() if isinstance(cell, pandas.Timestamp) else cell

    return {name: [value(cell) for cell in frame[name]] for name in frame.columns}


READERS = {"pyarrow": by_pyarrow, "pandas": by_pandas, "polars": by_polars, "DuckDB": by_duckdb}


def without_zone(value):
    """DuckDB hands out times of day with their zone."""
    return value.replace(tzinfo=None) if isinstance(value, datetime.time) else value


def compare(path, plain, kinds):
    """Compares a Parquet file with a CSV file, as each reader sees it, and returns how many cells that were."""
    names, rows = rows_of(plain)
    expected = {name: [value_of(row[at], kinds[name]) for row in rows] for at, name in enumerate(names)}
    for reader, read in READERS.items():
        found = read(path)
        expect(list(found) == names, f"{reader}, {path}: the columns {list(found)} instead of {names}")
        for name, values in expected.items():
            kind = kinds[name]
            python = decimal.Decimal if kind.startswith("decimal") else PYTHON[kind]
            here = [without_zone(value) for value in found[name]]
            expect(len(here) == len(values), f"{reader}, {path}: {len(here)} rows instead of {len(values)}")
            for row, (value, other) in enumerate(zip(values, here)):
                same = value == other and (other is None or type(other) is python)
                expect(same, f"{reader}, {path}: {name} ({kind}) in row {row} is {other!r} instead of {value!r}")
    return len(rows) * len(names)


def check_footer(path, records, codec):
    """What a file says of itself, and that its statistics are those of its values."""
    file = pa.parquet.ParquetFile(path)
    about = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
    keys = {f"sfexport.{key}" for key in ("job", "org", "run_id", "records", "soql")}
    expect(set(about) == keys, f"{path}: the footer has {sorted(about)}")
    expect(about["sfexport.records"] == str(records), f"{path}: the footer says {about['sfexport.records']} records")
    expect("nobody" not in about["sfexport.soql"], f"{path}: the footer has a literal: {about['sfexport.soql']}")
    expect(file.metadata.num_rows == records, f"{path}: {file.metadata.num_rows} rows")
    for group in range(file.metadata.num_row_groups):
        facts = file.metadata.row_group(group)
        expect(0 < facts.num_rows <= 250_000, f"{path}: a row group of {facts.num_rows} rows")
        values = file.read_row_group(group)
        for at in range(facts.num_columns):
            chunk, column = facts.column(at), values.column(at)
            expect(chunk.compression == codec.upper(), f"{path}: {chunk.path_in_schema} is compressed by {chunk.compression}")
            expect(not chunk.has_column_index and not chunk.has_offset_index, f"{path}: a page index")
            expect(chunk.statistics.null_count == column.null_count, f"{path}: {chunk.path_in_schema}: the count of nulls")
            if chunk.statistics.has_min_max and not pa.types.is_string(column.type):
                found = pa.compute.min_max(column).as_py()
                least, most = chunk.statistics.min, chunk.statistics.max
                expect((least, most) == (found["min"], found["max"]), f"{path}: {chunk.path_in_schema}: {least}, {most}, {found}")


def kinds_of(job, directory):
    """The types of the columns, by file."""
    described = json.loads(shell(f"sfexport describe {job} --json", directory))
    return {column["name"]: column["type"] for column in described["files"][0]["columns"]}


def check_parquet(directory, exports):
    cells = 0
    for name in JOBS:
        if name == "objects":
            paths = sorted((exports / "objects-parquet").glob("*.parquet"))
            pairs = [(path, exports / "objects-csv" / f"{path.stem}.csv") for path in paths]
            expect(len(pairs) > 10, f"{len(pairs)} objects")
        else:
            pairs = [(exports / f"{name}-parquet.parquet", exports / f"{name}-csv.csv")]
        for path, plain in pairs:
            arguments = f"{name}-parquet" + (f" --object {path.stem}" if name == "objects" else "")
            kinds = kinds_of(arguments, directory)
            cells += compare(path, plain, kinds)
            check_footer(path, len(rows_of(plain)[1]), "snappy" if name == "texts" else "zstd")
    decimals = pa.parquet.read_schema(exports / "decimals-parquet.parquet")
    expect(decimals.field("AnnualRevenue").type == pa.decimal128(18, 2), f"AnnualRevenue: {decimals}")
    large = pa.parquet.read_metadata(exports / "large-parquet.parquet")
    expect(large.num_row_groups > 1, "the large file is a single row group")
    passed(f"Parquet by {', '.join(READERS)}: {cells} cells each")


def unpacked(path):
    if path.suffix == ".gz":
        by_tool = subprocess.run(["gzip", "-dc", path], stdout=subprocess.PIPE, check=True).stdout
        expect(gzip.decompress(path.read_bytes()) == by_tool, f"{path}: gzip and Python differ")
        return by_tool
    return subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout


def texts(columns):
    """Cells as CSV has them: null is empty."""
    return [["" if value is None else value for value in column] for column in columns]


def check_compressed(exports):
    names, rows = rows_of(exports / "nested-csv.csv")
    columns = [[row[at] for row in rows] for at in range(len(names))]
    for extension in ("csv.gz", "csv.zst"):
        path = exports / f"nested-{extension.replace('.', '-')}.{extension}"
        expect(unpacked(path) == (exports / "nested-csv.csv").read_bytes(), f"{path} has other bytes")
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False)
        expect([list(frame[name]) for name in names] == columns, f"pandas reads {path} otherwise")
        frame = polars.read_csv(path, infer_schema=False)
        expect(texts(frame[name].to_list() for name in names) == columns, f"polars reads {path} otherwise")
        table = pa.csv.read_csv(
            pa.input_stream(str(path), compression="detect"),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(column_types={name: pa.string() for name in names}),
        )
        expect(texts(column.to_pylist() for column in table.columns) == columns, f"pyarrow reads {path} otherwise")
        with duckdb.connect() as database:
            found = database.execute("SELECT * FROM read_csv(?, all_varchar = true, header = true)", [str(path)]).fetchall()
        expect(texts(zip(*found)) == columns, f"DuckDB reads {path} otherwise")
    lines = (exports / "nested-jsonl.jsonl").read_bytes()
    records = [json.loads(line) for line in lines.splitlines()]
    for extension in ("jsonl.gz", "jsonl.zst"):
        path = exports / f"nested-{extension.replace('.', '-')}.{extension}"
        expect(unpacked(path) == lines, f"{path} has other bytes")
        frame = pandas.read_json(path, lines=True, dtype=False)
        expect(list(frame["Name"]) == [record["Name"] for record in records], f"pandas reads {path} otherwise")
        with duckdb.connect() as database:
            found = database.execute("SELECT json FROM read_json_objects(?)", [str(path)]).fetchall()
        expect([json.loads(text) for (text,) in found] == records, f"DuckDB reads {path} otherwise")
    passed(f"gzip and Zstandard by their tools, Python, pandas, polars, pyarrow and DuckDB: {len(rows)} rows")


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        put_on_path(work / "bin")
        org = Org(work / "org")
        try:
            org.start()
            directory = work / "project"
            (directory / "jobs").mkdir(parents=True)
            (directory / "sfexport.toml").write_text(org.configuration(str(org.directory / "server.key")))
            for name, text in job_files():
                (directory / "jobs" / f"{name}.toml").write_text(text)
            small = " ".join(name for name, _ in job_files() if not name.startswith("large"))
            shell(f"sfexport run {small}", directory, timeout=600)
            org.stop()
            org.start(records=LARGE + 1000)
            shell("sfexport run large-csv large-parquet", directory, timeout=600)
            check_compressed(directory / "exports")
            if os.environ.get("CI_FULL"):
                import spark

                READERS["Spark"] = spark.reader()
            check_parquet(directory, directory / "exports")
        finally:
            org.stop()
    passed("everything held")


main()
