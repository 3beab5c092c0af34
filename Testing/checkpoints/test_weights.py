"""Opening files as weights: every layout that is accepted, and everything that is refused."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.weights import load_state_dict, load_weights, recognise_file
from MedSAMSegmentLib.errors import CheckpointError
from MedSAMSegmentLib.models.builders import build

TENSORS = {"encoder.weight": torch.arange(6.0).reshape(2, 3), "encoder.bias": torch.tensor([1.0, -2.0])}


class Hostile:
    """An object whose unpickling would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def assert_same(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert torch.equal(found[key], tensor)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"model": tensors, "optimizer": {"lr": 0.1}, "epoch": 3},
        lambda tensors: {"state_dict": tensors},
        lambda tensors: {"model": {"state_dict": tensors}},
        lambda tensors: {f"module.{key}": value for key, value in tensors.items()},
        lambda tensors: {"model": {f"module.{key}": value for key, value in tensors.items()}},
        lambda tensors: {f"_orig_mod.{key}": value for key, value in tensors.items()},
        lambda tensors: {"state_dict": {f"model.sam.module.{key}": value for key, value in tensors.items()}},
        lambda tensors: {f"module._orig_mod.sam.model.{key}": value for key, value in tensors.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_layouts_of_training_and_release_are_unwrapped(tmp_path: Path, wrap: object, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(wrap(TENSORS), path, _use_new_zipfile_serialization=zipped)  # type: ignore[operator]
    assert_same(load_state_dict(path))


def test_safetensors_are_told_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    save_file(TENSORS, path)
    assert_same(load_state_dict(path))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    path, trap = tmp_path / "weights.pth", tmp_path / "ran"
    torch.save({"model": TENSORS, "extra": Hostile(trap)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(path)
    assert "could run code, which was refused" in caught.value.message
    assert not trap.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_plain_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path, trap = tmp_path / "weights.pth", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Hostile(trap)))
    with pytest.raises(CheckpointError, match="could run code"):
        load_state_dict(path)
    assert not trap.exists()


def bytes_of_checkpoint(tmp_path: Path, zipped: bool) -> bytes:
    torch.save({"weight": torch.rand(400, 400)}, tmp_path / "whole.pth", _use_new_zipfile_serialization=zipped)
    return (tmp_path / "whole.pth").read_bytes()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, zipped: bool, part: float) -> None:
    whole = bytes_of_checkpoint(tmp_path, zipped)
    path = tmp_path / "weights.pth"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(CheckpointError, match=r"truncated or damaged|is not a checkpoint"):
        load_state_dict(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_altered_at_random_loads_or_is_refused_but_never_crashes(tmp_path: Path, kind: str) -> None:
    if kind == "safetensors":
        save_file(TENSORS, tmp_path / "whole")
    else:
        torch.save({"model": TENSORS}, tmp_path / "whole", _use_new_zipfile_serialization=kind == "zip")
    whole = (tmp_path / "whole").read_bytes()
    chance = random.Random(3)
    path, refused = tmp_path / "weights.pth", 0
    for _ in range(120):
        altered = bytearray(whole)
        for _ in range(chance.choice((1, 2, 5, 20))):
            altered[chance.randrange(min(len(altered), 1500))] = chance.randrange(256)
        path.write_bytes(altered)
        try:
            load_state_dict(path)
        except CheckpointError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9999 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9999 bytes."),
    ],
)
def test_too_little_memory_is_not_called_damage_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    path = tmp_path / "weights.pth"
    torch.save(TENSORS, path)
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(CheckpointError, match="needs more memory than there is") as caught:
        load_state_dict(path)
    assert "smaller model" in caught.value.cure


