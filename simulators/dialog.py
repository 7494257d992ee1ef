"""The dialog as a state machine: what a user's words ask for, and what the system says next."""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from .face_sentences import KINDS, MODES, OCCASIONS, REASONS, SYSTEM_MODES, Feedback, Understanding
from .faces import ATTRIBUTES, DEGREES

DRAWS = 3  # uniform numbers of one `reply`
EXCEPTIONS = ("", "already_there", "cannot")  # why the system did not edit as asked

START, SUGGESTION, WHETHER_ENOUGH, WHATS_NEXT = range(len(SYSTEM_MODES))
_ENOUGH_FIRST = 0.8  # how often the first reply asks whether it is enough
_NEXT = (0.5, 0.4, 0.3, 0.3, 0.2)  # else, how often it asks what is next, by turn; the last for all later ones
_SUGGEST = 0.2  # else, how often it suggests, for each attribute not yet used; else it asks whether it is enough
_YES, _NO, _YES_REQUEST = (MODES.index(name) for name in ("yes", "no", "yes_request"))
_REQUESTS = tuple(name in ("request", "yes_request", "no_request") for name in MODES)
_ENDS = tuple(name.endswith("end") for name in MODES)
_OCCASIONS = tuple(OCCASIONS.index(name or "start") for name in EXCEPTIONS)
_MISHEARD = OCCASIONS.index(REASONS[1]) - 1  # and a place in REASONS: the occasion


@dataclass(frozen=True)
class Dialog:
    """Where dialogs stand."""

    system_mode: Tensor  # [B] int64, place in SYSTEM_MODES: what the system said last
    subject: Tensor  # [B] int64, the attribute that the system named last; -1: none
    edited: Tensor  # [B] int64, the attribute edited last; -1: none
    direction: Tensor  # [B] float, 1 or -1, of the last edit
    used: Tensor  # [B, 5] bool, attributes that were edited or suggested
    turn: Tensor  # [B] int64, replies of the system
    edits: Tensor  # [B] bool: the user's last words asked for an edit
    agreed: Tensor  # [B] bool: they accepted a suggestion
    exception: Tensor  # [B] int64, place in EXCEPTIONS, of the system's last reply
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
        edits=false,
        agreed=false,
        exception=nothing,
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
    the one edited last, or the one suggested where that is accepted. In a dialog that is over nothing is edited.
    """
    suggestion, enough = dialog.system_mode == SUGGESTION, dialog.system_mode == WHETHER_ENOUGH
    requested = table(_REQUESTS, labels.device)[said.mode]
    accepted = suggestion & (said.mode == _YES)
    repeated = enough & (said.mode == _NO)

    meant = torch.where(suggestion & (said.mode == _YES_REQUEST), dialog.subject, dialog.edited)
    meant = torch.where(said.attribute >= 0, said.attribute, meant)
    attribute = torch.where(accepted, dialog.subject, torch.where(repeated, dialog.edited, -1))
    attribute = torch.where(requested, meant, attribute)
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
        used=dialog.used | one_hot(attribute),
        edits=edits,
        agreed=accepted & edits,
        reason=torch.where(lost, REASONS.index("unclear"), said.reason),
        over=dialog.over | table(_ENDS, labels.device)[said.mode],
    )
    return heard, Request(attribute, direction, target)


def reply(dialog: Dialog, feedback: Feedback, labels: Tensor, exception: Tensor, draw: Tensor) -> tuple[Dialog, Tensor]:
    """What the system says next: rows [B] of ``feedback``, about faces that now show the degrees ``labels`` [B, 5].

    ``exception`` [B] is a place in EXCEPTIONS, ``draw`` [B, DRAWS] in [0, 1). What comes next is drawn as published;
    only after an edit it is asked whether that is enough. Who was not understood is asked back, and what was under
    discussion stays so.
    """
    unused = ~dialog.used
    count = unused.sum(1)
    first = _ENOUGH_FIRST * (dialog.edits & (dialog.turn == 0))
    asks = (1 - first) * table(_NEXT, draw.device)[dialog.turn.clamp_max(len(_NEXT) - 1)]
    suggests = asks + (1 - first - asks) * (_SUGGEST * count)
    luck = draw[:, 0] * torch.where(dialog.edits, 1, suggests)
    mode = torch.where(luck < asks, WHATS_NEXT, torch.where(luck < suggests, SUGGESTION, WHETHER_ENOUGH))
    mode = torch.where(dialog.agreed, WHETHER_ENOUGH, mode)
    mode = torch.where(exception > 0, WHATS_NEXT, mode)
    misheard = dialog.reason > 0
    mode = torch.where(misheard, dialog.system_mode, mode)

    chosen = (draw[:, 1] * count).long()  # of the unused attributes, by order
    suggested = (unused.cumsum(1) <= chosen[:, None]).sum(1).clamp_max(len(ATTRIBUTES) - 1)
    subject = torch.where(mode == SUGGESTION, suggested, torch.where(mode == WHETHER_ENOUGH, dialog.edited, -1))
    subject = torch.where(misheard, dialog.subject, subject)

    about = torch.where(subject >= 0, subject, dialog.edited).clamp_min(0)
    occasion = torch.where(exception > 0, table(_OCCASIONS, draw.device)[exception], mode)
    occasion = torch.where(misheard, _MISHEARD + dialog.reason, occasion)
    occasion = torch.where(dialog.over, OCCASIONS.index("bye"), occasion)
    rows = feedback.pick(occasion, about, labels.gather(1, about[:, None])[:, 0].long(), draw[:, 2])
    said = replace(
        dialog,
        system_mode=mode,
        subject=subject,
        used=dialog.used | one_hot(subject),
        turn=dialog.turn + 1,
        exception=exception,
    )
    return said, rows


@cache
def table(values: tuple[float, ...], device: torch.device) -> Tensor:
    """The values as a tensor, made once."""
    return torch.tensor(values, device=device)


def one_hot(attribute: Tensor) -> Tensor:
    """[B, 5] bool; all false for -1."""
    return attribute[:, None] == torch.arange(len(ATTRIBUTES), device=attribute.device)
