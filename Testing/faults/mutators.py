"""Damage done to bytes: seeded, of the kinds that disks, copies, editors and networks do."""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

ABSURD = (0, 1, -1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, 1 << 62)
ABSURD_WORDS = (
    b"-1", b"0", b"1", b"3", b"7", b"99999999", b"4294967295", b"9223372036854775807", b"1e308", b"1e999", b"-0.0",
    b"nan", b"inf", b"", b"null", b"true", b"[]", b"{}", b'""', b"\xff\xfe", "\u00fc".encode(), b"../../etc/passwd",
    b"%s%n", b"\0", b"[[[[[[", b"1" * 400,
)  # fmt: skip
_WORD = re.compile(rb"[A-Za-z0-9_.+-]+")


@dataclass(frozen=True)
class Damage:
    """Altered bytes, and the kind of damage; `start` is the first byte that differs."""

    kind: str
    content: bytes
    start: int


def damaged(content: bytes, rng: random.Random, other: bytes = b"") -> Damage:
    """Return the content with one damage of a random kind; `other` is what may be spliced in."""
    kind = rng.choice(tuple(KINDS))
    changed = KINDS[kind](content, rng, other)
    start = bisect_left(
        range(min(len(content), len(changed))), True, key=lambda n: content[: n + 1] != changed[: n + 1]
    )
    return Damage(kind, changed, start)


def _truncated(content: bytes, rng: random.Random, other: bytes) -> bytes:
    if rng.random() < 0.3:
        return content[: max(0, len(content) - rng.randint(1, 16))]
    return content[: rng.randrange(max(len(content), 1))]


def _bits(content: bytes, rng: random.Random, other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[_place(changed, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _bytes(content: bytes, rng: random.Random, other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 16)):
        if changed:
            changed[_place(changed, rng)] = rng.randrange(256)
    return bytes(changed)


def _zeros(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, size = _block(content, rng)
    return content[:start] + bytes(len(content[start : start + size])) + content[start + size :]


def _removed(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, size = _block(content, rng)
    return content[:start] + content[start + size :]


def _doubled(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, size = _block(content, rng)
    return content[: start + size] + content[start:]


def _longer(content: bytes, rng: random.Random, other: bytes) -> bytes:
    return content + rng.randbytes(rng.choice((1, 2, 100, 5000)))


def _garbage(content: bytes, rng: random.Random, other: bytes) -> bytes:
    kept = rng.choice((0, 0, 4, 16, 132, 352))
    return content[:kept] + rng.randbytes(rng.choice((1, 50, 1000, max(len(content) - kept, 1))))


def _empty(content: bytes, rng: random.Random, other: bytes) -> bytes:
    return b""


def _spliced(content: bytes, rng: random.Random, other: bytes) -> bytes:
    cut = rng.randrange(len(content) + 1)
    return content[:cut] + other[rng.randrange(len(other) + 1) :]


def _number(content: bytes, rng: random.Random, other: bytes) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    if len(content) < size:
        return b""
    value = rng.choice(ABSURD) % (1 << 8 * size)
    place = min(_place(content, rng), len(content) - size)
    return content[:place] + value.to_bytes(size, rng.choice(("little", "big"))) + content[place + size :]


def _word(content: bytes, rng: random.Random, other: bytes) -> bytes:
    words = list(_WORD.finditer(content[:8192]))
    if not words:
        return content[:-1]
    word = rng.choice(words)
    return content[: word.start()] + rng.choice(ABSURD_WORDS) + content[word.end() :]


def _place(content: bytes | bytearray, rng: random.Random) -> int:
    """Return a place: half of them in the first 400 bytes, where headers are."""
    most = len(content) if rng.random() < 0.5 else min(len(content), 400)
    return rng.randrange(most)


def _block(content: bytes, rng: random.Random) -> tuple[int, int]:
    return rng.randrange(len(content) + 1), rng.choice((1, 2, 4, 16, 512, 4096))


KINDS: dict[str, Callable[[bytes, random.Random, bytes], bytes]] = {
    "cut off": _truncated,
    "bits turned": _bits,
    "bytes changed": _bytes,
    "block of zeros": _zeros,
    "block lost": _removed,
    "block doubled": _doubled,
    "bytes added": _longer,
    "garbage": _garbage,
    "empty": _empty,
    "two files mixed": _spliced,
    "absurd number": _number,
    "absurd word": _word,
}
