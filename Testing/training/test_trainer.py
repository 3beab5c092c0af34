"""The loop on a small network: it learns, stops, goes on bit for bit, and refuses what it cannot go on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from training_support import SIDE, small_network

from MedSAMSegmentLib.errors import Cancelled, InputError
from MedSAMSegmentLib.training.network import TrainableSam, swapped
from MedSAMSegmentLib.training.sampling import around_answer, random_prompt
from MedSAMSegmentLib.training.scores import score
from MedSAMSegmentLib.training.settings import TrainingSettings
from MedSAMSegmentLib.training.store import ViewStore
from MedSAMSegmentLib.training.trainer import Trainer
from MedSAMSegmentLib.training.views import OTHER

MakeStore = Callable[..., ViewStore]
QUICK = TrainingSettings(steps=12, batch=2, score_every=4, save_every=5, click_share=0.4)


class CancelAt:
    """Asks to stop before that step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_one_slice(make_store: MakeStore) -> None:
    store = make_store(count=1)
    network = small_network()
    before = score(network, store).mean
    settings = TrainingSettings(
        steps=200, batch=2, learning_rate=2e-3, average=0.9, pull=0.0, click_share=0.0, rehearsal=0
    )
    trainer = Trainer(network, store, None, settings)
    trainer.run()
    with swapped(network.parameters(), trainer.chosen_values()):
        after = score(network, store).mean
    assert after > 0.97 > before
    assert trainer.state.curve[-1].loss < trainer.state.curve[0].loss / 4


@pytest.mark.parametrize(("encoder", "stops"), [("frozen", (1, 5, 11)), ("lora", (7,))])
def test_it_goes_on_bit_for_bit(make_store: MakeStore, tmp_path: Path, encoder: str, stops: tuple[int, ...]) -> None:
    store, other = (make_store(name, encoder=encoder, patient=name) for name in ("a", "b"))

    def trainer() -> Trainer:
        return Trainer(small_network(encoder), store, other, QUICK, key="k")

    whole = trainer()
    whole.run()
    for stop in stops:
        first = trainer()
        kept = tmp_path / f"state{stop}.safetensors"
        with pytest.raises(Cancelled):
            first.run(kept, cancel=CancelAt(stop))
        second = trainer()
        second.load(kept)
        assert second.state.step == stop
        second.run(kept)
        assert equal(second.chosen_values(), whole.chosen_values())
        assert equal(second.state.averaged, whole.state.averaged)
        assert second.state.curve == whole.state.curve


def test_the_same_seed_gives_the_same_and_another_another(make_store: MakeStore) -> None:
    store = make_store()
    found = []
    for seed in (0, 0, 1):
        trainer = Trainer(small_network(), store, None, replace(QUICK, steps=4, seed=seed))
        trainer.run()
        found.append(trainer.chosen_values())
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_the_pull_keeps_the_weights_near_the_start(make_store: MakeStore) -> None:
    store = make_store()
    distances = []
    for pull in (0.0, 100.0):
        network = small_network()
        start = {name: value.detach().clone() for name, value in network.parameters().items()}
        trainer = Trainer(network, store, None, replace(QUICK, steps=10, learning_rate=1e-3, pull=pull, rehearsal=0))
        trainer.run()
        distances.append(
            sum(float((value.detach() - start[name]).norm()) for name, value in network.parameters().items())
        )
    assert distances[1] < 0.7 * distances[0]


def test_what_is_rehearsed_is_answered_more_as_before(make_store: MakeStore) -> None:
    store = make_store()
    features = torch.from_numpy(np.asarray(store.features[:4], dtype=np.float32))
    prompts = [random_prompt(SIDE, np.random.default_rng(seed)) for seed in range(4)]
    with torch.no_grad():
        seen = (small_network().answer(features, prompts)[0][:, 0] > 0).numpy()
        prompts = [
            around_answer(prompt, mask, np.random.default_rng(1)) for prompt, mask in zip(prompts, seen, strict=True)
        ]
        before = small_network().answer(features, prompts)[0].sigmoid()
    changes = []
    for rehearsal in (0, 6):
        network = small_network()
        settings = replace(
            QUICK, steps=40, learning_rate=1e-3, average=0.0, pull=0.0, rehearsal=rehearsal, rehearsal_weight=1.0
        )
        Trainer(network, store, None, settings).run()
        network.forget_derived()
        with torch.no_grad():
            changes.append(float((network.answer(features, prompts)[0].sigmoid() - before).abs().mean()))
    assert changes[1] < 0.8 * changes[0]


def test_the_other_view_is_not_learnt_from(make_store: MakeStore) -> None:
    store = make_store(count=6)
    records = tuple(replace(record, view=OTHER if n % 2 else "whole") for n, record in enumerate(store.records))
    trainer = Trainer(small_network(), replace(store, records=records), None, QUICK)
    assert sorted(trainer._row(place) for place in range(6)) == [0, 0, 2, 2, 4, 4]


