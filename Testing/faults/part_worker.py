"""Part "worker": the worker process and its client, each with the other killed, stopped, or talking nonsense.

Every request has an end: the right masks, `Cancelled`, or a sentence; the next request is answered rightly; and no
process is left.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from attacks import LATE
from fault_tally import Fault, Harm, Tally
from forked import Raised, forked, limit_memory, orphans
from forked_worker import COMMAND, ForkedTransport
from mutators import ABSURD, damaged

from MedSAMSegmentLib.errors import Cancelled, MedSAMError, WorkerError
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.worker import main as worker_main
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.frames import FrameParser, encode_frame
from MedSAMSegmentLib.worker.protocol import Hello, OpenVolume, Propagate, SegmentSlice, VolumePart, request_payload
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

PART = "worker"
VOLUME = np.full((8, 20, 24), -5, np.int16)
VOLUME[2:7, 4:10, 6:14] = 100
BOX = Box(i=(4, 15), j=(2, 12), k=(2, 6))
WANTED = VOLUME > 0
ENDS = (0, 3, 4)
"""Exit statuses by which a worker may end when its requests make no sense."""


def run(numbers: Iterator[int], seed: int, tally: Tally) -> None:
    names = tuple(SCENES)
    for number in numbers:
        rng = random.Random(f"{seed}:{PART}:{number}")
        target, kind = names[number % len(names)]
        fault = Fault(PART, kind, target, number)
        scene = SCENES[target, kind]
        _judge(fault, partial(scene, rng), tally)


def _judge(fault: Fault, scene: Callable[[], str], tally: Tally) -> None:
    with forked(scene) as child:
        if not child.wait(LATE):
            child.kill()
            tally.found(fault, Harm.ENDLESS, child.output)
        answer = child.answer
        killed = fault.kind == CLIENT_KILLED and child.status == -signal.SIGKILL
        if isinstance(answer, Raised):
            harm = Harm.WRONG if answer.kind == "AssertionError" else Harm.UNCLEAR
            tally.found(fault, harm, f"{answer!r} {answer.trace}")
        elif child.status != 0 and not killed:
            tally.found(fault, Harm.UNCLEAR, f"{child.status} {child.output}")
        elif "Traceback" in child.output:
            tally.found(fault, Harm.UNCLEAR, child.output)
    left = orphans()
    if left:
        tally.found(fault, Harm.ORPHAN, "; ".join(left))
    tally.add(fault, answer if isinstance(answer, str) else "killed" if killed else "harmed")


class _Bench:
    """A client whose first worker is prepared for harm; those after it are sound."""

    def __init__(self, prepare: Callable[[], None] = lambda: None, **options: Any) -> None:
        harm = itertools.chain([prepare], itertools.repeat(lambda: None))
        self.transports: list[ForkedTransport] = []

        def transport() -> ForkedTransport:
            self.transports.append(ForkedTransport(next(harm)))
            return self.transports[-1]

        self.client = WorkerClient(lambda: COMMAND, transport, **{"grace_seconds": 0.3, **options})
        self.volume = RemoteVolume(self.client, "any", VOLUME)

    def run(
        self, on_slice: Callable[[Any], None] | None = None, cancel_at: int = -1, seconds: float | None = LATE
    ) -> str:
        """Propagate once; return how that ended. Raises what is no `MedSAMError`, AssertionError for a wrong mask."""
        slices = itertools.count()

        def seen(result: Any) -> None:
            number = next(slices)
            if on_slice is not None:
                on_slice(number)
            if number == cancel_at:
                self.client.cancel(pending)

        pending = self.volume.propagate([BOX], on_slice=seen, slice_range=(0, len(VOLUME) - 1))
        try:
            result = self.client.wait(pending, seconds)
        except Cancelled:
            return "cancelled"
        except MedSAMError as error:
            assert not self.client.busy, "a request without an end"
            if not error.message or not error.cure:
                raise RuntimeError(f"no cure: {error!r}") from error
            return "refused"
        assert np.array_equal(result.mask > 0, WANTED), "another mask"
        return "done"

    def end(self) -> None:
        """The next request is answered rightly, by a new worker if need be; then all is closed."""
        try:
            preview = self.client.wait(self.volume.segment_slice(0, 4, BOX), LATE)
        except WorkerError:  # it was sent to a worker that was just being killed
            preview = self.client.wait(self.volume.segment_slice(0, 4, BOX), LATE)
        assert np.array_equal(preview.mask, WANTED[4]), "another mask in the next request"
        self.client.close()

    def signal_first(self, number: int) -> None:
        """Send a signal to the first worker, as long as it lives."""
        if self.transports and self.transports[0].exit_status is None:
            os.kill(self.transports[0].pid, number)

    def later(self, seconds: float, number: int) -> None:
        """Send it a signal later on, if all is not over by then."""
        timer = threading.Timer(seconds, self.signal_first, (number,))
        timer.daemon = True
        timer.start()


def _worker_signalled(rng: random.Random, *, number: int) -> str:
    """Send a signal to the worker at a slice, or at any time before the first."""
    at, bench = rng.randrange(-4, 8), _Bench()
    cancel_at = -1 if number == signal.SIGKILL else rng.randrange(8)
    if at < 0:
        bench.client.prepare()
        bench.later(rng.uniform(0, 0.05), number)
        if number == signal.SIGSTOP:
            bench.later(0.3, signal.SIGCONT)

    def on_slice(count: int) -> None:
        if count == at:
            bench.signal_first(number)
            if number == signal.SIGSTOP:
                bench.later(rng.uniform(0, 0.2), signal.SIGCONT)

    ended = bench.run(on_slice, cancel_at)
    bench.end()
    return ended


def _stopped_for_good(rng: random.Random) -> str:
    """Stop the worker and cancel: it must be killed after the grace."""
    bench, at = _Bench(), rng.randrange(6)
    ended = bench.run(lambda count: count == at and bench.signal_first(signal.SIGSTOP), at)
    assert ended in ("cancelled", "done"), ended
    # The answer may have left before the worker stopped: nothing was killed then, and cancelling again does it.
    pending = bench.volume.segment_slice(0, 4, BOX)
    bench.client.cancel(pending)
    with contextlib.suppress(Cancelled):
        bench.client.wait(pending, LATE)
    bench.end()
    return ended


def _damaged_answers(rng: random.Random) -> str:
    """Damage one of the pieces that the worker writes."""
    at, mutation = rng.randrange(30), random.Random(rng.random())

    def prepare() -> None:
        plain, pieces = worker_main.write_all, itertools.count()

        def write(fd: int, data: bytes | memoryview) -> None:
            content = bytes(data)
            if next(pieces) == at:
                content = damaged(content, mutation, b"Welcome!\n").content
            plain(fd, content)

        worker_main.write_all = write

    bench = _Bench(prepare, hello_seconds=1.0)
    # A message that was cut leaves the client waiting for the rest of it: that is what cancelling is for.
    bench.later(1.5, signal.SIGKILL)
    try:
        ended = bench.run()
    except AssertionError as error:
        # Bits of a mask have no checksum: a pipe does not turn them.
        if str(error) != "another mask":
            raise
        ended = "unseen"
    bench.client.close()
    fresh = _Bench()
    fresh.end()
    return ended


def _cut_answers(rng: random.Random) -> str:
    """Close the worker's output in the middle of a message; it lives on, or ends."""
    most, lives = rng.randrange(2000), rng.random() < 0.5

    def prepare() -> None:
        plain, left = worker_main.write_all, [most]

        def write(fd: int, data: bytes | memoryview) -> None:
            plain(fd, data[: left[0]])
            left[0] -= len(data)
            if left[0] <= 0:
                os.close(fd)
                time.sleep(60 if lives else 0)
                os._exit(rng.choice((0, 1, 3, 139)))

        worker_main.write_all = write

    bench = _Bench(prepare)
    ended = bench.run()
    assert ended == "refused" or most > 1000, ended
    bench.end()
    return ended


