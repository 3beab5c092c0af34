"""Ways to run an image encoder: torch, OpenVINO, and the choice between them by measurement."""

from __future__ import annotations

ENGINES = ("auto", "torch", "openvino")
