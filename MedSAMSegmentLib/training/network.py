"""The network in training: what of it learns, its answer to a batch, and its way back to plain weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..models.sam import Sam
from .lora import add_lora, merge_lora
from .sampling import SampledPrompt

ENCODERS = ("frozen", "lora")


class TrainableSam:
    """A SAM of which prompt encoder and mask decoder learn, with "lora" a little of the image encoder, too.

    The network stays in eval mode: the running statistics of its batch norms are kept as they are.
    """

    def __init__(self, sam: Sam, encoder: str, device: torch.device, seed: int = 0) -> None:
        self.sam = sam.to(device).eval()
        self.device = device
        self.encoder = encoder
        self.sam.requires_grad_(False)
        for part in (self.sam.prompt_encoder, self.sam.mask_decoder):
            part.requires_grad_(True)
        if encoder == "lora":
            add_lora(self.sam.image_encoder, seed)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what learns, by name."""
        return {name: value for name, value in self.sam.named_parameters() if value.requires_grad}

    def answer(self, features: Tensor, prompts: Sequence[SampledPrompt]) -> tuple[Tensor, Tensor]:
        """Return the logits (B,1,h,w) and predicted IoUs (B,1) of mask 0.

        `features` (B,...) are embeddings, with "lora" network inputs (B,3,S,S). Either all prompts have a click or
        none: a network that is shown a missing click is not the one that runs later.
        """
        embedding = self.sam.encode(features)[0] if self.encoder == "lora" else features
        boxes = torch.tensor([prompt.box for prompt in prompts], device=self.device)
        points = labels = None
        if prompts[0].click is not None:
            points = torch.tensor([[prompt.click] for prompt in prompts], device=self.device)
            labels = torch.ones((len(prompts), 1), dtype=torch.int64, device=self.device)
        answers = self.sam.decode((embedding,), points=points, labels=labels, boxes=boxes).select(multimask=False)
        return answers.logits, answers.ious

    def forget_derived(self) -> None:
        """Drop what was computed from weights that have changed since."""
        self.sam.eval()

    def plain_weights(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's state dict, on the CPU, with `values` in the place of what learns, adapters merged."""
        with swapped(self.parameters(), values):
            state = {name: tensor.detach().cpu().clone() for name, tensor in self.sam.state_dict().items()}
        return merge_lora(state) if self.encoder == "lora" else state


@contextmanager
def swapped(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """Put other values into parameters for the time of a block."""
    own = {name: value.detach().clone() for name, value in parameters.items()}
    _copy(values, parameters)
    try:
        yield
    finally:
        _copy(own, parameters)


@torch.no_grad()
def _copy(values: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
