"""What a user can mean, and the nine heads by which a sentence is labelled.

The heads are those of Talk-to-Edit (Jiang et al., ICCV 2021), in their order and with their classes.
"""

from dataclasses import dataclass

from torch import Tensor

from .face_grammar import KINDS, NAMED, Request

MODES = ("request", "yes", "yes_request", "yes_end", "no", "no_request", "no_end", "end", "unclear")  # of a user
SYSTEM_MODES = ("start", "suggestion", "whether_enough", "whats_next")
REASONS = ("understood", "unclear", "contradictory", "several", "overlong")  # why a user's mode is unclear

UNLABELLED = 999
HEADS = {  # the nine heads and their classes, in the published order
    "start": ("start_pureRequest",),
    "suggestion": ("yes", "yes_pureRequest", "no", "no_pureRequest", "no_end"),
    "whether_enough": ("yes", "yes_pureRequest", "yes_end", "no", "no_pureRequest"),
    "whats_next": ("pureRequest", "end"),
    "attribute": ("Bangs", "Eyeglasses", "No_Beard", "Smiling", "Young"),
    "score_change_direction": ("negative", "positive"),
    "score_change_value": ("1", "2", "3", "4", "5"),
    "target_score": ("0", "1", "2", "3", "4", "5"),
    "request_mode": ("change_definite", "change_indefinite", "target", "end"),
}
# What a user's mode, or what people mean besides, is called by the heads of the four system modes; "" where it makes no
# sense after them. Who does not say yes has not said yes, and who wants to end may end.
_CALLED = {
    "request": ("start_pureRequest", "no_pureRequest", "no_pureRequest", "pureRequest"),
    "yes": ("", "yes", "yes", ""),
    "yes_request": ("start_pureRequest", "yes_pureRequest", "yes_pureRequest", "pureRequest"),
    "yes_end": ("", "no_end", "yes_end", "end"),
    "no": ("", "no", "no", "end"),
    "no_request": ("start_pureRequest", "no_pureRequest", "no_pureRequest", "pureRequest"),
    "no_end": ("", "no_end", "yes_end", "end"),
    "end": ("", "no_end", "yes_end", "end"),
    "unclear": ("", "", "", ""),
    "enough": ("", "", "yes", ""),
    "not_enough": ("start_pureRequest", "no_pureRequest", "no", "pureRequest"),
}


@dataclass(frozen=True)
class Understanding:
    """What a listener makes of one utterance a lane, in the light of what the system had said before.

    All but ``mode``, ``confidence`` and ``reason`` means something only where the mode has a request.
    """

    mode: Tensor  # [B] int64, place in MODES
    kind: Tensor  # [B] int64, place in KINDS
    attribute: Tensor  # [B] int64, place in ATTRIBUTES; -1: not named, so that the one edited last is meant
    direction: Tensor  # [B] float, 1 or -1
    value: Tensor  # [B] int64: an amount, 1 to 5, or a degree, 0 to 5
    confidence: Tensor  # [B] float in [0, 1]
    reason: Tensor  # [B] int64, place in REASONS; 0 unless the mode is "unclear"


def label(mode: str, request: Request | None = None) -> list[int]:
    """The classes of the nine heads for a sentence of a user in ``mode``, or one that says "enough" or "not_enough"."""
    named = dict.fromkeys(HEADS, "") | dict(zip(SYSTEM_MODES, _CALLED[mode], strict=True))
    if mode.endswith("end"):
        named["request_mode"] = "end"
    if mode == "not_enough":
        request = Request("indefinite", "")
    classes = [HEADS[head].index(name) if name else UNLABELLED for head, name in named.items()]
    return classes if request is None else classes[:4] + _asked(request)


def _asked(request: Request) -> list[int]:
    """The classes of the last five heads."""
    changed = request.kind != "target"
    return [
        NAMED.index(request.attribute) if request.attribute else UNLABELLED,
        int(request.direction > 0) if changed else UNLABELLED,
        request.value - 1 if request.kind == "definite" else UNLABELLED,
        UNLABELLED if changed else request.value,
        KINDS.index(request.kind),
    ]
