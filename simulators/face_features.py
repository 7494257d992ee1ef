"""Eyes, glasses, nose, mouth and beard, on the surface of the face."""

import torch
from torch import Tensor

from .face_head import Head
from .face_layers import Canvas, Layer, Measured


def bent(x: Tensor, y: Tensor, width: Tensor | float, height: Tensor | float, bend: Tensor | float = 0.0) -> Tensor:
    """A soft ellipse bent along a parabola: 1 in its middle, 0 at its edge; a stroke that tapers, where it is thin."""
    across = x / width
    return torch.relu(1 - across * across - ((y - bend * x * x) / height) ** 2)


def draw_eyes(canvas: Canvas, m: Measured, x: Tensor, y: Tensor, head: Head) -> None:
    band = canvas.band(0.14, 0.66, 0.1, 0.9)
    x, y, skin = (t[:, *band] for t in (x, y, head.distance))
    skin = canvas.inside(skin)
    sides = x.abs()
    dx = sides - m["eye_x"]
    dy = y - m["eye_y"] - m["eye_slope"] * dx
    lids = m["eye_height"] * (1 - (dx / m["eye_width"]) ** 2)
    eye = canvas.inside(lids - dy.abs(), 0.8)
    ball = dx * dx + dy * dy
    iris = canvas.inside((m["iris_size"] ** 2 - ball) * 12, 0.8) * eye
    pupil = canvas.inside((0.0004 - ball) * 22, 0.8) * eye
    glint = torch.relu(1 - ((dx + 0.016) ** 2 + (dy + 0.018) ** 2) / 0.0006) * eye
    socket = bent(dx, dy + 0.03, 0.16, 0.10) * 0.45 * skin
    lash = bent(dx, dy + m["eye_height"], m["eye_width"] * 1.12, 0.024, 4.4) * m["lash"]
    brow = (bent(dx, y - m["brow_y"], 0.15, m["brow_height"] * 1.3, 1.9) * 2.2).clamp(0, 0.92) * skin
    old = m["old"] * skin
    bag = bent(dx, dy - 0.085, 0.10, 0.022, -2.0) * 0.85
    crow_x = sides - 0.37
    crow_y = (y - m["eye_y"]).abs() - 0.03 - 0.5 * crow_x
    crow = bent(crow_x, crow_y, 0.06, 0.016) * 0.7
    forehead = torch.relu(torch.cos((y + 0.02 * torch.cos(7 * x)) * 78)) ** 2 * bent(x, y + 0.30, 0.3, 0.11) * 0.8
    wrinkles = ((bag + crow + forehead) * old).clamp(0, 0.75)
    canvas.paint(
        [
            ("shade", socket), ("crease", wrinkles), ("white", eye), ("iris", iris), ("black", pupil),
            ("white", glint), ("lash", lash.clamp(0, 1)), ("brow", brow),
        ],
        band,
    )  # fmt: skip


def draw_glasses(canvas: Canvas, m: Measured, x: Tensor, y: Tensor, head: Head) -> None:
    band = canvas.band(0.24, 0.66, 0.1, 0.9)
    x, y, skin = (t[:, *band] for t in (x, y, head.distance))
    sides = x.abs()
    dx = sides - m["eye_x"] - 0.012
    dy = y - m["eye_y"] - 0.02
    lens = (1 - (dx / 0.13) ** 4 - (dy / 0.095) ** 4) * 0.028
    there = m["frame_there"]
    tinted = canvas.inside(lens)
    rim = canvas.inside(m["frame"] - lens.abs(), 0.8)
    glare = torch.relu(1 - ((dx + 0.7 * dy + 0.03) / 0.03) ** 2) * tinted * 0.3
    bridge = canvas.inside(m["frame"] - (dy + 0.025 + 0.9 * x * x).abs(), 0.8)
    bridge = bridge * canvas.inside(m["eye_x"] - 0.115 - sides)
    arm = canvas.inside(m["frame"] * 0.8 - (dy + 0.03).abs(), 0.8) * canvas.inside(torch.minimum(dx - 0.12, skin))
    frame = torch.maximum(rim, torch.maximum(bridge, arm)) * there
    canvas.paint([("glass", tinted * m["tint"]), ("white", glare * there), ("frame", frame)], band)


