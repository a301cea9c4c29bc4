"""The pages of docs/recipes, and the directory of a reader who follows them."""

import pathlib
import re
import shutil
import sys

from servers import expect

ROOT = pathlib.Path(sys.argv[1])
PAGES = ROOT / "docs" / "recipes"


class Page:
    """A page's fenced blocks. A block whose first line is a comment with a file's name is that file."""

    NAMED = re.compile(r"(?:#!/bin/sh\n)?(?:#|--) ([\w./-]+)\n")

    def __init__(self, name):
        text = (PAGES / name).read_text(encoding="utf-8")
        self.blocks = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", text, re.M | re.S)
        self.blocks = [(language, unindented(block)) for language, block in self.blocks]
        expect(self.blocks, f"{name} has no blocks")

    def files(self):
        return {found[1]: block for _, block in self.blocks if (found := self.NAMED.match(block))}

    def unnamed(self, language):
        return [block for found, block in self.blocks if found == language and not self.NAMED.match(block)]


def unindented(block):
    """A block inside a list item, without the item's indent."""
    indent = min(len(line) - len(line.lstrip()) for line in block.splitlines() if line.strip())
    return "".join(line[indent:] or "\n" for line in block.splitlines(keepends=True))


def conflicts(pages):
    """The files that two pages show under one name with different contents."""
    seen, found = {}, []
    for page, files in pages.items():
        for name, text in files.items():
            other, known = seen.setdefault(name, (page, text))
            # Each page shows only its part of sfexport.toml.
            if known != text and name != "sfexport.toml":
                found.append(f"{other} and {page} show different contents of {name}")
    return found


def files_of_all_pages():
    """Every file of every page, as a reader has them who follows all pages in one directory."""
    pages = {path.name: Page(path.name).files() for path in sorted(PAGES.glob("*.md")) if path.name not in WITHOUT_FILES}
    expect(conflicts({"a": {"jobs/a.toml": "x"}, "b": {"jobs/a.toml": "y"}}), "a conflict is not noticed")
    found = conflicts(pages)
    expect(not found, "\n".join(found))
    return {name: text for files in pages.values() for name, text in files.items() if name != "sfexport.toml"}


# Pages that show commands, but no files.
WITHOUT_FILES = {"rotate-certificate.md"}
# Where the recipes keep what `after` runs.
SERVER = "/srv/sfexport"


def with_after(directory, job, block):
    """The same job with a page's line for `after`, whose files are in this directory."""
    expect(block.startswith("after = "), f"the page does not show after, but\n{block}")
    path = directory / "jobs" / f"{job}.toml"
    # Above its tables.
    path.write_text(block.replace(SERVER, str(directory)) + path.read_text())


def reader(org, directory, page):
    """A directory with a configuration for the org, the page's settings, and the files of all pages."""
    directory.mkdir()
    shutil.copy(org.directory / "server.key", directory)
    (directory / "sfexport.toml").write_text(org.configuration(more=page.files().get("sfexport.toml", "")))
    (directory / "jobs").mkdir()
    for name, text in files_of_all_pages().items():
        (directory / name).write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            (directory / name).chmod(0o755)
    return directory
