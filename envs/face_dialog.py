"""Editing a face by dialog: a user asks, looks, and asks again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, Space
from torch import Tensor

from ..simulators import dialog as talk
from ..simulators.face_listener import load_listener
from ..simulators.face_sentences import Feedback, Sentences, Understanding, vocabulary
from ..simulators.face_user import WISH_DRAWS, User, draw_wish
from ..simulators.face_worlds import make_faces
from ..simulators.faces import ATTRIBUTES, DEGREES
from ..simulators.language import WORDS
from ..simulators.semantic_field import field_edit
from .core import Obs, Options, Task, where
from .face_controls import LIMIT, FaceControls
from .face_scores import REWARDS, FaceScores, FaceState
from .options import asked_numbers, one_of, reward_weights
from .random import LaneRandom, mix

SHOWN = ("image", "latent", "degrees", "dialog", "request", "proposal", "round", "micro_step")
HIDDEN = ("proposals", "goal")  # not shown unless asked for
ALREADY_THERE, CANNOT = (talk.EXCEPTIONS.index(name) for name in ("already_there", "cannot"))
AHEAD = {"exact": 8, "predictor": 1}  # steps of the field judged together: a predictor looks at a picture of each
SHOWN_AT = 128  # pixels, at least, of a rendered picture
SPLITS = {"train": 0, "test": 0x5DEECE66D}  # other people in each


class FaceDialog(Task[FaceState]):
    """Change a face as a user asks for it in several rounds, and keep the person.

    Hidden is what the user wishes: two or three attributes (``changes``) by two degrees or more. In every round the
    user asks, the agent edits, in ``micro_steps`` steps that follow what it sees, and the system replies.

    Observation, of which ``show`` names what is given: ``image`` uint8 ``[3, size, size]``, RGB; ``latent`` float
    ``[D]``; ``degrees`` float ``[5]`` in [0, 5] of bangs, eyeglasses, beard, smiling and age, as the judge sees them;
    ``dialog`` int64 ``[2 rounds + 1, WORDS]``, the tokens of user and system in turn; ``request`` float ``[5]``, what
    is left of the request as a listener understood it, in degrees of its attribute; ``proposal`` float ``[D]``, the
    edit that the semantic field proposes for that; ``round`` in {0, ..., rounds}, rounds that are over; ``micro_step``
    in {0, ..., micro_steps - 1}, the steps of this one so far. If asked for:
    ``proposals`` float ``[rounds, D]``, those at the beginning of the rounds so far, and, to train with, ``goal`` float
    ``[D]``, the latent of the wanted face.

    Action, by ``control``. ``residual``: ``[1 + D]`` in [-1, 1], how much of the proposal is followed (-1: nothing,
    1: all) and an edit of one's own, ``radius`` at most a round in each dimension; so (1, 0, ..., 0) is the published
    editor and (-1, 0, ..., 0) does nothing. ``latent``: ``[D]``, 20 times the edit, the published policy's. ``fields``:
    ``[6]`` in [-1, 1], how far along each attribute's field and towards the face as it was.

    Reward: a weighted sum by name, each in ``info`` as ``reward/NAME``, all of them what a step gained. ``latent``:
    nearness to the wanted latent (published), as a share of the way; ``attributes``: to the wished degrees, as a share;
    ``identity``: how alike the network for identity finds it to the source; ``others``: degrees that attributes not
    wished for stay as they were; ``satisfied``: 1 when the user says that that is all.

    Episode end: when the user or the system ends the dialog, and after ``rounds`` rounds (termination).

    Arguments: ``world``, "embedded" or a folder with the published networks, as ``simulators.face_worlds.make_faces``
    reads it with ``size``, ``entanglement``, ``base`` (what proposes: "field" or "line") and ``plus``; ``judge`` of
    what pictures show, "exact" (embedded world) or "predictor"; ``listener``, "shipped" or the folder of a published
    language encoder; ``user``, a kind or {argument: value} of ``simulators.face_user.User``; ``trials``, steps of the
    field without effect before it gives up; ``pictures``, whether metrics look at the faces of all rounds; ``split``,
    "train" or "test" people; ``compile`` (embedded world), whether torch.compile fuses the drawing of faces and the
    walks along the field: that takes a minute or two the first time, a quarter of that in every process after it, and
    on a CPU a C++ compiler; pictures of a batch are then those of single environments to 1e-5, no longer bit for bit.
    ``reset(options={"latent": [D], "wish": [5]})`` asks for a face, a wish, or both.

    Reference: Jiang et al., Talk-to-Edit: Fine-Grained Facial Editing via Dialog, ICCV 2021 (arXiv:2109.04425), and
    its extension by REINFORCE (github.com/JoshuaWu1997/Talk-to-Edit-REINFORCE).
    """

    action_space: Box
    reset_options = ("latent", "wish")
    curves = False  # metrics tell of every round

    def __init__(
        self,
        world: str = "embedded",
        size: int | None = None,
        entanglement: float | None = None,
        base: str = "field",
        plus: bool = False,
        judge: str = "exact",
        listener: str = "shipped",
        user: str | Mapping[str, Any] = "attentive",
        rounds: int = 5,
        micro_steps: int = 4,
        control: str = "residual",
        radius: float = 1.0,
        trials: int = 20,
        reward: str | Mapping[str, float] = MappingProxyType({"latent": 1.0, "attributes": 1.0}),
        show: Sequence[str] = SHOWN,
        changes: tuple[int, int] = (2, 3),
        pictures: bool = True,
        split: str = "train",
        device: str = "cpu",
        compile: bool = False,
    ):
        for name, value in {"rounds": rounds, "micro_steps": micro_steps, "trials": trials}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 1 <= changes[0] <= changes[1] <= len(ATTRIBUTES):
            raise ValueError(f"changes must be two numbers, 1 <= least <= most <= {len(ATTRIBUTES)}, got {changes}")
        for name in show:
            one_of("show", name, (*SHOWN, *HIDDEN))
        self.device = torch.device(device)
        self.compile = compile
        self.world = make_faces(world, size, entanglement, base, plus, device, compile)
        self.scores = FaceScores(self.world, judge, reward_weights(reward, REWARDS), pictures)
        self.sentences, self.feedback = Sentences(device), Feedback(device)
        self.listener = load_listener(listener, self.sentences, device)
        self.user = User(self.sentences, **({"kind": user} if isinstance(user, str) else user))
        self.rounds, self.micro_steps, self.trials = rounds, micro_steps, trials
        self.controls = FaceControls(self.world, control, radius, micro_steps)
        self.action_space = self.controls.space
        self.changes, self.salt = changes, SPLITS[one_of("split", split, tuple(SPLITS))]
        self.size = self.world.size
        self.model_calls = ((self.world, "synthesize"),)
        self._drawn: tuple[Tensor | None, Tensor] = None, torch.empty(0)  # latents and their pictures
        self.width, words = self.world.latent_shape[-1], len(vocabulary())
        point = Box(-LIMIT, LIMIT, (self.width,))
        spaces: dict[str, Space] = {
            "image": Box(0, 255, (3, self.size, self.size), np.uint8),
            "latent": point,
            "degrees": Box(0.0, DEGREES - 1.0, (len(ATTRIBUTES),)),
            "dialog": Box(0, words - 1, (2 * rounds + 1, WORDS), np.int64),
            "request": Box(1.0 - DEGREES, DEGREES - 1.0, (len(ATTRIBUTES),)),
            "proposal": point,
            "round": Discrete(rounds + 1),
            "micro_step": Discrete(micro_steps),
            "proposals": Box(-LIMIT, LIMIT, (rounds, self.width)),
            "goal": point,
        }
        self.observation_space = Dict({name: spaces[name] for name in spaces if name in show})

    def initial(self, rng: LaneRandom, options: Options) -> FaceState:
        luck = LaneRandom(mix(rng.seed + self.salt), rng.drawn)
        latent = self.world.sample(luck.normal(self.world.noise_size))
        if "latent" in options:
            latent = asked_numbers("latent", options, latent, -LIMIT, LIMIT)
        labels = self.scores.look(latent).labels
        wish = draw_wish(labels, self.changes, luck.uniform(WISH_DRAWS))
        if "wish" in options:
            wish = asked_numbers("wish", options, wish, 0, DEGREES - 1)
        state = self.begin(latent, wish)
        asked = self._turn(state, luck.uniform(self.user.draws))
        rng.drawn = luck.drawn
        return self.propose(asked, torch.ones_like(state.step, dtype=torch.bool))

    def observe(self, state: FaceState) -> Obs:
        asked = torch.arange(len(ATTRIBUTES), device=self.device) == state.request.attribute[:, None]
        seen: dict[str, Callable[[], Tensor]] = {
            "image": lambda: (self.picture(state.latent) * 255).round_().to(torch.uint8),
            "latent": lambda: self.world.point(state.latent),
            "degrees": lambda: state.seen.degrees,
            "dialog": lambda: state.talk,
            "request": lambda: asked * (state.request.target[:, None] - state.seen.degrees),
            "proposal": lambda: state.proposal,
            "round": lambda: self._round(state),
            "micro_step": lambda: state.step % self.micro_steps,
            "proposals": lambda: state.proposals,
            "goal": lambda: state.goal,
        }
        return {name: seen[name]() for name in self.observation_space}

    def transition(self, state: FaceState, action: Tensor, rng: LaneRandom | None) -> FaceState:
        if rng is None:
            raise ValueError("a round of the dialog draws what is said: a step needs an rng")
        luck = rng.uniform(talk.DRAWS + self.user.draws)
        edited = self.edit(state, action)
        ended = edited.step % self.micro_steps == 0
        if ended.any():  # lanes keep step: mostly none does
            replied = self.reply(edited, luck[:, : talk.DRAWS])[0]
            edited = where(ended, self._turn(replied, luck[:, talk.DRAWS :]), edited)
        return self.propose(edited, ended)

    def reward(self, state: FaceState, action: Tensor, next_state: FaceState) -> dict[str, Tensor]:
        return self.scores.rewards(state, next_state)

    def terminated(self, state: FaceState) -> Tensor:
        return state.dialog.over | state.user.left | (state.step >= self.rounds * self.micro_steps)

    def metrics(self, state: FaceState) -> dict[str, Tensor]:
        return self.scores.metrics(state)

    def render(self, state: FaceState) -> Tensor:
        """The face as it was, as it is and, where that is known, as it is wanted: ``[B, H, 2 H or 3 H, 3]``."""
        pictures = [self.world.synthesize(state.trace[:, 0]), self.picture(state.latent)]
        if self.scores.exact is not None:
            pictures.append(self.world.synthesize(state.goal))
        shown = (torch.cat(pictures, 3) * 255).round_().to(torch.uint8).permute(0, 2, 3, 1)
        times = -(-SHOWN_AT // self.size)
        return shown.repeat_interleave(times, 1).repeat_interleave(times, 2)

    def picture(self, latent: Tensor) -> Tensor:
        """``[B, 3, size, size]`` in [0, 1]; drawn once for all who ask of it."""
        if self._drawn[0] is not latent:
            self._drawn = latent, self.world.synthesize(latent)
        return self._drawn[1]

    def begin(self, latent: Tensor, wish: Tensor) -> FaceState:
        """Dialogs about faces ``latent`` in which nobody has spoken; the user wishes for ``wish`` ``[B, 5]``."""
        lanes, seen, point = len(latent), self.scores.look(latent), self.world.point(latent)
        dialog = talk.begin(lanes, self.device)
        zero = torch.zeros(lanes, dtype=torch.int64, device=self.device)
        return FaceState(
            latent=latent,
            trace=latent[:, None].repeat(1, self.rounds + 1, *[1] * (latent.ndim - 1)),
            goal=self.scores.goal(latent, seen, wish),
            start=seen,
            seen=seen,
            dialog=dialog,
            user=self.user.begin(wish),
            request=talk.nothing(lanes, self.device),
            obstacle=zero,
            proposal=torch.zeros_like(point),
            proposals=torch.zeros_like(point)[:, None].repeat(1, self.rounds, 1),
            talk=zero[:, None, None].repeat(1, 2 * self.rounds + 1, WORDS),
            step=zero,
        )

    def edit(self, state: FaceState, action: Tensor) -> FaceState:
        """After one step of the agent; nobody has said anything to it yet."""
        latent = self.world.move(state.latent, self.controls.edit(state, action))
        step = (state.step + 1).clamp_max(self.rounds * self.micro_steps)
        played = torch.arange(self.rounds + 1, device=self.device) > (state.step // self.micro_steps)[:, None]
        played = played.view(*played.shape, *[1] * (latent.ndim - 1))
        trace = torch.where(played, latent[:, None], state.trace)
        return replace(state, latent=latent, trace=trace, seen=self.scores.look(latent), step=step)

    def reply(self, state: FaceState, draw: Tensor) -> tuple[FaceState, Tensor]:
        """After the system's reply, and what it says: rows ``[B]`` of ``feedback``; ``draw`` ``[B, dialog.DRAWS]``."""
        dialog, rows = talk.reply(state.dialog, self.feedback, state.seen.labels, state.obstacle, draw)
        return self._said(replace(state, dialog=dialog), 2 * self._round(state) - 1, self.feedback.tokens[rows]), rows

    def hear(self, state: FaceState, said: Understanding, tokens: Tensor) -> FaceState:
        """After the user has said ``tokens`` ``[B, WORDS]``, understood as ``said``."""
        dialog, request = talk.hear(state.dialog, said, state.seen.labels)
        return self._said(replace(state, dialog=dialog, request=request), 2 * self._round(state), tokens)

    def propose(self, state: FaceState, asked: Tensor) -> FaceState:
        """With what the semantic field proposes for what is left of the request, new in the lanes ``asked`` ``[B]``."""
        wanted = state.request
        ahead, labels = AHEAD[self.scores.judge], state.seen.labels
        found = field_edit(
            self.world, state.latent, wanted.attribute, wanted.target, self._judge, self.trials, ahead, labels
        )
        obstacle = torch.where(found.cannot, CANNOT, torch.where(found.already_there, ALREADY_THERE, 0))
        now = asked[:, None] & (torch.arange(self.rounds, device=self.device) == self._round(state)[:, None])
        return replace(
            state,
            obstacle=torch.where(asked, obstacle, state.obstacle),
            proposal=found.edit,
            proposals=torch.where(now[:, :, None], found.edit[:, None], state.proposals),
        )

    def _turn(self, state: FaceState, draw: Tensor) -> FaceState:
        """The simulated user looks and speaks."""
        user, rows = self.user.speak(state.user, state.dialog, state.seen.labels, draw)
        rethought = user.wish is not state.user.wish
        goal = self.scores.goal(state.trace[:, 0], state.start, user.wish) if rethought else state.goal
        said = self.listener.hear(rows, state.dialog.system_mode)
        return self.hear(replace(state, user=user, goal=goal), said, self.sentences.tokens[rows])

    def _round(self, state: FaceState) -> Tensor:
        """``[B]``, rounds that are over."""
        return state.step // self.micro_steps

    def _said(self, state: FaceState, place: Tensor, tokens: Tensor) -> FaceState:
        here = torch.arange(state.talk.shape[1], device=self.device) == place[:, None]
        return replace(state, talk=torch.where(here[:, :, None], tokens[:, None], state.talk))

    def _judge(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.scores.look(latent)
        return seen.labels, seen.confidence