def test_half_of_what_is_rehearsed_is_seen_in_another_window(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(count=6)
    records = tuple(replace(record, view=OTHER if n == 5 else "whole") for n, record in enumerate(store.records))
    trainer = Trainer(small_network(), replace(store, records=records), None, replace(QUICK, rehearsal=4))
    shown: list[int] = []
    of_rows = trainer._features
    monkeypatch.setattr(trainer, "_features", lambda rows: shown.extend(rows) or of_rows(rows))
    for step in range(5):
        trainer.rehearsal_of(step)
    assert [shown[first : first + 2] for first in range(0, len(shown), 4)] == [[5, 5]] * 5


def test_the_encoder_stays_as_it_is(make_store: MakeStore) -> None:
    network = small_network()
    before = {name: value.clone() for name, value in network.sam.image_encoder.state_dict().items()}
    Trainer(network, make_store(), None, QUICK).run()
    assert equal(before, dict(network.sam.image_encoder.state_dict()))


def test_it_stops_when_the_validation_gets_no_better(make_store: MakeStore) -> None:
    settings = replace(QUICK, steps=100, score_every=2, patience=2, learning_rate=0.0)
    trainer = Trainer(small_network(), make_store("a"), make_store("b", patient="b"), settings)
    trainer.run()
    assert trainer.state.stopped_early
    assert trainer.state.step == 6
    assert trainer.state.best_step == 2


def test_the_best_of_the_validation_is_chosen(make_store: MakeStore) -> None:
    store, other = make_store("a"), make_store("b", patient="b")
    trainer = Trainer(small_network(), store, other, replace(QUICK, steps=16, learning_rate=2e-3))
    trainer.run()
    scored = [row.validation_dice for row in trainer.state.curve if row.validation_dice is not None]
    network = small_network()
    with swapped(network.parameters(), trainer.chosen_values()):
        assert score(network, other).mean == pytest.approx(max(scored), abs=1e-9)


def test_each_view_comes_once_a_round(make_store: MakeStore) -> None:
    trainer = Trainer(small_network(), make_store(count=6), None, replace(QUICK, batch=4))
    places = [trainer._row(place) for place in range(12)]
    assert sorted(places[:6]) == sorted(places[6:]) == list(range(6))
    assert places[:6] != places[6:]


def test_the_rate_rises_and_falls() -> None:
    settings = TrainingSettings(steps=100)
    rates = [settings.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == rates[9] == rates[10] == pytest.approx(1e-4)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-6


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("no state", encoding="utf-8")


def _not_finite(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = file.metadata()
    name = next(name for name in tensors if name.startswith("weights/"))
    save_file({**tensors, name: torch.full_like(tensors[name], float("nan"))}, path, metadata=facts)


def _another_shape(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = file.metadata()
    name = next(name for name in tensors if name.startswith("averaged/"))
    save_file({**tensors, name: torch.zeros(3)}, path, metadata=facts)


def _no_step(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(file.metadata()["training"])
    del facts["step"]
    save_file(tensors, path, metadata={"training": json.dumps(facts)})


@pytest.mark.parametrize("damage", [_cut, _empty, _text, _not_finite, _another_shape, _no_step])
def test_a_damaged_state_is_refused(make_store: MakeStore, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    trainer = Trainer(small_network(), make_store(), None, QUICK, key="k")
    kept = tmp_path / "state.safetensors"
    trainer.save(kept)
    damage(kept)
    with pytest.raises(InputError, match="is damaged"):
        Trainer(small_network(), make_store(), None, QUICK, key="k").load(kept)


def test_the_state_of_another_training_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    kept = tmp_path / "state.safetensors"
    Trainer(small_network(), make_store(), None, QUICK, key="k").save(kept)
    with pytest.raises(InputError, match="other data or options"):
        Trainer(small_network(), make_store(), None, QUICK, key="other").load(kept)


def test_adapters_are_nothing_at_the_start_and_merge_into_the_weights(make_store: MakeStore) -> None:
    plain, adapted = small_network(), small_network("lora")
    store = make_store(encoder="lora")
    features = torch.from_numpy(np.asarray(store.features[:2], dtype=np.float32))
    with torch.no_grad():
        assert torch.equal(plain.sam.encode(features)[0], adapted.sam.encode(features)[0])
    trainer = Trainer(adapted, store, None, replace(QUICK, steps=4, learning_rate=1e-2))
    trainer.run()
    merged = small_network()
    merged.sam.load_state_dict(adapted.plain_weights(trainer.chosen_values()))
    with swapped(adapted.parameters(), trainer.chosen_values()), torch.no_grad():
        adapted.forget_derived()
        expected = adapted.sam.encode(features)[0]
        found = merged.sam.encode(features)[0]
    assert torch.allclose(found, expected, atol=1e-5)
    assert float((expected - plain.sam.encode(features)[0]).abs().max()) > 1e-3


def test_only_attention_of_the_encoder_learns_with_adapters() -> None:
    network: TrainableSam = small_network("lora")
    inside = [name for name in network.parameters() if name.startswith("image_encoder")]
    assert len(inside) == 2 * 2 * 2  # two blocks, two layers, two matrices
    assert all(name.endswith((".down", ".up")) for name in inside)
