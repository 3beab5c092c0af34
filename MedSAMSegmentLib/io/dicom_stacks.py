"""From the frames of a series to stacks, each of which is one volume: slices of one kind, one a place, or in time.

A series may hold slices of several orientations, sizes and kinds (localizers, echoes, b-values), and several images at
each place. What can be told apart becomes stacks of its own; what cannot is refused when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .dicom_frames import Frame, describe_marks

SAME_PLACE_MM = 0.01
SAME_TURN = 1e-2
SAME_SPACING = 1e-3


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames of one kind, place by place along the normal; with `times` > 1, all of the first time point come first.

    `in_time`: the frames follow each other in time at one place. `trouble` says why they are no volume. `label` tells
    the stack from others of its series, `notes` what was left out of it.
    """

    frames: tuple[Frame, ...]
    times: int = 1
    in_time: bool = False
    label: str = ""
    trouble: str = ""
    notes: tuple[str, ...] = ()

    @property
    def slices(self) -> int:
        return len(self.frames) // self.times

    @property
    def is_localizer(self) -> bool:
        return self.frames[0].localizer


def make_stacks(frames: Sequence[Frame], *, cine: bool) -> tuple[Stack, ...]:
    """Return the stacks of a series, the one with most frames first.

    `cine`: frames without places of their own follow each other in time.
    """
    kinds: list[list[Frame]] = []
    for frame in frames:
        for kind in kinds:
            if _alike(kind[0], frame):
                kind.append(frame)
                break
        else:
            kinds.append([frame])
    stacks: list[Stack] = []
    for kind in kinds:
        label = _describe_kind(kind[0], kinds)
        stacks.extend(_labelled(stack, label) for stack in _stacks_of(kind, cine=cine))
    return tuple(sorted(stacks, key=lambda stack: (stack.is_localizer, -len(stack.frames))))


def several_orientations(stacks: Sequence[Stack]) -> bool:
    """Return whether no orientation has more frames than any other: then none is the one that is meant."""
    if len(stacks) < 2 or stacks[0].is_localizer != stacks[1].is_localizer:
        return False
    largest = [stack for stack in stacks if len(stack.frames) == len(stacks[0].frames)]
    return any(not _same_turn(largest[0].frames[0], stack.frames[0]) for stack in largest[1:])


def along_normal(frame: Frame) -> float:
    """Return a frame's place along the normal of its plane in mm."""
    if frame.position is None:
        return 0.0
    if frame.orientation is None:
        return float(frame.position[2])
    return float(np.cross(*frame.orientation) @ frame.position)


def _labelled(stack: Stack, label: str) -> Stack:
    return replace(stack, label=", ".join(part for part in (label, stack.label) if part))


def _alike(a: Frame, b: Frame) -> bool:
    return (
        (a.rows, a.columns, a.colour, a.stack, a.localizer) == (b.rows, b.columns, b.colour, b.stack, b.localizer)
        and (a.position is None) == (b.position is None)
        and _same_turn(a, b)
        and _same_spacing(a, b)
    )


def _same_turn(a: Frame, b: Frame) -> bool:
    if a.orientation is None or b.orientation is None:
        return a.orientation is b.orientation
    return bool(np.abs(a.orientation - b.orientation).max() <= SAME_TURN)


def _same_spacing(a: Frame, b: Frame) -> bool:
    if a.spacing is None or b.spacing is None:
        return a.spacing is b.spacing
    return bool(np.allclose(a.spacing, b.spacing, rtol=SAME_SPACING, atol=0))


def _describe_kind(frame: Frame, kinds: Sequence[Sequence[Frame]]) -> str:
    """Return in words what tells a kind from the other ones."""
    others = [kind[0] for kind in kinds if kind[0] is not frame]
    words = []
    if any(other.localizer != frame.localizer for other in others):
        words.append("localizer" if frame.localizer else "no localizer")
    if any((other.rows, other.columns) != (frame.rows, frame.columns) for other in others):
        words.append(f"{frame.columns} x {frame.rows} pixels")
    if any(not _same_turn(other, frame) for other in others):
        words.append(_plane(frame))
    if any(other.stack != frame.stack for other in others):
        words.append(f"stack {frame.stack or 'without a name'}")
    if any(not _same_spacing(other, frame) for other in others):
        words.append(f"pixels of {' x '.join(f'{v:g}' for v in frame.spacing)} mm" if frame.spacing else "no spacing")
    return ", ".join(words)


def _plane(frame: Frame) -> str:
    if frame.orientation is None:
        return "no orientation"
    normal = np.abs(np.cross(*frame.orientation))
    name = ("sagittal", "coronal", "axial")[int(normal.argmax())]
    return name if normal.max() > 0.99 else f"oblique, nearly {name}"


def _stacks_of(frames: list[Frame], *, cine: bool) -> list[Stack]:
    """Return the stacks of frames of one kind."""
    if frames[0].position is None:
        ordered = sorted(frames, key=lambda f: (f.number, f.path.name, f.index))
        return [Stack(tuple(ordered), in_time=cine and len(ordered) > 1)]
    places = _places(frames)
    if len(places) == len(frames):
        return [Stack(tuple(place[0] for place in places))]
    if len(places) == 1 and not _varying(places, lambda f: f.marks):
        return [Stack(tuple(_in_order_of_time(frames)), in_time=True)]
    return _told_apart(frames, places) or [Stack(tuple(_flat(places)), trouble=_unresolved(frames, places))]


