"""A case: one image and its objects, as the rows of a manifest describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..runs.options import PromptOption, RunOptions
from ..runs.prompt_options import every_prompt, files_of_prompts


@dataclass(frozen=True)
class CaseObject:
    """One object of a case: its prompts as `RunOptions` has them, and the segmentation that it is compared with."""

    prompts: tuple[PromptOption, ...]
    name: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Case:
    """Paths are as the manifest has them, relative to its folder; `output` is relative to the cohort's folder.

    An empty `model` or `window` is that of the whole cohort.
    """

    id: str
    image: str
    output: str
    objects: tuple[CaseObject, ...]
    model: str = ""
    window: str = ""
    axis: str = "k"
    series: str = ""

    def options(self, root: Path, shared: RunOptions) -> RunOptions:
        """Return the options of the case's run, with the paths in `root`."""
        prompts = [("object", _placed(item.prompts, root)) for item in self.objects if item.prompts]
        values = asdict(shared)
        return RunOptions.of(
            values,
            image=str(root / self.image),
            prompts=prompts,
            name=[item.name or f"Segment_{n + 1}" for n, item in enumerate(self.objects)] if prompts else [],
            model=self.model or shared.model,
            window=self.window or shared.window,
            axis=self.axis,
            series=self.series or None,
        )

    def files(self) -> dict[str, str]:
        """Return the files that the case is made from, by their part in it, as the manifest names them."""
        found = {"image": self.image}
        for number, item in enumerate(self.objects, 1):
            for option, file in files_of_prompts(item.prompts):
                found[f"{option.strip('-')} {number}"] = file
            if item.reference:
                found[f"reference {number}"] = item.reference
        return found

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Case:
        """Return the case that `dataclasses.asdict` took apart, also by way of JSON."""
        objects = tuple(
            CaseObject(tuple((kind, values) for kind, values in item["prompts"]), item["name"], item["reference"])
            for item in fields["objects"]
        )
        return cls(**{**fields, "objects": objects})


def _placed(prompts: Sequence[PromptOption], root: Path) -> list[PromptOption]:
    """Return the prompts with the paths of their files in `root`."""
    placed: list[PromptOption] = []
    for kind, values in every_prompt(prompts):
        if kind == "markups":
            placed.append((kind, str(root / values)))
        elif kind == "mask":
            placed.append((kind, [str(root / values[0]), values[1]]))
        else:
            placed.append((kind, values))
    return placed
