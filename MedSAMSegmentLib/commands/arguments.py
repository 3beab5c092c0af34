"""Arguments of the command line: coordinates of either count, paths that say something, errors of one line."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..errors import UsageError

COORDINATES = ("--box", "--box-mm", "--point", "--negative-point", "--line")
"""Options whose count of numbers depends on the image: two axes or three."""

MOST_COORDINATES = 6


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, with the option in question."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message[:1].upper()}{message[1:]}.", f"{self._near(message)}See {self.prog} --help.")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, coordinates of one option taken together. Raises `UsageError`."""
        return super().parse_known_args(args if args is None else joined_coordinates(args), namespace)

    def _near(self, message: str) -> str:
        """Return what an option that does not exist may have been meant for."""
        if not message.startswith("unrecognized arguments"):
            return ""
        known = [option for parser in self._parsers() for option in parser._option_string_actions]
        words = [word.split("=")[0] for word in message.split() if word.startswith("--")]
        found = [near for word in words for near in difflib.get_close_matches(word, known, 1)]
        return f"Did you mean {found[0]}? " if found else ""

    def _parsers(self) -> list[argparse.ArgumentParser]:
        children = (action.choices.values() for action in self._actions if isinstance(action.choices, dict))
        return [self, *(parser for group in children for parser in group)]


class AppendPrompt(argparse.Action):
    """Keeps prompts of all kinds in one list, in the order given."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        prompts = list(getattr(namespace, "prompts", None) or [])
        prompts.append((self.const, values))
        namespace.prompts = prompts


def joined_coordinates(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the numbers after each of `COORDINATES` in one, as many as there are up to six: an
    image's name may follow them."""
    joined: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word not in COORDINATES:
            joined.append(word)
            continue
        numbers: list[str] = []
        while words and len(numbers) < MOST_COORDINATES and _is_number(words[0]):
            numbers.append(words.pop(0))
        joined.append(f"{word}={' '.join(numbers)}")
    return joined


def coordinates(*counts: int) -> Callable[[str], list[float]]:
    """Return a type of argument: that many numbers, or that many."""

    def parse(text: str) -> list[float]:
        words = text.replace(",", " ").split()
        wanted = " or ".join(map(str, counts))
        if len(words) not in counts:
            raise argparse.ArgumentTypeError(f"{len(words)} numbers were given, it takes {wanted}")
        try:
            return [float(word) for word in words]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted} numbers") from error

    return parse


def path(text: str) -> str:
    """Return the argument; an empty one, as from a variable that is not set, is an error."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def frame(text: str) -> int | str:
    """Return a frame's number, or "all"."""
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor 'all'") from error


def count(text: str) -> int:
    """Return a number of things, one at least."""
    return _whole(text, 1)


def tries(text: str) -> int:
    """Return a number of things, which may be none."""
    return _whole(text, 0)


def minutes(text: str) -> float:
    """Return a time in minutes, longer than none."""
    if not _is_number(text) or not 0 < float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes")
    return float(text)


def shard(text: str) -> tuple[int, int]:
    """Return which part, from 1, of how many."""
    first, slash, last = text.partition("/")
    if not slash or not first.isdecimal() or not last.isdecimal() or not 1 <= int(first) <= int(last):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard; the second of four is 2/4")
    return (int(first), int(last))


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}")
    return int(text)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