def test_garbage_with_the_suffix_of_safetensors_is_refused(tmp_path: Path) -> None:
    """torch chooses by that suffix, too, and lets the other library's errors through."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\xff" * 200)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_state_dict(path)


def test_truncated_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.rand(100, 100)}, tmp_path / "whole")
    path = tmp_path / "weights.safetensors"
    path.write_bytes((tmp_path / "whole").read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="damaged safetensors"):
        load_state_dict(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>", "is a web page"),
        (b"just some text, no weights", "is not a checkpoint"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a checkpoint"),
        (b"PK\x03\x04" + bytes(100), "truncated or damaged"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=complaint):
        load_state_dict(path)


@pytest.mark.parametrize(
    "content", [{}, [1, 2], 3, {"model": {"epoch": 3}}, {"weight": TENSORS["encoder.bias"], "n": 1}]
)
def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="state dict"):
        load_state_dict(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_state_dict(path)


def test_an_absurdly_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="far more than a checkpoint of this kind"):
        load_state_dict(path)
    with path.open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(CheckpointError, match="far more than a checkpoint of this kind"):
        load_state_dict(path, registry.get("lite_medsam"))


def test_the_real_weights_load_into_the_network_exactly(lite_checkpoint: Path) -> None:
    entry = registry.get("lite_medsam")
    state_dict = load_state_dict(lite_checkpoint, entry)
    module = build(entry.builder)
    load_weights(module, state_dict, entry)
    assert sum(tensor.numel() for tensor in state_dict.values()) == entry.parameters
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, state_dict[key])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {f"model.{key}": value for key, value in tensors.items()},
        lambda tensors: {f"_orig_mod.{key}": value for key, value in tensors.items()},
        lambda tensors: {f"module._orig_mod.{key}": value for key, value in tensors.items()},
        lambda tensors: {f"sam.{key.replace('.', '._orig_mod.', 1)}": value for key, value in tensors.items()},
        lambda tensors: {key.replace(".", ".module.", 1): value for key, value in tensors.items()},
        # Lightning keeps what else the module owns beside the network.
        lambda tensors: {
            **{f"model.sam.{key}": value for key, value in tensors.items()},
            "loss.weight": torch.ones(3),
            "metric.total": torch.tensor(3),
        },
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_the_real_weights_are_recognised_under_any_wrapper(
    lite_checkpoint: Path, tmp_path: Path, wrap: object, nested: bool
) -> None:
    official = load_state_dict(lite_checkpoint)
    wrapped = wrap(official)  # type: ignore[operator]
    path = tmp_path / "wrapped.ckpt"
    torch.save({"state_dict": wrapped, "epoch": 3} if nested else wrapped, path)
    found = load_state_dict(path)
    assert found.keys() == official.keys()
    assert all(torch.equal(found[key], official[key]) for key in official)
    assert recognise_file(path).entry.id == "lite_medsam"


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda value: value * float("nan"), "not finite"),
        (lambda value: value.clone().index_fill_(0, torch.tensor([0]), float("inf")), "not finite"),
        (lambda value: value.int(), "of the type int32"),
        (lambda value: value > 0, "of the type bool"),
        (lambda value: value.to(torch.complex64), "of the type complex64"),
    ],
)
def test_numbers_that_no_weights_are_are_refused(tmp_path: Path, spoil: object, complaint: str) -> None:
    path = tmp_path / "weights.pth"
    spoiled = {"encoder.weight": TENSORS["encoder.weight"], "encoder.bias": spoil(TENSORS["encoder.bias"])}  # type: ignore[operator]
    torch.save(spoiled, path)
    with pytest.raises(CheckpointError, match=f"encoder.bias .*{complaint}"):
        load_state_dict(path)
    torch.save({**TENSORS, "bn.num_batches_tracked": torch.tensor(3)}, path)
    assert load_state_dict(path)["bn.num_batches_tracked"] == 3


def test_one_altered_byte_of_the_numbers_is_refused(tmp_path: Path) -> None:
    content = bytearray(bytes_of_checkpoint(tmp_path, zipped=True))
    content[len(content) // 2] ^= 1
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # torch itself takes it
    with pytest.raises(CheckpointError, match=r"checksum of .* is wrong"):
        load_state_dict(path)


def test_a_mismatch_reports_counts_and_first_keys(lite_checkpoint: Path) -> None:
    entry = registry.get("lite_medsam")
    state_dict = load_state_dict(lite_checkpoint)
    removed = sorted(state_dict)[:5]
    for key in removed:
        del state_dict[key]
    state_dict["surplus"] = torch.zeros(1)
    reshaped = sorted(state_dict)[0]
    state_dict[reshaped] = torch.zeros(7, 7)
    with pytest.raises(CheckpointError) as caught:
        load_weights(build(entry.builder), state_dict, entry)
    assert "5 missing (" in caught.value.message
    assert "1 unexpected (surplus)" in caught.value.message
    assert f"1 of another shape ({reshaped} (7, 7) for" in caught.value.message
    assert "The nearest is LiteMedSAM (lite_medsam)" in caught.value.cure


def test_a_mismatch_names_the_model_that_the_weights_fit(lite_checkpoint: Path) -> None:
    entry = registry.get("efficienttam_ti")
    with pytest.raises(CheckpointError) as caught:
        load_weights(build(entry.builder), load_state_dict(lite_checkpoint), entry)
    assert "do not fit EfficientTAM tiny" in caught.value.message
    assert caught.value.cure == "They are the weights of LiteMedSAM (lite_medsam): choose that model."
