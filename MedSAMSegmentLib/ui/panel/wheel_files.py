"""Files of the packages that a machine without internet needs, with hashes: a set that is known to work together.

Only what the panel recommends; pip brings newer ones where it may choose.
"""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass

ABI_PYTHON = "3.12"
"""The Python of Slicer 5.10 and later, for which torch's file is."""


@dataclass(frozen=True)
class WheelFile:
    """A wheel by its file name."""

    name: str
    sha256: str


@dataclass(frozen=True)
class WheelSystem:
    """A system by pip's name, and the files for it beside those for every system."""

    platforms: tuple[str, ...]
    files: tuple[WheelFile, ...]


EVERYWHERE = (
    WheelFile("filelock-4.3.1-py3-none-any.whl", "79e43df8e9fe509cd83a3899a7c186c8077cbbe4d200a1ed3705c2f3bb6bc487"),
    WheelFile(
        "platformdirs-4.14.8-py3-none-any.whl", "1e34af590de4d978631b751eb2202f2fee4497537a17c1720b12fcf57b331392"
    ),
)

SYSTEMS: dict[str, WheelSystem] = {
    "linux-x86_64": WheelSystem(
        ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
        (
            WheelFile(
                "safetensors-0.8.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "fd6f3f93c9a0a7cc2788ee63fb763353d4bd2e89b0751bc78fcf7dda00bea774",
            ),
            WheelFile(
                "torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl",
                "796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b",
            ),
        ),
    ),
    "win-amd64": WheelSystem(
        ("win_amd64",),
        (
            WheelFile(
                "safetensors-0.8.0-cp310-abi3-win_amd64.whl",
                "096ec1a98435df7beb08853bb5aa9081a84f23d0adc67ed1a0a10550f608373f",
            ),
            WheelFile(
                "torch-2.13.0-cp312-cp312-win_amd64.whl",
                "024c6cc0c1b085f2f91f20a3dc27b0471d021c31ce84b81be3afdc39f791fd9d",
            ),
        ),
    ),
    "macosx-arm64": WheelSystem(
        ("macosx_14_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"),
        (
            WheelFile(
                "safetensors-0.8.0-cp310-abi3-macosx_11_0_arm64.whl",
                "c80201d22cbf405b80647a60ada77bba06c8fba2da2743ba1e89cdcc39a81f25",
            ),
            WheelFile(
                "torch-2.13.0-cp312-cp312-macosx_14_0_arm64.whl",
                "2fe228aba290d14b9f31b049be550dbd469c3fd3013d7a19705b30454da97027",
            ),
        ),
    ),
}


def wheel_system(platform: str | None = None) -> WheelSystem | None:
    """This machine's, by `sysconfig.get_platform()`; None for one of which no files are known."""
    name, *rest = (platform or sysconfig.get_platform()).split("-")
    return SYSTEMS.get(f"{name}-{rest[-1]}") if rest else None
