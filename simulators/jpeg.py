"""Sizes of images as JPEG files."""

from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


@torch.no_grad()
def jpeg_kilobytes(image: Tensor, quality: int = 95) -> Tensor:
    """`[B]` float32: size in units of 1,000 bytes of `[B, 3, H, W]` in [0, 1], encoded by Pillow as DDPO does."""
    pixels = (image * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return torch.tensor([_encoded_bytes(picture, quality) / 1000 for picture in pixels], device=image.device)


def _encoded_bytes(picture: NDArray[np.uint8], quality: int) -> int:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.tell()
