"""The measures of a face: where things are and how large, in head units (half a head's height is about 0.6)."""

from .face_traits import Measure, by_degree, trait

YOUNG = by_degree("age", 1, 0.5, 0, 0, 0, 0)
OLD = by_degree("age", 0, 0, 0, 0.3, 0.65, 1)

HEAD: dict[str, Measure | float] = {
    "zoom": 1 / 1.16 - trait("zoom", 0.07),
    "roll": trait("roll", 0.15),
    "yaw": trait("yaw", 0.13),
    "pitch": trait("pitch", 0.08),
    "width": 0.455 + trait("face_width", 0.06) + trait("masculinity", 0.012) + 0.02 * YOUNG,
    "height": 0.63 + trait("face_height", 0.055) - 0.10 * YOUNG,
    "fullness": 0.10 + trait("cheek", 0.13) + trait("jaw", 0.08) + 0.10 * YOUNG,
    "taper": 0.27 - trait("jaw", 0.15) - trait("masculinity", 0.05) - 0.04 * OLD,
    "square": 0.15 + trait("jaw", 0.22) + trait("masculinity", 0.08),
    "neck": 0.225 + trait("masculinity", 0.045) - 0.05 * YOUNG,
    "light": trait("light", 0.2),
    "back_across": trait("back_angle", 1.0),
    "back_down": 0.8 - trait("back_angle", 0.5),
    "exposure": 1 + trait("exposure", 0.15),
}
HAIR: dict[str, Measure | float] = {
    "thickness": 0.095 + trait("hair_volume", 0.05) - trait("masculinity", 0.02) + trait("hair_curl", 0.02),
    "long": trait("hair_length", 0.75) - trait("masculinity", 0.45),
    "curl": trait("hair_curl", 1.5) - 0.35,
    "part": trait("hair_part", 0.2),
    "line": -0.43 + trait("hair_volume", 0.02),
    "temples": 0.75 - trait("masculinity", 0.7),
    "corners": 3.2 + trait("masculinity", 2.0),
    "bangs": by_degree("bangs", -0.45, -0.37, -0.31, -0.25, -0.19, -0.125),
    "tips": by_degree("bangs", 0, 0.025, 0.03, 0.03, 0.03, 0.025),
}
EYES: dict[str, Measure | float] = {
    "eye_y": -0.085 + 0.045 * YOUNG,
    "eye_x": 0.2 + trait("eye_gap", 0.03),
    "eye_width": 0.098 + trait("eye_size", 0.016) + 0.012 * YOUNG,
    "eye_height": by_degree("smiling", 0.046, 0.046, 0.045, 0.042, 0.037, 0.031)
    + trait("eye_size", 0.014) + 0.02 * YOUNG - 0.008 * OLD,
    "eye_slope": -0.06 - trait("eye_tilt", 0.16),
    "iris_size": 0.043 + 0.004 * YOUNG,
    "brow_y": -0.205 - trait("brow_height", 0.03) + trait("masculinity", 0.014) + 0.04 * YOUNG,
    "brow_height": 0.022 + trait("brow_thickness", 0.010) + trait("masculinity", 0.006) - 0.005 * YOUNG,
    "lash": 0.75 - trait("masculinity", 0.2),
    "old": OLD,
    "frame": by_degree("eyeglasses", 0.004, 0.005, 0.0095, 0.021, 0.011, 0.026),
    "frame_there": by_degree("eyeglasses", 0, 0.75, 1, 1, 1, 1),
    "tint": by_degree("eyeglasses", 0, 0.12, 0.06, 0.06, 0.62, 0.93),
}  # fmt: skip
MOUTH: dict[str, Measure | float] = {
    "nose_y": 0.12 + trait("nose_length", 0.05) - 0.05 * YOUNG + 0.012 * OLD,
    "nose_width": 0.068 + trait("nose_width", 0.028) + trait("masculinity", 0.008) - 0.01 * YOUNG,
    "mouth_y": 0.325 - 0.02 * YOUNG + trait("nose_length", 0.015),
    "mouth_width": by_degree("smiling", 0.122, 0.154, 0.172, 0.19, 0.205, 0.215) + trait("mouth_width", 0.038),
    "mouth_bend": by_degree("smiling", -0.028, 0.038, 0.055, 0.068, 0.078, 0.085),
    "opening": by_degree("smiling", 0, 0, 0.020, 0.042, 0.070, 0.115),
    "teeth": by_degree("smiling", 0, 0, 0.020, 0.038, 0.042, 0.046),
    "line": by_degree("smiling", 0.8, 0.8, 0.2, 0, 0, 0),
    "lip": 0.024 + trait("lip_thickness", 0.012) - trait("masculinity", 0.004) - 0.006 * OLD,
    "smile": by_degree("smiling", 0, 0.2, 0.4, 0.6, 0.8, 1),
    "old": OLD,
    "beard": by_degree("beard", 0, 0.34, 0.62, 0.85, 0.95, 1),
    "beard_length": by_degree("beard", -0.03, -0.01, 0.02, 0.06, 0.13, 0.26),
    "beard_width": by_degree("beard", 0, 0, 0.01, 0.03, 0.07, 0.09),
    "moustache": by_degree("beard", 0.016, 0.022, 0.026, 0.032, 0.05, 0.055),
    "blush": 0.14
    + trait("masculinity", -0.04)
    + 0.06 * YOUNG
    + by_degree("smiling", 0, 0.06, 0.075, 0.09, 0.105, 0.12),
}
MEASURES = HEAD | {f"hair_{name}": measure for name, measure in HAIR.items()} | EYES | MOUTH


def tones(name: str, low: tuple[float, ...], high: tuple[float, ...]) -> list[Measure]:
    """Red, green and blue that run from one colour to another as the trait `name` goes from -1 to 1."""
    return [(a + b) / 2 + trait(name, (b - a) / 2) for a, b in zip(low, high, strict=True)]


def _colour(name: str, rgb: list[Measure]) -> dict[str, Measure]:
    return {f"{name}_{channel}": measure for channel, measure in zip("rgb", rgb, strict=True)}


_SKIN = tones("skin_tone", (0.38, 0.22, 0.14), (1.0, 0.81, 0.70))
_HUE = [trait("skin_hue", weight) for weight in (0.03, -0.012, -0.03)]
_PALE = [OLD * weight for weight in (0.01, 0.025, 0.01)]
COLOURS = _colour("skin", [s + h - p for s, h, p in zip(_SKIN, _HUE, _PALE, strict=True)])
