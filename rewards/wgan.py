"""A learned distance: how real a painting looks beside its target, by a Wasserstein critic."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class TReLU(nn.Module):
    """ReLU with a learned threshold (Xiang and Li, 2017, arXiv:1704.03971)."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x - self.alpha) + self.alpha


class PairCritic(nn.Module):
    """Scores pairs of images ``[B, 6, H, W]``: the target, and what is said to be it."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)):
        super().__init__()
        layers: list[nn.Module] = []
        for wide, wider in zip((6, *widths), widths, strict=False):
            layers += [weight_norm(nn.Conv2d(wide, wider, 5, 2, 2)), TReLU()]
        self.layers = nn.Sequential(*layers, weight_norm(nn.Conv2d(widths[-1], 1, 5, 2, 2)))

    def forward(self, pair: Tensor) -> Tensor:
        """``[B]``."""
        return self.layers(pair.contiguous(memory_format=torch.channels_last)).mean((1, 2, 3))


class WGAN(nn.Module):
    """The reward of Learning to Paint: the rise of a critic's score (Huang et al., ICCV 2019, section 3.3).

    The critic tells (target, target) from (target, canvas) by WGAN-GP (Gulrajani et al., 2017, lambda = 10, Adam
    3e-4 with betas 0.5 and 0.999); rewards come from a slow copy of it (tau = 0.001). ``state_dict`` holds the
    optimiser too, so that a resumed run goes on bit for bit. ``seed`` alone decides the initial weights.
    """

    def __init__(self, seed: int = 0, tau: float = 0.001, penalty: float = 10.0, batch: int = 96, updates: int = 10):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.critic = PairCritic()
        self.slow = deepcopy(self.critic).requires_grad_(False)
        self.tau, self.penalty, self.batch, self.updates = tau, penalty, batch, updates
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=3e-4, betas=(0.5, 0.999))

    def gain(self, before: Tensor, after: Tensor, target: Tensor) -> Tensor:
        """``[B]``: score of ``after`` less score of ``before``; images ``[B, 3, H, W]`` in [0, 1]."""
        return self.slow(torch.cat([target, after], 1)) - self.slow(torch.cat([target, before], 1))

    def learn(self, canvas: Tensor, target: Tensor) -> dict[str, float]:
        """Update the critic on paintings and their targets ``[N, 3, H, W]``, ``updates`` batches drawn from them."""
        with torch.enable_grad():
            for _ in range(self.updates):
                index = torch.randint(len(canvas), (min(self.batch, len(canvas)),), device=canvas.device)
                metrics = self._update(canvas[index], target[index])
        return {key: value.item() for key, value in metrics.items()}

    def _update(self, canvas: Tensor, target: Tensor) -> dict[str, Tensor]:
        real, fake = torch.cat([target, target], 1), torch.cat([target, canvas], 1)
        penalty = gradient_penalty(self.critic, real, fake)
        real_score, fake_score = self.critic(torch.cat([real, fake])).chunk(2)
        gap = real_score.mean() - fake_score.mean()
        self.optimizer.zero_grad()
        (self.penalty * penalty - gap).backward()
        self.optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.critic.parameters(), strict=True):
                slow.lerp_(fast, self.tau)
        return {"gap": gap.detach(), "penalty": penalty.detach()}

    def get_extra_state(self) -> dict:
        return self.optimizer.state_dict()

    def set_extra_state(self, state: dict) -> None:
        self.optimizer.load_state_dict(deepcopy(state))


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """``E (|grad critic(x)| - 1)^2`` at random points between ``real`` and ``fake`` ``[N, C, H, W]``."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    (grad,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (grad.flatten(1).norm(dim=1) - 1).square().mean()
