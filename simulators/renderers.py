"""The stroke renderers, by name."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..backends import require_compiler
from .analytic import AnalyticRenderer
from .brushes import BRUSHES
from .neural_renderer import load_neural, load_published
from .raster import reference_alpha
from .renderer import Renderer

__all__ = ["NAMES", "AnalyticRenderer", "ReferenceRenderer", "Renderer", "make_renderer"]

BRUSHED = ("analytic", "cv2")
NAMES = (*(f"{kind}:{brush}" for kind in BRUSHED for brush in BRUSHES), "neural", "published:PATH")


class ReferenceRenderer(Renderer):
    """The exact rasteriser of `raster.py`, stroke by stroke on the CPU. No gradient."""

    def __init__(self, size: int = 128, brush: str = "bezier") -> None:
        super().__init__(size)
        self.brush = brush

    def forward(self, shape: Tensor) -> Tensor:
        strokes = shape.detach().cpu().numpy()
        alpha = [reference_alpha(stroke, self.size, self.brush) for stroke in strokes]
        return torch.from_numpy(np.array(alpha, np.float32).reshape(-1, self.size, self.size)).to(shape.device)


def make_renderer(
    name: str = "analytic", size: int = 128, device: str | torch.device = "cpu", compile: bool = False
) -> Renderer:
    """The renderer called `name`, for `size` x `size` pixels:

    - `analytic` or `analytic:BRUSH`: exact and differentiable (the default);
    - `cv2` or `cv2:BRUSH`: the reference that the others are measured against, without gradient;
    - `neural`: the small network that is shipped, curves only;
    - `published:PATH`: a `renderer.pkl` of Learning to Paint (128 px) or Semantic Guidance (256 px).

    BRUSH is `bezier` (default), `bezier-opaque`, `triangle` or `circle`, each of 10 numbers, so that the published
    actors fit all: see `raster.reference_alpha`. With `compile` torch.compile fuses the analytic ones. Raises
    ValueError for other names and where nothing can be compiled, FileNotFoundError for no weights.
    """
    kind, _, rest = name.partition(":")
    if compile and kind != "analytic":
        raise ValueError(f"compile=True is for analytic renderers, not for {name!r}: leave compile=False")
    if compile:
        require_compiler(torch.device(device))
    renderer: Renderer
    if kind == "analytic" and (rest or "bezier") in BRUSHES:
        renderer = AnalyticRenderer(size, rest or "bezier", compile)
    elif kind == "cv2" and (rest or "bezier") in BRUSHES:
        renderer = ReferenceRenderer(size, rest or "bezier")
    elif name == "neural":
        renderer = load_neural(size)
    elif kind == "published" and rest:
        renderer = load_published(size, Path(rest))
    else:
        raise ValueError(f"no renderer {name!r}: expected one of analytic, cv2, {', '.join(NAMES)}")
    return renderer.to(device)
