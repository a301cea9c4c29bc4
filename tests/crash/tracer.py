"""Stops a process before each system call that touches a folder's files, over all its threads, and lets the caller
decide: go on, kill it, have the call fail, or write only half. strace's `inject` cannot aim like that: its `when=`
counts every thread's calls apart, and `-P` knows whole paths only, while a stage's name changes from run to run.

Linux on x86-64, by ptrace and a seccomp filter, so that all other calls run at full speed."""

import ctypes
import os
import pathlib
import re
import signal
import struct
import tempfile

KILL, HALF = "kill", "half"

# Number, and which argument is a path or an open file.
CALLS = {
    "openat": (257, "path", 1),
    "mkdir": (83, "path", 0),
    "rename": (82, "path", 0),
    "renameat2": (316, "path", 1),
    "link": (86, "path", 0),
    "linkat": (265, "path", 1),
    "unlink": (87, "path", 0),
    "unlinkat": (263, "path", 1),
    "write": (1, "file", 0),
    "pwrite64": (18, "file", 0),
    "writev": (20, "file", 0),
    "ftruncate": (77, "file", 0),
    "fchmod": (91, "file", 0),
    "fsync": (74, "file", 0),
    "fdatasync": (75, "file", 0),
    "flock": (73, "file", 0),
}
NAMES = {number: name for name, (number, _, _) in CALLS.items()}
# The argument that names what a file is going to be called.
NEW_NAMES = {"rename": 1, "renameat2": 3, "link": 1, "linkat": 3}

RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
# The lock of an output is named by a hash of its path, which may hold a run id.
OUTPUT_LOCK = re.compile(r"(?<=state/locks/outputs/)[0-9a-f]{32}")
# How /proc shows a file that was made without a name: by its inode, which is another in each run.
UNNAMED = re.compile(r"/#\d+ \(deleted\)$")

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
TRACEME, CONT, GETREGS, SETREGS, SETOPTIONS, GETEVENTMSG = 0, 7, 12, 13, 0x4200, 0x4201
OPTIONS = 0x02 | 0x04 | 0x08 | 0x10 | 0x80 | 0x100000  # forks, clones, execs, seccomp; and dies with its tracer
SECCOMP_EVENT = 7
NEW_TASK_EVENTS = (1, 2, 3)  # fork, vfork, clone
WALL = 0x40000000
# Places in user_regs_struct.
RAX, ORIG_RAX, ARGUMENTS = 10, 15, (14, 13, 12, 7, 9, 8)


class Call:
    """A system call that is about to be made."""

    def __init__(self, tid, registers, root):
        self.name = NAMES[registers[ORIG_RAX]]
        self.arguments = [registers[at] for at in ARGUMENTS]
        _, kind, at = CALLS[self.name]
        self.tid = tid
        self.path = self._open_file(at) if kind == "file" else self._path(at)
        self.new_path = self._path(NEW_NAMES[self.name]) if self.name in NEW_NAMES else None
        self.root = root

    def _open_file(self, at):
        try:
            return os.readlink(f"/proc/{self.tid}/fd/{self.arguments[at]}")
        except FileNotFoundError:
            return ""

    def _path(self, at):
        try:
            with open(f"/proc/{self.tid}/mem", "rb", buffering=0) as memory:
                text = os.pread(memory.fileno(), 4096, self.arguments[at])
            path = os.fsdecode(text.split(b"\0")[0])
            return os.path.join(os.readlink(f"/proc/{self.tid}/cwd"), path)
        except (FileNotFoundError, ProcessLookupError):
            # The process ended meanwhile, by another thread: a call that is never made.
            return ""

    def is_below(self):
        return self.path == self.root or self.path.startswith(f"{self.root}/")

    def creates(self):
        return self.name == "openat" and self.arguments[2] & os.O_CREAT != 0

    def opens_unnamed(self):
        """Whether it makes a file without a name, in the directory that is its path."""
        return self.name == "openat" and self.arguments[2] & os.O_TMPFILE == os.O_TMPFILE

    def is_on_scratch(self):
        """Whether it is about a scratch file, with or without a name."""
        return self.opens_unnamed() or UNNAMED.search(self.path) is not None or ".spool" in self.path

    def __str__(self):
        paths = [path for path in (self.path, self.new_path) if path is not None]
        shown = " -> ".join(UNNAMED.sub("/a file without a name", os.path.relpath(path, self.root)) for path in paths)
        return f"{self.name}{' unnamed in' * self.opens_unnamed()} {OUTPUT_LOCK.sub('OUTPUT', RUN_ID.sub('RUNID', shown))}"


