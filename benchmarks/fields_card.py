"""What one degree more of an attribute costs along a field, measured exactly on held-out faces; and its card."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..simulators.face_factors import FACTORS, IDENTITY
from ..simulators.face_fields import ENTANGLEMENT, FrozenFields, SemanticFields, StraightLines
from ..simulators.face_latent import FaceLatent
from ..simulators.faces import ATTRIBUTES, DEGREES

LONGEST = 20  # steps after which a face is given up
COLUMNS = ("reached", "steps", "others", "person", "drift")

Step = Callable[[Tensor, Tensor, Tensor], Tensor]
Table = dict[str, dict[str, float]]  # "field: bangs" -> value of COLUMNS


def measure(fields: SemanticFields, count: int, seed: int) -> Table:
    """For the fields and for straight lines, of each attribute and of edits up and down, the mean over `count` faces.

    `reached`: share that gains, or loses, a degree within 20 steps; of these `steps`: how many it took; `others`: how
    much the other four degrees changed on average; `person`: the mean square of the change of the 23 factors of the
    person; `drift`: the mean square per coordinate of the distance to the same person with that change alone.
    """
    latent = FaceLatent(ENTANGLEMENT)
    noise = torch.randn(count, FACTORS, generator=torch.Generator().manual_seed(seed))
    bases: dict[str, Step] = {"field": FrozenFields(fields).step, "line": StraightLines(latent).step}
    return {
        f"{name}: {attribute}": one_degree(latent, noise, step, place)
        for name, step in bases.items()
        for place, attribute in enumerate(ATTRIBUTES)
    }


@torch.no_grad()
def one_degree(latent: FaceLatent, source: Tensor, step: Step, attribute: int) -> dict[str, float]:
    """COLUMNS of edits of the latents `source` [B, 40] by one degree of an attribute, away from the nearer end."""
    before = latent.degrees(source)
    direction = torch.where(before[:, attribute] < (DEGREES - 1) / 2, 1.0, -1.0)
    place, steps = torch.full((len(source),), attribute), torch.zeros(len(source))
    edited, reached = source, torch.zeros(len(source), dtype=torch.bool)
    for _ in range(LONGEST):
        moved = edited + step(edited, place, direction)
        edited = torch.where(reached[:, None], edited, moved)
        steps += (~reached).float()
        reached |= direction * (latent.degrees(edited) - before)[:, attribute] >= 1
    after, exact = latent.degrees(edited), before.clone()
    exact[:, attribute] = after[:, attribute]
    change = latent.factors(edited) - latent.factors(source)
    values = {
        "steps": steps,
        "others": (after - before).abs().sum(1).sub((after - before)[:, attribute].abs()) / (len(ATTRIBUTES) - 1),
        "person": change[:, IDENTITY].square().mean(1),
        "drift": (edited - latent.reach(source, exact)).square().mean(1),
    }
    return {"reached": float(reached.float().mean())} | {name: float(v[reached].mean()) for name, v in values.items()}


def card(training: str, table: Table, count: int) -> str:
    """The model card, in Markdown."""
    lines = [
        "# The semantic fields of the embedded faces",
        "",
        training,
        "",
        f"One degree more, or less where the face has much of it, of {count:,} held-out faces at entanglement "
        f"{ENTANGLEMENT}, beside a straight line (regression of the degree on latents). All is exact, not judged by "
        f"networks: the share that reaches it within {LONGEST} steps, and of these the mean number of steps, the "
        "change of the other four degrees, the mean squared change of the 23 factors of the person (of unit variance), "
        "and the mean squared distance, per coordinate of the latent, to the same person with that change alone:",
        "",
        f"| | {' | '.join(COLUMNS)} |",
        f"| --- |{' ---: |' * len(COLUMNS)}",
    ]
    lines += [f"| {name} | {' | '.join(f'{row[column]:.2f}' for column in COLUMNS)} |" for name, row in table.items()]
    return "\n".join(lines) + "\n"
