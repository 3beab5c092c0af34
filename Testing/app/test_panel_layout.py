"""The panel as it is seen: sections, names of the widgets, and room in a module panel of 430 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
WIDTH = 430
CELL_MARGINS = 6
LONG_FOLDER = "/".join(["", "home", "a_user_with_a_long_name", *["a_folder_with_a_long_name"] * 6])


@pytest.fixture
def host(application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's widget, as wide as a module panel, in a font as wide as any usual one."""
    import qt
    import slicer

    font, style = qt.QApplication.font(), qt.QApplication.style().objectName
    qt.QApplication.setFont(qt.QFont("DejaVu Sans", 9))
    qt.QApplication.setStyle("Fusion")
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path / "models"))
    module = application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    application.finish_startup()
    slicer.util.selectModule("MedSAMSegment")
    widget = module.widgetRepresentation()
    show(widget)
    yield widget
    widget.self().cleanup()
    qt.QApplication.setFont(font)
    qt.QApplication.setStyle(style)


def show(host: Any) -> None:
    import slicer

    host.show()
    host.resize(WIDTH, max(host.heightForWidth(WIDTH), host.sizeHint.height()))
    slicer.app.processEvents()


def panel_of(host: Any) -> Any:
    return host.self().panel


def sections(host: Any) -> list[Any]:
    import ctk

    return [widget for widget in host.findChildren(ctk.ctkCollapsibleButton) if widget.parent() is host]


def open_all(host: Any) -> None:
    for section in sections(host):
        section.collapsed = False
    show(host)


def test_the_rarely_used_sections_are_collapsed(host: Any) -> None:
    assert {s.text: s.collapsed for s in sections(host)} == {
        "Segment Editor": False,
        "Models": False,
        "Fine-tuning": True,
        "Interpreter and device": True,
        "Where it runs": True,
        "Licences and citation": True,
        "Help": True,
    }
    margins = [s.layout().contentsMargins() for s in sections(host)]
    assert all(min(m.left(), m.top(), m.right(), m.bottom()) > 0 for m in margins), "contents stand off the edge"


