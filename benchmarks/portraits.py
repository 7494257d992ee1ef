"""A photo of somebody as a face of a world."""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from ..simulators.faces import ExactFaces, Faces
from ..simulators.images import fit, resize
from ..simulators.inversion import STEPS, invert
from .paint import as_image
from .pictures import Picture

SEARCHED = 512  # pixels of a photo's longest side at which faces are looked for
DRAWN_STEPS, TRIES = 200, 4
FRAME = 2.0  # widths of a found face that a picture of a head takes


def portrait(world: Faces, photo: Picture, device: torch.device, tell: Callable[[int, int], None]) -> Tensor:
    """The latent ``[1, *latent_shape]`` of the face nearest to the middle of ``photo``; ``tell`` is told the step.

    A drawn face is the best of several, and of few steps: more of them fit the background, at the cost of the face.
    """
    steps, tries = (DRAWN_STEPS, TRIES) if isinstance(world, ExactFaces) else (STEPS, 1)
    image = as_image(fit(photo, world.size)).to(device).expand(tries, -1, -1, -1)
    latent = invert(world, image, steps, progress=lambda step, _: tell(step + 1, steps))
    with torch.no_grad():
        best = (world.synthesize(latent) - image).square().mean((1, 2, 3)).argmin()
    return latent[best][None]


def head(photo: Picture) -> Picture | None:
    """The square of ``photo`` ``[H, W, 3]`` around the largest face that scikit-image's detector finds in it.

    None where it finds none, and where scikit-image is not installed.
    """
    if find_spec("skimage") is None:
        return None
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    height, width = photo.shape[:2]
    scale = min(1.0, SEARCHED / max(height, width))
    small = resize(photo, max(1, round(scale * height)), max(1, round(scale * width)))
    least, most = (max(small.shape[:2]) // 12,) * 2, (min(small.shape[:2]),) * 2
    cascade = Cascade(lbp_frontal_face_cascade_filename())
    faces = cascade.detect_multi_scale(small, scale_factor=1.2, step_ratio=1, min_size=least, max_size=most)
    if not faces:
        return None
    face = max(faces, key=lambda found: found["width"])
    side = min(height, width, round(FRAME * face["width"] / scale))
    top, left = (
        round(min(max((face[edge] + face[length] / 2) / scale - side / 2, 0), limit - side))
        for edge, length, limit in (("r", "height", height), ("c", "width", width))
    )
    return photo[top : top + side, left : left + side]
