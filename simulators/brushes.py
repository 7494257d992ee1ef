"""The shapes of analytic strokes: for each brush, where it may leave paint and how much, differentiably.

All work on `geometry` `[G, N]`, the stroke's numbers in pixels with the strokes LAST, so that every operation runs over
contiguous memory. The offsets of a quarter pixel are what the whole-pixel truncation of `raster.py` costs on average.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

EDGE = 0.5  # half the width, in pixels, of the anti-aliased rim
OUTLINE = 0.25  # what OpenCV adds around a filled polygon, in pixels
LAST_T = 0.99  # the curve ends where the exact rasteriser draws its last disc


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
        """Opacity `[T, T, n]` of the strokes `[G, n]` at the pixels row `[T, 1, n]`, column `[1, T, n]`."""


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

    Both are bracketed by `SAMPLES` samples and polished: t* by Newton's method on h', t+ by one step of the quadratic
    through h, h', h'' at the last covered point, then by Newton's method on h. No derivative is taken of these searches.
    That of the distance needs none, because h is stationary in t* (envelope theorem); and t+ moves with the
    stroke's numbers as the implicit function theorem says, dt+ = -dh / h'(t+). Both terms are exact where the
    pixel's minimum and root are unique and inside the curve; at the rim, where h' vanishes, the second is left out.
    """

    SAMPLES = 6
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

    def boxes(self, geometry: Tensor) -> Boxes:
        """A box for each of `PIECES` of the curve: its ends span it, since the curve is monotone along each axis."""
        t = torch.linspace(0, LAST_T, self.PIECES + 1, device=geometry.device)[:, None]
        x, y, radius = _disc(geometry, t)
        top, bottom = torch.minimum(x[1:], x[:-1]), torch.maximum(x[1:], x[:-1])
        left, right = torch.minimum(y[1:], y[:-1]), torch.maximum(y[1:], y[:-1])
        return Boxes(top, bottom, left, right, torch.maximum(radius[1:], radius[:-1]))

    def alpha(self, geometry: Tensor, row: Tensor, column: Tensor) -> Tensor:
        with torch.no_grad():
            nearest, last, inverse_slope = self._search(geometry, row, column)
        x, y, radius = _disc(geometry, nearest)
        coverage = _coverage(torch.sqrt(_square(x - row, y - column) + 1e-8) - radius)
        if geometry.requires_grad:
            x, y, radius = _disc(geometry, last)
            h = _square(x - row, y - column) - radius * radius
            last = last - (h - h.detach()) * inverse_slope
        return coverage * torch.addcmul(geometry[8], geometry[9], last)

    def _search(self, geometry: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """t*, t+ and 1 / h'(t+), each `[T, T, n]`; the last is 0 where t+ does not move with the stroke."""
        nearest, covered = self._sample(geometry, row, column)
        ax, ay, bx, by, cx, cy, r0, r1 = geometry[:8]
        x, y = cx - row, cy - column
        q4, q3 = ax * ax + ay * ay, 2 * (ax * bx + ay * by)
        q2 = (bx * bx + by * by - r1 * r1 + 2 * ax * x) + 2 * ay * y
        q1 = (2 * bx * x - 2 * r0 * r1) + 2 * by * y
        q0 = (x * x - r0 * r0) + y * y
        h = lambda t: torch.addcmul(q0, torch.addcmul(q1, torch.addcmul(q2, torch.addcmul(q3, q4, t), t), t), t)
        q43, q42, two_q2 = 3 * q3, 4 * q4, 2 * q2
        d1 = lambda t: torch.addcmul(q1, torch.addcmul(two_q2, torch.addcmul(q43, q42, t), t), t)
        d2 = lambda t: torch.addcmul(two_q2, torch.addcmul(6 * q3, 12 * q4, t), t)
        step = LAST_T / (self.SAMPLES - 1)
        for _ in range(2):
            move = (d1(nearest) / d2(nearest).clamp_min_(1e-2)).clamp_(-step, step)
            nearest = (nearest - move).clamp_(0, LAST_T)
        start = torch.maximum(nearest, covered)
        value, slope, bend = h(start), d1(start), d2(start)
        root = (slope * slope - 2 * value * bend).clamp_min_(0).sqrt_().add_(slope).clamp_min_(1e-3)
        last = (start + (-2 * value / root).clamp_(0, step)).clamp_max_(LAST_T)
        for _ in range(1):
            last = torch.maximum(last - h(last) / d1(last).clamp_min_(1.0), start).clamp_max_(LAST_T)
        slope = d1(last)
        moves = (slope > 1) & (last > start) & (last < LAST_T)
        return nearest, last, moves / slope.clamp_min(1.0)

    def _sample(self, geometry: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Of `SAMPLES` discs along the curve, t of the nearest and of the last to cover the pixel (or 0)."""
        # float comparisons in place are vectorised, torch.where is not: t only grows, so the maximum of 0 or t will do
        nearest = covered = torch.zeros(())
        lowest = torch.full((), torch.inf)
        for t in torch.linspace(0, LAST_T, self.SAMPLES).tolist():
            x, y, radius = _disc(geometry, t)
            h = ((x - row).square() - radius * radius) + (y - column).square()
            nearest = torch.maximum(nearest, (lowest - h).gt_(0).mul_(t))
            lowest = torch.minimum(lowest, h)
            covered = torch.maximum(covered, h.le_(0).mul_(t))
        return nearest, covered


def _disc(geometry: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """Centre and radius of the curve's disc at `t`."""
    ax, ay, bx, by, cx, cy, r0, r1 = geometry[:8]
    return (ax * t + bx) * t + cx, (ay * t + by) * t + cy, r0 + r1 * t


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
