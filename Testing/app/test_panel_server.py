"""Where it runs: nothing goes to a server that the user did not agree to, and what goes wrong is said."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-the-tests"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def panel(module_panel: Any) -> Any:
    module_panel.server.frame.collapsed = module_panel.help_section.collapsed = False
    return module_panel


def plain(text: str) -> str:
    return unescape(text.replace("\u200b", ""))


def stored() -> dict[str, str]:
    import slicer

    settings = slicer.app.userSettings()
    return {key: str(settings.value(key)) for key in settings.allKeys()}


def choose(address: str, *, agreed: bool = True) -> None:
    """Settings as an earlier session, or somebody's script, left them."""
    from MedSAMSegmentLib.ui import server_settings

    if agreed:
        server_settings.agree(address)
    server_settings.choose_server(server_settings.Server(address, TOKEN), MODELS)


MODELS = [
    {"id": "lite_medsam", "title": "LiteMedSAM", "state": "ready"},
    {"id": "medsam2", "title": "MedSAM2", "state": "missing"},
    {"id": "own-lungs.pth", "title": "lungs (own, MedSAM2)", "state": "ready", "licence": "not stated"},
    {"id": "", "title": "nothing"},
]


@pytest.mark.parametrize(
    ("address", "token", "words"),
    [
        ("", TOKEN, "no address of a server"),
        ("http://gpu.example.org:8000", TOKEN, "must not travel to gpu.example.org in the clear"),
        ("https://gpu.example.org:8000", "", "The server's token is missing"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_asked(
    panel: Any, application: Any, address: str, token: str, words: str
) -> None:
    panel.server.address.text, panel.server.token.text = address, token
    application.actions.press(panel.server.use)
    assert words in plain(panel.server.status.text)
    assert application.dialogs.texts() == []
    assert stored() == {}


def test_a_server_that_does_not_answer_is_not_chosen(panel: Any, application: Any) -> None:
    panel.server.address.text, panel.server.token.text = NOBODY, TOKEN
    application.dialogs.answer(True)
    application.actions.press(panel.server.use)
    assert not panel.server.use.enabled, "one question at a time"
    application.wait_until(lambda: panel.server.use.enabled, 60)
    assert f"{NOBODY} does not answer" in plain(panel.server.status.text)
    assert "on this computer" in panel.server.place.text
    assert not panel.server.here.enabled
    (question,) = application.dialogs.texts()
    assert NOBODY in question
    assert "Images" in question
    assert TOKEN not in str(stored())

    application.actions.press(panel.server.use)
    application.wait_until(lambda: panel.server.use.enabled, 60)
    assert len(application.dialogs.texts()) == 1, "asked once"


def test_what_was_not_agreed_to_is_not_used_whatever_the_settings_say(panel: Any) -> None:
    from MedSAMSegmentLib.ui import worker_settings

    choose("https://gpu.example.org", agreed=False)
    panel.refresh()
    assert "on this computer" in panel.server.place.text
    assert "--server" not in worker_settings.launch_command().arguments
    assert TOKEN not in worker_settings.launch_command().environment.values()


def test_the_command_of_a_server_that_was_agreed_to(panel: Any) -> None:
    from MedSAMSegmentLib.ui import worker_settings

    choose("https://gpu.example.org")
    panel.refresh()
    assert "Runs on https://gpu.example.org" in plain(panel.about.text)
    command = worker_settings.launch_command()
    assert "--server" in command.arguments
    assert TOKEN not in str(command)
    assert worker_settings.free_memory() is None
    assert "--server" not in worker_settings.local_command().arguments


def test_the_models_are_those_of_the_server(panel: Any) -> None:
    from MedSAMSegmentLib.ui import worker_settings
    from MedSAMSegmentLib.ui.widgets.model_choice import offered_choices, state_html, state_text

    here = [choice.entry.id for choice in offered_choices()]
    choose("https://gpu.example.org")
    offered = offered_choices()
    assert [choice.entry.id for choice in offered] == ["lite_medsam", "medsam2", "own-lungs.pth"]
    assert [state_text(choice) for choice in offered] == ["ready", "not on the server", "ready"]
    assert "panel:" not in state_html(offered[1]), "a download here would not help"
    assert worker_settings.is_at_hand("own-lungs.pth")
    assert not worker_settings.is_at_hand("medsam2")
    assert worker_settings.known_entry("own-lungs.pth").title == "lungs (own, MedSAM2)"
    from MedSAMSegmentLib.ui.server_settings import choose_this_computer

    choose_this_computer()
    assert [choice.entry.id for choice in offered_choices()] == here
    assert not worker_settings.is_at_hand("lite_medsam")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "7", json.dumps([{"id": "x"}]), json.dumps({"a": 1})])
def test_settings_that_cannot_be_read_are_none(panel: Any, text: str) -> None:
    import slicer

    from MedSAMSegmentLib.ui import server_settings

    for key in (server_settings.AGREED_KEY, server_settings.MODELS_KEY):
        slicer.app.userSettings().setValue(key, text)
    assert server_settings.server_models() == []
    assert not server_settings.is_agreed("https://gpu.example.org")
    panel.refresh()


def test_the_token_is_hidden_and_not_in_the_report(panel: Any, application: Any) -> None:
    import qt

    choose("https://gpu.example.org")
    panel.server.address.text = "https://gpu.example.org"
    panel.server.token.text = TOKEN
    assert panel.server.token.echoMode == qt.QLineEdit.Password
    application.actions.press(panel.copy_report)
    assert TOKEN not in qt.QApplication.clipboard().text()
