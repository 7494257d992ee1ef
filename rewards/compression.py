"""How well an image compresses: the rewards on which DDPO was shown first (Black et al., 2024, section 5)."""

from torch import Tensor


def compressibility(kilobytes: Tensor) -> Tensor:
    """``[B]``: the smaller the file, the better. The size itself is the opposite reward, incompressibility."""
    return -kilobytes
