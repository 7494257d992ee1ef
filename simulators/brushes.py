"""The shapes of analytic strokes: for each brush, where it may leave paint and how much, differentiably.

All work on `geometry` `[G, N]`, the stroke's numbers in pixels with the strokes LAST, so that every operation runs over
contiguous memory. The offsets of a quarter pixel are what the whole-pixel truncation of `raster.py` costs on average.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, relu

EDGE = 0.5  # half the width, in pixels, of the anti-aliased rim
OUTLINE = 0.25  # what OpenCV adds around a filled polygon, in pixels
LAST_T = 0.99  # the curve ends where the exact rasteriser draws its last disc


FLAT = 1.0  # pixels^2: a slope of h taken for none
TINY = 1e-3  # not 0, at which the vectorised square root is ten times slower

Map = Callable[[Tensor], Tensor]


class Boxes(NamedTuple):
    """Boxes `[S, N]` in pixels which, grown by `radius`, hold all the paint of a stroke."""

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor
    radius: Tensor


class Brush(Protocol):
    def geometry(self, shape: Tensor, size: int) -> Tensor:
        """`[N, 10]` in [0, 1] -> `[G, N]` in pixels."""

    def boxes(self, geometry: Tensor) -> Boxes:
        """Where the strokes may leave paint."""

    def alpha(self, geometry: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Opacity `[R, C, n]` of the strokes `[G, n]` at the pixels row `[R, 1, n]`, column `[1, C, n]`."""


def _pixel(value: Tensor, size: int, offset: float = -0.5) -> Tensor:
    """Coordinate in [0, 1] -> pixels, 0 at the centre of the first; `offset` is in pixels of the doubled canvas."""
    return (value * (2 * size - 1) + offset - 0.5) / 2


def _radius(value: Tensor, size: int) -> Tensor:
    return (0.5 + value * (size / 2)) / 2


def _coverage(signed_distance: Tensor) -> Tensor:
    return (0.5 - signed_distance / (2 * EDGE)).clamp(0, 1)


