"""Images of files as layers of napari, and layers back as what the library segments."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image as Picture

sys.path.append(str(Path(__file__).parents[1]))
from dicom_support import a_dataset, save

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.napari.layer_image import layer_image
from MedSAMSegmentLib.napari.reader import get_reader, layer_data, read_layers

napari_layers = pytest.importorskip(
    "napari.layers", reason="napari is not installed: pip install 'MedSAMSegmentLib[napari]'"
)

VALUES = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
STRAIGHT = np.eye(3)
FLIPPED = np.diag([-1.0, -1.0, 1.0])
SAGITTAL = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
TURNED = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def a_file(path: Path, direction: np.ndarray, values: np.ndarray = VALUES) -> Path:
    image = sitk.GetImageFromArray(values)
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing((0.7, 0.8, 3.0))
    image.SetOrigin((11.0, -23.0, 101.0))
    sitk.WriteImage(image, str(path))
    return path


def as_layer(path: Path) -> napari_layers.Image:
    ((data, options, kind),) = read_layers(str(path))
    assert kind == "image"
    return napari_layers.Image(data, **options)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize("direction", [STRAIGHT, FLIPPED], ids=["straight", "flipped"])
def test_the_world_is_lps_in_mm(suffix: str, direction: np.ndarray, tmp_path: Path) -> None:
    path = a_file(tmp_path / f"image{suffix}", direction)
    layer, volume = as_layer(path), read_volume(path)
    assert np.allclose(layer.scale, (3.0, 0.8, 0.7))
    for voxel in ((0, 0, 0), (4, 5, 6), (2, 0, 3)):
        i, j, k = voxel[::-1]
        lps = volume.geometry.ijk_to_lps @ (i, j, k, 1)
        assert np.allclose(layer.data_to_world(voxel), lps[:3][::-1], atol=1e-4)
    assert tuple(layer.axis_labels) == ("z", "y", "x")


@pytest.mark.parametrize("direction", [SAGITTAL, TURNED], ids=["sagittal", "oblique"])
def test_what_napari_cannot_cut_is_shown_along_its_own_axes_and_keeps_its_grid(
    direction: np.ndarray, tmp_path: Path
) -> None:
    path = a_file(tmp_path / "image.nrrd", direction)
    layer, volume = as_layer(path), read_volume(path)
    assert np.allclose(layer.scale, (3.0, 0.8, 0.7))
    assert np.allclose(layer.affine.affine_matrix, np.eye(4))
    with warnings.catch_warnings():
        # What napari says of a layer that it cannot cut.
        warnings.filterwarnings("error", message="Non-orthogonal")
        layer.refresh()
    assert layer_image(layer, 0, in_time=False).geometry.agrees_with(volume.geometry)


def test_a_layer_that_was_moved_since_lies_where_it_lies(tmp_path: Path) -> None:
    layer = as_layer(a_file(tmp_path / "image.nrrd", STRAIGHT))
    layer.scale = (2.0, 2.0, 2.0)
    image = layer_image(layer, 0, in_time=False)
    assert image.volume is None
    assert image.geometry.spacing_zyx == pytest.approx((2.0, 2.0, 2.0))


def test_a_layer_from_elsewhere_is_taken_with_its_whole_transform() -> None:
    shear = np.array([[1, 0, 0, 4], [0, 0.8, -0.6, 5], [0, 0.6, 0.8, 6], [0, 0, 0, 1.0]])
    layer = napari_layers.Image(VALUES, scale=(3.0, 0.8, 0.7), translate=(1, 2, 3), affine=shear)
    geometry = layer_image(layer, 0, in_time=False).geometry
    expected = [layer.data_to_world(voxel)[::-1] for voxel in ((0, 0, 0), (1, 2, 3))]
    places = [geometry.ijk_to_lps @ (0, 0, 0, 1), geometry.ijk_to_lps @ (3, 2, 1, 1)]
    assert np.allclose([place[:3] for place in places], expected)


def test_a_dicom_folder_is_a_layer_and_another_folder_is_left_to_others(tmp_path: Path) -> None:
    folder, empty = tmp_path / "ct", tmp_path / "empty"
    folder.mkdir()
    empty.mkdir()
    for index, values in enumerate(VALUES):
        tags = {"ImagePositionPatient": [-7, 5, 3 * index], "InstanceNumber": index + 1, "PixelRepresentation": 1}
        save(a_dataset(values, RescaleSlope=1, RescaleIntercept=0, **tags), folder / f"{index}.dcm")
    reader = get_reader(str(folder))
    assert reader is not None
    ((data, options, _),) = reader(str(folder))
    assert np.array_equal(data, VALUES)
    assert options["scale"][0] == pytest.approx(3.0)
    assert get_reader(str(empty)) is None
    assert get_reader([str(folder), str(empty)]) is None


def test_pictures_and_videos(tmp_path: Path) -> None:
    colours = np.zeros((9, 8, 3), np.uint8)
    colours[2:4] = (200, 10, 30)
    Picture.fromarray(colours).save(tmp_path / "picture.png")
    layer = as_layer(tmp_path / "picture.png")
    assert layer.rgb
    assert layer.ndim == 2
    assert np.array_equal(layer_image(layer, 0, in_time=False).array_zyx, colours[None])
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(3):
        Picture.fromarray(colours[..., 0] + np.uint8(number)).save(frames / f"{number}.png")
    layer = as_layer(frames)
    assert tuple(layer.axis_labels) == ("t", "y", "x")
    image = layer_image(layer, 0, in_time=True)
    assert image.time_axis
    assert image.array_zyx.shape == (3, 9, 8)


def test_4d_files_have_a_time_axis(tmp_path: Path) -> None:
    four = np.stack([VALUES, VALUES + 1])
    image = sitk.JoinSeries([sitk.GetImageFromArray(frame) for frame in four])
    sitk.WriteImage(image, str(tmp_path / "four.nii.gz"))
    layer = as_layer(tmp_path / "four.nii.gz")
    assert tuple(layer.axis_labels) == ("t", "z", "y", "x")
    second = layer_image(layer, 1, in_time=False)
    assert np.array_equal(second.array_zyx, four[1])
    assert second.place == (1,)
    assert second.volume is not None
    assert second.volume.frames_tzyx is None
    video = sitk.JoinSeries([sitk.GetImageFromArray(frame[:1]) for frame in four])
    sitk.WriteImage(video, str(tmp_path / "video.nii.gz"))
    layer = as_layer(tmp_path / "video.nii.gz")
    assert tuple(layer.axis_labels) == ("t", "y", "x")
    assert layer.data.shape == (2, 6, 7)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (np.array([[[0.0, np.nan], [np.inf, 2.0]]], np.float32), np.array([[[0, 0], [2, 2]]], np.float32)),
        (np.array([[[True, False]]]), np.array([[[1, 0]]], np.uint8)),
        (np.array([[[1, 2]]], ">i2"), np.array([[[1, 2]]], np.int16)),
    ],
    ids=["not finite", "truth", "byte order"],
)
def test_values_that_the_worker_would_not_take(given: np.ndarray, taken: np.ndarray) -> None:
    found = layer_image(napari_layers.Image(given), 0, in_time=False).array_zyx
    assert found.dtype == taken.dtype
    assert np.array_equal(found, taken)


def test_a_pyramid_is_segmented_at_its_finest_level() -> None:
    layer = napari_layers.Image([VALUES, VALUES[::2, ::2, ::2]], multiscale=True)
    assert np.array_equal(layer_image(layer, 0, in_time=False).array_zyx, VALUES)


def test_the_layer_of_a_volume_shares_its_voxels(tmp_path: Path) -> None:
    volume = read_volume(a_file(tmp_path / "image.nrrd", STRAIGHT))
    data, options, _ = layer_data(volume, "image")
    image = layer_image(napari_layers.Image(data, **options), 0, in_time=False)
    assert image.array_zyx is volume.array_zyx
    assert isinstance(image.geometry, VolumeGeometry)
