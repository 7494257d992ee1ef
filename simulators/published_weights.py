"""Published checkpoints put into networks: tensors alone are read, no code of the file's is run."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from .clip import UNREADABLE

Network = TypeVar("Network", bound=nn.Module)

_SCALAR = np.float64(0).__reduce__()[0]  # what makes NumPy's numbers; its module has two names, an old and a new one
_HARMLESS: list[Any] = [  # what training runs saved beside their weights: arguments and the best score
    Namespace,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
]
_NAMED = 3  # differences that a message tells


def read_checkpoint(path: Path) -> object:
    """What ``torch.save`` wrote to ``path``, on the CPU. Raises ValueError where anything but tensors, numbers and
    names is in it."""
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(
            f"{path} cannot be read as weights alone, and nothing else is trusted: is it the whole, "
            f"published file? ({error})"
        ) from error


def load_published(network: Network, path: Path, part: str = "") -> Network:
    """``network`` with the weights in ``path``, frozen, in evaluation; they lie under ``part`` or are the whole file.

    Raises ValueError where keys or shapes are others than the network's.
    """
    state = read_checkpoint(path)
    if isinstance(state, Mapping) and part in state:
        state = state[part]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: expected a state dict{f', under {part!r} or flat' if part else ''}")
    state = {key.removeprefix("module."): value for key, value in state.items()}  # of a network on several devices
    wrong = differences(network.state_dict(), state)
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ValueError(f"{path} is no {type(network).__name__} of this kind: {'; '.join(wrong[:_NAMED])}{more}")
    network.load_state_dict(state)
    return network.requires_grad_(False).eval()


def differences(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> list[str]:
    """What is wrong with the keys and shapes of ``got``."""
    lacking = [f"it lacks {key}" for key in expected if key not in got]
    strange = [f"it has {key}, which is unknown" for key in got if key not in expected]
    misshapen = [
        f"{key} is {tuple(got[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in got and got[key].shape != value.shape
    ]
    return lacking + strange + misshapen
