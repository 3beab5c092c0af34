"""The effect's options as one value, and their form as Segment Editor parameters (which are saved with the scene)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, get_args

from ...errors import UsageError
from ...propagation import Direction
from ...registry import DEFAULT_MODEL

Tool = Literal["box", "include", "exclude", "line"]
RangeRule = Literal["stop", "roi", "slices"]

TO_THE_END = 10**6
"""A last slice beyond any volume's."""

AS_DISPLAYED = "displayed"
"""The intensity choice that takes window and level from the volume's display."""


@dataclass(frozen=True)
class EffectSettings:
    """The user's choices.

    `intensity` is "auto", `AS_DISPLAYED` or a preset of `intensity.PRESETS`. `range_rule` says where a run ends: by
    itself, with the ROI, or at the slices `first` and `last` (indices of the volume, inclusive). `time_series` says
    that k counts frames in time. With `keep_speckle` small parts of an object beside the largest of a slice stay.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    intensity: str = "auto"
    tool: Tool = "box"
    range_rule: RangeRule = "stop"
    first: int = 0
    last: int = TO_THE_END
    direction: Direction = "both"
    each_box_new_segment: bool = True
    keep_partial: bool = False
    time_series: bool = False
    keep_speckle: bool = False

    def changed(self, **values: Any) -> EffectSettings:
        """These settings with some values replaced. Raises `UsageError` for a value outside its choices."""
        for name, value in values.items():
            _check(name, value)
        return replace(self, **values)

    @property
    def answer(self) -> EffectSettings:
        """These settings without what only says how to draw and what to keep: equal ones give equal results."""
        plain = EffectSettings()
        return replace(
            self,
            tool=plain.tool,
            each_box_new_segment=plain.each_box_new_segment,
            keep_partial=plain.keep_partial,
        )

    @property
    def slice_range(self) -> tuple[int, int] | None:
        """The inclusive range of the rule "slices", in order; None for the others."""
        return (min(self.first, self.last), max(self.first, self.last)) if self.range_rule == "slices" else None


_CHOICES: dict[str, tuple[str, ...]] = {
    "tool": get_args(Tool),
    "range_rule": get_args(RangeRule),
    "direction": get_args(Direction),
}


class ParameterStore(Protocol):
    """The part of the host effect that keeps parameters."""

    def parameterDefined(self, name: str) -> bool: ...
    def parameter(self, name: str) -> str: ...
    def setParameter(self, name: str, value: str) -> None: ...
    def setParameterDefault(self, name: str, value: str) -> None: ...


def parameter_name(field: str) -> str:
    """`range_rule` is kept as `RangeRule`: the case that the editor's own effects use."""
    return "".join(part.capitalize() for part in field.split("_"))


def set_defaults(store: ParameterStore) -> None:
    for name, text in to_parameters(EffectSettings()).items():
        store.setParameterDefault(name, text)


def load(store: ParameterStore) -> EffectSettings:
    """The stored settings. What is missing or cannot be read (an older or newer scene) keeps its default."""
    found = {}
    for field in fields(EffectSettings):
        name = parameter_name(field.name)
        if store.parameterDefined(name):
            found[field.name] = store.parameter(name)
    return from_parameters(found)


def save(store: ParameterStore, settings: EffectSettings) -> None:
    """Store what differs from what is stored: each change makes the host refresh its GUI."""
    for name, text in to_parameters(settings).items():
        if not store.parameterDefined(name) or store.parameter(name) != text:
            store.setParameter(name, text)


def to_parameters(settings: EffectSettings) -> dict[str, str]:
    values = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        values[parameter_name(field.name)] = str(int(value)) if isinstance(value, bool | int) else value
    return values


def from_parameters(texts: Mapping[str, str]) -> EffectSettings:
    """Settings from texts by field name; a text that does not fit its field is passed over."""
    settings = EffectSettings()
    for name, text in texts.items():
        default = getattr(settings, name)
        try:
            value = _parse(text, default)
            settings = settings.changed(**{name: value})
        except (ValueError, UsageError):
            continue
    return settings


def _parse(text: str, default: object) -> object:
    if isinstance(default, bool):
        return bool(int(text))
    return int(text) if isinstance(default, int) else text


def _check(name: str, value: object) -> None:
    allowed = _CHOICES.get(name)
    if allowed is not None and value not in allowed:
        raise UsageError(f"{value!r} is no choice for {name}.", f"Use one of {', '.join(allowed)}.")