def draw_mouth(canvas: Canvas, m: Measured, x: Tensor, y: Tensor, head: Head) -> None:
    band = canvas.band(0.4, 1.0, 0.1, 0.9)
    x, y, hx, hy, width, skin = (t[:, *band] for t in (x, y, head.x, head.y, head.width, head.distance))
    skin = canvas.inside(skin)
    sides = x.abs()
    blush = bent(sides - 0.27, y - 0.15, 0.17, 0.13) * m["blush"] * 2
    fold_x = sides - 0.165 - 0.42 * (y - 0.2)
    fold = bent(y - 0.22, fold_x, 0.14, 0.025, -1.0) * (0.75 * m["old"] + 0.35 * m["smile"])
    jowl = bent(sides - 0.2, y - 0.44, 0.05, 0.09) * 0.3 * m["old"]
    wrinkles = ((fold + jowl) * skin).clamp(0, 0.8)
    beard = _beard(canvas, m, x, y, hx, hy, width)
    layers = [("blush", blush * skin), ("crease", wrinkles), *_nose(m, x, y), *beard, *_lips(canvas, m, x, y)]
    canvas.paint(layers, band)


def _nose(m: Measured, x: Tensor, y: Tensor) -> list[Layer]:
    x = x - m["yaw"] * 0.35
    dy = y - m["nose_y"]
    sides = x.abs()
    ridge = bent(dy + 0.10, sides - 0.045 - 0.12 * torch.relu(dy + 0.12), 0.16, 0.03) * 0.3
    tip = bent(x, dy + 0.03, 0.04, 0.09) * 0.45
    wing = bent(sides - m["nose_width"], dy, 0.028, 0.045) * 0.5
    base = bent(x, dy - 0.035, m["nose_width"] * 1.2, 0.024, -2.0) * 0.55
    nostril = bent(sides - m["nose_width"] * 0.58, dy - 0.02, 0.028, 0.018) * 0.95
    return [("crease", (ridge + wing + base).clamp(0, 0.7)), ("shine", tip), ("lip_line", nostril)]


def _beard(canvas: Canvas, m: Measured, x: Tensor, y: Tensor, hx: Tensor, hy: Tensor, width: Tensor) -> list[Layer]:
    fan = hx / (hy + 0.12).clamp(min=0.1)
    strands = torch.sin(34 * fan + 3 * torch.sin(13 * hy)) * (0.6 + 0.4 * torch.sin(37 * hy + 9 * fan))
    fine = torch.sin(83 * hx + 5 * torch.sin(31 * hy)) * torch.sin(79 * hy + 4 * torch.sin(23 * hx))
    drop = torch.relu(hy) / (m["height"] + m["beard_length"])
    square = drop * drop
    bulk = 1 - (hx / (width * (1 + m["beard_width"]))) ** 2 - square * (1 - m["square"] + m["square"] * square)
    outline = bulk * 0.25 + 0.03 * strands * m["beard_width"] * 8
    sides = x.abs()
    cheek = y - m["mouth_y"] + 0.03 + 0.42 * torch.relu(sides - 0.12) + 1.0 * torch.relu(sides - 0.3)
    chin = torch.minimum(outline, cheek)
    lip = m["moustache"] - (y - m["mouth_y"] + 0.068 - 0.9 * x * x).abs()
    moustache = torch.minimum(lip, 0.175 - sides)
    covered = canvas.inside(torch.maximum(chin, moustache), 1.6) * m["beard"]
    stubble = (1 - m["beard"]) * 0.9
    alpha = (covered * (1 + stubble * fine)).clamp(0, 1)
    return [("beard", alpha), ("beard_strand", alpha * (0.4 + 0.35 * strands + 0.15 * fine).clamp(0, 1))]


def _lips(canvas: Canvas, m: Measured, x: Tensor, y: Tensor) -> list[Layer]:
    u = (x / m["mouth_width"]) ** 2
    room = torch.relu(1 - u)
    middle = y - m["mouth_y"] + m["mouth_bend"] * (u - 0.4)
    top = middle + m["opening"] * 0.3 * room
    bottom = middle - m["opening"] * 1.2 * room
    lip = m["lip"] * room * (2 - room)
    upper = top + lip * (1 - 0.3 * torch.relu(1 - 16 * u))
    lower = bottom - 1.25 * lip
    within = canvas.inside(m["mouth_width"] - x.abs())
    lips = canvas.inside(torch.minimum(upper, -lower), 0.9) * within * 0.92
    inside = canvas.inside(torch.minimum(top, -bottom), 0.8) * within * (m["opening"] * 60).clamp(0, 1)
    teeth = canvas.inside(m["teeth"] - top, 0.8) * inside
    tongue = bent(x, bottom + 0.01, 0.12, 0.05) * inside * 0.8
    line = bent(x, middle, m["mouth_width"] * 1.08, 0.02, 0.0) * m["line"]
    below = bent(x, lower - 0.035, 0.1, 0.03) * 0.3
    return [
        ("crease", below), ("lip", lips), ("mouth", inside), ("tongue", tongue), ("tooth", teeth), ("lip_line", line),
    ]  # fmt: skip
