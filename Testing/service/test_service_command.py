"""`medsam-segment serve` before it serves: what is imported when, and what is refused at once."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.commands import serve as command


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (
            "from MedSAMSegmentLib import cli; cli.build_parser().format_help()",
            "fastapi starlette uvicorn requests torch",
        ),
        ("import MedSAMSegmentLib.service.client", "fastapi starlette uvicorn pydantic requests torch SimpleITK"),
        ("import MedSAMSegmentLib.service.server", "torch requests SimpleITK pydicom"),
    ],
)
def test_nothing_is_imported_that_is_not_needed(code: str, unwanted: str) -> None:
    told = f"import sys; {code}; print(*sorted(set('{unwanted}'.split()) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, encoding="utf-8", timeout=300, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize("missing", command.NEEDED)
def test_without_the_extra_one_sentence_says_how_to_get_it(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == missing else found(name, *more)
    )
    assert main(["serve"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"not installed ({missing})" in line
    assert 'pip install "MedSAMSegmentLib[service]"' in line


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--host", "0.0.0.0"), "others could read images"),
        (("--tls-cert", "nothing.pem"), "certificate and its key"),
        (("--token-file", "nothing"), "cannot be read"),
        (("--token-file", "empty"), "is empty"),
        (("--token-file", "short"), "shorter than 16"),
        (("--model", "nothing"), "no model named"),
        (("--max-upload", "0"), "--max-upload must be above zero"),
        (("--idle-minutes", "nan"), "--idle-minutes must be above zero"),
        (("--port", "99999"), "no port 99999"),
        (("--port", "-1"), "no port -1"),
        (("--max-workers", "-1"), "--max-workers must not be below zero"),
    ],
)
def test_a_server_that_cannot_be_is_refused_at_once(
    arguments: tuple[str, ...],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(command.TOKEN_VARIABLE, raising=False)
    Path("empty").write_text("\n", encoding="utf-8")
    Path("short").write_text("abc\n", encoding="utf-8")
    assert main(["serve", "--offline", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert reason in line


def test_a_port_that_is_taken_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--offline", "--port", str(taken.getsockname()[1])]) == 2
    assert "Choose another --port" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
