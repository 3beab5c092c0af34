"""The curves in TensorBoard's format, for whoever has it; the extra `tensorboard` installs it."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from .state import TrainingState


class TensorBoardLog:
    """Writes each step into a folder. Raises `UsageError` without the package."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "TensorBoard is not installed.", "Install the extra 'tensorboard', or leave out --tensorboard."
            ) from error
        self._writer = SummaryWriter(str(folder))

    def __call__(self, state: TrainingState) -> None:
        row = state.curve[-1]
        for name in (
            "loss",
            "dice_loss",
            "cross_entropy",
            "iou_loss",
            "rehearsal_loss",
            "learning_rate",
            "validation_dice",
        ):
            value = getattr(row, name)
            if value is not None:
                self._writer.add_scalar(name, value, row.step)

    def close(self) -> None:
        self._writer.close()
