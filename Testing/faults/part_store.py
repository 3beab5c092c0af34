"""Part "store": the folder of checkpoints, with a server that fails, attacks on the process, and damaged files.

Whatever happens, a checkpoint under its own name is the right one or not there, "ready" is true, and the next pull
brings everything in order.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import filelock  # noqa: F401 - imported once for all children
import requests  # noqa: F401
from attacks import FULL, LATE, Job, attack, judge, measured, possible_kinds
from fault_tally import Fault, Harm, Tally
from forked import Raised, fast_folder, forked, orphans, run_forked
from mutators import damaged
from unreliable_server import address_of, unreliable_server

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.https_source import HttpsFetcher
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.errors import Cancelled
from MedSAMSegmentLib.registry import ModelEntry, Source

PART = "store"
CONTENT = random.Random(5).randbytes(90_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NETWORK = (
    "connection cut", "connection reset", "server falls silent", "errors of the server", "other content",
    "file replaced in between", "wrong part sent", "no length announced", "redirected",
)  # fmt: skip
TWO_AT_ONCE, STOPPED_OTHER, DAMAGED = "two processes at once", "another process stopped with the lock", "damaged files"


MOST_WRONGS = 4
"""Wrong answers of the server at most."""


@dataclass(frozen=True)
class Place:
    """The store's folder, a file to import, and the server's port and process."""

    folder: Path
    file: Path
    port: int
    server: int

    def entry(self, number: object, wrongs: Sequence[Mapping[str, Any]] = ()) -> ModelEntry:
        return replace(
            registry.get("lite_medsam"), id="toy", title="Toy", file_name="toy.pth", parameters=len(CONTENT) // 4,
            size_bytes=len(CONTENT), sha256=SHA256, md5=None,
            sources=(Source("https", address_of(self.port, f"f{number}", wrongs)),),
        )  # fmt: skip

    def store(self) -> CheckpointStore:
        fetcher = HttpsFetcher(attempts=3, wait=lambda *_: None, timeout=(20.0, 0.4), allow_loopback_http=True)
        return CheckpointStore(self.folder, fetchers={"https": fetcher})


def run(numbers: Iterator[int], seed: int, tally: Tally) -> None:
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    with (
        tempfile.TemporaryDirectory(prefix="medsam-faults-", dir=fast_folder()) as root,
        unreliable_server(CONTENT) as (port, server),
    ):
        os.chmod(root, 0o755)
        os.environ["MEDSAM_CACHE_DIR"] = str(Path(root) / "cache")
        place = Place(Path(root) / "models", Path(root) / "given.pth", port, server)
        place.file.write_bytes(CONTENT)
        actions: dict[str, Callable[[ModelEntry], Any]] = {
            "pull": lambda entry: place.store().pull(entry) and None,
            "import": lambda entry: place.store().import_file(entry, place.file) and None,
            "verify": lambda entry: place.store().verify(entry) and None,
            "remove": lambda entry: place.store().remove(entry) and None,
        }
        jobs = {}
        for name, action in actions.items():
            _lay_out(place, with_file=name in ("verify", "remove"))
            jobs[name] = measured(place.folder, partial(action, place.entry(f"m{name}")))
        attacks = [(name, kind) for kind in possible_kinds(tally) for name in actions]
        others = [("pull", kind) for kind in (*NETWORK, TWO_AT_ONCE, STOPPED_OTHER, DAMAGED)]
        for number in numbers:
            rng = random.Random(f"{seed}:{PART}:{number}")
            turn = number // 2
            target, kind = attacks[turn % len(attacks)] if number % 2 else others[turn % len(others)]
            fault = Fault(PART, kind, target, number)
            if number % 2:
                _attack(place, fault, replace(jobs[target], work=actions[target]), rng, tally)
            else:
                _trouble(place, fault, rng, tally)


def _lay_out(place: Place, *, with_file: bool) -> None:
    shutil.rmtree(place.folder, ignore_errors=True)
    place.folder.mkdir()
    os.chmod(place.folder, 0o777)
    if with_file:
        place.store().import_file(place.entry("x"), place.file)
        for path in place.folder.iterdir():
            os.chmod(path, 0o666)


def _attack(place: Place, fault: Fault, job: Job, rng: random.Random, tally: Tally) -> None:
    """Attack a process; the work of `job` takes the checkpoint's entry."""
    _lay_out(place, with_file=fault.target in ("verify", "remove"))
    entry = place.entry(fault.number)
    ending = attack(replace(job, work=partial(job.work, entry)), fault.kind, rng, partial(_look, place, entry))
    done = judge(ending, fault, tally, frozenset((place.server,)))
    _judge_state(fault, ending.seen, tally)
    tally.add(fault, "killed" if ending.was_killed else "done" if done else "refused")
    if fault.kind != FULL:
        _recover(place, entry, fault, tally)


