"""Hair: combed from a parting, straight, wavy or curled, cut short or long, with or without bangs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .face_layers import Canvas, Measured


@dataclass(frozen=True)
class HairField:
    """All ``[B, size, size]``: how light a strand is (0 to 1), and the distances into the hair behind and in front."""

    tone: Tensor
    behind: Tensor
    front: Tensor
    shadow: Tensor  # distance into what the hair in front throws a shadow on


def hair_field(m: Measured, x: Tensor, y: Tensor) -> HairField:
    """Hair around the head whose own coordinates the pixels have. Strands fan out from above the parting."""
    curl = torch.relu(m["hair_curl"])
    from_part = x - m["hair_part"]
    wave = 0.05 * (0.3 + curl) * torch.sin(11 * y + 5 * x)
    fan = (from_part + wave) / (y + 0.98).clamp(min=0.22)
    strands = torch.sin(23 * fan + 1.0)
    fine = torch.sin(47 * fan + 2 * strands)
    coil = torch.sin(25 * x + 1.6 * torch.sin(10 * y)) * torch.sin(23 * y + 1.6 * torch.sin(12 * x))
    tight = (curl - 0.25).clamp(0, 0.8)
    texture = torch.lerp(0.6 * strands + 0.4 * fine, coil, tight)

    reach = m["width"] + m["hair_thickness"]
    up = m["height"] + 0.9 * m["hair_thickness"]
    radius = (x / reach) ** 2 + ((y + 0.05) / up) ** 2
    bumps = 0.03 * tight * coil + 0.006 * strands
    cap = (1 - radius) * 0.3 + bumps

    sides = x.abs()
    end = m["hair_long"] * 1.2 + 0.12 + 0.05 * texture
    flare = 0.10 * (0.5 + m["hair_long"]).clamp(0, 1) * (y + 0.2).clamp(0, 0.8)
    rounding = 0.7 * torch.relu(-0.02 - y) ** 2
    curtain = torch.minimum(reach + flare - rounding - sides + bumps + 0.02 * wave, torch.minimum(end - y, y + 0.25))
    behind = torch.maximum(torch.minimum(cap, 0.35 - y), curtain)

    square = (x - 0.5 * m["hair_part"]) ** 2
    natural = m["hair_line"] + square * (m["hair_temples"] + m["hair_corners"] * square) + 0.008 * strands
    fringe = m["hair_bangs"] + 0.12 * square + 0.12 * m["hair_part"] * x + m["hair_tips"] * texture
    line = torch.maximum(natural, fringe) - y
    inner = m["width"] * (0.93 - 0.1 * m["hair_long"]) + 0.12 * torch.relu(y - 0.1)
    side = torch.minimum(torch.minimum(sides - inner, curtain), torch.maximum(cap + 0.02, y + 0.1))
    front = torch.maximum(torch.minimum(cap, line), side)
    gloss = torch.relu(1 - ((radius - 0.62) / 0.22) ** 2)
    parting = torch.relu(1 - fan.abs() * 14) * torch.relu(-0.35 - y) * 2.5
    tone = (0.36 + 0.27 * texture + 0.34 * gloss - parting - 0.25 * torch.relu(y)).clamp(0, 1)
    return HairField(tone, behind, front, torch.minimum(cap, line + 0.035))


def draw_hair(canvas: Canvas, hair: HairField, skin: Tensor) -> None:
    """The hair in front of the face, and its shadow on it; `skin`: the distance into the face."""
    front = canvas.inside(hair.front)
    shadow = canvas.inside(hair.shadow, 2.0) * canvas.inside(skin) * 0.35
    canvas.paint([("crease", shadow), ("hair", front), ("strand", front * hair.tone)])
