"""Simulated users, who wish for a face and ask for it in a dialog."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .dialog import SUGGESTION, WHETHER_ENOUGH, Dialog
from .face_sentences import KINDS, MODES, Sentences
from .faces import ATTRIBUTES, DEGREES

USERS = ("attentive", "published")
PICKS = ("largest", "random")
_MODE = {name: place for place, name in enumerate(MODES)}


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
    answers the system's questions and has the other arguments: ``says_degree``, how often a request says how much;
    ``patience``, turns without improvement until it leaves; ``mistakes``, how often it names a wrong attribute, a wrong
    direction, or mistypes; ``changes_mind``, how often one attribute of its wish is drawn anew; ``picks`` "largest" or
    "random" among the gaps; ``tolerance``, degrees by which every attribute may miss the wish.
    """

    draws = 9

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
        """Users who wish for the degrees ``wish`` [B, 5]."""
        false = torch.zeros_like(wish[:, 0], dtype=torch.bool)
        return UserState(wish.float(), torch.full_like(wish[:, 0], torch.inf).float(), false.long(), false, false)

    def speak(self, user: UserState, dialog: Dialog, labels: Tensor, draw: Tensor) -> tuple[UserState, Tensor]:
        """Looks at faces of degrees ``labels`` [B, 5] and says rows [B] of `Sentences`; ``draw`` is [B, draws]."""
        if self.kind == "published":
            return self._published(user, labels)
        user = self._look(self._think_again(user, draw[:, 0], draw[:, 1]), labels)
        gap = self._gaps(user, labels)
        attribute = self._choice(gap, draw[:, 2])
        change = gap.gather(1, attribute[:, None])[:, 0]
        direction = torch.where(change < 0, -1.0, 1.0)

        slip = (draw[:, 3] < self.mistakes) * (1 + (draw[:, 4] * 3).long())  # 1: attribute, 2: direction, 3: typo
        wrong = (attribute + 1 + (draw[:, 5] * (len(ATTRIBUTES) - 1)).long()) % len(ATTRIBUTES)
        asked = torch.where(slip == 1, wrong, attribute)
        direction = torch.where(slip == 2, -direction, direction)

        exact = draw[:, 6] < self.says_degree
        target = exact & (draw[:, 7] < 0.5) & (slip != 2)
        kind = torch.where(exact, torch.where(target, KINDS.index("target"), KINDS.index("definite")), 1)
        degree = user.wish.gather(1, attribute[:, None])[:, 0]
        value = torch.where(target, degree, change.abs().clamp_min(1)).round().long().clamp(0, DEGREES - 1)
        mode = self._mode(user, dialog, gap, labels)
        return user, self.sentences.pick(mode, kind, asked, direction, value, draw[:, 8], slip == 3)

    def _mode(self, user: UserState, dialog: Dialog, gap: Tensor, labels: Tensor) -> Tensor:
        """Of the next utterance [B]: the system's question answered, then the largest wish."""
        subject = dialog.subject.clamp_min(0)[:, None]
        left = gap.gather(1, subject)[:, 0]
        offered = torch.where(labels.gather(1, subject)[:, 0] <= 2, 1.0, -1.0)
        suggestion, enough = dialog.system_mode == SUGGESTION, dialog.system_mode == WHETHER_ENOUGH
        mode = torch.full_like(dialog.system_mode, _MODE["request"])
        mode = torch.where(suggestion, _MODE["no_request"], mode)
        mode = torch.where(suggestion & (left * offered > 0), _MODE["yes"], mode)
        mode = torch.where(enough, _MODE["no_request"], mode)
        mode = torch.where(enough & (left == 0), _MODE["yes_request"], mode)
        mode = torch.where(enough & (left.abs() == 1) & (left * dialog.direction > 0), _MODE["no"], mode)
        end = torch.where(suggestion, _MODE["no_end"], torch.where(enough, _MODE["yes_end"], _MODE["end"]))
        return torch.where(user.satisfied | user.left, end, mode)

    def _published(self, user: UserState, labels: Tensor) -> tuple[UserState, Tensor]:
        gap = user.wish - labels
        attribute = gap.abs().argmax(1)
        satisfied = (gap == 0).all(1)
        direction = gap.gather(1, attribute[:, None])[:, 0].sign()
        rows = self.sentences.published(torch.where(satisfied, -1, attribute), direction)
        return replace(user, satisfied=satisfied), rows

    def _think_again(self, user: UserState, luck: Tensor, draw: Tensor) -> UserState:
        """One attribute of the wish drawn anew, at the rate of ``changes_mind``."""
        place = (draw * len(ATTRIBUTES) * DEGREES).long()
        chosen = (place // DEGREES)[:, None] == torch.arange(len(ATTRIBUTES), device=draw.device)
        changed = chosen & (luck < self.changes_mind)[:, None]
        best = torch.where(changed.any(1), torch.inf, user.best)
        return replace(user, wish=torch.where(changed, (place % DEGREES).float()[:, None], user.wish), best=best)

    def _look(self, user: UserState, labels: Tensor) -> UserState:
        gap = self._gaps(user, labels)
        rest = gap.abs().sum(1)
        waited = torch.where(rest < user.best, 0, user.waited + 1)
        satisfied = (gap == 0).all(1)
        return UserState(
            user.wish, torch.minimum(rest, user.best), waited, ~satisfied & (waited >= self.patience), satisfied
        )

    def _gaps(self, user: UserState, labels: Tensor) -> Tensor:
        """[B, 5], what is still missing; 0 within the tolerance."""
        gap = user.wish - labels
        return torch.where(gap.abs() <= self.tolerance, 0, gap)

    def _choice(self, gap: Tensor, draw: Tensor) -> Tensor:
        """The attribute [B] to speak about."""
        if self.picks == "largest":
            return gap.abs().argmax(1)
        open_ = gap != 0
        chosen = (draw * open_.sum(1)).long()
        return (open_.cumsum(1) <= chosen[:, None]).sum(1).clamp_max(len(ATTRIBUTES) - 1)