def _look(place: Place, entry: ModelEntry) -> tuple[str, bool | None]:
    """Return the state that the store tells, and whether the content is right; None where there is no file."""
    path = place.store().path(entry)
    return place.store().state(entry), path.read_bytes() == CONTENT if path.exists() else None


def _judge_state(fault: Fault, seen: Any, tally: Tally) -> None:
    if seen is None:
        tally.found(fault, Harm.UNCLEAR, "nothing was seen")
        return
    state, right = seen
    if right is False:
        tally.found(fault, Harm.HALF, f"the checkpoint is not whole, its state {state}")
    if state == "ready" and not right:
        tally.found(fault, Harm.WRONG, "ready, and it is not")


def _recover(place: Place, entry: ModelEntry, fault: Fault, tally: Tally) -> None:
    """Pull again, in processes of their own, until the server's answers are right: everything must be in order then."""
    for tries_left in range(MOST_WRONGS, -1, -1):
        try:
            run_forked(lambda: place.store().pull(entry) and None, LATE)
            break
        except RuntimeError as error:
            if not tries_left:
                tally.found(fault, Harm.WRONG, f"the next pull: {error}")
                return
    state, right = _look(place, entry)
    if not right or state != "ready":
        tally.found(fault, Harm.WRONG, f"after the next pull: {state}, right: {right}")


def _trouble(place: Place, fault: Fault, rng: random.Random, tally: Tally) -> None:
    """Inject what needs no attack on the process: a network that fails, two processes, damaged files."""
    _lay_out(place, with_file=fault.kind == DAMAGED)
    wrongs = _wrongs(fault.kind, rng, place.port)
    entry = place.entry(fault.number, wrongs)
    if fault.kind == DAMAGED:
        _damage(place, entry, rng)
    if fault.kind == STOPPED_OTHER:
        _pull_beside_a_stopped_one(place, entry, fault, rng, tally)
        ending = "cancelled"
    else:
        ending = _pull(place, entry, fault, tally, processes=2 if fault.kind == TWO_AT_ONCE else 1)
        if fault.kind != DAMAGED or ending == "done":
            _judge_state(fault, _look(place, entry), tally)
    tally.add(fault, ending)
    _recover(place, entry, fault, tally)


def _pull(place: Place, entry: ModelEntry, fault: Fault, tally: Tally, processes: int) -> str:
    """Pull in as many processes at once; return how they ended."""
    ended = "done"
    children = [forked(lambda: place.store().pull(entry) and None) for _ in range(processes)]
    opened = [child.__enter__() for child in children]
    try:
        for child in opened:
            if not child.wait(LATE):
                tally.found(fault, Harm.ENDLESS, child.output)
            elif child.status != 0 or (isinstance(child.answer, Raised) and not child.answer.is_clear):
                tally.found(fault, Harm.UNCLEAR, f"{child.status} {child.answer!r} {child.output}")
            elif isinstance(child.answer, Raised):
                ended = "refused"
                if processes > 1:
                    tally.found(fault, Harm.WRONG, f"with a sound server: {child.answer!r}")
    finally:
        for context in children:
            context.__exit__(None, None, None)
    left = orphans(frozenset((place.server,)))
    if left:
        tally.found(fault, Harm.ORPHAN, "; ".join(left))
    return ended


