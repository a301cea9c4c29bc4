"""Keeps tables current by the scripts for BigQuery and Snowflake. There is neither here: stand-ins for bq, gcloud and snow
accept what the scripts pass to them, parse the SQL in the warehouse's dialect, translate it, and run it in DuckDB. So this
shows that the steps are right, and not that the services accept them."""

import json

import duckdb

from keep import History, holds, newest, read, read_all, run
from pages import Page, reader, with_after
from servers import ENVIRONMENT, passed, shell
from stores import stand_in

PAGE = "keep-a-table-current.md"
HISTORIES = 4

COMMON = """
import pathlib, re, shutil, sys
import duckdb, sqlglot
here = pathlib.Path(__file__).parent.parent
database = duckdb.connect(str(here / "warehouse.duckdb"))

def statements(text, dialect):
    found = sqlglot.parse(text, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    return [one for one in found if one is not None and not isinstance(one, sqlglot.exp.Semicolon)]

def insert(table, columns, source, by=""):
    columns = ", ".join(f"'{column}': 'VARCHAR'" for column in columns)
    database.execute(f"CREATE OR REPLACE TEMP TABLE lines AS FROM {source}, columns = {{{columns}}})")
    database.execute(f"INSERT INTO {table} {by} FROM lines")
"""
GCLOUD = COMMON + """
assert sys.argv[1:3] == ["storage", "cp"] and len(sys.argv) == 5 and sys.argv[4].startswith("gs://my-bucket/"), sys.argv
shutil.copy(sys.argv[3], here / pathlib.Path(sys.argv[4]).name)
"""
BQ = COMMON + """
database.execute("CREATE SCHEMA IF NOT EXISTS crm; SET schema = 'crm'")
if sys.argv[1:] == ["query", "--use_legacy_sql=false", "--dataset_id=crm"]:
    for one in statements(sys.stdin.read(), "bigquery"):
        database.execute(one.sql(dialect="duckdb"))
else:
    command, form, table, source = sys.argv[1:]
    assert (command, form) == ("load", "--source_format=NEWLINE_DELIMITED_JSON") and source.startswith("gs://"), sys.argv
    path = here / pathlib.Path(source).name
    columns = [name for name, *_ in database.execute(f"DESCRIBE {table}").fetchall()]
    insert(table, columns, f"read_json('{path}', format = 'newline_delimited'", "BY NAME")
"""
SNOW = COMMON + """
assert sys.argv[1:3] == ["sql", "-f"] and len(sys.argv) == 4, sys.argv
text = pathlib.Path(sys.argv[3]).read_text()
uncommented = re.sub("(?m)^--.*", "", text)
puts = re.finditer(r"PUT 'file://([^']*)' @sfexport_stage ", uncommented)
copies = re.finditer(r"COPY INTO (\\w+) FROM [^;]*'@sfexport_stage/([^']*)'", uncommented)
staged = {}
for one in statements(text, "snowflake"):
    kind = type(one).__name__
    if kind == "Put":
        path = pathlib.Path(next(puts)[1])
        staged[path.name + ".gz"] = path
    elif kind == "Copy":
        _, table, name = next(copies).group(0, 1, 2)
        columns = [name for name, *_ in database.execute(f"DESCRIBE {table}").fetchall()]
        form = "auto_detect = false, header = true, nullstr = '', quote = '\\"', escape = '\\"', new_line = '\\\\n'"
        insert(table, columns, f"read_csv('{staged[name]}', {form}")
    elif kind == "Insert" and one.args.get("overwrite"):
        database.execute(f"DELETE FROM {one.this.name}")
        one.set("overwrite", False)
        database.execute(one.sql(dialect="duckdb"))
    elif kind != "Create" or one.kind != "STAGE":
        database.execute(one.sql(dialect="duckdb"))
"""


class Warehouse:
    """The stand-in's tables, read with the names of the file."""

    def __init__(self, name, directory):
        self.name, self.path, self.names = name, directory / "warehouse.duckdb", {}
        self.env = {"PATH": f"{directory}/bin:{ENVIRONMENT['PATH']}"}

    def rows(self, query):
        with duckdb.connect(str(self.path)) as database:
            database.sql("SET TimeZone = 'UTC'; CREATE SCHEMA IF NOT EXISTS crm; SET search_path = 'crm,main'")
            rows = database.sql(query).to_arrow_table().to_pylist()
        return [{self.names.get(name, name): value for name, value in row.items()} for row in rows]


def as_jsonl(path):
    """The files of a run as JSON Lines, with every value as text."""
    for part in (path, path.with_suffix(".deleted.csv")):
        if part.exists():
            lines = [json.dumps({name: cell or None for name, cell in row.items()}) + "\n" for row in read_all(part)]
            part.with_suffix(".jsonl").write_text("".join(lines), encoding="utf-8")
    return path.with_suffix(".jsonl")


def histories(database, directory, rows, script, prepare, form):
    """Applies each file of random histories, at times twice."""
    files = 0
    for seed in range(HISTORIES):
        deletes = ("ids", "rows")[seed % 2]
        history = History(seed, deletes, rows, directory / "exports" / f"history_{seed}")
        database.path.unlink(missing_ok=True)
        prepare()
        for step in range(8):
            path = form(history.export(full=step in (0, 4)))
            for _ in range(history.random.choice((1, 1, 2))):
                shell(f"./{script} {path}", directory, database.env)
                files += 1
            holds(database, "accounts_now", history.alive, f"history {seed} with deletes = \"{deletes}\", step {step}")
            history.change()
            if step == 3:
                history.purge()
    return files


def warehouse(org, work, name, stand_ins):
    """A reader's directory, with stand-ins for the warehouse's commands."""
    directory = reader(org, work / f"keep-{name}", Page(PAGE))
    (directory / "bin").mkdir()
    for command, program in stand_ins.items():
        stand_in(directory / "bin" / command, program)
    return directory, Warehouse(name, directory)


def in_bigquery(org, work, after):
    directory, database = warehouse(org, work, "BigQuery", {"bq": BQ, "gcloud": GCLOUD})
    with_after(directory, "current_jsonl", after)
    for _ in range(2):
        run("current_jsonl", directory, database)
    # The same records as CSV, to compare with.
    shell("sfexport run current", directory)
    rows = read(newest(directory / "exports" / "current", "full"))
    holds(database, "accounts_now", rows, "the first runs")
    return histories(database, directory, list(rows.values()), "keep_in_bigquery", lambda: None, as_jsonl)


def in_snowflake(org, work, once, after):
    directory, database = warehouse(org, work, "Snowflake", {"snow": SNOW})
    with_after(directory, "current", after)
    shell(once, directory, database.env)
    for _ in range(2):
        run("current", directory, database)
    rows = read(newest(directory / "exports" / "current", "full"))
    database.names = {name.upper(): name for name in rows[min(rows)]}
    holds(database, "accounts_now", rows, "the first runs")

    def prepare():
        shell("snow sql -f snowflake_current.sql", directory, database.env)

    # `PUT` needs an absolute path, which `after` gives.
    return histories(database, directory, list(rows.values()), "keep_in_snowflake", prepare, lambda path: path.absolute())


def keep_current_in_warehouses(org, work):
    page = Page(PAGE)
    *_, bigquery_after, snowflake_after = page.unnamed("toml")
    (once,) = page.unnamed("sh")
    files = in_bigquery(org, work, bigquery_after)
    files += in_snowflake(org, work, once, snowflake_after)
    passed(f"BigQuery and Snowflake: the SQL parses; translated for DuckDB, it keeps tables current through {files} files")
