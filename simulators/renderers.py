"""The stroke renderers, by name."""

from .analytic import AnalyticRenderer
from .brushes import BRUSHES
from .renderer import Renderer

__all__ = ["AnalyticRenderer", "Renderer", "make_renderer"]


def make_renderer(name: str = "analytic", size: int = 128, device: str = "cpu") -> Renderer:
    kind, _, brush = name.partition(":")
    return AnalyticRenderer(size, brush or "bezier").to(device)
