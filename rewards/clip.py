"""How alike two things mean, by their CLIP embeddings (Radford et al., 2021); the network is injected."""

from torch import Tensor
from torch.nn.functional import cosine_similarity


def clip_similarity(one: Tensor, other: Tensor) -> Tensor:
    """``[B]`` in [-1, 1]: cosine of embeddings ``[B, D]``, of any length.

    An edited image's with that of the caption of what it should show is CLIP-T, with that of the image it should be
    CLIP-I, as MagicBrush reports them (Zhang et al., NeurIPS 2023).
    """
    return cosine_similarity(one, other, -1)
