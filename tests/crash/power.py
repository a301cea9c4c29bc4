"""What a power cut leaves, at the least that a file system promises: of a file what was flushed of it, of a folder the
names that it had when it was flushed. Fed with a traced process's calls, before each is made."""

import os
import pathlib


class Disk:
    """The disk under `root`, on which everything that is there now is settled."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        # Of each flushed folder its names, and of each flushed file its bytes, both by inode.
        self.names, self.bytes = {}, {}
        # Open, so that no number of theirs is given to another.
        self.held = []
        for folder, _, files in os.walk(self.root):
            self.flush_folder(folder)
            for name in files:
                self.flush_file(os.path.join(folder, name))

    def close(self):
        for held in self.held:
            os.close(held)

    def before(self, call):
        """Notes what a call is about to make durable."""
        if call.name in ("fsync", "fdatasync"):
            opened = f"/proc/{call.tid}/fd/{call.arguments[0]}"
            if os.path.isdir(opened):
                self.flush_folder(opened)
            else:
                self.flush_file(opened)

    def flush_file(self, path):
        inode = self.hold(path)
        with open(path, "rb") as file:
            self.bytes[inode] = (file.read(), os.fstat(file.fileno()).st_mtime_ns)

    def flush_folder(self, path):
        inode = self.hold(path)
        self.names[inode] = {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(path)}

    def hold(self, path):
        self.held.append(os.open(path, os.O_PATH))
        return os.fstat(self.held[-1]).st_ino

    def left(self, reached=lambda folder: False):
        """Path, and bytes and time of every file (None for a folder), where only what was flushed is there; but all of the names
        in those folders that `reached` says, by their paths below the root."""
        tree = {}

        def walk(inode, path):
            real = self.root / path
            if reached(path) and real.is_dir():
                names = {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(real)}
            else:
                names = self.names.get(inode, {})
            for name, (inner, is_folder) in names.items():
                tree[path / name] = None if is_folder else self.bytes.get(inner, (b"", 0))
                if is_folder:
                    walk(inner, path / name)

        walk(self.root.stat().st_ino, pathlib.Path())
        return tree
