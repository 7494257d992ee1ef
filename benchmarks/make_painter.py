"""Trains the painter that is shipped, measures it on photographs beside its bounds, writes its card."""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ..agents.policies.painter import SHAPE, Painter, stroke_gain, stroke_shape
from ..simulators.renderers import make_renderer
from ..simulators.targets import Targets, make_targets
from .checkpoint import random_state, read_tensors, set_random_state, write_tensors, write_text, write_whole
from .painter_card import COUNTS, Table, card, measure
from .painter_policies import PAINTER_WEIGHTS

SCENES = 2048  # of the embedded world
SCENE = 192  # pixels they are drawn at
SIZE = 64  # pixels of the crops that are painted in training: two octaves, which is all there is to learn
POOL = 256  # canvases in the works
BATCH = 16
PROMISING, OTHERS = 16, 16  # proposals of a canvas that are tried: those of the highest forecast, and random ones
BUNDLE = 5
SHORTEST, LONGEST = 6, 80  # bundles after which a canvas is given up
LEARNING_RATE = 1e-3
WARM_UP = 100  # updates
SMALL = 0.02  # squared error, summed over pixels and channels, of no account
EVERY = 300.0  # seconds between checkpoints


def make(
    out: str | Path = PAINTER_WEIGHTS.parent, minutes: float = 40.0, seed: int = 0, counts: Sequence[int] = COUNTS
) -> Table:
    """Train for `minutes`; write `painter.safetensors` and its card `painter.md` into `out`; return the card's table.

    Interrupted, it goes on where it was. How many updates fit into the minutes depends on the machine.
    """
    out = Path(out)
    checkpoint = out / "painter.partial.pt"
    trainer = train(minutes, seed, checkpoint)
    weights = trainer.average.state_dict()
    write_whole(out / PAINTER_WEIGHTS.name, lambda path: save_file(weights, path))
    table = measure(trainer.average, counts)
    number, threads = sum(weight.numel() for weight in weights.values()), torch.get_num_threads()
    training = (
        f"`painter.safetensors`, {number:,} weights of a `StrokeNet` (`agents/policies/painter.py`), made by "
        f"`retouch make-weights painter --minutes {minutes:g} --seed {seed}`: model-based DDPG with discount 0 through "
        f"the analytic renderer, {trainer.updates:,} updates of {BATCH} canvases of {SIZE} px on {threads} thread(s), "
        f"on crops of {SCENES:,} scenes of the embedded world. It has seen no photograph."
    )
    text = card(training, table, counts)
    write_text(out / "painter.md", text)
    checkpoint.unlink(missing_ok=True)
    print(text)
    return table


@dataclass
class Pool:
    """Canvases `[N, 3, SIZE, SIZE]` at every stage of being painted, with their targets: the environments, as many as
    they are, and the replay in one. Painting goes on from whichever are drawn."""

    target: Tensor
    canvas: Tensor
    step: Tensor  # [N], bundles so far
    limit: Tensor  # [N], bundles after which a new target is begun

    @classmethod
    def begin(cls, scenes: Targets, count: int) -> "Pool":
        target = crops(scenes, count)
        return cls(target, torch.zeros_like(target), torch.zeros(count), limits(count))

    def advance(self, index: Tensor, canvas: Tensor, scenes: Targets) -> None:
        """Canvases `index` have become `canvas`; those at their limit make room for new ones."""
        self.canvas[index] = (canvas * 255).round() / 255
        self.step[index] += 1
        over = index[self.step[index] >= self.limit[index]]
        fresh = Pool.begin(scenes, len(over)) if len(over) else None
        for name, value in vars(fresh).items() if fresh else ():
            getattr(self, name)[over] = value


def limits(count: int) -> Tensor:
    return SHORTEST * (LONGEST / SHORTEST) ** torch.rand(count)


def crops(scenes: Targets, count: int) -> Tensor:
    """Squares of scenes `[count, 3, SIZE, SIZE]` in [0, 1], of any size from `SIZE` pixels up, turned and mirrored."""
    images = scenes[torch.randint(len(scenes), (count,))].image
    sides = (SIZE * (SCENE / SIZE) ** torch.rand(count)).long().tolist()
    found = []
    for image, side in zip(images, sides, strict=True):
        top, left = torch.randint(SCENE - side + 1, (2,)).tolist()
        part = image[None, :, top : top + side, left : left + side].float() / 255
        part = F.interpolate(part, size=SIZE, mode="area").rot90(int(torch.randint(4, ())), (2, 3))
        found.append(part.flip(3) if torch.rand(()) < 0.5 else part)
    return torch.cat(found)


