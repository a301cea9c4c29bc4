"""Keeps tables current as the page says: by real runs of incremental jobs, and by files of random histories of an org, in
the form of a real run's. The history itself says what the table must hold."""

import csv
import datetime
import decimal
import json
import random
import re
import time

import duckdb

from pages import Page, reader, with_after
from servers import ENVIRONMENT, Postgres, expect, passed, shell

PAGE = "keep-a-table-current.md"
SECOND = datetime.timedelta(seconds=1)
MINUTE = datetime.timedelta(minutes=1)
HISTORIES = 12
# As many tables as the history has ids, of the thousands in the org.
RECORDS = 150


class InDuckDB:
    """Reads tables in DuckDB."""

    name, script, client = "DuckDB", "keep_in_duckdb", "duckdb"
    env = {}

    def __init__(self, work):
        self.path = work / "keep-duckdb" / "crm.duckdb"

    def rows(self, query):
        with duckdb.connect(str(self.path)) as database:
            database.sql("SET TimeZone = 'UTC'")
            return database.sql(query).to_arrow_table().to_pylist()

    def stop(self):
        pass


class InPostgres:
    """Reads tables in Postgres."""

    name, script, client = "Postgres", "keep_in_postgres", "psql"

    def __init__(self, work):
        self.directory, self.server = work, Postgres(work / "keep-server")
        self.env = self.server.env

    def rows(self, query):
        # What psql prints by itself lacks some characters.
        copy = f"COPY (SELECT row_to_json(t) FROM ({query}) AS t) TO STDOUT (FORMAT csv)"
        command = f"psql -X -q -v ON_ERROR_STOP=1 <<'END'\nSET timezone TO UTC;\n{copy};\nEND"
        lines = csv.reader(shell(command, self.directory, self.env).splitlines(keepends=True))
        return [json.loads(line, parse_float=decimal.Decimal, parse_int=decimal.Decimal) for (line,) in lines]

    def stop(self):
        self.server.stop()


