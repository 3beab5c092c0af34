"""Fixtures of the MRML tests: a scene, a volume, a segmentation, an editor host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from mrml_scene import MrmlScene, affine

from MedSAMSegmentLib.mrml.editor_host import LogicHost
from MedSAMSegmentLib.mrml.segment_writer import SegmentWriter

SHAPE = (10, 16, 20)


@pytest.fixture
def a_scene() -> Iterator[MrmlScene]:
    with MrmlScene() as scene:
        yield scene


@pytest.fixture
def some_voxels() -> Any:
    """Intensities 0, 1, 2, ... along i, j and k: every voxel can be told apart by its value."""
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


@pytest.fixture
def a_volume_node(a_scene: MrmlScene, some_voxels: Any) -> Any:
    """Oblique and anisotropic: nothing that works here rests on the axes being straight."""
    return a_scene.add_volume(some_voxels, affine((1.0, 1.5, 3.0), (10.0, -5.0, 7.0), (10.0, -20.0, 30.0)))


@pytest.fixture
def a_segmentation_node(a_scene: MrmlScene, a_volume_node: Any) -> Any:
    return a_scene.add_segmentation(a_volume_node)


@pytest.fixture
def an_editor(a_scene: MrmlScene) -> Callable[[Any, Any], LogicHost]:
    """Makes an editor host for a segmentation and a volume."""
    return lambda segmentation, volume: LogicHost.open(a_scene.application_logic, segmentation, volume)


@pytest.fixture
def a_host(an_editor: Any, a_segmentation_node: Any, a_volume_node: Any) -> LogicHost:
    return an_editor(a_segmentation_node, a_volume_node)


@pytest.fixture
def a_writer(a_host: LogicHost) -> SegmentWriter:
    return SegmentWriter(a_host)


@pytest.fixture
def two_segments(a_segmentation_node: Any) -> tuple[str, str]:
    segmentation = a_segmentation_node.GetSegmentation()
    return (segmentation.AddEmptySegment("P", "first"), segmentation.AddEmptySegment("Q", "second"))
