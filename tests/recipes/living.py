"""Keeps tables current while the org changes, by real runs, and compares them with a fresh export. The org changes
after that too, and the last run's file has what changed."""

import time

from keep import PAGE, InDuckDB, InPostgres, alike, newest, read, read_all, run
from pages import Page, reader, with_after
from servers import Org, expect, passed, shell

RUNS = 6
# An org lists deletes of more than one whole minute, up to one that has passed. A second more, for its clock.
MINUTES_OF_DELETES, SPARE_SECONDS = 2, 1


class Reader:
    """A database, and a directory whose job keeps its table current."""

    def __init__(self, kind, org, work, after):
        self.database = kind(work)
        self.directory = reader(org, work / f"living-{kind.__name__}", Page(PAGE))
        if kind is InDuckDB:
            self.database.path = self.directory / "crm.duckdb"
        with_after(self.directory, "current", after)
        (self.directory / "jobs" / "fresh.toml").write_text('object = "Account"\noutput = "fresh.csv"\n')
        self.exports = self.directory / "exports" / "current"

    def run(self):
        run("current", self.directory, self.database)

    def fresh(self):
        shell("sfexport run fresh", self.directory)
        return read(self.directory / "exports" / "fresh.csv")

    def files(self, end):
        """The records of all files with this end, in the order of the runs."""
        return [row for path in sorted(self.exports.glob(f"*{end}")) for row in read_all(path)]


def wait_for_deletes():
    """Waits until a run lists all that has been deleted until now, whenever the last one was."""
    now = time.time()
    time.sleep((now // 60 + MINUTES_OF_DELETES) * 60 + SPARE_SECONDS - now)


def compare(reader, fresh):
    """Compares the table after a last run with an export made before it: what has changed since is in the last run's file."""
    name, database = reader.database.name, reader.database
    table = {row["Id"]: row for row in database.rows("SELECT * FROM accounts_now")}
    last, unchanged = read(newest(reader.exports, "changes")), 0
    deletes = reader.files("-changes.deleted.csv")
    for key in set(table) - set(fresh) - set(last):
        expect(False, f"{name}: {key} was deleted, and is still there")
    for key, row in (fresh | last).items():
        if key not in table:
            listed = any(one["Id"] == key and one["deletedDate"] >= row["SystemModstamp"] for one in deletes)
            expect(listed and key not in last, f"{name}: {key} is missing")
            continue
        unchanged += key not in last
        for column, cell in row.items():
            value = table[key][column]
            expect(alike(cell, value, database), f"{name}: {key}, {column}: {value!r} instead of {cell!r}")
    return unchanged, len(last), len(deletes)


def keep_current_while_it_changes(_, work):
    org = Org(work / "living")
    org.start(more=("--living", "--seed", "7"))
    readers = []
    try:
        duckdb_after, postgres_after, *_ = Page(PAGE).unnamed("toml")
        (work / "server-of-living").mkdir()
        readers.append(Reader(InDuckDB, org, work, duckdb_after))
        readers.append(Reader(InPostgres, org, work / "server-of-living", postgres_after))
        for _ in range(RUNS):
            for reader in readers:
                reader.run()
            time.sleep(5)
        exports = [reader.fresh() for reader in readers]
        wait_for_deletes()
        for reader, fresh in zip(readers, exports):
            reader.run()
            unchanged, changed, deletes = compare(reader, fresh)
            expect(unchanged > 2000 and changed > 50 and deletes > 5, f"{unchanged} rows, {changed} changes, {deletes} deletes")
            passed(
                f"{reader.database.name}: current after {RUNS + 1} runs in an org that changes: {unchanged} rows unchanged, "
                f"{changed} changed, {deletes} deletes, each cell alike"
            )
    finally:
        for reader in readers:
            reader.database.stop()
        org.stop()
