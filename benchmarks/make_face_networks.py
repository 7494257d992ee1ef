"""Trains the networks that look at embedded faces, measures them on held-out faces, writes their card."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..simulators.face_factors import FACTORS, IDENTITY
from ..simulators.face_latent import FaceLatent
from ..simulators.face_networks import WEIGHTS, FaceNetworks, save_face_networks
from ..simulators.face_renderer import FaceRenderer
from ..simulators.faces import ATTRIBUTES, DEGREES
from .checkpoint import random_state, set_random_state, write_text
from .face_networks_card import Pairs, Scores, card, measure
from .lessons import partial, train

PICTURES = 64  # pixels
POOL = 4096  # pairs of pictures in the works
BATCH = 32  # pairs
FRESH = 8  # pairs that are drawn anew at every update, in place of the oldest
LEARNING_RATE = 2e-3
WARM_UP = 50  # updates
TEMPERATURE = 0.07  # of telling people apart
AVERAGE = 0.995  # of the past, in the weights that are kept
TEST = 4096  # held-out pairs
HELD_OUT = 1 << 20  # seeds from which on they are drawn


def make(out: str | Path = WEIGHTS["world"].parent, minutes: float = 12.0, seed: int = 0) -> dict[str, Scores]:
    """Train two sets of networks, each on its own faces and for half of `minutes`; write them, and their card
    `face-networks.md`, into `out`; return what the card says.

    Interrupted, by Ctrl-C or otherwise, it goes on where it was. How many updates fit into the minutes depends on the
    machine.
    """
    paths = {name: Path(out) / path.name for name, path in WEIGHTS.items()}
    trainers = {
        name: train(Trainer(len(WEIGHTS) * seed + number), minutes / len(WEIGHTS), path)
        for number, (name, path) in enumerate(paths.items())
    }
    torch.manual_seed(HELD_OUT + seed)
    held_out, scores = photographer()(TEST), {}
    for name, path in paths.items():
        networks = trainers[name].average
        save_face_networks(networks, path)
        scores[name] = measure(networks, held_out)
    text = card(scores, {name: trainer.updates for name, trainer in trainers.items()}, minutes, seed)
    write_text(paths["world"].with_suffix(".md"), text)
    for path in paths.values():
        partial(path).unlink(missing_ok=True)
    print(text)
    return scores


Draw = Callable[[int], Pairs]


def photographer() -> Draw:
    """Draws so many pairs, by torch's global generator.

    Half of the latents are stretched, up to twice the length, as those that edits drove off. The second picture's
    degrees are uniform, or another person's.
    """
    latent, render = FaceLatent(), FaceRenderer(PICTURES)

    @torch.no_grad()
    def draw(count: int) -> Pairs:
        likely = torch.rand(count) < 0.5
        stretch = torch.where(likely, 1.0, 1.2 + 0.8 * torch.rand(count))
        first = latent.factors(stretch[:, None] * torch.randn(count, FACTORS))
        second = latent.factors(torch.randn(count, FACTORS))
        second[:, IDENTITY] = first[:, IDENTITY]
        uniform = (DEGREES - 1) * torch.rand(count, len(ATTRIBUTES))
        degrees = second[:, : len(ATTRIBUTES)]
        second[:, : len(ATTRIBUTES)] = torch.where(torch.rand(count, 1) < 0.5, uniform, degrees)
        factors = torch.stack([first, second], 1)
        image = torch.cat([render(part) for part in factors.flatten(0, 1).split(BATCH)])
        image = (255 * image).round().byte().unflatten(0, (count, 2))
        return Pairs(image, factors[:, :, : len(ATTRIBUTES)].clamp(0, DEGREES - 1), likely.float())

    return draw


class Trainer:
    """Cross-entropy of the degrees, InfoNCE of the person, cross-entropy of being likely, all on the same pictures."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        self.draw = photographer()
        self.pool = self.draw(POOL)
        self.networks = FaceNetworks().train()
        self.average = copy.deepcopy(self.networks).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(self.networks.parameters(), LEARNING_RATE, weight_decay=1e-2)
        self.updates, self.seconds = 0, 0.0
        self.losses = torch.ones(3)  # running: degrees, person, likely

    def update(self, done: float) -> None:
        """One update, `done` (0 to 1) of the way through the training."""
        rate = LEARNING_RATE * min(1, (self.updates + 1) / WARM_UP) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        self.optimiser.param_groups[0]["lr"] = rate
        self.pool.put(self.updates * FRESH % POOL, self.draw(FRESH))
        losses = self.error(torch.randint(POOL, (BATCH,)))
        self.optimiser.zero_grad()
        losses.sum().backward()
        self.optimiser.step()
        self.updates += 1
        past = min(AVERAGE, self.updates / (self.updates + 10))
        with torch.no_grad():
            now = self.networks.state_dict()
            for name, slow in self.average.state_dict().items():
                slow.lerp_(now[name], 1 - past) if slow.is_floating_point() else slow.copy_(now[name])
        self.losses = self.losses.lerp(losses.detach(), max(0.01, 1 / self.updates))

    def error(self, index: Tensor) -> Tensor:
        """`[3]`, the losses on pairs `index` [B] of the pool."""
        image, networks = self.pool.image[index].float() / 255, self.networks
        logits = networks.degrees(image.flatten(0, 1))
        degrees = F.cross_entropy(logits.flatten(0, 1), self.pool.degrees[index].round().long().flatten())
        first, second = networks.embed(image.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
        alike, same = first @ second.T / TEMPERATURE, torch.arange(len(index))
        person = (F.cross_entropy(alike, same) + F.cross_entropy(alike.T, same)) / 2
        likely = F.binary_cross_entropy_with_logits(networks.likely(image[:, 0]), self.pool.likely[index])
        return torch.stack([degrees, person, likely])

    def try_out(self) -> None:
        """The running losses tell enough: most pictures are seen a few times."""

    def told(self) -> str:
        return "loss of degrees {:.3f}, person {:.3f}, likely {:.3f}".format(*self.losses.tolist())

    def state_dict(self) -> dict[str, Any]:
        modules = {name: getattr(self, name).state_dict() for name in ("networks", "average", "optimiser")}
        names = ("seed", "updates", "seconds", "losses")
        rest = {name: getattr(self, name) for name in names}
        return {**modules, **rest, "pool": vars(self.pool), "random": random_state()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        if saved["seed"] != self.seed:
            raise ValueError(f"the training to go on with has seed {saved['seed']}, not {self.seed}")
        for name in ("networks", "average", "optimiser"):
            getattr(self, name).load_state_dict(saved[name])
        for name in ("updates", "seconds", "losses"):
            setattr(self, name, saved[name])
        self.pool = Pairs(**saved["pool"])
        set_random_state(saved["random"])