class Ended:
    """How a traced process ended: `status` is its exit status, or 128 and the signal that killed it."""

    def __init__(self, status, calls, stdout, stderr):
        self.status, self.calls, self.stdout, self.stderr = status, calls, stdout, stderr


def trace(command, root, decide=lambda number, call: None, cwd=None, env=None, started=lambda process: None):
    """Runs `command`, and tells `started` its process. Before each call on a file below `root`, calls `decide` with its number, from 1, and the call:
    None lets it be made, KILL kills the process, HALF writes half of it, and a number is the error it fails with.
    While `decide` works, the thread stands still."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        leader = os.fork()
        if leader == 0:
            _child(command, cwd, env, stdout, stderr)
        os.waitpid(leader, 0)
        _ptrace(SETOPTIONS, leader, 0, OPTIONS)
        _ptrace(CONT, leader, 0, 0)
        started(leader)
        calls, status = _follow(leader, str(root), decide)
        stdout.seek(0), stderr.seek(0)
        return Ended(status, calls, stdout.read(), stderr.read().decode())


def _child(command, cwd, env, stdout, stderr):
    try:
        os.setpgid(0, 0)
        if cwd is not None:
            os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout.fileno(), 1), os.dup2(stderr.fileno(), 2)
        _ptrace(TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        _filter()
        os.execve(command[0], [os.fspath(part) for part in command], env if env is not None else os.environ)
    finally:
        os._exit(127)


def _filter():
    """Has the kernel stop at the calls of CALLS alone."""
    numbers = [number for number, _, _ in CALLS.values()]
    code = [(0x20, 0, 0, 0)]
    code += [(0x15, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    code += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x7FF00000)]
    program = b"".join(struct.pack("HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buffer))
    for arguments in ((38, 1, 0, 0, 0), (22, 2, ctypes.create_string_buffer(header, len(header)), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def _ptrace(request, tid, address, data):
    if libc.ptrace(request, tid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def _follow(leader, root, decide):
    calls, status, known, killed = [], None, {leader}, False
    # A command that the process starts has its own process group, and may outlive it: every thread is waited for.
    alive = {leader}
    while alive:
        tid, stop = os.waitpid(-1, WALL)
        if not os.WIFSTOPPED(stop):
            alive.discard(tid)
            if tid == leader:
                status = 128 + os.WTERMSIG(stop) if os.WIFSIGNALED(stop) else os.WEXITSTATUS(stop)
            continue
        alive.add(tid)
        sent = os.WSTOPSIG(stop)
        try:
            if stop >> 16 == SECCOMP_EVENT and not killed:
                killed = _at_call(leader, tid, root, decide, calls)
                sent = 0
            elif stop >> 16 or (sent == signal.SIGSTOP and tid not in known):
                # An event, or a thread that begins.
                sent = 0
                if stop >> 16 in NEW_TASK_EVENTS:
                    alive.add(_new_task(tid))
            known.add(tid)
            _ptrace(CONT, tid, 0, sent)
        except ProcessLookupError:
            # Killed meanwhile, with the whole process.
            pass
    return calls, status


def _new_task(tid):
    message = ctypes.c_ulong()
    _ptrace(GETEVENTMSG, tid, 0, ctypes.addressof(message))
    return message.value


def _at_call(leader, tid, root, decide, calls):
    buffer = ctypes.create_string_buffer(27 * 8)
    _ptrace(GETREGS, tid, 0, ctypes.addressof(buffer))
    registers = list(struct.unpack("27Q", buffer.raw))
    call = Call(tid, registers, root)
    if not call.is_below():
        return False
    calls.append(call)
    decision = decide(len(calls), call)
    if decision == KILL:
        os.kill(leader, signal.SIGKILL)
        return True
    if decision == HALF:
        registers[ARGUMENTS[2]] //= 2
    elif decision is not None:
        # A call without a number is not made; what it gives is what stands here.
        registers[ORIG_RAX], registers[RAX] = 2**64 - 1, 2**64 - decision
    if decision is not None:
        ctypes.memmove(buffer, struct.pack("27Q", *registers), 27 * 8)
        _ptrace(SETREGS, tid, 0, ctypes.addressof(buffer))
    return False
