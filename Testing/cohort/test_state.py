"""`cohort status` and `cohort summary`: what sidecars say, and nothing that a name could do."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.cohort.planning import PLAN
from MedSAMSegmentLib.cohort.sidecar import write_sidecar
from MedSAMSegmentLib.cohort.state import StateReader, status_lines

NAME = '=1+1<script>alert("x")</script>'
START = 1_790_000_000


def a_cohort_of(out: Path, sidecars: list[dict[str, Any]], ids: list[str]) -> None:
    for folder in ("sidecars", "thumbnails"):
        (out / folder).mkdir(parents=True)
    (out / PLAN).write_text(json.dumps({"cases": [[name, f"asked-{name}"] for name in ids]}), encoding="utf-8")
    for facts in sidecars:
        write_sidecar(out, {"request": f"asked-{facts['id']}", **facts})


def finished(name: str, minute: int, **more: Any) -> dict[str, Any]:
    time = f"2026-11-28T10:{minute:02d}:00+00:00"
    item = {
        "name": NAME, "volume_ml": 1.25, "confidence": 0.9, "assessment": "sure", "flagged_slices": [],
        "recist": {"longest": {"millimetres": 12.5}, "perpendicular": None}, "metrics": {"dice": 0.75}, "flags": {},
    }  # fmt: skip
    facts = {"id": name, "state": "done", "finished": time, "started": time, "seconds": 2.0, "objects": [item]}
    return {**facts, "host": "here", "process": 7, **more}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    failed = {"id": "d", "state": "failed", "finished": "2026-11-28T10:03:00+00:00", "seconds": 1.0, "tries": 1}
    failed["error"] = {"code": "input", "message": "d.nrrd <is> broken.", "cure": "Copy it again."}
    running = {"id": "e", "state": "running", "started": "2026-11-28T10:03:00+00:00", "host": "here", "process": 7}
    old = {**finished("g", 9), "request": "asked otherwise"}
    sidecars = [finished("a", 0), finished("b", 1), finished("c", 2), failed, running, old, finished("x", 5)]
    a_cohort_of(tmp_path, sidecars, ["a", "b", "c", "d", "e", "f", "g"])
    return tmp_path


def test_status_counts_what_was_asked_for(out: Path) -> None:
    state = StateReader(out).read()
    assert (state.done, state.failed, state.pending) == (["a", "b", "c"], ["d"], ["f", "g"])
    (running,) = state.running
    lines = status_lines(state, running[1].started + 30)
    assert lines == [
        "7 cases: 3 done, 1 failed, 1 running, 2 pending",
        "failed: 1 input; d",
        "running: e on here for 30 s",
        "1800 cases an hour; about 6 s for what is left",
    ]


def test_the_rate_is_of_the_processes_that_run_now(tmp_path: Path) -> None:
    """Two began yesterday, and ended; two run now, each with its model loaded in its first case."""
    old = [finished(f"old{n}", n, process=1 + n % 2, seconds=1.0) for n in range(6)]
    first = [finished(f"first{n}", 20, process=11 + n, seconds=130.0, load_seconds=100.0) for n in range(2)]
    running = [{"id": f"now{n}", "state": "running", "host": "here", "process": 11 + n} for n in range(2)]
    ids = [facts["id"] for facts in (*old, *first, *running)] + ["second", "third"]
    a_cohort_of(tmp_path, [*old, *first, *running], ids)
    reader = StateReader(tmp_path)
    assert reader.read().an_hour is None, "two cases tell nothing yet"
    write_sidecar(tmp_path, {"request": "asked-second", **finished("second", 21, process=11, seconds=30.0)})
    assert reader.read().an_hour == pytest.approx(2 * 3600 / 30)
    for facts in running:
        write_sidecar(tmp_path, {"request": f"asked-{facts['id']}", **finished(facts["id"], 22, process=11)})
    state = reader.read()
    assert state.pending == ["third"]
    assert state.an_hour is None, "nothing runs"
    assert len(status_lines(state, START)) == 1


def test_more_processes_than_cases_that_ended_tell_no_rate(tmp_path: Path) -> None:
    ended = [finished(f"a{n}", n, process=n) for n in range(3)]
    running = [{"id": f"b{n}", "state": "running", "host": "here", "process": n} for n in range(4)]
    a_cohort_of(tmp_path, [*ended, *running], [facts["id"] for facts in (*ended, *running)])
    assert StateReader(tmp_path).read().an_hour is None


def test_a_reader_sees_what_changes(out: Path) -> None:
    reader = StateReader(out)
    assert reader.read().pending == ["f", "g"]
    write_sidecar(out, {"request": "asked-f", **finished("f", 6)})
    assert reader.read().done == ["a", "b", "c", "f"]
    (out / "sidecars" / "a.json").write_text("{", encoding="utf-8")
    assert "a" in reader.read().pending


def test_a_folder_without_a_cohort_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort", "status", str(tmp_path)]) == 3
    assert "holds no cohort" in capsys.readouterr().err


def test_the_table_has_every_case_once_and_no_formula(out: Path) -> None:
    assert main(["cohort", "summary", str(out), "-q"]) == 0
    with (out / "summary.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["state"]) for row in rows] == [
        ("a", "done"), ("b", "done"), ("c", "done"), ("d", "failed"), ("e", "running"), ("f", "pending"),
        ("g", "pending"),
    ]  # fmt: skip
    assert rows[0]["object"] == f"'{NAME}"
    assert (rows[0]["volume_ml"], rows[0]["longest_mm"], rows[0]["perpendicular_mm"]) == ("1.25", "12.5", "")
    assert rows[0]["dice"] == "0.75"
    assert (rows[3]["error_code"], rows[3]["cure"]) == ("input", "Copy it again.")


def test_a_table_that_is_not_its_own_is_left_alone(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cohort", "summary", str(out), "-q"]
    for name in ("summary.csv", "summary.html"):
        (out / name).write_text("mine", encoding="utf-8")
        assert main(words) == 3
        assert f"{out / name} is not as 'cohort summary' wrote it." in capsys.readouterr().err
        assert sorted(file.name for file in out.glob("summary.*")) == [name]
        (out / name).unlink()
    assert main(words) == 0
    write_sidecar(out, {"request": "asked-f", **finished("f", 6)})
    assert main(words) == 0, "what it wrote itself it writes again"
    (out / "summary.csv").write_text("mine", encoding="utf-8")
    page = (out / "summary.html").read_bytes()
    assert main(words) == 3
    assert ((out / "summary.csv").read_text(), (out / "summary.html").read_bytes()) == ("mine", page)
    assert main([*words, "--overwrite"]) == 0
    assert "mine" not in (out / "summary.csv").read_text(encoding="utf-8-sig")
    assert main(words) == 0


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_offline_and_shows_names_as_text(out: Path) -> None:
    (out / "thumbnails" / "a.png").write_bytes(b"\x89PNG")
    assert main(["cohort", "summary", str(out), "-q"]) == 0
    text = (out / "summary.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert page.text.count(NAME) == 3
    assert "d.nrrd <is> broken." in page.text
    assert page.sources == ["data:image/png;base64,iVBORw=="]
    assert not re.search(r"https?://", text)
    assert text.index("broken") < text.index("12.5"), "what failed comes first"
    assert "mean Dice 0.750 of 3 objects" in page.text
