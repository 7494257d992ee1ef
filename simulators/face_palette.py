"""The colours of a face and of what is around it."""

import math

import torch
from torch import Tensor, nn

from .face_measures import COLOURS
from .face_traits import Measures, by_degree, trait

_FIXED = {
    "white": (0.95, 0.94, 0.93), "black": (0.03, 0.03, 0.04), "tooth": (0.97, 0.96, 0.93), "mouth": (0.27, 0.06, 0.08),
    "tongue": (0.72, 0.30, 0.33), "glass": (0.05, 0.06, 0.09),
}  # fmt: skip
_HAIR = ((0.05, 0.04, 0.04), (0.16, 0.09, 0.06), (0.36, 0.19, 0.10), (0.60, 0.38, 0.18), (0.90, 0.74, 0.45))
_TINTS = {  # what skin, hair and eyes are multiplied with or mixed from
    "redder": (0.12, -0.02, -0.05), "lip": (0.9, 0.58, 0.57), "pink": (1.0, -0.2, 0.0), "brown": (0.26, 0.15, 0.08),
    "blue": (0.25, 0.42, 0.55), "shade": (0.56, 0.38, 0.31), "blush": (1.0, 0.62, 0.58),
}  # fmt: skip
_GREY = (0.80, 0.80, 0.82)


class Palette(nn.Module):
    """Factors ``[B, 40]`` to colours by name, each ``[B, 3]``."""

    hair: Tensor  # [5, 3], from black to blond
    grey: Tensor
    wheel: Tensor  # [3], phases of red, green and blue
    fixed: Tensor
    knots: Tensor
    tints: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.measures = Measures(
            **COLOURS,
            hair=2 + trait("hair_tone", 2.3),
            red=trait("hair_hue"),
            grey=by_degree("age", 0, 0, 0, 0.28, 0.66, 0.96),
            back=trait("back_hue", 3.0),
            beyond=trait("back_hue_beyond", 3.0),
            cloth=trait("cloth_hue", 3.0),
            value=trait("back_value", 0.28) + 0.5,
            cloth_value=trait("cloth_value", 0.26) + 0.46,
            iris=trait("iris", 0.5) + 0.5,
            frame=by_degree("eyeglasses", 0.72, 0.72, 0.20, 0.05, 0.06, 0.02),
            pink=0.05 - trait("masculinity", 0.05),
        )
        self.register_buffer("hair", torch.tensor(_HAIR), persistent=False)
        self.register_buffer("grey", torch.tensor(_GREY), persistent=False)
        self.register_buffer("wheel", torch.tensor([0.0, 1.0, 2.0]) * (-2 * math.pi / 3), persistent=False)
        self.register_buffer("fixed", torch.tensor(list(_FIXED.values())), persistent=False)
        self.register_buffer("knots", torch.arange(5.0), persistent=False)
        self.register_buffer("tints", torch.tensor(list(_TINTS.values())), persistent=False)

    def forward(self, factors: Tensor) -> dict[str, Tensor]:
        m = {name: value.flatten(1) for name, value in self.measures(factors).items()}
        redder, lip, pink, brown, blue, shade, blush = self.tints.unbind()
        skin = torch.cat([m["skin_r"], m["skin_g"], m["skin_b"]], 1)
        natural = torch.relu(1 - (m["hair"].clamp(0, 4) - self.knots).abs()) @ self.hair
        natural = natural + m["red"] * redder * natural[:, :1].clamp(0.12, 0.5) * 2
        hair = torch.lerp(natural, self.grey.expand_as(natural), m["grey"])
        hues = torch.cat([m["back"], m["beyond"], m["cloth"]], 1)[..., None]
        values = torch.cat([m["value"] + 0.1, m["value"] - 0.12, m["cloth_value"]], 1)[..., None]
        back, beyond, cloth = (values * (1 + 0.25 * torch.cos(hues + self.wheel))).unbind(1)
        fixed = dict(zip(_FIXED, self.fixed[:, None].expand(-1, len(skin), -1).unbind(), strict=True))
        return fixed | {
            "skin": skin, "shade": skin * shade, "blush": skin * blush, "shine": skin * 1.12 + 0.07, "ear": skin * 0.84,
            "neck": skin * 0.86,
            "lip": skin * lip + m["pink"] * pink, "crease": skin * 0.42,
            "lip_line": skin * lip * 0.45,
            "hair": hair * 0.55, "strand": hair * 1.22 + 0.04, "back_hair": hair * 0.34, "back_strand": hair * 0.72,
            "brow": hair * 0.5, "lash": natural * 0.3,
            "beard": hair * 0.5, "beard_strand": hair * 1.05 + 0.02,
            "iris": torch.lerp(brown, blue, m["iris"]),
            "frame": m["frame"].expand(-1, 3), "back": back, "beyond": beyond, "cloth": cloth,
            "cloth_shade": cloth * 0.55,
        }  # fmt: skip
