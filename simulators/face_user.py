"""Simulated users, who wish for a face and ask for it in a dialog."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .dialog import EXCEPTIONS, SUGGESTION, WHETHER_ENOUGH, Dialog, one_hot, table
from .face_sentences import KINDS, MODES, Sentences
from .faces import ATTRIBUTES, DEGREES

USERS = ("attentive", "published")
PICKS = ("largest", "random")
_REPLIES = (  # after each of SYSTEM_MODES: satisfied, impatient, with its subject as wished, otherwise, or as offered
    ("end", "no_end", "request", "request", "request"),
    ("no_end", "no_end", "no_request", "no_request", "yes"),
    ("yes_end", "no_end", "yes_request", "no_request", "no"),
    ("end", "no_end", "request", "request", "request"),
)
_MODES = tuple(MODES.index(name) for replies in _REPLIES for name in replies)
_KINDS = tuple(KINDS.index(name) for name in ("indefinite", "definite", "target"))
_FIRST, _LAST = 1e6, 1e-6  # factors of gaps
WISH_DRAWS = 1 + 2 * len(ATTRIBUTES)
FAR = 2  # degrees, at least, between a face and the wish


@dataclass(frozen=True)
class UserState:
    """What users wish and how they feel."""

    wish: Tensor  # [B, 5] float, degrees
    best: Tensor  # [B] float, the smallest sum of gaps so far
    waited: Tensor  # [B] int64, turns without improvement
    left: Tensor  # [B] bool: gave up
    satisfied: Tensor  # [B] bool


class User:
    """Speaks in ``sentences``.

    ``kind``: "published" names the largest gap in ten sentences, never a degree, and answers nothing; "attentive"
    answers the system's questions, asks for something else where the system cannot, and has the other arguments:
    ``says_degree``, how often a request says how much; ``patience``, turns without improvement until it leaves;
    ``mistakes``, how often it mistypes or, in a request, names a wrong attribute or the wrong direction, each as
    likely; ``changes_mind``, how often it wishes another degree of one attribute than a turn ago; ``picks`` "largest"
    or "random" among the gaps; ``tolerance``, degrees by which every attribute may miss the wish.
    """

    draws = 8 + len(ATTRIBUTES)

    def __init__(
        self,
        sentences: Sentences,
        kind: str = "attentive",
        says_degree: float = 0.5,
        patience: int = 5,
        mistakes: float = 0.0,
        changes_mind: float = 0.0,
        picks: str = "largest",
        tolerance: float = 0.5,
    ) -> None:
        for name, value, known in (("kind", kind, USERS), ("picks", picks, PICKS)):
            if value not in known:
                raise ValueError(f"{name}={value!r}: expected one of {', '.join(known)}")
        for name, rate in (("says_degree", says_degree), ("mistakes", mistakes), ("changes_mind", changes_mind)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{name}={rate}: expected a rate from 0 to 1")
        if patience < 1:
            raise ValueError(f"patience={patience}: expected a number of turns, at least 1")
        if not 0 <= tolerance < DEGREES:
            raise ValueError(f"tolerance={tolerance}: expected degrees from 0 to below {DEGREES}")
        self.sentences = sentences
        self.kind = kind
        self.says_degree = says_degree
        self.patience = patience
        self.mistakes = mistakes
        self.changes_mind = changes_mind
        self.picks = picks
        self.tolerance = tolerance

    def begin(self, wish: Tensor) -> UserState:
        """Users who wish for the degrees ``wish`` [B, 5] and have not looked yet."""
        wish = wish.float()
        false = torch.zeros_like(wish[:, 0], dtype=torch.bool)
        return UserState(wish, torch.full_like(wish[:, 0], torch.inf), false.long(), false, false)

    def speak(self, user: UserState, dialog: Dialog, labels: Tensor, draw: Tensor) -> tuple[UserState, Tensor]:
        """Looks at faces of degrees ``labels`` [B, 5] and says rows [B] of `Sentences`; ``draw`` is [B, draws]."""
        if self.kind == "published":
            return self._published(user, labels)
        rethinks, other, slips, which, wrong, says, names, wording = draw[:, len(ATTRIBUTES) :].unbind(1)
        if self.changes_mind:
            user = self._think_again(user, dialog, rethinks, other)
        user = self._look(user, labels)
        gap = self._gaps(user, labels)
        attribute = self._choice(dialog, gap, draw[:, : len(ATTRIBUTES)])
        change = _at(gap, attribute)

        slip = (slips < self.mistakes) * (1 + (which * 3).long())  # 1: attribute, 2: direction, 3: typo
        shift = (slip == 1) * (1 + (wrong * (len(ATTRIBUTES) - 1)).long())
        contrary = slip == 2
        shown = _at(labels, attribute)
        exact = says < self.says_degree
        target = exact & ((names < 0.5) | (shown == 0)) & ~contrary
        value = torch.where(target, _at(user.wish, attribute), torch.where(exact, change.abs(), shown))
        return user, self.sentences.pick(
            mode=self._mode(user, dialog, gap, labels),
            kind=table(_KINDS, draw.device)[exact.long() + target],
            attribute=(attribute + shift) % len(ATTRIBUTES),
            direction=change * (1 - 2 * contrary.long()),
            value=value.round().long(),
            draw=wording,
            typo=slip == 3,
        )

    def _choice(self, dialog: Dialog, gap: Tensor, draw: Tensor) -> Tensor:
        """The attribute [B] to speak about: what the system asks after, unless that is right; what it cannot last."""
        urgency = gap.abs() if self.picks == "largest" else (gap != 0) * (1 + draw)
        refused = torch.where(dialog.exception == EXCEPTIONS.index("cannot"), _LAST, 1.0)
        weight = torch.where(dialog.system_mode == WHETHER_ENOUGH, _FIRST, refused)
        return torch.where(one_hot(dialog.edited), urgency * weight[:, None], urgency).argmax(1)

    def _mode(self, user: UserState, dialog: Dialog, gap: Tensor, labels: Tensor) -> Tensor:
        """Of the next utterance [B]: a place in MODES."""
        subject = dialog.subject.clamp_min(0)
        change = _at(gap, subject)
        suggestion = dialog.system_mode == SUGGESTION
        offered = torch.where(_at(labels, subject) <= 2, 1.0, -1.0)
        onwards = change * torch.where(suggestion, offered, dialog.direction) > 0
        wanted = onwards & (suggestion | ((change.abs() - 1).abs() <= self.tolerance))  # by one degree
        state = 2 + (change != 0).long() + wanted
        state = torch.where(user.satisfied | user.left, user.left.long(), state)
        return table(_MODES, labels.device)[dialog.system_mode * len(_REPLIES[0]) + state]

    def _published(self, user: UserState, labels: Tensor) -> tuple[UserState, Tensor]:
        gap = user.wish.round() - labels
        attribute = gap.abs().argmax(1)
        change = _at(gap, attribute)
        satisfied = change == 0
        rows = self.sentences.published(torch.where(satisfied, -1, attribute), change)
        return replace(user, satisfied=satisfied), rows

    def _think_again(self, user: UserState, dialog: Dialog, luck: Tensor, draw: Tensor) -> UserState:
        """After the first turn, at the rate of ``changes_mind``: another degree of one attribute, and new patience."""
        place = (draw * len(ATTRIBUTES) * (DEGREES - 1)).long()
        attribute, other = place % len(ATTRIBUTES), place // len(ATTRIBUTES)
        other = other + (other >= _at(user.wish, attribute).round())
        changes = (luck < self.changes_mind) & (dialog.turn > 0)
        changed = changes[:, None] & one_hot(attribute)
        wish = torch.where(changed, other[:, None].to(user.wish), user.wish)
        return replace(user, wish=wish, best=torch.where(changes, torch.inf, user.best))

    def _look(self, user: UserState, labels: Tensor) -> UserState:
        gap = self._gaps(user, labels).abs()
        rest = gap.sum(1)
        waited = torch.where(rest < user.best, 0, user.waited + 1)
        satisfied = rest == 0
        left = ~satisfied & (waited >= self.patience)
        return UserState(user.wish, torch.minimum(rest, user.best), waited, left, satisfied)

    def _gaps(self, user: UserState, labels: Tensor) -> Tensor:
        """[B, 5], what is still missing; 0 within the tolerance."""
        gap = user.wish - labels
        return torch.where(gap.abs() <= self.tolerance, 0, gap)


def draw_wish(labels: Tensor, changes: tuple[int, int], draw: Tensor) -> Tensor:
    """[B, 5] float: ``labels`` with some attributes, their number between ``changes``, ``FAR`` or more degrees away.

    ``draw`` is [B, WISH_DRAWS] in [0, 1).
    """
    least, most = changes
    count = least + (draw[:, :1] * (most - least + 1)).long()
    order, luck = draw[:, 1:].chunk(2, 1)
    chosen = order.argsort(1).argsort(1) < count
    below, above = (labels - FAR + 1).clamp_min(0), (DEGREES - FAR - labels).clamp_min(0)
    other = (luck * (below + above)).long()
    other = torch.where(other < below, other, other - below + labels + FAR)
    return torch.where(chosen, other, labels).float()


def _at(degrees: Tensor, attribute: Tensor) -> Tensor:
    """Of degrees [B, 5] those [B] of an attribute [B]."""
    return degrees.gather(1, attribute[:, None])[:, 0]
