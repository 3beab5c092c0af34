"""The models as the user chooses them: state, size, licence. Reads files' sizes, never their contents."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from slicer.i18n import tr as _

from ...checkpoints.custom_models import CustomModels, is_custom
from ...checkpoints.store import CheckpointStore
from ...registry import ModelEntry, entries
from ...worker.memory import available_bytes
from ..server_settings import chosen_server, server_models
from ..worker_settings import model_store
from .messages import LINK_PANEL

LINK_LICENCE = "licence:"


@dataclass(frozen=True)
class ModelChoice:
    """`state` is the store's word, or "unknown" where the folder cannot be found; `short_of_memory` is in bytes.

    `on_server` tells that it is the word of a server's.
    """

    entry: ModelEntry
    state: str
    short_of_memory: int = 0
    on_server: bool = False

    @property
    def usable(self) -> bool:
        return self.state in ("ready", "unverified") and not self.short_of_memory


def model_choices(store: CheckpointStore | None = None) -> list[ModelChoice]:
    """All models with their state, the user's own last. Never raises: what cannot be told is "unknown"."""
    store = store or CheckpointStore()
    free = available_bytes()
    listed = (*entries(), *_own_entries(store))
    return [ModelChoice(entry, _state(store, entry), _shortage(entry, free)) for entry in listed]


def offered_choices() -> list[ModelChoice]:
    """Return the models of the place that is chosen: the server's own, or those of this computer. Never raises."""
    if chosen_server() is None:
        return model_choices(model_store())
    return [ModelChoice(entry, state, on_server=True) for entry, state in server_models()] or model_choices()


def state_text(choice: ModelChoice) -> str:
    """One short word or two for the line of the model."""
    if choice.on_server:
        return _("ready") if choice.usable else _("not on the server")
    if is_custom(choice.entry.id) and choice.state in ("missing", "damaged"):
        return _("missing or damaged: import it again")
    if choice.state == "missing":
        return _("download {size} MB").format(size=round(choice.entry.expected_bytes / 1e6))
    if choice.state == "damaged":
        return _("damaged: download again")
    if choice.short_of_memory:
        return _("not enough memory: needs {size} GB free").format(size=f"{choice.entry.minimum_memory_mb / 1000:g}")
    return _("ready") if choice.usable else _("install what is missing first")


def state_html(choice: ModelChoice) -> str:
    """The state, a link to the panel where something is to be done, and the licence one click away."""
    text = escape(state_text(choice))
    if not choice.usable and not choice.on_server:
        text = f'<a href="{LINK_PANEL}{choice.entry.id}">{text}</a>'
    return f'{text} · <a href="{LINK_LICENCE}{choice.entry.id}">{escape(choice.entry.licence)}</a>'


def missing_html() -> str:
    """For a model that a scene names and that is not here."""
    return f'<a href="{LINK_PANEL}">{escape(_("not in the model folder"))}</a>'


def licence_text(entry: ModelEntry) -> str:
    """Say what a user should know before using the weights."""
    lines = [f"{entry.title}: {entry.licence}.", entry.licence_note, entry.good_for, entry.citation + "."]
    return "\n\n".join(line for line in lines if line)


def _own_entries(store: CheckpointStore) -> list[ModelEntry]:
    try:
        return [model.entry for model in CustomModels(store).all()]
    except (ImportError, OSError):
        return []


def _state(store: CheckpointStore, entry: ModelEntry) -> str:
    try:
        return store.state(entry)
    except (ImportError, OSError):
        return "unknown"


def _shortage(entry: ModelEntry, free: int | None) -> int:
    return 0 if free is None else max(0, entry.minimum_memory_mb * 10**6 - free)
