"""Trains the semantic fields of the embedded faces as the published ones were, measures them, writes their card."""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..simulators.face_factors import FACTORS
from ..simulators.face_fields import STEP, WEIGHTS, SemanticFields, StraightLines, save_fields
from ..simulators.face_latent import FaceLatent
from ..simulators.face_networks import load_face_networks
from ..simulators.face_renderer import FaceRenderer
from ..simulators.faces import ATTRIBUTES, DEGREES
from ..simulators.semantic_field import SLOPE
from .checkpoint import random_state, set_random_state, write_text
from .fields_card import Table, card, measure
from .lessons import partial, train

PICTURES = 64  # pixels
BATCH = 16  # faces; each is edited by all five fields
PERSON = 5.0  # weight of the change of the identity features, as published
LIKELY = 1.0  # of the discriminator's verdict, as published
LEARNING_RATE = 1e-3
WARM_UP = 100  # updates
SAMPLES = 8000  # faces over which steps are measured
TEST = 1000  # held-out faces


def make(out: str | Path = WEIGHTS.parent, minutes: float = 11.0, seed: int = 0) -> Table:
    """Train for `minutes`; write `face-fields.safetensors` and its card `face-fields.md` into `out`; return the card's
    table.

    Interrupted, by Ctrl-C or otherwise, it goes on where it was. How many updates fit into the minutes depends on the
    machine.
    """
    path = Path(out) / WEIGHTS.name
    trainer = train(Trainer(seed), minutes, path)
    scale(trainer.fields, trainer.latent)
    save_fields(trainer.fields, path)
    table = measure(trainer.fields, TEST, seed + 1)
    number, threads = sum(weight.numel() for weight in trainer.fields.parameters()), torch.get_num_threads()
    training = (
        f"`{path.name}`, {number:,} weights of `SemanticFields` (`simulators/face_fields.py`), made by "
        f"`retouch make-weights fields --minutes {minutes:g} --seed {seed}`: {trainer.updates:,} updates of {BATCH} "
        f"faces, each edited by all five fields, on {threads} thread(s). They began as straight lines, learned by "
        f"the published objective, and were scaled for their steps to add {STEP} of a degree on average."
    )
    text = card(training, table, TEST)
    write_text(path.with_suffix(".md"), text)
    partial(path).unlink(missing_ok=True)
    print(text)
    return table


class Trainer:
    """The published objective, through the renderer: after one step the predictor shall see one degree more of the
    attribute and the other four as they were, the network for identity the same person, and the discriminator a likely
    face. Faces that have an attribute in full teach nothing about it.
    """

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        self.latent, self.render, self.networks = FaceLatent(), FaceRenderer(PICTURES), load_face_networks()
        self.fields = straight(self.latent)
        self.optimiser = torch.optim.Adam(self.fields.parameters(), LEARNING_RATE)
        self.updates, self.seconds = 0, 0.0
        self.losses = torch.ones(3)  # running: degrees, person, likely

    def update(self, done: float) -> None:
        """One update, `done` (0 to 1) of the way through the training."""
        rate = LEARNING_RATE * min(1, (self.updates + 1) / WARM_UP) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        self.optimiser.param_groups[0]["lr"] = rate
        losses = self.error(torch.randn(BATCH, FACTORS))
        self.optimiser.zero_grad()
        (losses * torch.tensor([1.0, PERSON, LIKELY])).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.fields.parameters(), 1.0)
        self.optimiser.step()
        self.updates += 1
        self.losses = self.losses.lerp(losses.detach(), max(0.01, 1 / self.updates))

    def error(self, latent: Tensor) -> Tensor:
        """`[3]`, the losses of edits of latents `[B, 40]`."""
        with torch.no_grad():
            source = self.render(self.latent.factors(latent))
            labels, person = self.networks.degrees(source).argmax(2), self.networks.embed(source)
        wanted = labels + torch.eye(len(ATTRIBUTES), dtype=torch.long)[:, None]  # [5, B, 5]
        taught = (wanted < DEGREES).all(2).float()
        edited = latent + self.fields(latent)
        image = self.render(self.latent.factors(edited.flatten(0, 1)))
        logits = self.networks.degrees(image).flatten(0, 1)
        wrong = F.cross_entropy(logits, wanted.clamp_max(DEGREES - 1).flatten(), reduction="none")
        other = (self.networks.embed(image).unflatten(0, taught.shape) - person).abs().mean(2)
        unlikely = F.softplus(-self.networks.likely(image)).view(taught.shape)
        losses = torch.stack([wrong.view(wanted.shape).mean(2), other, unlikely])
        return (losses * taught).sum((1, 2)) / taught.sum()

    def try_out(self) -> None:
        """The running losses tell enough: every face is a new one."""

    def told(self) -> str:
        return "loss of degrees {:.3f}, person {:.4f}, likely {:.3f}".format(*self.losses.tolist())

    def state_dict(self) -> dict[str, Any]:
        modules = {name: getattr(self, name).state_dict() for name in ("fields", "optimiser")}
        names = ("seed", "updates", "seconds", "losses")
        return {**modules, **{name: getattr(self, name) for name in names}, "random": random_state()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        if saved["seed"] != self.seed:
            raise ValueError(f"the training to go on with has seed {saved['seed']}, not {self.seed}")
        for name in ("fields", "optimiser"):
            getattr(self, name).load_state_dict(saved[name])
        for name in ("updates", "seconds", "losses"):
            setattr(self, name, saved[name])
        set_random_state(saved["random"])


def straight(latent: FaceLatent) -> SemanticFields:
    """Fields that begin as straight lines, of a degree a step, with layers that carry where a latent is to the last."""
    fields = SemanticFields()
    for (*others, last), direction in zip(fields.linear_layers(), StraightLines(latent).directions, strict=True):
        for layer in others:
            nn.init.kaiming_uniform_(layer.weight, SLOPE)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(last.weight)
        last.bias.data.copy_(direction / STEP)
    return fields


@torch.no_grad()
def scale(fields: SemanticFields, latent: FaceLatent) -> None:
    """Multiply each field for its steps to add `STEP` of a degree on average over faces, by the rate at the start."""
    noise = torch.randn(SAMPLES, FACTORS, generator=torch.Generator().manual_seed(0))
    for place, (edit, layers) in enumerate(zip(fields(noise), fields.linear_layers(), strict=True)):
        rate = torch.func.jvp(latent.factors, (noise,), (edit,))[1][:, place].mean()
        for weight in layers[-1].parameters():
            weight.mul_(STEP / rate)
