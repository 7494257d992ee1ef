"""Heavy libraries, imported late and through one door.

PyPI's torchvision is linked against CUDA and fails to import beside a CPU-only torch, and takes timm, open_clip,
transformers, diffusers and peft down with it (pytorch/vision issues 9077 and 9085). So each of them is imported
here, after torchvision was seen to import.
"""
from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

_MAPPED_FROM, _GIVEN_BACK_FROM = 2**27, 2**28  # bytes
_COMPILING: dict[str, Any] = {"cpp.enable_floating_point_contract_flag": "fast"}  # a product and a sum at once
_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def keep_freed_memory() -> None:
    """Have glibc keep what tensors of up to 128 MiB leave, for the next ones, rather than take it from the system anew.

    For all of this process. Nothing where another C library allocates, or the user's environment says how glibc is to.
    """
    if any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ):
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for option, amount in ((-3, _MAPPED_FROM), (-1, _GIVEN_BACK_FROM)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            mallopt(option, amount)


def torchvision() -> ModuleType:
    """Return torchvision, also where its compiled part cannot load.

    Beside a CPU-only torch the import fails because the schemas of two compiled operators were never declared.
    They are declared here, the import is tried again, and `torchvision.ops.nms`, which detectors need, gets a
    version in torch. The other compiled operators raise. Where the wheels match, all this is a plain import.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    _declare_operators()
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    module = importlib.import_module("torchvision")
    module.ops.boxes.nms = _nms
    return module


def open_clip() -> ModuleType:
    """Return open_clip."""
    return _after_torchvision("open_clip")


def transformers() -> ModuleType:
    """Return transformers."""
    return _after_torchvision("transformers")


def diffusers() -> ModuleType:
    """Return diffusers."""
    return _after_torchvision("diffusers")


def peft() -> ModuleType:
    """Return peft."""
    return _after_torchvision("peft")


def timm() -> ModuleType:
    """Return timm."""
    return _after_torchvision("timm")


def bitsandbytes() -> ModuleType:
    """Return bitsandbytes, which we do not install; ImportError says how to."""
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise ImportError("an optimiser in 8 bits needs bitsandbytes: pip install bitsandbytes, "
                          "or leave it in 32 bits (eight_bit=false)") from error


def faiss() -> ModuleType:
    """Return faiss, which is an extra; ImportError says how to install it."""
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise ImportError("an approximate index needs faiss-cpu: pip install 'retouch[faiss]', "
                          "or search exactly (kind='exact')") from error


@cache
def compiled(function: Callable[P, R], wanted: bool = True) -> Callable[P, R]:
    """``function`` of tensors whose operations torch.compile fuses, whatever their sizes; one for all who ask.

    Its first call takes up to minutes; what comes of it is kept on disk. Results agree with those of ``function`` to
    rounding. A method that is asked for by many objects would be compiled for each: give a plain function. Unless it
    is ``wanted`` the function comes back as it is.
    """
    import torch

    return torch.compile(function, dynamic=True, options=_COMPILING) if wanted else function


def fused(wanted: bool, function: Callable[..., Tensor], *given: Any) -> Tensor:
    """``function(*given)``, in which tensors are ``[B, ...]``: where it is ``wanted``, by ``compiled``.

    All B and all modules of a kind share one compilation. It has no gradient, which would take minutes more to compile:
    whoever asks for one gets the plain function's.
    """
    import torch

    tensors = [part for part in given if isinstance(part, torch.Tensor)]
    if not wanted or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)):
        return function(*given)
    lanes = len(tensors[0])

    def own(part: Any) -> Any:
        """One lane would be compiled for apart, and a view by what it is a view of."""
        if not isinstance(part, torch.Tensor):
            return part
        return torch.cat([part, part]) if lanes == 1 else part.clone()

    with torch.no_grad():
        return compiled(function)(*map(own, given))[:lanes]


def compiled_method(method: Callable[P, R]) -> Callable[P, R]:
    """As ``compiled``, for one object alone: compiled anew for each, and forgotten with it."""
    import torch

    return torch.compile(method, dynamic=True, options=_COMPILING)


def require_compiler(device: torch.device) -> None:
    """Raise ValueError where torch.compile could not compile for ``device``."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and sys.platform != "win32" and not shutil.which(compiler):
        raise ValueError(f"compile=True needs a C++ compiler, and there is no {compiler}: install one, or name yours "
                         "in the environment variable CXX, or leave compile=False")


def _after_torchvision(name: str) -> ModuleType:
    torchvision()
    return importlib.import_module(name)


def _declare_operators() -> None:
    import torch

    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", _NMS_SCHEMA)


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the `boxes` [N, 4] that no kept box of a higher score [N] overlaps, best first."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    overlaps = sys.modules["torchvision"].ops.box_iou(boxes[order], boxes[order]) > iou_threshold
    kept = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    for row in range(len(order)):
        if kept[row]:
            kept[row + 1:] &= ~overlaps[row, row + 1:]
    return order[kept]
