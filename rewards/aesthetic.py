"""How pretty an image is, by a small head on its CLIP embedding, trained on people's ratings from 1 to 10."""

from torch import Tensor, nn
from torch.nn.functional import normalize


class AestheticHead(nn.Module):
    """LAION's improved aesthetic predictor, a linear map in eight layers, on OpenAI's CLIP ViT-L/14.

    The names are those of the published state dict, `sac+logos+ava1-l14-linearMSE.pth`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(768, 1024),
            nn.Dropout(0.2),
            nn.Linear(1024, 128),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """``[B]``, of embeddings ``[B, 768]`` of any length."""
        return self.layers(normalize(embedding, dim=-1))[:, 0]