def timestamp(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def written(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def alike(cell, value, database):
    """Whether a value in the database is that of a cell in a file."""
    if cell == "" or value is None:
        return cell == "" and value is None
    if isinstance(value, bool):
        return cell == str(value).lower()
    if isinstance(value, decimal.Decimal):
        return decimal.Decimal(cell) == value
    if isinstance(value, (int, float)):
        return float(cell) == value
    if isinstance(value, datetime.datetime):
        return timestamp(cell) == value
    if isinstance(value, datetime.date):
        return cell == value.isoformat()
    if database.name == "Postgres" and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+0000", cell):
        return timestamp(cell) == datetime.datetime.fromisoformat(value)
    return (cell.replace("\0", "") if database.name == "Postgres" else cell) == value


def holds(database, table, wanted, what):
    """Compares a table with the rows of files: their Ids, and each cell."""
    found = {row["Id"]: row for row in database.rows(f'SELECT * FROM "{table}"')}
    count = database.rows(f'SELECT count(*) AS n FROM "{table}"')[0]["n"]
    expect(count == len(found), f"{database.name}, {what}: {count} rows with {len(found)} Ids")
    lacking, left = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    expect(not lacking and not left, f"{database.name}, {what}: rows are missing: {lacking[:3]}; rows too many: {left[:3]}")
    for key, row in wanted.items():
        for name, cell in row.items():
            value = found[key].get(name)
            expect(alike(cell, value, database), f"{database.name}, {what}: {key}, {name}: {value!r} instead of {cell!r}")


def read_all(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read(path):
    return {row["Id"]: row for row in read_all(path)}


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"' if re.search('[",\r\n]', cell) else cell


def write(path, header, rows):
    """A file as an export writes it. Python's writer leaves a carriage return without quotes."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        for row in [dict(zip(header, header)), *rows]:
            file.write(",".join(quoted(row[name]) for name in header) + "\n")


class History:
    """An org whose records change at random, and the files of an incremental job that exports it."""

    def __init__(self, seed, deletes, rows, directory):
        self.random, self.deletes, self.directory = random.Random(seed), deletes, directory
        self.header, self.pool = list(rows[0]), rows
        self.now = max(timestamp(row["SystemModstamp"]) for row in rows).replace(microsecond=0) + MINUTE
        self.alive = {row["Id"]: row for row in self.random.sample(rows, RECORDS)}
        # In the recycle bin; and when records were deleted, those that were restored too.
        self.bin, self.deleted = {}, []
        self.mark = None
        directory.mkdir(parents=True)

    def tick(self):
        # Often in the same second.
        self.now += SECOND * self.random.choice((0, 0, 1, 5))

    def put(self, key, row):
        other = self.random.choice(self.pool)
        mixed = {name: row[name] if self.random.random() < 0.8 else other[name] for name in self.header}
        self.alive[key] = mixed | {"Id": key, "IsDeleted": "false", "SystemModstamp": written(self.now)}

    def drop(self, key):
        row = self.alive.pop(key) | {"IsDeleted": "true", "SystemModstamp": written(self.now)}
        self.bin[key] = row
        self.deleted.append((self.now, key))

    def restore(self, key):
        self.put(key, self.bin.pop(key))

    def change(self):
        if self.random.random() < 0.5:
            # In the second of its last change, which has been exported.
            self.drop(self.latest)
        for _ in range(self.random.randrange(25)):
            self.tick()
            what = self.random.choice(("insert", "update", "update", "delete", "restore", "both"))
            if what == "insert":
                fresh = [row for row in self.pool if row["Id"] not in self.alive and row["Id"] not in self.bin]
                row = self.random.choice(fresh)
                self.put(row["Id"], row)
            elif what == "restore":
                if self.bin:
                    self.restore(self.random.choice(sorted(self.bin)))
            else:
                key = self.random.choice(sorted(self.alive))
                if what == "update":
                    self.put(key, self.alive[key])
                else:
                    self.drop(key)
                    if what == "both":
                        # Deleted and restored in one second.
                        self.restore(key)

    def export(self, full):
        """A run of the job: its files. A run of changes begins at the previous mark."""
        self.now += MINUTE
        self.latest = self.random.choice(sorted(self.alive))
        self.put(self.latest, self.alive[self.latest])
        since, self.mark = self.mark, self.now
        kind = "full" if full else "changes"
        path = self.directory / f"{self.mark:%Y%m%dT%H%M%SZ}-{kind}.csv"
        rows = list(self.alive.values()) + (list(self.bin.values()) if self.deletes == "rows" else [])
        if not full:
            # Records of the last minutes come again.
            rows = [row for row in rows if timestamp(row["SystemModstamp"]) > since - MINUTE]
        self.random.shuffle(rows)
        write(path, self.header, rows)
        if self.deletes == "ids" and not full:
            # Earlier deletes are listed again if the record has changed since.
            again = [
                (when, key)
                for when, key in self.deleted
                if when >= since or (key in self.alive and timestamp(self.alive[key]["SystemModstamp"]) > when)
            ]
            lines = [{"Id": key, "deletedDate": written(when)} for when, key in again]
            write(path.with_suffix(".deleted.csv"), ["Id", "deletedDate"], lines)
        return path

    def purge(self):
        """Records deleted for good that no file of changes mentions; only the next full export shows it."""
        for key in self.random.sample(sorted(self.alive), 5):
            del self.alive[key]


def histories(database, directory, rows):
    """Random histories, loaded after each run, twice, or after several runs."""
    loads = 0
    for seed in range(HISTORIES):
        deletes = ("ids", "rows")[seed % 2]
        table = f"history_{seed}"
        history = History(seed, deletes, rows, directory / "exports" / table)
        load = f"./{database.script} {table} exports/{table} current"
        what = f"history {seed} with deletes = \"{deletes}\""
        history.export(full=True)
        for step in range(8):
            if history.random.random() < 0.6:
                for _ in range(history.random.choice((1, 1, 2))):
                    shell(load, directory, database.env)
                    loads += 1
                holds(database, table, history.alive, f"{what}, step {step}")
            history.change()
            if full := step == 4:
                history.purge()
            history.export(full)
        shell(load, directory, database.env)
        holds(database, table, history.alive, f"{what}, at the end")
    return loads


def failures(database, directory, rows):
    """A load that fails changes nothing, and the next one catches up."""
    history = History(99, "ids", rows, directory / "exports" / "failing")
    load = f"./{database.script} failing exports/failing current"
    history.mark = history.now
    early = history.export(full=False)
    # Status of the clients: DuckDB 1, psql 3.
    shell(f"! {load}", directory, database.env)
    early.unlink()
    early.with_suffix(".deleted.csv").unlink()
    history.export(full=True)
    shell(load, directory, database.env)
    before = dict(history.alive)
    history.change()
    history.export(full=False)
    history.change()
    history.put(sorted(history.alive)[0], rows[0])
    broken = history.export(full=False)
    good = broken.read_bytes()
    broken.write_bytes(good.replace(b"+0000", b" nope", 1))
    shell(f"! {load}", directory, database.env)
    holds(database, "failing", before, "after a load that failed")
    broken.write_bytes(good.replace(b",Name,", b",Other__c,", 1))
    shell(f"! {load}", directory, database.env)
    holds(database, "failing", before, "after a load with an unknown column")
    broken.write_bytes(good)
    shell(load, directory, database.env)
    holds(database, "failing", history.alive, "after a load that caught up")


def newest(directory, kind):
    return max(path for path in directory.glob("*.csv") if path.name.endswith(f"-{kind}.csv"))


def run(job, directory, database, more="", env=None, status=0):
    # The name of a file has its second.
    time.sleep(1.1)
    shell(f"sfexport run {job} {more}", directory, database.env | (env or {}), status)


def jobs(database, directory, after):
    """Real runs, with the script as the command after them."""
    job, exports = directory / "jobs" / "current.toml", directory / "exports" / "current"
    with_after(directory, "current", after)
    plain = job.read_text()
    narrow = plain.replace("[incremental]", 'fields = ["Name", "AnnualRevenue", "Description"]\n\n[incremental]')
    job.write_text(narrow)
    run("current", directory, database)
    full = newest(exports, "full")
    few = read(full)
    expect(len(few) > 2000 and len(few[min(few)]) < 8, f"{len(few)} records with {list(few[min(few)])}")
    holds(database, "accounts_now", few, "the first run")
    run("current", directory, database)
    expect(newest(exports, "changes").name > full.name, "the second run is not one of changes")
    holds(database, "accounts_now", few, "a run without changes")
    # New fields: a full run, with more columns. Its load fails at first.
    job.write_text(plain)
    (directory / "bin").mkdir()
    client = directory / "bin" / database.client
    client.write_text("#!/bin/sh\nexit 1\n")
    client.chmod(0o755)
    broken = {"PATH": f"{directory}/bin:{ENVIRONMENT['PATH']}"}
    run("current", directory, database, env=broken, status=70)
    many = read(newest(exports, "full"))
    expect(set(few[min(few)]) < set(many[min(many)]), "there are no new columns")
    run("current", directory, database)
    holds(database, "accounts_now", many, "a run with new columns")
    # A field has disappeared, and a record changed after that.
    job.write_text(plain.replace("[incremental]", 'fields = ["*", "!Description"]\n\n[incremental]'))
    run("current", directory, database)
    changes = newest(exports, "changes")
    header = changes.read_text().strip().split(",")
    expect("Description" not in header and len(header) > 20, f"the columns are {header}")
    key = next(key for key, row in many.items() if row["Description"])
    changed = {name: many[key][name] for name in header} | {"Name": "renamed"}
    later = changes.with_name("9" + changes.name)
    write(later, header, [changed])
    shell(f"./{database.script} accounts_now exports/current current", directory, database.env)
    holds(database, "accounts_now", many | {key: changed | {"Description": ""}}, "a field that disappeared")
    job.write_text(plain)
    return many


def of_a_set(database, directory, after):
    """The tables of a set, by real runs."""
    with_after(directory, "current_set", after.replace("keep_in_postgres", database.script))
    for _ in range(2):
        run("current_set", directory, database)
    exports = directory / "exports" / "current_set"
    objects = sorted(path.name for path in exports.iterdir() if path.is_dir())
    expect(objects == ["Account", "Contact", "Opportunity"], f"the set exports {objects}")
    for name in objects:
        full = {key: row for key, row in read(newest(exports / name, "full")).items() if row["IsDeleted"] == "false"}
        expect(len(full) > 2000 and newest(exports / name, "changes"), f"{name}: {len(full)} records")
        holds(database, name, full, f"the set's {name}")


def another_load(postgres, directory):
    """A load that has to wait for another one ends, because its files may have been loaded by then."""
    write(directory / "exports" / "failing" / "99990101T000000Z-changes.csv", ["Id"], [])
    lock = "BEGIN; LOCK TABLE sfexport_loads IN EXCLUSIVE MODE"
    other = f"{lock}; SELECT pg_sleep(3); UPDATE sfexport_loads SET file = '9' WHERE name = 'failing'; COMMIT"
    loads = f'psql -X -q -c "{other}" >/dev/null & sleep 1; ./{postgres.script} failing exports/failing current 2>&1 || wait'
    said = shell(loads, directory, postgres.env)
    expect("another load came first" in said, f"Postgres: during another load, a load prints {said}")


def keep_current(org, work):
    page = Page(PAGE)
    duckdb_after, postgres_after, set_after, *_ = page.unnamed("toml")
    for kind, after in ((InDuckDB, duckdb_after), (InPostgres, postgres_after)):
        database = kind(work)
        directory = reader(org, work / f"keep-{kind.__name__}", page)
        if kind is InDuckDB:
            database.path = directory / "crm.duckdb"
        try:
            rows = list(jobs(database, directory, after).values())
            of_a_set(database, directory, set_after)
            failures(database, directory, rows)
            if kind is InPostgres:
                another_load(database, directory)
            loads = histories(database, directory, rows)
        finally:
            database.stop()
        passed(f"{database.name}: kept current by real runs, of a set too; {HISTORIES} histories in {loads} loads, each cell alike")
