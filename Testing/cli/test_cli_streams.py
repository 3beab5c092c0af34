"""What the command line does when its output goes nowhere, when it is stopped, and when the unexpected happens."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.commands import info, models
from MedSAMSegmentLib.io import overlay

MEDSAM = [sys.executable, "-m", "MedSAMSegmentLib"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and devices of POSIX")


def environment(lite_checkpoint: Path | None = None, **more: str) -> dict[str, str]:
    folder = {"MEDSAM_MODEL_DIR": str(lite_checkpoint.parent)} if lite_checkpoint else {}
    return {**os.environ, **folder, **more}


@posix
def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as `| head -0` does
    done = subprocess.run(
        [*MEDSAM, "models", "list"], stdout=writer, stderr=subprocess.PIPE, encoding="utf-8", check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_an_output_that_is_full_is_said_in_one_sentence() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([*MEDSAM, "models"], stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (3, "medsam-segment: No space left on device.\n")


def test_letters_that_the_terminal_lacks_are_replaced(oblique_nrrd: Path, tmp_path: Path) -> None:
    image = tmp_path / "病変.nrrd"
    image.write_bytes(oblique_nrrd.read_bytes())
    done = subprocess.run(
        [*MEDSAM, "info", str(image)], capture_output=True, env=environment(PYTHONIOENCODING="cp1252"), check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"??.nrrd" in done.stdout
    done = subprocess.run(
        [*MEDSAM, "info", "病変"], capture_output=True, env=environment(PYTHONIOENCODING="cp1252"), check=False
    )
    assert (done.returncode, done.stderr.splitlines()) == (3, [b"medsam-segment: ?? does not exist. Check the path."])


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            ZeroDivisionError("by\nzero"),
            1,
            "unexpected ZeroDivisionError: by zero; run again with --debug for the trace",
        ),
        (PermissionError(13, "Permission denied", "secret"), 3, "secret: Permission denied."),
        (MemoryError(), 3, "The memory is not enough. Crop the image, or give a smaller --range."),
    ],
)
def test_the_unexpected_is_one_line_too(
    error: Exception, code: int, sentence: str, *, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_options: object) -> None:
        raise error

    monkeypatch.setattr(info, "run", fail)
    assert main(["info", "image"]) == code
    assert capsys.readouterr().err == f"medsam-segment: {sentence}\n"
    assert main(["info", "image", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


@posix
def test_ctrl_c_during_a_run_writes_nothing(
    lite_checkpoint: Path, oblique_nrrd: Path, box_arguments: tuple[object, ...], tmp_path: Path
) -> None:
    command = [*MEDSAM, "run", oblique_nrrd, *box_arguments, "-o", tmp_path / "out.nrrd", "--mode", "reference"]
    with _started([str(word) for word in command], environment(lite_checkpoint)) as process:
        assert process.stdout is not None
        assert "lite_medsam on cpu" in process.stdout.readline()  # now the slices are computed
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (5, "medsam-segment: cancelled; nothing was written.\n")
    assert list(tmp_path.iterdir()) == []


@posix
def test_ctrl_c_between_two_outputs_names_the_first(
    medsam_here: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    monkeypatch.setattr(overlay, "write_overlay", interrupted)
    assert medsam_here("-o", tmp_path / "out.nii.gz", "--overlay", tmp_path / "out.png") == 5
    written = f"{tmp_path / 'out.nii.gz'}, {tmp_path / 'out.labels.json'}"
    assert capsys.readouterr().err == f"medsam-segment: cancelled; already written: {written}.\n"
    assert {path.name for path in tmp_path.iterdir()} == {"out.nii.gz", "out.labels.json"}


def test_a_download_that_is_stopped_makes_no_promise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "run", interrupted)
    assert main(["models", "pull", "lite_medsam"]) == 5
    assert capsys.readouterr().err == "medsam-segment: cancelled.\n"


@posix
def test_a_terminal_gets_a_bar_over_the_slices(
    lite_checkpoint: Path, oblique_nrrd: Path, box_arguments: tuple[object, ...], tmp_path: Path
) -> None:
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [*MEDSAM, "run", oblique_nrrd, *box_arguments, "-o", tmp_path / "out.nrrd"]
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=theirs, env=environment(lite_checkpoint)
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how the end of a terminal shows
            while piece := os.read(ours, 4096):
                shown += piece
    os.close(ours)
    assert process.returncode == 0
    assert b"segment: 100%" in shown
    assert b"3/3" in shown
    assert shown.count(b"\r") >= 3


def _started(command: list[str], env: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=env,
        # A shell starts what runs in its background with Ctrl+C ignored, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread
    )