class Curve:
    r"""Quadratic Bezier curve whose radius and opacity change linearly along it.

    The paint is that of discs of centre B(t) and radius R(t), t from 0 to `LAST_T`, of which the LAST to cover a pixel
    decides its opacity. With B(t) = a t^2 + b t + c and R(t) = r0 + r1 t, a pixel p is covered at t where

        h(t; p) = |B(t) - p|^2 - R(t)^2 <= 0,

    a quartic in t. Two of its points decide the pixel:

    - its minimum t* (the nearest part of the stroke) gives the signed distance |B(t*) - p| - R(t*), whence coverage;
    - its last root t+ (where the last disc leaves the pixel) gives the opacity w(t+).

    Both are bracketed by samples at `TIMES` and polished: t* by Newton's method on h', t+ by one step of the quadratic
    through h, h', h'' at the last covered point, then by Newton's method on h. The searches themselves carry no
    gradient. The distance needs none, because h is stationary in t* (envelope theorem); and t+ moves with the stroke's
    numbers as the implicit function theorem says, dt+ = -dh / h'(t+), which is left out at the rim, where h' vanishes.
    """

    TIMES = torch.linspace(0, LAST_T, 6).tolist()
    PIECES = 12

    def __init__(self, opaque: bool = False) -> None:
        self.opaque = opaque

    def geometry(self, shape: Tensor, size: int) -> Tensor:
        """Rows ax, ay, bx, by, cx, cy of the curve, r0, r1 of its radius and w0, w1 of its opacity."""
        x0, y0, x1, y1, x2, y2, z0, z2, w0, w2 = shape.unbind(1)
        x1, y1 = x0 + (x2 - x0) * x1, y0 + (y2 - y0) * y1
        x0, y0, x1, y1, x2, y2 = (_pixel(value, size) for value in (x0, y0, x1, y1, x2, y2))
        if self.opaque:
            w0, w2 = torch.ones_like(w0), torch.ones_like(w2)
        r0, r2 = _radius(z0, size), _radius(z2, size)
        curve = (x0 - 2 * x1 + x2, y0 - 2 * y1 + y2, 2 * (x1 - x0), 2 * (y1 - y0), x0, y0)
        return torch.stack([*curve, r0, r2 - r0, w0, w2 - w0])

    def discs(self, shape: Tensor, size: int, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Row, column, radius and opacity `[S, N]` of the strokes `[N, 10]` at the times t `[S, 1]`."""
        geometry = self.geometry(shape, size)
        return *_disc(geometry, t), geometry[8] + geometry[9] * t

    def boxes(self, geometry: Tensor) -> Boxes:
        """A box for each of `PIECES` of the curve: its ends span it, since the curve is monotone along each axis."""
        t = torch.linspace(0, LAST_T, self.PIECES + 1, device=geometry.device)[:, None]
        x, y, radius = _disc(geometry, t)
        top, bottom = torch.minimum(x[1:], x[:-1]), torch.maximum(x[1:], x[:-1])
        left, right = torch.minimum(y[1:], y[:-1]), torch.maximum(y[1:], y[:-1])
        return Boxes(top, bottom, left, right, torch.maximum(radius[1:], radius[:-1]))

    def alpha(self, geometry: Tensor, row: Tensor, column: Tensor) -> Tensor:
        with torch.no_grad():
            nearest, last = self._search(geometry, row, column)
        x, y, radius = _disc(geometry, nearest)
        coverage = _coverage(torch.sqrt(_square(x - row, y - column) + 1e-8) - radius)
        if geometry.requires_grad:
            last = self._implicit(geometry, row, column, last)
        return coverage * torch.addcmul(geometry[8], geometry[9], last)

    def _implicit(self, geometry: Tensor, row: Tensor, column: Tensor, last: Tensor) -> Tensor:
        """t+ with its derivative, which is 0 at the rim and where the curve's end decides."""
        with torch.no_grad():
            _, slope, _ = _quartic(geometry, row, column)
            rise = slope(last)
            inverse = ((rise > FLAT) & (last < LAST_T)) / rise.clamp_min_(FLAT)
        x, y, radius = _disc(geometry, last)
        h = _square(x - row, y - column) - radius * radius
        return last - (h - h.detach()) * inverse

    def _search(self, geometry: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """t* and t+, each `[R, C, n]`."""
        nearest, covered = self._sample(geometry, row, column)
        h, slope, bend = _quartic(geometry, row, column)
        spacing = LAST_T / (len(self.TIMES) - 1)
        for _ in range(2):
            step = slope(nearest) / _at_least(1e-2, bend(nearest))
            nearest = _within(0, LAST_T, nearest - _within(-spacing, spacing, step))
        start = torch.maximum(nearest, covered)
        value, rise = h(start), slope(start)
        root = _at_least(TINY, (rise * rise).addcmul_(value, bend(start), value=-2)).sqrt_().add_(rise)
        last = _within(0, spacing, value.div_(_at_least(TINY, root)).mul_(-2)).add_(start)
        last = _at_most(LAST_T, last)
        step = h(last) / _at_least(FLAT, slope(last))
        return nearest, _at_most(LAST_T, torch.maximum(last - step, start))

    def _sample(self, geometry: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Of the discs at `TIMES`, t of the nearest and of the last to cover the pixel (or 0)."""
        times = torch.tensor(self.TIMES, device=geometry.device)[:, None, None]
        x, y, radius = _disc(geometry[:, None, None], times)  # [len(TIMES), 1, n]
        square = radius * radius

        def h(i: int) -> Tensor:
            return (x[i] - row).square_().sub_(square[i]) + (y[i] - column).square_()

        lowest = h(0)
        nearest = covered = torch.zeros_like(lowest)
        for i, t in enumerate(self.TIMES[1:], 1):
            current = h(i)
            nearest = _later(t, current - lowest, nearest)
            lowest = torch.minimum(lowest, current)
            covered = _later(t, current, covered)
        return nearest, covered


def _quartic(geometry: Tensor, row: Tensor, column: Tensor) -> tuple[Map, Map, Map]:
    """h, h' and h'' of `Curve` as functions of t `[R, C, n]`."""
    ax, ay, bx, by, cx, cy, r0, r1 = geometry[:8]
    x, y = cx - row, cy - column
    q4, q3 = _square(ax, ay), 2 * (ax * bx + ay * by)
    q2 = (_square(bx, by) - r1 * r1 + 2 * ax * x) + 2 * ay * y
    q1 = (2 * bx * x - 2 * r0 * r1) + 2 * by * y
    q0 = (x * x - r0 * r0) + y * y
    q32, q43, q2_twice, q3_six, q4_twelve = 3 * q3, 4 * q4, 2 * q2, 6 * q3, 12 * q4
    return (
        lambda t: torch.addcmul(q0, torch.addcmul(q1, torch.addcmul(q2, torch.addcmul(q3, q4, t), t), t), t),
        lambda t: torch.addcmul(q1, torch.addcmul(q2_twice, torch.addcmul(q32, q43, t), t), t),
        lambda t: torch.addcmul(q2_twice, torch.addcmul(q3_six, q4_twelve, t), t),
    )


def _disc(geometry: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """Centre and radius of the curve's disc at `t`."""
    ax, ay, bx, by, cx, cy, r0, r1 = geometry[:8]
    return (ax * t + bx) * t + cx, (ay * t + by) * t + cy, r0 + r1 * t


def _later(t: float, value: Tensor, earlier: Tensor) -> Tensor:
    """t where `value`, which may be overwritten, is below 0, and `earlier`, which is less than t, elsewhere."""
    if torch.compiler.is_compiling():
        return torch.where(value < 0, t, earlier)
    return torch.maximum(earlier, value.lt_(0).mul_(t))  # in eager mode torch.where takes ten times as long


# Compiled, a minimum, a maximum or a clamp looks out for NaN, which takes longer than all the rest; relu does not.


def _at_least(low: float, value: Tensor) -> Tensor:
    """`value`, which may be overwritten, or `low` where that is greater."""
    return low + relu(value - low) if torch.compiler.is_compiling() else value.clamp_min_(low)


def _at_most(high: float, value: Tensor) -> Tensor:
    """`value`, which may be overwritten, or `high` where that is less."""
    return high - relu(high - value) if torch.compiler.is_compiling() else value.clamp_max_(high)


def _within(low: float, high: float, value: Tensor) -> Tensor:
    """`value`, which may be overwritten, or the nearest number from `low` to `high`."""
    return _at_most(high, _at_least(low, value)) if torch.compiler.is_compiling() else value.clamp_(low, high)


def _square(x: Tensor, y: Tensor) -> Tensor:
    return x * x + y * y


class Triangle:
    """Filled triangle: corners (x0, y0), (x1, y1), (x2, y2), opacity w0; z0, z2, w2 are unused."""

    def geometry(self, shape: Tensor, size: int) -> Tensor:
        corners = [_pixel(value, size, offset=0.0) for value in shape[:, :6].unbind(1)]
        return torch.stack([*corners, shape[:, 8]])

    def boxes(self, geometry: Tensor) -> Boxes:
        rows, columns = geometry[0:6:2], geometry[1:6:2]
        corner = rows.amin(0), rows.amax(0), columns.amin(0), columns.amax(0), torch.full_like(rows[0], OUTLINE)
        return Boxes(*(value[None] for value in corner))

    def alpha(self, geometry: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Coverage by the signed distance: to the nearest edge, negative inside (left of all edges or right of all)."""
        distance, left, right = [], [], []
        for i, j in ((0, 1), (1, 2), (2, 0)):
            x, y = row - geometry[2 * i], column - geometry[2 * i + 1]
            edge_x, edge_y = geometry[2 * j] - geometry[2 * i], geometry[2 * j + 1] - geometry[2 * i + 1]
            along = ((x * edge_x + y * edge_y) / _square(edge_x, edge_y).clamp_min(1e-6)).clamp(0, 1)
            distance.append(_square(x - along * edge_x, y - along * edge_y))
            side = x * edge_y - y * edge_x
            left.append(side >= 0)
            right.append(side <= 0)
        nearest = torch.sqrt(torch.stack(distance).amin(0) + 1e-8)
        inside = torch.stack(left).all(0) | torch.stack(right).all(0)
        return _coverage(torch.where(inside, -nearest, nearest) - OUTLINE) * geometry[6]


class Circle:
    """Filled circle: centre (x0, y0), radius z0, opacity w0; the other numbers are unused."""

    def geometry(self, shape: Tensor, size: int) -> Tensor:
        x, y = (_pixel(shape[:, i], size, offset=0.0) for i in (0, 1))
        return torch.stack([x, y, _radius(shape[:, 6], size), shape[:, 8]])

    def boxes(self, geometry: Tensor) -> Boxes:
        x, y, radius, _ = geometry[:, None]
        return Boxes(x, x, y, y, radius)

    def alpha(self, geometry: Tensor, row: Tensor, column: Tensor) -> Tensor:
        x, y, radius, opacity = geometry
        distance = torch.sqrt(_square(x - row, y - column) + 1e-8)
        return _coverage(distance - radius) * opacity


BRUSHES: dict[str, Brush] = {
    "bezier": Curve(),
    "bezier-opaque": Curve(opaque=True),
    "triangle": Triangle(),
    "circle": Circle(),
}
