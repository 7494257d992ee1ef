"""Trains the editor that is shipped on the embedded world, measures it on held-out problems, writes its card."""

import copy
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..simulators.ddim import DDIM
from ..simulators.edit_language import tokens
from ..simulators.editor import Editor
from ..simulators.editors import SHIPPED, embedded_editor, save_editor
from ..simulators.edits import make_edits
from .checkpoint import random_state, set_random_state, write_text
from .editor_card import Table, card, measure, sampler, shares
from .lessons import partial, train

WEIGHTS = SHIPPED["shipped"]
PROBLEMS = 1 << 18  # about as many as are seen in an hour: few are seen twice
PROBE, TEST = 128, 1024  # held-out problems on which success is told on the way, and measured in the end
BATCH = 64
LEARNING_RATE = 1.2e-3
WARM_UP = 200  # updates
AVERAGE = 0.999  # of the past, in the weights that are kept
DROPPED = 0.05  # of each: the instruction alone, both, the source alone; as InstructPix2Pix
EDITED = 4.0  # weight of an error where the edit belongs: elsewhere copying nearly does
SKEW = 3.0  # of times towards noise: below about t = 860 the latent gives away what was asked for


def make(out: str | Path = WEIGHTS.parent, minutes: float = 88.0, seed: int = 0) -> Table:
    """Train for `minutes`; write `editor.safetensors` and its card `editor.md` into `out`; return the card's table.

    Interrupted, by Ctrl-C or otherwise, it goes on where it was. How many updates fit into the minutes depends on the
    machine.
    """
    return finish(train(Trainer(seed), minutes, Path(out) / WEIGHTS.name), minutes, Path(out) / WEIGHTS.name, "editor")


def finish(trainer: "Trainer", minutes: float, path: Path, name: str) -> Table:
    """Write the averaged editor as `path` and its card, made by `retouch make-weights NAME`, beside it."""
    editor, threads = trainer.averaged(), torch.get_num_threads()
    facts = {"minutes": minutes, "seed": trainer.seed, "updates": trainer.updates, "threads": threads}
    save_editor(editor, path, {key: str(value) for key, value in facts.items()})
    table = measure(editor, TEST)
    number = sum(weight.numel() for weight in editor.parameters())
    training = (
        f"`{path.name}`, {number:,} weights of a `UNet2DConditionModel` and a `CLIPTextModel`, in float16, made by "
        f"`retouch make-weights {name} --minutes {minutes:g} --seed {trainer.seed}`: {trainer.updates:,} updates of "
        f"{BATCH} problems on {threads} thread(s), {trainer.lesson}."
    )
    text = card(training, table, TEST)
    write_text(path.with_suffix(".md"), text)
    partial(path).unlink(missing_ok=True)
    print(text)
    return table


class Trainer:
    """Denoising score matching that predicts the picture, its condition dropped now and then for guidance.

    `editor`, a new one unless it is given, learns `problems`, as `make_edits` reads them, those of the embedded world
    unless they are given, at `rate`.
    """

    def __init__(
        self,
        seed: int,
        problems: str = "",
        editor: Editor | None = None,
        rate: float = LEARNING_RATE,
    ) -> None:
        torch.manual_seed(seed)
        self.seed, self.rate = seed, rate
        source = problems or f"embedded:{PROBLEMS}"
        self.problems = make_edits(source, split="train", seed=seed)
        self.lesson = f"drawn from {len(self.problems):,} of the embedded world (`{source}`)"
        self.probe = make_edits(f"embedded:{PROBE}", split="test", seed=seed)
        self.tokens = tokens(self.problems.instructions)
        self.nothing = tokens([""])
        self.editor = (editor or embedded_editor()).train().requires_grad_(True)
        self.editor.unet.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.editor).requires_grad_(False)
        self.ddim = DDIM(self.editor.schedule, steps=10)
        whole = DDIM(self.editor.schedule, steps=1000)  # its tables are the schedule itself
        self.signal, self.noise = (table[:, None, None, None] for table in (whole.signal, whole.noise))
        self.optimiser = torch.optim.AdamW(self.editor.parameters(), rate, (0.9, 0.99), weight_decay=1e-3, fused=True)
        self.updates, self.seconds = 0, 0.0
        self.loss, self.success = 1.0, 0.0  # running squared error, and share of the probe solved when last tried

    def update(self, done: float) -> None:
        """One update, `done` (0 to 1) of the way through the training."""
        rate = self.rate * min(1, (self.updates + 1) / WARM_UP) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        self.optimiser.param_groups[0]["lr"] = rate
        loss = self.error(torch.randint(len(self.problems), (BATCH,)))
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.editor.parameters(), 1.0)
        self.optimiser.step()
        self.updates += 1
        past = min(AVERAGE, self.updates / (self.updates + 10))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.editor.parameters(), strict=True):
                slow.lerp_(fast, 1 - past)
        self.loss += max(0.01, 1 / self.updates) * (loss.item() - self.loss)

    def error(self, index: Tensor) -> Tensor:
        """Weighted squared error of what is predicted of the targets of problems `index` [B], at random times."""
        editor, edits, count = self.editor, self.problems[index], len(index)
        target, condition = (editor.encode(image.float() / 255) for image in (edits.target, edits.source))
        weight = 1 + (EDITED - 1) * edits.mask.expand(-1, 3, -1, -1).float() / 255
        weight = F.pixel_unshuffle(weight, editor.codec.factor)
        t = (len(self.signal) * (1 - torch.rand(count) ** SKEW)).long().clamp_max(len(self.signal) - 1)
        latent = self.signal[t] * target + self.noise[t] * torch.randn_like(target)
        lot = torch.rand(count)
        asked = torch.where((lot < 2 * DROPPED)[:, None], self.nothing, self.tokens[index])
        blind = (lot >= DROPPED) & (lot < 3 * DROPPED)
        condition = condition * ~blind[:, None, None, None]
        predicted = editor.predict(latent, t, condition, editor.embed(asked))
        return (weight * (predicted - target).square()).mean() / weight.mean()

    def averaged(self) -> Editor:
        """The editor of the averaged weights, as it would be loaded."""
        return embedded_editor(weights=self.average.state_dict()).requires_grad_(False).eval()

    def try_out(self) -> None:
        """Measure `success` on the probe, drawing nothing from the training's own random numbers."""
        self.success = shares(self.probe, sampler(self.averaged(), self.ddim))["success"]

    def told(self) -> str:
        return f"loss {self.loss:.4f}, held-out success {self.success:.0%}"

    def state_dict(self) -> dict[str, Any]:
        modules = {name: getattr(self, name).state_dict() for name in ("editor", "average", "optimiser")}
        names = ("seed", "updates", "seconds", "loss", "success")
        return {**modules, **{name: getattr(self, name) for name in names}, "random": random_state()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        if saved["seed"] != self.seed:
            raise ValueError(f"the training to go on with has seed {saved['seed']}, not {self.seed}")
        for name in ("editor", "average", "optimiser"):
            getattr(self, name).load_state_dict(saved[name])
        for name in ("updates", "seconds", "loss", "success"):
            setattr(self, name, saved[name])
        set_random_state(saved["random"])