def _unresolved(frames: Sequence[Frame], places: Sequence[Sequence[Frame]]) -> str:
    said = f"holds {len(frames)} slices at {len(places)} places, and no tag tells those of one place apart"
    repeated = [place for place in places if len(place) > 1]
    if len(repeated) == len(places):
        return f"{said}: it runs in time."
    names = dict.fromkeys(frame.path.name for place in repeated for frame in place)
    return f"{said}: {', '.join(list(names)[:4])}{' and others' if len(names) > 4 else ''}."


def _flat(places: Iterable[Sequence[Frame]]) -> list[Frame]:
    return [frame for place in places for frame in place]


def _places(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Return frames by place along the normal, in its order."""
    places: list[list[Frame]] = []
    last = -np.inf
    for frame in sorted(frames, key=along_normal):
        here = along_normal(frame)
        if here - last > SAME_PLACE_MM:
            places.append([])
            last = here
        places[-1].append(frame)
    return places


def _told_apart(frames: list[Frame], places: list[list[Frame]]) -> list[Stack]:
    """Return stacks with one image a place, or with time points, by what differs at each place; none if nothing
    does."""
    names = _varying(places, lambda f: f.marks)
    kinds = _partition(frames, lambda f: tuple(f.marks.get(name, "") for name in names))
    stacks = []
    for kind in kinds:
        label = describe_marks({name: kind[0].marks.get(name, "none") for name in names})
        stack = _one_kind(kind, label)
        if stack is None:
            return _by_file(frames)
        stacks.append(stack)
    return stacks


def _one_kind(frames: list[Frame], label: str) -> Stack | None:
    places = _places(frames)
    if len(places) == len(frames):
        return Stack(tuple(_flat(places)), label=label)
    if len(places) == 1:
        return Stack(tuple(_in_order_of_time(frames)), in_time=True, label=label)
    return _by_counted_time(frames, places, label) or _by_clock(places, label)


def _by_counted_time(frames: list[Frame], places: list[list[Frame]], label: str) -> Stack | None:
    """Return frames in time points by the first tag that counts them; points that lack places are left out, and
    said."""
    for name in _varying(places, lambda f: f.times):
        points = _partition(frames, lambda f, name=name: f.times.get(name, ""))  # type: ignore[misc]
        points.sort(key=lambda point, name=name: _as_number(point[0].times.get(name, "")))  # type: ignore[misc]
        by_place = [_places(point) for point in points]
        if any(len(of_point) != len(point) for of_point, point in zip(by_place, points, strict=True)):
            continue
        whole = [of_point for of_point in by_place if len(of_point) == len(places)]
        if not whole:
            continue
        left_out = len(by_place) - len(whole)
        notes = (f"{left_out} of {len(by_place)} time points lack slices and were left out.",) if left_out else ()
        ordered = tuple(frame for of_point in whole for frame in _flat(of_point))
        return Stack(ordered, len(whole), label=label, notes=notes)
    return None


def _by_clock(places: list[list[Frame]], label: str) -> Stack | None:
    """Return frames in time points by the time at which each was acquired, place by place."""
    count = len(places[0])
    if any(len(place) != count for place in places):
        return None
    for name in _varying(places, lambda f: f.clock):
        ordered = [sorted(place, key=lambda f, name=name: _as_number(f.clock.get(name, ""))) for place in places]  # type: ignore[misc]
        if all(len({f.clock.get(name, "") for f in place}) == count for place in ordered):
            return Stack(tuple(place[n] for n in range(count) for place in ordered), count, label=label)
    return None


def _by_file(frames: list[Frame]) -> list[Stack]:
    """Return one stack a file, where each is whole by itself."""
    files = _partition(frames, lambda f: str(f.path))
    if len(files) == len(frames) or len(files) == 1:
        return []
    by_place = [_places(file) for file in files]
    if any(len(places) != len(file) for places, file in zip(by_place, files, strict=True)):
        return []
    return [Stack(tuple(_flat(places)), label=places[0][0].path.name) for places in by_place]


def _varying(places: Iterable[Sequence[Frame]], marks: Callable[[Frame], object]) -> list[str]:
    """Return the marks that differ between frames of one place."""
    names: dict[str, None] = {}
    for place in places:
        first: dict[str, str] = marks(place[0])  # type: ignore[assignment]
        for frame in place[1:]:
            other: dict[str, str] = marks(frame)  # type: ignore[assignment]
            names.update(dict.fromkeys(name for name in {**first, **other} if first.get(name) != other.get(name)))
    return list(names)


def _partition(frames: Iterable[Frame], key: Callable[[Frame], object]) -> list[list[Frame]]:
    parts: dict[object, list[Frame]] = {}
    for frame in frames:
        parts.setdefault(key(frame), []).append(frame)
    return list(parts.values())


def _in_order_of_time(frames: Iterable[Frame]) -> list[Frame]:
    """Return frames of one place by whatever counts or times them, last by their numbers."""
    found = list(frames)
    for kind in ("times", "clock"):
        for name in {name: None for frame in found for name in getattr(frame, kind)}:
            values = [getattr(frame, kind).get(name, "") for frame in found]
            if "" not in values and len(set(values)) == len(values):
                return sorted(found, key=lambda f, k=kind, n=name: _as_number(getattr(f, k)[n]))  # type: ignore[misc]
    return sorted(found, key=lambda f: (f.number, f.path.name, f.index))


def _as_number(value: str) -> tuple[float, str]:
    """Sort key of a number, a time or a date: all are written so that larger is later."""
    try:
        return (float(value), "")
    except ValueError:
        return (0.0, value)
