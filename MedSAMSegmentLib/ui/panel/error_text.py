"""Errors as the panel shows them: without a link to the panel, and no wider than it."""

from __future__ import annotations

import re
from html import escape

from slicer.i18n import tr as _

from ...errors import DamagedCheckpoint, MedSAMError, MissingCheckpoint, WorkerError
from ..widgets.messages import LINK_REPORT

LONG_WORD = 30
BREAK = "\u200b"
"""Zero width space: Qt breaks a line there."""


def error_text(error: MedSAMError, interpreter_hint: str) -> str:
    """Return what is wrong and what to do, as rich text with a link that copies the report.

    `interpreter_hint` says where the interpreter is chosen; it follows errors of the worker.
    """
    sentences = [f"<b>{escape(error.message)}</b>", escape(_remedy(error))]
    if isinstance(error, WorkerError):
        sentences.append(escape(interpreter_hint))
    sentences.append(f'<a href="{LINK_REPORT}">{escape(_("Copy report"))}</a>')
    return breakable(" ".join(sentence for sentence in sentences if sentence))


def breakable(text: str) -> str:
    """Return rich text in which long words (paths, hashes) may be broken: a label is as wide as its longest word."""
    return re.sub(rf"<[^>]*>|[^\s<]{{{LONG_WORD},}}", _with_breaks, text)


def _with_breaks(match: re.Match[str]) -> str:
    """Let a word break after a slash or backslash, and after twenty characters (or entities) without one."""
    word = match.group()
    if word.startswith("<"):
        return word
    return re.sub(r"[\\/](?=.)|(?:&#?\w+;|[^\\/&]){20}(?=[^\\/])", lambda part: part.group() + BREAK, word)


def _remedy(error: MedSAMError) -> str:
    if isinstance(error, MissingCheckpoint):
        return _("Choose the model in the table under Models, then press Download or Import from file.")
    if isinstance(error, DamagedCheckpoint):
        return _("Choose the model in the table under Models, press Remove, then Download.")
    return error.cure