class Trainer:
    """Model-based DDPG with discount 0 over proposals: each is an action, the renderer is the model.

    The actor climbs the gain that the model tells, through the renderer; the critic learns to forecast it, which is
    what chooses the proposals worth drawing. The canvases go on with the best of the proposals that were tried.
    """

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.scenes = make_targets(f"embedded:{SCENES}", size=SCENE, seed=seed)
        self.renderer = make_renderer("analytic", SIZE)
        self.painter = Painter(self.renderer)
        self.average = copy.deepcopy(self.painter.net)
        self.optimiser = torch.optim.AdamW(self.painter.net.parameters(), LEARNING_RATE, (0.9, 0.99), weight_decay=1e-3)
        self.pool = Pool.begin(self.scenes, POOL)
        self.updates, self.seconds = 0, 0.0
        self.gain = 0.0  # running share of a promising proposal's neighbourhood error that it gains

    def update(self, done: float) -> None:
        """One update, `done` (0 to 1) of the way through the training."""
        rate = LEARNING_RATE * min(1, (self.updates + 1) / WARM_UP) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        self.optimiser.param_groups[0]["lr"] = rate
        index = torch.randperm(POOL)[:BATCH]
        canvas, target = self.pool.canvas[index], self.pool.target[index]
        alpha, gain, forecast, error = self.imagine(canvas, target)
        usual = gain[:, :PROMISING].detach().clamp_min(0).mean(1, keepdim=True) + SMALL
        share = gain.detach() / (error + SMALL)
        actor = -(gain / usual).clamp_min(-2).mean()
        critic = F.smooth_l1_loss(forecast, share.clamp(-1, 2), beta=0.1)
        self.optimiser.zero_grad()
        (actor + critic).backward()
        torch.nn.utils.clip_grad_norm_(self.painter.net.parameters(), 1.0)
        self.optimiser.step()
        self.updates += 1
        weight = max(0.001, min(1.0, 5 / self.updates))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.painter.net.parameters(), strict=True):
                slow.lerp_(fast, weight)
        self.gain += max(weight, 0.01) * (share[:, :PROMISING].mean().item() - self.gain)
        self.pool.advance(index, lay_best(alpha.detach(), canvas, target), self.scenes)

    def imagine(self, canvas: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Proposals tried on the model: alpha `[B, M, SIZE^2]`, and `[B, M]` gains, forecast shares and errors."""
        found = self.painter.propose(canvas, target)
        forecast = (found.share * found.error).detach()
        promising = forecast.topk(PROMISING, 1).indices
        others = torch.rand_like(forecast).scatter(1, promising, -1.0).topk(OTHERS, 1).indices
        tried = torch.cat([promising, others], 1)
        output = found.output.gather(1, tried[:, :, None].expand(-1, -1, SHAPE))
        shape = stroke_shape(output, found.frame[tried], SIZE)
        alpha = self.renderer(shape.flatten(0, 1)).view(*tried.shape, -1)
        gain, _ = stroke_gain(alpha, canvas, target)
        return alpha, gain, found.share.gather(1, tried), found.error.gather(1, tried)

    def state_dict(self) -> dict[str, Any]:
        modules = {name: getattr(self, name).state_dict() for name in ("average", "optimiser")}
        rest = {"updates": self.updates, "seconds": self.seconds, "gain": self.gain, "random": random_state()}
        return {**modules, "net": self.painter.net.state_dict(), "pool": vars(self.pool), **rest}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.painter.net.load_state_dict(saved["net"])
        self.pool = Pool(**saved["pool"])
        self.updates, self.seconds, self.gain = saved["updates"], saved["seconds"], saved["gain"]
        set_random_state(saved["random"])


def lay_best(alpha: Tensor, canvas: Tensor, target: Tensor) -> Tensor:
    """The canvas with a bundle of the best strokes of `alpha`, one after another."""
    lane = torch.arange(len(canvas))
    for _ in range(BUNDLE):
        gain, colour = stroke_gain(alpha, canvas, target)
        best = gain.argmax(1)
        canvas = torch.lerp(canvas, colour[lane, best][:, :, None, None], alpha[lane, best].view(-1, 1, SIZE, SIZE))
    return canvas


def train(minutes: float, seed: int, checkpoint: Path) -> Trainer:
    """Train for `minutes` in all, from `checkpoint` if it is there."""
    trainer = Trainer(seed)
    if checkpoint.exists():
        trainer.load_state_dict(read_tensors(checkpoint))
        print(f"painter: goes on from {checkpoint}, update {trainer.updates}", flush=True)
    budget, clock, saved = 60 * minutes, time.monotonic(), trainer.seconds
    while trainer.seconds < budget:
        trainer.update(trainer.seconds / budget)
        trainer.seconds, clock = trainer.seconds + time.monotonic() - clock, time.monotonic()
        if trainer.updates % 50 == 0 or trainer.seconds >= budget:
            rate, left = trainer.updates / trainer.seconds, max(0.0, budget - trainer.seconds)
            progress = f"update {trainer.updates}, gain {trainer.gain:.3f}, {rate:.2f} updates/s, {left:.0f} s left"
            print(f"painter: {progress}", flush=True)
        if trainer.seconds - saved > EVERY:
            write_tensors(checkpoint, trainer.state_dict())
            saved = trainer.seconds
    return trainer
