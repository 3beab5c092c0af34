"""Actions in forked children of a process that has imported everything: a fault costs milliseconds.

The parent adopts what its children leave behind (PR_SET_CHILD_SUBREAPER), so that no orphan goes unseen. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from MedSAMSegmentLib.errors import Cancelled, MedSAMError

PR_SET_CHILD_SUBREAPER = 36
ORPHAN_SECONDS = 20.0
"""Time in which all that is left of a run must end by itself."""

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
NOBODY = 65534

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Let this process be the parent of what its descendants leave behind."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class Forked:
    """A forked child that runs an action. `output` is what it and its children print."""

    def __init__(self, action: Callable[[], Any]) -> None:
        # A pipe takes what is printed where no file may grow.
        self._output, print_end = os.pipe()
        self._answer, write_end = os.pipe()
        self.status: int | None = None
        """The exit status once it has ended; the negative number of the signal that ended it."""
        self.stopped = False
        self._read = {self._answer: b"", self._output: b""}
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._answer)
            _be_child(action, write_end, print_end)
        os.close(write_end)
        os.close(print_end)
        for end in self._read:
            os.set_blocking(end, False)

    def wait(self, seconds: float, *, until_stopped: bool = False) -> bool:
        """Return whether it has ended (or, where asked, is stopped) within `seconds`."""
        until, pause = time.monotonic() + seconds, 0.0005
        while not self._poll() and not (until_stopped and self.stopped):
            if time.monotonic() > until:
                return False
            self._drain()
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)
        return True

    def signal(self, number: int) -> None:
        if self.status is None:
            os.kill(self.pid, number)
            if number == signal.SIGCONT:
                self.stopped = False

    def kill(self) -> None:
        """Kill it and wait for its end."""
        self.signal(signal.SIGKILL)
        self.wait(60.0)

    @property
    def answer(self) -> Any:
        """The answer of the action; None when it did not come so far. `Raised` for what it raised."""
        self._drain()
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            return pickle.loads(self._read[self._answer])
        return None

    @property
    def output(self) -> str:
        self._drain()
        return self._read[self._output].decode("utf-8", "replace")

    def close(self) -> None:
        if self.status is None:
            self.kill()
        for end in self._read:
            os.close(end)

    def _drain(self) -> None:
        for end in self._read:
            with contextlib.suppress(BlockingIOError):
                while data := os.read(end, 1 << 16):
                    self._read[end] += data

    def _poll(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                self.stopped = True
            elif pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None


class Raised:
    """An exception of an action: its type's name, its text and its trace."""

    def __init__(self, error: BaseException) -> None:
        self.kind = type(error).__name__
        self.text = str(error)
        self.trace = traceback.format_exc()
        # Where memory ran out the edge has a sentence, whoever raised it.
        said = isinstance(error, MedSAMError) and error.message and error.cure
        self.is_clear = bool(said) or isinstance(error, MemoryError | Cancelled)

    def __repr__(self) -> str:
        return f"{self.kind}: {self.text}"


@contextlib.contextmanager
def forked(action: Callable[[], Any]) -> Iterator[Forked]:
    """Run an action in a child; it is killed at the end of the block if it still lives."""
    child = Forked(action)
    try:
        yield child
    finally:
        child.close()


def run_forked(action: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Return what an action returns in a child. Raises RuntimeError for one that does not end well."""
    with forked(action) as child:
        if not child.wait(seconds) or child.status != 0 or isinstance(child.answer, Raised):
            raise RuntimeError(f"{child.status}: {getattr(child.answer, 'trace', child.answer)}\n{child.output}")
        return child.answer


def orphans(known: frozenset[int] = frozenset(), seconds: float = ORPHAN_SECONDS) -> list[str]:
    """Return the commands of the processes left behind that do not end within `seconds`, and kill them."""
    until, pause = time.monotonic() + seconds, 0.001
    while left := [pid for pid in _children() if pid not in known]:
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > until:
            commands = [_command(pid) for pid in left]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            return commands
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return []


def limit_files(count: int) -> None:
    """Let no file grow beyond `count` bytes, as on a full disk. For children."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, count))


def limit_memory(more: int) -> None:
    """Let the process take `more` bytes of address space and no more. For children."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def mount_small_disk(folder: str, size: int) -> None:
    """Mount a disk of `size` bytes on a folder, seen by this process alone. For children. Raises OSError."""
    user = os.geteuid()
    flags = CLONE_NEWNS if user == 0 else CLONE_NEWNS | CLONE_NEWUSER
    if _libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    private = 1 << 18 | 1 << 14  # MS_PRIVATE | MS_REC
    _libc.mount(b"none", b"/", None, private, None)
    if _libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={size},mode=777".encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def small_disk_trouble() -> str:
    """Return the reason why no small disk can be mounted here; empty when it can."""
    with tempfile.TemporaryDirectory() as folder, forked(lambda: mount_small_disk(folder, 1 << 16)) as child:
        child.wait(30.0)
        return repr(child.answer) if isinstance(child.answer, Raised) else ""


def give_up_superuser() -> None:
    """Become a user to whom closed folders are closed. For children."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def fast_folder() -> str | None:
    """Return a folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _be_child(action: Callable[[], Any], write_end: int, output: int) -> None:
    """Run the action, send its answer and end; nothing of the parent's goes on here."""
    status = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        faulthandler.enable()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            answer = action()
        except Exception as error:  # noqa: BLE001 - the parent judges it
            answer = Raised(error)
        import sys

        sys.stdout.flush()
        sys.stderr.flush()
        os.write(write_end, pickle.dumps(answer))
        status = 0
    finally:
        os._exit(status)


def _children() -> list[int]:
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
            found += map(int, file.read().split())
    return found


def _command(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode("utf-8", "replace")[:300]
    return str(pid)
