"""Simulated users, who wish for a face and ask for it in a dialog."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .dialog import EXCEPTIONS, SUGGESTION, WHETHER_ENOUGH, Dialog, one_hot
from .face_sentences import KINDS, MODES, Sentences
from .faces import ATTRIBUTES, DEGREES

USERS = ("attentive", "published")
PICKS = ("largest", "random")
_MODE = {name: place for place, name in enumerate(MODES)}
_INDEFINITE = KINDS.index("indefinite")
_CANNOT = EXCEPTIONS.index("cannot")


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
        """Users who wish for the degrees ``wish`` [B, 5] and have not looked yet."""
        wish = wish.float()
        false = torch.zeros_like(wish[:, 0], dtype=torch.bool)
        return UserState(wish, torch.full_like(wish[:, 0], torch.inf), false.long(), false, false)

    def speak(self, user: UserState, dialog: Dialog, labels: Tensor, draw: Tensor) -> tuple[UserState, Tensor]:
        """Looks at faces of degrees ``labels`` [B, 5] and says rows [B] of `Sentences`; ``draw`` is [B, draws]."""
        if self.kind == "published":
            return self._published(user, labels)
        user = self._look(self._think_again(user, dialog, draw[:, 0], draw[:, 1]), labels)
        gap = self._gaps(user, labels)
        attribute = self._choice(dialog, gap, draw[:, 2])
        change = _at(gap, attribute)
        mode = self._mode(user, dialog, gap, attribute, labels)

        slip = (draw[:, 3] < self.mistakes) * (1 + (draw[:, 4] * 3).long())  # 1: attribute, 2: direction, 3: typo
        wrong = (attribute + 1 + (draw[:, 5] * (len(ATTRIBUTES) - 1)).long()) % len(ATTRIBUTES)
        asked = torch.where(slip == 1, wrong, attribute)
        direction = torch.where((change < 0) ^ (slip == 2), -1.0, 1.0)

        exact = draw[:, 6] < self.says_degree
        target = exact & (draw[:, 7] < 0.5) & (slip != 2)
        kind = torch.where(target, KINDS.index("target"), torch.where(exact, KINDS.index("definite"), _INDEFINITE))
        value = torch.where(target, _at(user.wish, attribute), change.abs()).round().long()
        return user, self.sentences.pick(mode, kind, asked, direction, value, draw[:, 8], slip == 3)

    def _choice(self, dialog: Dialog, gap: Tensor, draw: Tensor) -> Tensor:
        """The attribute [B] to speak about: what is asked after, if that is not right; else what the system can do."""
        refused = one_hot(dialog.edited) & (dialog.exception == _CANNOT)[:, None]
        rest = torch.where(refused, 0, gap)
        rest = torch.where((rest != 0).any(1, keepdim=True), rest, gap)
        if self.picks == "largest":
            chosen = rest.abs().argmax(1)
        else:
            open_ = rest != 0
            place = (draw * open_.sum(1)).long()
            chosen = (open_.cumsum(1) <= place[:, None]).sum(1).clamp_max(len(ATTRIBUTES) - 1)
        subject = dialog.subject.clamp_min(0)
        asked_after = (dialog.system_mode == WHETHER_ENOUGH) & (_at(gap, subject) != 0)
        return torch.where(asked_after, subject, chosen)

    def _mode(self, user: UserState, dialog: Dialog, gap: Tensor, attribute: Tensor, labels: Tensor) -> Tensor:
        """Of the next utterance [B], about an ``attribute`` [B]: an answer to the system, as far as it asked."""
        subject = dialog.subject.clamp_min(0)
        change = _at(gap, subject)
        offered = torch.where(_at(labels, subject) <= 2, 1.0, -1.0)
        suggestion, enough = dialog.system_mode == SUGGESTION, dialog.system_mode == WHETHER_ENOUGH
        welcome = torch.where(change * offered > 0, _MODE["yes"], _MODE["no_request"])
        once_more = (change * dialog.direction > 0) & ((change.abs() - 1).abs() <= self.tolerance)
        not_yet = torch.where(once_more, _MODE["no"], _MODE["no_request"])
        mode = torch.where(suggestion, welcome, _MODE["request"])
        mode = torch.where(enough, torch.where(attribute == subject, not_yet, _MODE["yes_request"]), mode)
        end = torch.where(enough, _MODE["yes_end"], torch.where(suggestion, _MODE["no_end"], _MODE["end"]))
        mode = torch.where(user.satisfied, end, mode)
        return torch.where(user.left, _MODE["no_end"], mode)

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


def _at(table: Tensor, attribute: Tensor) -> Tensor:
    """Of a table [B, 5] the numbers [B] of an attribute [B]."""
    return table.gather(1, attribute[:, None])[:, 0]