def test_what_is_missing_opens_its_section(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAMSegmentLib.ui.panel import interpreter_section, requirements

    monkeypatch.setattr(interpreter_section, "missing", lambda: [requirements.TORCH])
    panel_of(host).refresh()
    assert not panel_of(host).interpreter.frame.collapsed
    assert panel_of(host).interpreter.missing.text.startswith("Missing: torch")


def test_the_main_action_stands_out(host: Any) -> None:
    import qt

    button = panel_of(host).open_editor
    others = [b for b in host.findChildren(qt.QPushButton) if b.isVisible() and b is not button]
    assert button.font.bold()
    assert not any(b.font.bold() for b in others)
    assert button.height > max(b.height for b in others)


def test_every_widget_has_an_object_name_of_its_own(host: Any) -> None:
    import ctk
    import qt

    kinds = (
        *(qt.QPushButton, qt.QLabel, qt.QLineEdit, qt.QTableWidget, qt.QPlainTextEdit, qt.QProgressBar),
        ctk.ctkCollapsibleButton,
    )
    names = [(widget.className(), widget.objectName) for kind in kinds for widget in host.findChildren(kind)]
    assert [kind for kind, name in names if not name] == []
    assert len({name for _kind, name in names}) == len(names)
    assert {"ModelsTable", "DownloadButton", "OpenSegmentEditorButton", "ModelsCollapsibleButton"} <= {
        name for _kind, name in names
    }


def test_the_panel_is_no_wider_than_a_module_panel(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAMSegmentLib.errors import WorkerError
    from MedSAMSegmentLib.ui.panel import models_section
    from MedSAMSegmentLib.ui.worker_settings import choose_interpreter

    own = models_section.model_choices()[0]
    long_name = "weights_of_the_second_training_with_all_lesions_2025-01-31 (own, Efficient MedSAM2 small)"
    panel = panel_of(host)
    monkeypatch.setenv("MEDSAM_MODEL_DIR", LONG_FOLDER)
    choose_interpreter(f"{LONG_FOLDER}/python")
    panel.refresh()
    monkeypatch.setattr(models_section, "model_choices", lambda store: with_title(own, long_name))
    panel.models.refresh()
    for separator in "/\\":
        error = WorkerError(
            f"There is no Python at {LONG_FOLDER.replace('/', separator)}. {'0123456789abcdef' * 4}", ""
        )
        panel.models._show_error(error)
        panel.interpreter._failed(error)
        open_all(host)
        assert host.minimumSizeHint.width() <= WIDTH, separator


def with_title(choice: Any, title: str) -> list[Any]:
    from dataclasses import replace

    return [replace(choice, entry=replace(choice.entry, title=title))]


def test_names_and_states_are_readable(host: Any) -> None:
    """A text fits its cell: in one line, or in the lines that the row is high enough for."""
    import qt

    table = panel_of(host).models.table
    metrics = qt.QFontMetrics(table.font)
    widths = [table.columnWidth(column) - CELL_MARGINS for column in range(table.columnCount)]
    assert sum(widths) <= WIDTH
    for row in range(table.rowCount):
        for column, width in enumerate(widths):
            text = table.item(row, column).text()
            wrapped = metrics.boundingRect(qt.QRect(0, 0, width, 1000), qt.Qt.TextWordWrap, text)
            assert wrapped.width() <= width, text
            assert wrapped.height() <= table.rowHeight(row), text
    one_line = [table.item(row, 0).text() for row in range(3)]
    assert one_line == ["LiteMedSAM", "MedSAM (ViT-B)", "MedSAM2"]
    assert all(metrics.horizontalAdvance(text) <= widths[0] for text in one_line)
    assert metrics.horizontalAdvance("download 2565 MB") <= widths[1]


def test_the_table_has_tool_tips_with_the_full_text(host: Any) -> None:
    models = panel_of(host).models
    table = models.table
    assert all(table.horizontalHeaderItem(column).toolTip() for column in range(table.columnCount))
    for row in range(table.rowCount):
        for column in range(table.columnCount):
            tip = table.item(row, column).toolTip()
            assert table.item(row, column).text() in tip
            assert models._choices[row].entry.good_for in tip


def test_the_buttons_of_the_models_stand_in_two_rows(host: Any) -> None:
    models = panel_of(host).models
    buttons = (models.download, models.import_file, models.remove, models.change_folder)
    assert len({button.y for button in buttons}) == 2
    assert models.cancel.isHidden(), "there is nothing to cancel"
    models.frame.collapsed = True
    models.frame.collapsed = False
    assert models.cancel.isHidden(), "neither after the section was opened again"
    assert not models.download.isHidden()


def test_licence_and_citation_are_a_link_and_a_section(host: Any, application: Any) -> None:
    from MedSAMSegmentLib.registry import entries

    panel = panel_of(host)
    panel.models.choose("medsam2")
    assert "the recommended MedSAM2" in panel.models.details.text
    panel.models.details.linkActivated.emit("licence:")
    (shown,) = application.dialogs.texts("infoDisplay")
    assert shown.startswith("MedSAM2: CC-BY-SA-4.0.")
    text = panel.licences.text
    for entry in entries():
        assert entry.title in text
        assert entry.licence in text
        assert entry.citation in text


def test_an_error_in_the_panel_names_the_place_and_links_no_panel(host: Any, application: Any) -> None:
    from MedSAMSegmentLib.errors import DamagedCheckpoint, MissingCheckpoint
    from MedSAMSegmentLib.ui.panel.error_text import error_text

    panel = panel_of(host)
    open_all(host)
    panel.interpreter.path.text = "/nowhere/python"
    panel.interpreter.path.editingFinished.emit()
    application.actions.press(panel.interpreter.check)
    assert "Browse... and Slicer's own, above" in unescaped(panel.interpreter.status.text)
    panel.models.import_path("/nowhere/file.pth")
    assert "Python is chosen under Interpreter and device" in panel.models.status.text
    for text in (panel.interpreter.status.text, panel.models.status.text):
        assert "panel:" not in text
        assert 'href="report:"' in text
    assert "table under Models" in error_text(MissingCheckpoint("Gone.", "Run a command."), "")
    assert "press Remove, then Download" in error_text(DamagedCheckpoint("Bad.", "Run a command."), "")


def unescaped(text: str) -> str:
    from html import unescape

    return unescape(text)


def test_long_words_may_be_broken_and_short_ones_are_left_alone(application: Any) -> None:
    from MedSAMSegmentLib.ui.panel.error_text import breakable

    assert breakable("<b>a/short/path</b> and text") == "<b>a/short/path</b> and text"
    long_link = f'<a href="{"x" * 60}">Copy</a>'
    assert breakable(long_link) == long_link, "tags stay as they are"
    path = r"C:\Users\somebody\AppData\Local\Slicer\python.exe"
    assert breakable(path).split("\u200b") == [
        *("C:\\", "Users\\", "somebody\\", "AppData\\", "Local\\", "Slicer\\", "python.exe"),
    ]
    assert breakable("&quot;" * 40).replace("\u200b", "") == "&quot;" * 40
    assert "&quot;\u200b&quot;" in breakable("&quot;" * 40), "no entity is cut"
