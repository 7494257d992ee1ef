"""The dialog as a state machine: what a user's words ask for, and what the system says next."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .face_sentences import KINDS, MODES, OCCASIONS, REASONS, SYSTEM_MODES, Feedback, Understanding
from .faces import ATTRIBUTES, DEGREES

DRAWS = 5  # uniform numbers of one `reply`
EXCEPTIONS = ("", "already_there", "cannot")  # why the system did not edit

START, SUGGESTION, WHETHER_ENOUGH, WHATS_NEXT = range(len(SYSTEM_MODES))
_ENOUGH_FIRST = 0.8  # how often the first reply asks whether it is enough
_NEXT = (0.5, 0.4, 0.3, 0.3, 0.2)  # how often a reply asks what is next, by round; the last for all later ones
_SUGGEST = 0.2  # how often the system suggests, for each attribute not yet used
_REQUESTS = ("request", "yes_request", "no_request")
_ENDS = ("yes_end", "no_end", "end")


@dataclass(frozen=True)
class Dialog:
    """Where dialogs stand."""

    system_mode: Tensor  # [B] int64, place in SYSTEM_MODES: what the system said last
    subject: Tensor  # [B] int64, the attribute that the system named last; -1: none
    edited: Tensor  # [B] int64, the attribute edited last; -1: none
    direction: Tensor  # [B] float, 1 or -1, of the last edit
    used: Tensor  # [B, 5] bool, attributes that were edited or suggested
    turn: Tensor  # [B] int64, replies of the system
    agreed: Tensor  # [B] bool: the user accepts a suggestion
    reason: Tensor  # [B] int64, place in REASONS: why the user was not understood; 0: understood
    over: Tensor  # [B] bool


@dataclass(frozen=True)
class Request:
    """What is to be edited."""

    attribute: Tensor  # [B] int64; -1: nothing
    direction: Tensor  # [B] float, 1 or -1
    target: Tensor  # [B] float, the degree asked for, 0 to 5


def begin(count: int, device: torch.device | str = "cpu") -> Dialog:
    """Dialogs that the system has opened by "what would you like?"."""
    nothing = torch.zeros(count, dtype=torch.int64, device=device)
    false = torch.zeros(count, dtype=torch.bool, device=device)
    return Dialog(
        system_mode=nothing,
        subject=nothing - 1,
        edited=nothing - 1,
        direction=torch.ones(count, device=device),
        used=false[:, None].expand(count, len(ATTRIBUTES)),
        turn=nothing,
        agreed=false,
        reason=nothing,
        over=false,
    )


def nothing(count: int, device: torch.device | str = "cpu") -> Request:
    """Requests for no edit."""
    ones = torch.ones(count, device=device)
    return Request(attribute=-ones.long(), direction=ones, target=torch.zeros_like(ones))


def hear(dialog: Dialog, said: Understanding, labels: Tensor) -> tuple[Dialog, Request]:
    """After the user's words: where the dialog stands, and the edit that they ask for, given ``labels`` [B, 5].

    As published (Talk-to-Edit, section 4); what is an error there edits nothing here. An attribute that is not named is
    the one edited last, or else the one that the system named. In a dialog that is over nothing is edited.
    """
    requested = _among(said.mode, _REQUESTS)
    accepted = (said.mode == MODES.index("yes")) & (dialog.system_mode == SUGGESTION)
    repeated = (said.mode == MODES.index("no")) & (dialog.system_mode == WHETHER_ENOUGH)

    meant = torch.where(said.attribute >= 0, said.attribute, _first(dialog.edited, dialog.subject))
    attribute = torch.where(requested, meant, torch.where(accepted, dialog.subject, -1))
    attribute = torch.where(repeated, _first(dialog.edited, dialog.subject), attribute)
    attribute = torch.where(dialog.over, -1, attribute)
    edits = attribute >= 0

    degree = labels.gather(1, attribute.clamp_min(0)[:, None])[:, 0].float()
    offered = torch.where(degree <= 2, 1.0, -1.0)
    direction = torch.where(requested, said.direction, torch.where(accepted, offered, dialog.direction))
    definite = requested & (said.kind == KINDS.index("definite"))
    target = degree + direction * torch.where(definite, said.value, 1)
    named = requested & (said.kind == KINDS.index("target"))
    target = torch.where(named, said.value.to(target), target).clamp(0, DEGREES - 1)
    direction = torch.where(named & (target != degree), (target - degree).sign(), direction)

    lost = requested & ~edits & ~dialog.over  # a change of nothing that was ever named
    heard = replace(
        dialog,
        edited=torch.where(edits, attribute, dialog.edited),
        direction=torch.where(edits, direction, dialog.direction),
        used=dialog.used | _one_hot(attribute),
        agreed=accepted & edits,
        reason=torch.where(lost, REASONS.index("unclear"), said.reason),
        over=dialog.over | _among(said.mode, _ENDS),
    )
    return heard, Request(attribute, direction, target)


def reply(dialog: Dialog, feedback: Feedback, labels: Tensor, exception: Tensor, draw: Tensor) -> tuple[Dialog, Tensor]:
    """What the system says next: rows [B] of ``feedback``, about faces that now show the degrees ``labels`` [B, 5].

    ``exception`` [B] is a place in EXCEPTIONS, ``draw`` [B, DRAWS] in [0, 1). Who was not understood is asked back and
    what was under discussion stays so.
    """
    unused = ~dialog.used
    count = unused.sum(1)
    asks_next = draw[:, 0] < torch.tensor(_NEXT, device=draw.device)[dialog.turn.clamp_max(len(_NEXT) - 1)]
    suggests = draw[:, 1] < _SUGGEST * count
    asks_enough = (dialog.turn == 0) & (draw[:, 2] < _ENOUGH_FIRST)
    mode = torch.where(suggests, SUGGESTION, WHETHER_ENOUGH)
    mode = torch.where(asks_next | ((mode == WHETHER_ENOUGH) & (dialog.edited < 0)), WHATS_NEXT, mode)
    mode = torch.where((asks_enough & (dialog.edited >= 0)) | dialog.agreed, WHETHER_ENOUGH, mode)
    mode = torch.where(exception > 0, WHATS_NEXT, mode)
    misheard = dialog.reason > 0
    mode = torch.where(misheard, dialog.system_mode, mode)

    chosen = (draw[:, 4] * count).long()  # of the unused attributes, by order
    suggested = (unused.cumsum(1) <= chosen[:, None]).sum(1).clamp_max(len(ATTRIBUTES) - 1)
    subject = torch.where(mode == SUGGESTION, suggested, torch.where(mode == WHETHER_ENOUGH, dialog.edited, -1))
    subject = torch.where(misheard, dialog.subject, subject)

    about = torch.where(subject >= 0, subject, dialog.edited).clamp_min(0)
    blamed = torch.tensor([OCCASIONS.index(name or "start") for name in EXCEPTIONS], device=draw.device)
    occasion = torch.where(exception > 0, blamed[exception], mode)
    occasion = torch.where(misheard, OCCASIONS.index(REASONS[1]) - 1 + dialog.reason, occasion)
    occasion = torch.where(dialog.over, OCCASIONS.index("bye"), occasion)
    rows = feedback.pick(occasion, about, labels.gather(1, about[:, None])[:, 0].long(), draw[:, 3])
    said = replace(
        dialog,
        system_mode=mode,
        subject=subject,
        used=dialog.used | (_one_hot(subject) & (mode == SUGGESTION)[:, None]),
        turn=dialog.turn + 1,
        agreed=torch.zeros_like(dialog.agreed),
    )
    return said, rows


def _among(mode: Tensor, names: tuple[str, ...]) -> Tensor:
    return torch.tensor([name in names for name in MODES], device=mode.device)[mode]


def _first(attribute: Tensor, other: Tensor) -> Tensor:
    """The attribute, or the other where there is none."""
    return torch.where(attribute >= 0, attribute, other)


def _one_hot(attribute: Tensor) -> Tensor:
    """[B, 5] bool; all false for -1."""
    return attribute[:, None] == torch.arange(len(ATTRIBUTES), device=attribute.device)
