"""The 40 numbers that a face of the embedded world is drawn from: degrees, person, circumstances."""

from .faces import ATTRIBUTES

PERSON = (
    "masculinity", "skin_tone", "skin_hue", "hair_tone", "hair_hue", "face_width", "face_height", "jaw", "cheek",
    "eye_size", "eye_gap", "eye_tilt", "iris", "brow_thickness", "brow_height", "nose_length", "nose_width",
    "mouth_width", "lip_thickness", "hair_volume", "hair_length", "hair_curl", "hair_part",
)  # fmt: skip
CIRCUMSTANCES = (
    "yaw", "pitch", "roll", "zoom", "back_hue", "back_hue_beyond", "back_value", "back_angle", "light", "exposure",
    "cloth_hue", "cloth_value",
)  # fmt: skip
NAMES = ATTRIBUTES + PERSON + CIRCUMSTANCES
FACTORS = len(NAMES)
IDENTITY = slice(len(ATTRIBUTES), len(ATTRIBUTES) + len(PERSON))
CONTEXT = slice(len(ATTRIBUTES) + len(PERSON), FACTORS)
