"""The help of the module and the effect, in the browser that shows it: a sentence when collapsed, a list of keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]


def shown(text: str, *, collapsed: bool) -> str:
    import ctk

    browser = ctk.ctkFittedTextBrowser()
    browser.collapsed = collapsed
    browser.setCollapsibleText(text)
    return browser.toPlainText()


@pytest.fixture
def effect_help(application: Any) -> str:
    application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    application.finish_startup()
    editor = application.open_segment_editor()
    return str(editor.effectByName("MedSAM").self().helpText())


def test_the_browser_cuts_at_the_first_break(application: Any) -> None:
    text = "<html>One sentence<br>. The rest<br>of it</html>"
    assert shown(text, collapsed=True) == "One sentence… Show details..."
    assert shown(text, collapsed=False) == "One sentence. The rest\nof it Hide details."
    assert shown("One line\nand another\nand a third", collapsed=True) == "One line… Show details..."
    assert shown("One line\n and another\nand a third", collapsed=False) == (
        "One line and another\nand a third Hide details."
    )
    assert shown("<html>No break", collapsed=True) == "No break"


def test_the_collapsed_help_of_the_effect_is_one_sentence(effect_help: str) -> None:
    assert shown(effect_help, collapsed=True) == (
        "Drag a box around an object on a slice and press Propagate to segment it in 3D… Show details..."
    )


def test_the_expanded_help_of_the_effect_lists_every_key(effect_help: str) -> None:
    from MedSAMSegmentLib.ui.effect.shortcuts import KEYS

    lines = shown(effect_help, collapsed=False).splitlines()
    assert lines[0] == "Drag a box around an object on a slice and press Propagate to segment it in 3D."
    assert lines[1].startswith("Hold Ctrl while dragging")
    keys = lines[lines.index("Keys:") + 1 :]
    assert effect_help.count("<li>") == 6
    assert len(keys) == 6 + 1, "an item a line, then the link"
    named = re.findall(r"<b>([^<]+)</b>", effect_help[effect_help.index("<ul") :])
    assert sorted(named) == sorted(key.sequence for key in KEYS)
    assert keys[-1].strip() == "Hide details."


def test_the_help_of_the_module_is_whole_html(application: Any) -> None:
    """Slicer's panel shows it with setHtml: there is no collapsed text, and a break would be an empty line."""
    import qt
    import slicer

    application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    text = slicer.modules.medsamsegment.helpText
    assert "<br>" not in text
    browser = qt.QTextBrowser()
    browser.setHtml(text)
    lines = browser.toPlainText().splitlines()
    assert lines[0] == "Segment an object in 3D from a box drawn on one slice, with the MedSAM family of models."
    assert len(lines) == 5
    assert lines[-1].startswith("Everything is computed on this computer")
