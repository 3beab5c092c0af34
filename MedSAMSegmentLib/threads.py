"""The wait policy of threads, by which the threads of one process share the processor."""

from __future__ import annotations

from collections.abc import MutableMapping

WAIT_POLICY = "OMP_WAIT_POLICY"


def set_passive_wait_policy(variables: MutableMapping[str, str]) -> None:
    """Let threads of torch that have nothing to do give up their core at once, unless the user set something else.

    By default they wait busily for the next piece of work, on the cores that OpenVINO's threads want meanwhile: on
    two cores a prompt then takes a tenth longer. `variables` is an environment, read when torch is loaded.
    """
    variables.setdefault(WAIT_POLICY, "PASSIVE")
