"""Remedies for errors, in this application's words.

The library's own cures speak to all its users; where they name a command, the panel has a button.
"""

from __future__ import annotations

from slicer.i18n import tr as _

from ..errors import DamagedCheckpoint, MedSAMError, MissingCheckpoint


def cure_of(error: MedSAMError) -> str:
    """The cure by the error's type, which crosses process boundaries as its code; else the error's own."""
    if isinstance(error, MissingCheckpoint):
        return _("Press Download in Models and settings, or Import from file for a file that you have.")
    if isinstance(error, DamagedCheckpoint):
        return _("Press Remove, then Download, in Models and settings.")
    return error.cure
