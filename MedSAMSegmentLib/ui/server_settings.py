"""The settings of a server that computes in place of this computer: opt-in, agreed to once for each address.

Nothing is sent to a server that was not agreed to, whatever the other settings say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import slicer

from .. import registry
from ..errors import UsageError
from ..registry import ModelEntry

ADDRESS_KEY = "MedSAMSegment/ServerAddress"
TOKEN_KEY = "MedSAMSegment/ServerToken"
PLACE_KEY = "MedSAMSegment/RunsOn"
AGREED_KEY = "MedSAMSegment/AgreedServers"
MODELS_KEY = "MedSAMSegment/ServerModels"

SERVER = "server"
"""The value of `PLACE_KEY` for a server; any other means this computer."""

LIKE = "lite_medsam"
"""What is not known of a server's own models is taken from this one."""


@dataclass(frozen=True)
class Server:
    """A server, and the token that it wants."""

    address: str
    token: str = field(repr=False)


def known_server() -> Server:
    """Return the server that was used last, whether it is now or not; both texts are empty where there is none."""
    return Server(_text(ADDRESS_KEY), _text(TOKEN_KEY))


def chosen_server() -> Server | None:
    """Return the server that computes; None for this computer."""
    server = known_server()
    if _text(PLACE_KEY) != SERVER or not server.address or not is_agreed(server.address):
        return None
    return server


def choose_server(server: Server, models: Sequence[Mapping[str, Any]]) -> None:
    """Let a server compute from now on; `models` are what it said of its own."""
    for key, value in ((ADDRESS_KEY, server.address), (TOKEN_KEY, server.token), (PLACE_KEY, SERVER)):
        slicer.app.userSettings().setValue(key, value)
    slicer.app.userSettings().setValue(MODELS_KEY, json.dumps(list(models)))


def choose_this_computer() -> None:
    """Let this computer compute from now on; the server stays known."""
    slicer.app.userSettings().setValue(PLACE_KEY, "")


def is_agreed(address: str) -> bool:
    """Return whether the user has agreed that images are sent to this address."""
    return address in _agreed()


def agree(address: str) -> None:
    slicer.app.userSettings().setValue(AGREED_KEY, json.dumps([*_agreed(), address]))


def server_models() -> list[tuple[ModelEntry, str]]:
    """Return the models of the server as it told them last, each with the word for its state there."""
    found = []
    for facts in _list(MODELS_KEY):
        if isinstance(facts, dict):
            entry = _entry(facts)
            if entry is not None:
                found.append((entry, str(facts.get("state", ""))))
    return found


def _entry(facts: Mapping[str, Any]) -> ModelEntry | None:
    """Return what is known of a model of the server's; None where that is too little."""
    model_id, title = str(facts.get("id", "")), str(facts.get("title", ""))
    try:
        return registry.get(model_id)
    except UsageError:
        if not model_id or not title:
            return None
    return replace(
        registry.get(LIKE),
        id=model_id,
        title=title,
        file_name=model_id,
        sha256=None,
        md5=None,
        sources=(),
        licence=str(facts.get("licence", "")),
        licence_note=str(facts.get("licence_note", "")),
        good_for=str(facts.get("good_for", "")),
    )


def _agreed() -> list[str]:
    return [str(one) for one in _list(AGREED_KEY)]


def _list(key: str) -> list[Any]:
    try:
        found = json.loads(_text(key) or "[]")
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _text(key: str) -> str:
    return str(slicer.app.userSettings().value(key) or "")
