"""Who a face is, by the published ArcFace network (Deng et al., CVPR 2019): ``arcface_resnet18_110.pth``, a ResNet-18
whose convolutions are normalised before and after. Its keys, without the ``module.`` that the file puts before them."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 128  # pixels that it sees, whatever the picture's
EMBEDDING = 512
WIDTHS = (64, 64, 128, 256, 512)
PREFIX = "module."  # of the keys in the file


class ArcFace(nn.Module):
    """Pictures ``[B, 3, S, S]`` in [0, 1] -> features ``[B, 512]``, from their grey values alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU()
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(Block(wide, wider, 1 if wide == wider else 2), Block(wider, wider, 1))
            for wide, wider in pairwise(WIDTHS)
        )
        self.bn4 = nn.BatchNorm2d(WIDTHS[-1])
        self.fc5 = nn.Linear(WIDTHS[-1] * (SIZE // 16) ** 2, EMBEDDING)
        self.bn5 = nn.BatchNorm1d(EMBEDDING)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] != SIZE:
            image = F.interpolate(image, (SIZE, SIZE), mode="area")
        grey = 2 * image.mean(1, keepdim=True) - 1
        x = F.max_pool2d(self.prelu(self.bn1(self.conv1(grey))), 2)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.bn5(self.fc5(self.bn4(x).flatten(1)))


class Block(nn.Module):
    """Two convolutions and a short cut; one learned leak serves both of its activations."""

    def __init__(self, wide: int, wider: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(wide)
        self.conv1, self.bn1 = nn.Conv2d(wide, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide)
        self.prelu = nn.PReLU()
        self.conv2, self.bn2 = nn.Conv2d(wide, wider, 3, stride, padding=1, bias=False), nn.BatchNorm2d(wider)
        reshape = [nn.Conv2d(wide, wider, 1, stride, bias=False), nn.BatchNorm2d(wider)] if stride > 1 else []
        self.downsample = nn.Sequential(*reshape)

    def forward(self, x: Tensor) -> Tensor:
        out = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        return self.prelu(self.bn2(self.conv2(out)) + self.downsample(x))
