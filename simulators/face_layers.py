"""Painting flat colours through soft masks, many at a time."""

import torch
from torch import Tensor
from torch.nn import functional as F

Band = tuple[slice, slice]  # rows and columns of a picture
Layer = tuple[str, Tensor]  # a colour by name and the alpha [B, h, w] that it is painted through
Measured = dict[str, Tensor]  # the measures of the faces, [B, 1, 1] each, by name


class Canvas:
    """A batch of pictures being painted, ``[B, 3, size, size]``, and the named colours ``[B, 3]`` to paint with."""

    def __init__(self, count: int, size: int, colours: dict[str, Tensor], sharp: float) -> None:
        self.size, self.colours, self.sharp = size, colours, sharp
        some = next(iter(colours.values()))
        self.image = torch.zeros(count, 3, size, size, dtype=some.dtype, device=some.device)

    def band(self, top: float, bottom: float, left: float = 0.0, right: float = 1.0) -> Band:
        """The rows and columns between these fractions of the picture."""
        return (
            slice(int(top * self.size), round(bottom * self.size)),
            slice(int(left * self.size), round(right * self.size)),
        )

    def inside(self, distance: Tensor, softness: float = 1.0) -> Tensor:
        """The mask of where `distance` is positive, with an edge of about two pixels times `softness`."""
        return F.hardsigmoid(distance * (self.sharp / softness))

    def paint(self, layers: list[Layer], band: Band | None = None) -> None:
        """Colours by name through alphas ``[B, h, w]``, from the back to the front."""
        rows, columns = band or (slice(None), slice(None))
        below = self.image[..., rows, columns]
        seen = torch.ones_like(below[:, 0])  # how much of a layer is not covered by those before it
        weights = []
        for _, alpha in reversed(layers):
            weights.append(seen * alpha)
            seen = seen - weights[-1]
        colour = torch.stack([self.colours[name] for name, _ in reversed(layers)], 2)
        mixed = colour @ torch.stack(weights, 1).flatten(2)
        painted = torch.addcmul(mixed.view_as(below), below, seen[:, None])
        if band is None:
            self.image = painted
        else:
            self.image = self.image.clone() if self.image.requires_grad else self.image
            self.image[..., rows, columns] = painted
