"""Routes about the server itself."""

from __future__ import annotations

import platform
from importlib import metadata

from fastapi import APIRouter

from ..errors import MedSAMError
from ..intensity import PRESETS
from ..registry import ModelEntry
from ..version import __version__
from .answers import TheService, problems
from .problems import ServiceProblem
from .schemas import InfoAnswer, ModelAnswer, StateAnswer

REPORTED = ("torch", "numpy", "SimpleITK", "fastapi")

health = APIRouter(tags=["server"])
router = APIRouter(prefix="/api/v1", tags=["server"])


@health.get("/health", responses=problems())
async def is_alive() -> StateAnswer:
    """Tell that the process answers."""
    return StateAnswer(status="ok")


@health.get("/ready", responses=problems(503))
def is_ready(service: TheService) -> StateAnswer:
    """Tell whether a run would be accepted: the model is there, and there is someone to compute."""
    if not service.owner.alive:
        raise ServiceProblem("The server starts, or ends.", "Ask again.", status=503, code="not-ready")
    try:
        service.model_id(None)
    except MedSAMError as error:
        raise ServiceProblem(error.message, error.cure, status=503, code="not-ready") from error
    return StateAnswer(status="ready")


@router.get("/info", responses=problems())
def info(service: TheService) -> InfoAnswer:
    """Tell what the server can do, with which models, and within which limits."""
    limits = service.settings.limits
    return InfoAnswer(
        name="MedSAMSegment",
        version=__version__,
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in REPORTED}},
        device=service.owner.device or service.settings.compute.device,
        model=service.settings.compute.model,
        models=[_model(entry, service.checkpoints.state(entry)) for entry in service.models()],
        windows=["auto", *PRESETS],
        limits={name: float(value) for name, value in vars(limits).items()},
    )


def _model(entry: ModelEntry, state: str) -> ModelAnswer:
    return ModelAnswer(
        id=entry.id,
        title=entry.title,
        state=state,
        licence=entry.licence,
        licence_note=entry.licence_note,
        good_for=entry.good_for,
    )