def _pull_beside_a_stopped_one(place: Place, entry: ModelEntry, fault: Fault, rng: random.Random, tally: Tally) -> None:
    """Stop one process in the middle of its download; another waits for it, and can be cancelled; the first goes on."""
    seen = rng.randrange(1, len(CONTENT))

    def stop_in_the_middle(done: int, total: int | None) -> None:
        if done >= seen:
            os.kill(os.getpid(), signal.SIGSTOP)

    asked = iter(range(3))
    waits = partial(next, asked, None)
    with forked(lambda: place.store().pull(entry, progress=stop_in_the_middle) and None) as holder:
        if not holder.wait(LATE, until_stopped=True) or not holder.stopped:
            tally.found(fault, Harm.UNCLEAR, f"it was not stopped: {holder.answer!r}")
            return
        with forked(lambda: place.store().pull(entry, cancel=lambda: waits() is None) and None) as waiting:
            if not waiting.wait(LATE):
                tally.found(fault, Harm.ENDLESS, "a second process waits, and cannot be cancelled")
            elif not isinstance(waiting.answer, Raised) or waiting.answer.kind != Cancelled.__name__:
                tally.found(fault, Harm.WRONG, f"two processes in one folder: {waiting.answer!r}")
        _judge_state(fault, _look(place, entry), tally)
        while holder.status is None:
            holder.signal(signal.SIGCONT)
            if not holder.wait(LATE, until_stopped=True):
                tally.found(fault, Harm.ENDLESS, "it does not go on after it was stopped")
                return
        if holder.status != 0 or holder.answer is not None:
            tally.found(fault, Harm.UNCLEAR, f"{holder.status} {holder.answer!r}")


def _damage(place: Place, entry: ModelEntry, rng: random.Random) -> None:
    """Damage one of the files of the folder: weights, record, lock, a part and what is known of it."""
    part = place.folder / "toy.pth.download.part"
    part.write_bytes(CONTENT[: rng.randrange(len(CONTENT))])
    about = f'{{"address": "{entry.sources[0].address}", "etag": "\\"v1\\""}}'
    part.with_name(part.name + ".json").write_text(about)
    victim = rng.choice(sorted(place.folder.iterdir()))
    victim.write_bytes(damaged(victim.read_bytes(), rng, CONTENT[:3000]).content)
    if rng.random() < 0.6 and victim.name != "toy.pth":
        (place.folder / "toy.pth").unlink()


def _wrongs(kind: str, rng: random.Random, port: int) -> list[dict[str, Any]]:
    """Return what is wrong with the first answers."""
    place = rng.randrange(len(CONTENT))
    count = rng.randint(1, MOST_WRONGS)
    again = [{"status": 302, "location": address_of(port, "r", ())}] * 3
    locations = (address_of(port, "r", ()), address_of(port, f"r{place}", again), "file:///etc/passwd", "http://[", "")
    wrongs: dict[str, Callable[[], dict[str, Any]]] = {
        "connection cut": lambda: {"drop": rng.randrange(len(CONTENT))},
        "connection reset": lambda: {"drop": rng.randrange(len(CONTENT)), "reset": True},
        "server falls silent": lambda: rng.choice(({"silent": True}, {"drop": place, "hang": True})),
        "errors of the server": lambda: {"status": rng.choice((400, 401, 403, 404, 407, 416, 429, 500, 502, 503, 504))},
        "other content": lambda: {"content": rng.choice(("page", "other", "longer", "shorter", "empty"))},
        "file replaced in between": lambda: rng.choice(
            ({"drop": place}, {"etag": '"v2"', "content": "other", "drop": place}, {"etag": 'W/"v3"', "drop": place})
        ),
        "wrong part sent": lambda: rng.choice(({"drop": place}, {"range": rng.choice((-1, 1, 5000))})),
        "no length announced": lambda: {"no_length": True, "drop": place},
        "redirected": lambda: {"status": rng.choice((302, 307)), "location": rng.choice(locations)},
        TWO_AT_ONCE: lambda: {"pause": 0.005},
    }
    if kind not in wrongs:
        return []
    return [wrongs[kind]() for _ in range(count)]