def _little_memory(rng: random.Random) -> str:
    more = int(10 ** rng.uniform(3.0, 7.0))
    bench = _Bench(lambda: limit_memory(more), hello_seconds=2.0)
    bench.later(4.0, signal.SIGKILL)
    ended = bench.run()
    bench.client.close()
    return ended


def _clock_jumps(rng: random.Random) -> str:
    """Let the client's clock jump ahead, as after the machine slept."""
    ahead = itertools.accumulate(rng.choice((0, 0, 0, 0.01, 1, 3600)) for _ in itertools.count())
    bench = _Bench(clock=lambda: time.monotonic() + next(ahead), hello_seconds=60.0, idle_seconds=rng.choice((None, 5)))
    try:
        ended = bench.run(cancel_at=rng.choice((-1, 2)), seconds=None)
    finally:
        bench.client.close()
    return ended


CLIENT_KILLED = "client killed"


def _client_killed(rng: random.Random) -> str:
    """Kill the client itself: the worker must end by itself."""
    bench, at = _Bench(), rng.randrange(-4, 8)
    if at < 0:
        threading.Timer(rng.uniform(0, 0.03), os.kill, (os.getpid(), signal.SIGKILL)).start()
    bench.run(lambda count: count == at and os.kill(os.getpid(), signal.SIGKILL))
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)
    return "not killed"


