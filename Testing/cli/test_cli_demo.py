"""What `medsam-segment demo` refuses; the demo itself runs once, from the wheel: Testing/packaging/test_wheel.py."""

from __future__ import annotations

from pathlib import Path

from cli_support import Run


def test_an_organ_that_the_demo_has_not_is_refused(medsam: Run, tmp_path: Path) -> None:
    done = medsam("demo", "--output", tmp_path / "new", "--organ", "liver")
    assert done.returncode == 2
    assert "no organ 'liver'" in done.stderr
    assert "right lung, left lung, thoracic vertebral column" in done.stderr
    assert not (tmp_path / "new").exists()
