"""A painting as a vector drawing."""

import math
from itertools import pairwise

from torch import Tensor

from .strokes import Painting

WIDTH = 1000.0  # of the longest side, in the drawing's units
TOLERANCE = 0.5  # units by which the outline may leave the curve
Disc = tuple[float, float, float]  # x, y, radius in units
LAST_T = 0.99  # where the rasteriser ends a curve, see ``brushes.LAST_T``


def svg(painting: Painting) -> str:
    """The painting as SVG: each stroke one shape, filled with its colour and an opacity that runs along it.

    The outline is that of the stroke to ``TOLERANCE``. The opacity is a gradient from one end straight to the other,
    which is exact where discs shrink on the spot, and differs a little where a curve bends.
    """
    scale = WIDTH / painting.canvas
    extent = f'width="{painting.width * scale:.1f}" height="{painting.height * scale:.1f}"'
    box = f'viewBox="0 0 {painting.width * scale:.1f} {painting.height * scale:.1f}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {extent} {box}>']
    parts.append(f'<rect {extent} fill="{_colour(painting.ground)}"/>')
    opaque = painting.renderer.endswith("opaque")
    parts += [_stroke(stroke, painting.canvas, scale, number, opaque) for number, stroke in enumerate(painting.strokes)]
    return "\n".join([*parts, "</svg>\n"])


def _stroke(stroke: Tensor, canvas: int, scale: float, number: int, opaque: bool) -> str:
    w0, w2, *rgb = stroke[8:].tolist()
    discs = _discs(stroke, canvas, scale)
    fill = _colour(rgb)
    outline = "".join(capsule(*pair) for pair in pairwise(discs))
    gradient = "" if opaque else _gradient(discs[0], discs[-1], f"s{number}", fill, w0, w2)
    if gradient:
        return f'{gradient}<path fill="url(#s{number})" d="{outline}"/>'
    opacity = "" if opaque else f' fill-opacity="{w2:.3f}"'
    return f'<path fill="{fill}"{opacity} d="{outline}"/>'


def _discs(stroke: Tensor, canvas: int, scale: float) -> list[Disc]:
    """So many of the discs along a stroke that their hulls look like its curve."""
    x0, y0, x1, y1, x2, y2, z0, z2 = stroke[:8].tolist()
    x1, y1 = x0 + (x2 - x0) * x1, y0 + (y2 - y0) * y1
    unit = (canvas - 0.5) * scale
    r0, r2 = ((0.25 + z * canvas / 4) * scale for z in (z0, z2))
    bend = math.hypot(x0 - 2 * x1 + x2, y0 - 2 * y1 + y2) * unit
    pieces = max(1, math.ceil(math.sqrt(bend / 4 / TOLERANCE)))
    discs = []
    for t in (LAST_T * i / pieces for i in range(pieces + 1)):
        row, column = ((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c for a, b, c in ((x0, x1, x2), (y0, y1, y2)))
        discs.append((column * unit, row * unit, r0 + t * (r2 - r0)))
    return discs


def _gradient(first: Disc, last: Disc, name: str, fill: str, w0: float, w2: float) -> str:
    """The opacity between the first disc and the last, or nothing where that of the last covers all.

    A pixel keeps the opacity of the last disc to cover it, which is the one whose rear rim passes through it.
    """
    (ax, ay, ar), (bx, by, br) = first, last
    length = math.hypot(bx - ax, by - ay)
    if abs(w0 - w2) < 0.01 or length <= br - ar:
        return ""
    if length <= ar - br:  # discs that shrink within the first
        kind, w0, w2 = "radialGradient", w2, w0
        place = f'cx="{ax:.1f}" cy="{ay:.1f}" r="{ar:.1f}" fx="{bx:.1f}" fy="{by:.1f}" fr="{br:.1f}"'
    else:
        kind, ux, uy = "linearGradient", (bx - ax) / length, (by - ay) / length
        place = f'x1="{ax - ar * ux:.1f}" y1="{ay - ar * uy:.1f}" x2="{bx - br * ux:.1f}" y2="{by - br * uy:.1f}"'
    stops = "".join(f'<stop offset="{i}" stop-color="{fill}" stop-opacity="{w:.3f}"/>' for i, w in enumerate((w0, w2)))
    return f'<{kind} id="{name}" gradientUnits="userSpaceOnUse" {place}>{stops}</{kind}>'


def capsule(first: Disc, second: Disc) -> str:
    """Path of the hull of two discs, always in the same sense, so that capsules unite under the non-zero rule."""
    (ax, ay, ar), (bx, by, br) = first, second
    length = math.hypot(bx - ax, by - ay)
    if length <= abs(ar - br) + 1e-6:
        x, y, r = max(first, second, key=lambda disc: disc[2])
        return f"M{x - r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 1 1 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 1 {-2 * r:.1f} 0z"
    along, lean = math.atan2(by - ay, bx - ax), math.acos((ar - br) / length)
    tangent = [
        f"{x + r * math.cos(along + turn):.1f} {y + r * math.sin(along + turn):.1f}"
        for x, y, r, turn in ((ax, ay, ar, lean), (ax, ay, ar, -lean), (bx, by, br, -lean), (bx, by, br, lean))
    ]
    large = int(ar > br), int(br > ar)  # the larger disc shows more than half of its rim
    rims = [f"A{r:.1f} {r:.1f} 0 {wide} 1 " for r, wide in ((ar, large[0]), (br, large[1]))]
    return f"M{tangent[0]}{rims[0]}{tangent[1]}L{tangent[2]}{rims[1]}{tangent[3]}z"


def _colour(rgb: tuple[float, ...] | list[float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in rgb)