def conversation() -> list[list[bytes]]:
    """The frames of a whole conversation: hello, volume, preview, run."""
    requests = (
        Hello(),
        OpenVolume(1, "any", VOLUME.shape, "int16", value_range=(-5.0, 100.0)),
        VolumePart(1, VOLUME.shape, (0, 0, 0), VOLUME),
        SegmentSlice(1, 0, 4, [BOX]),
        Propagate(1, [[BOX]], {"axis": 0}),
    )
    frames = [encode_frame(*request_payload(request, number)) for number, request in enumerate(requests)]
    return [[bytes(piece) for piece in frame] for frame in frames]


def _talk(content: bytes) -> tuple[int | None, list[Any]]:
    """Send bytes to a worker, close its input, and return its exit status and what it answered."""
    transport = ForkedTransport()
    transport.start(COMMAND)
    transport.write([content])
    transport.close_input()
    parser, answers, until = FrameParser(), [], time.monotonic() + LATE
    while not transport.at_end:
        assert time.monotonic() < until, "a worker without an end"
        answers += list(parser.iter_feed(transport.read()))
        transport.wait(0.05)
    assert transport.reap(LATE), "a worker without an end"
    parser.finish()
    assert "Traceback" not in transport.error_text, transport.error_text
    return transport.exit_status, answers


def _damaged_requests(rng: random.Random) -> str:
    content = b"".join(itertools.chain.from_iterable(conversation()))
    status, answers = _talk(damaged(content, rng, b"GET / HTTP/1.1\r\n\r\n").content)
    return _check_talk(status, answers)


def _absurd_requests(rng: random.Random) -> str:
    """Send well-formed messages with absurd fields between sound ones."""
    frames = conversation()
    victim = rng.randrange(1, len(frames))
    head = json.loads(frames[victim][0][4:])
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(sorted(head))
        head[name] = rng.choice((*ABSURD, None, True, "", "x" * 1000, [], {}, [[]], -1.5, 1e308, [1, 2, 3], {"a": 1}))
    text = json.dumps(head).encode()
    frames[victim][0] = len(text).to_bytes(4, "big") + text
    status, answers = _talk(b"".join(itertools.chain.from_iterable(frames)))
    return _check_talk(status, answers)


def _check_talk(status: int | None, answers: list[Any]) -> str:
    assert status in ENDS, f"exit status {status}"
    kinds = [frame.header.get("kind") for frame in answers]
    for frame in answers:
        if frame.header.get("kind") == "error" and frame.header.get("code") != Cancelled.code:
            if not frame.header["message"] or not frame.header["cure"]:
                raise RuntimeError(f"no cure: {frame.header}")
            if "The run failed" in frame.header["message"]:
                raise RuntimeError(f"not foreseen: {frame.header}")
    return "refused" if "error" in kinds or status else "done"


SCENES: dict[tuple[str, str], Callable[[random.Random], str]] = {
    ("client", "worker killed"): partial(_worker_signalled, number=signal.SIGKILL),
    ("client", "worker stopped, then continued"): partial(_worker_signalled, number=signal.SIGSTOP),
    ("client", "worker stopped for good"): _stopped_for_good,
    ("client", "answers damaged"): _damaged_answers,
    ("client", "answers cut"): _cut_answers,
    ("client", "limit on the worker's memory"): _little_memory,
    ("client", "clock that jumps"): _clock_jumps,
    ("worker", CLIENT_KILLED): _client_killed,
    ("worker", "requests damaged"): _damaged_requests,
    ("worker", "absurd requests"): _absurd_requests,
}
