"""How well small networks see degrees, people and far-out faces, on faces that they have not seen; and their card."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..simulators.face_networks import FaceNetworks
from ..simulators.faces import ATTRIBUTES

BATCH = 256
NEAR = 0.3  # of a whole degree: what is no matter of opinion

Scores = dict[str, dict[str, float]]  # of the networks -> column -> share in [0, 1]


@dataclass
class Pairs:
    """People, two pictures of each: with other degrees of the attributes, in other circumstances."""

    image: Tensor  # [N, 2, 3, S, S] uint8
    degrees: Tensor  # [N, 2, 5] in [0, 5]
    likely: Tensor  # [N] 0 or 1: the latent of the first is one of the prior, not far out

    def put(self, start: int, fresh: "Pairs") -> None:
        """Have `fresh` ones take the place of those from `start` on."""
        for name, value in vars(fresh).items():
            getattr(self, name)[start : start + len(value)] = value


@torch.no_grad()
def measure(networks: FaceNetworks, pairs: Pairs) -> Scores:
    """For each attribute the shares of pictures with the right degree: of `all`, of those whose degree is within 0.3
    of a whole one (`clear`), of those of latents far out (`far`), and of all but for one degree (`within one`).

    Of `person`: how many pairs of one person are told from pairs of two (`verified`, at the best threshold), and whose
    second picture is found among all (`found`). Of `likely`: how many first pictures are told from those far out.
    """
    image = pairs.image.flatten(0, 1).split(BATCH)
    looked = [(networks.degrees(part.float() / 255).argmax(2), networks.embed(part.float() / 255)) for part in image]
    seen, embedding = (torch.cat(part).unflatten(0, (-1, 2)) for part in zip(*looked, strict=True))
    error = (seen - pairs.degrees.round()).abs()
    clear = (pairs.degrees - pairs.degrees.round()).abs() < NEAR
    far = (pairs.likely == 0)[:, None] & torch.tensor([True, False])
    scores = {}
    for place, name in enumerate(ATTRIBUTES):
        right = error[..., place] == 0
        shares = {
            "all": right,
            "clear": right[clear[..., place]],
            "far": right[far],
            "within one": error[..., place] <= 1,
        }
        scores[name] = {column: float(share.float().mean()) for column, share in shares.items()}
    alike = embedding[:, 0] @ embedding[:, 1].T
    others = alike.roll(1, 1).diagonal()
    found = alike.argmax(1) == torch.arange(len(alike))
    scores["person"] = {"verified": told_apart(alike.diagonal(), others), "found": float(found.float().mean())}
    first = pairs.image[:, 0].split(BATCH)
    likely = torch.cat([networks.likely(part.float() / 255) for part in first])
    scores["likely"] = {"told": told_apart(likely[pairs.likely == 1], likely[pairs.likely == 0])}
    return scores


def told_apart(high: Tensor, low: Tensor) -> float:
    """The mean of the shares of `high` above, and of `low` below, the threshold at which it is largest."""
    bound = torch.cat([high, low])[:, None]
    return float(((high >= bound).float().mean(1) + (low < bound).float().mean(1)).max() / 2)


def card(scores: dict[str, Scores], updates: dict[str, int], minutes: float, seed: int) -> str:
    """The model card, in Markdown."""
    sets = ", ".join(f"{name} {count:,} updates" for name, count in updates.items())
    lines = [
        "# The networks that look at embedded faces",
        "",
        "`face-networks.safetensors` and `face-networks-evaluation.safetensors`: two sets of a predictor, a network "
        "for identity and a discriminator (`FaceNetworks` in `simulators/face_networks.py`), made by `retouch "
        f"make-weights face-networks --minutes {minutes:g} --seed {seed}` on {torch.get_num_threads()} thread(s): "
        f"{sets}. Each was trained on other faces from other first weights: rewards may ask the first set, the second "
        "only measures.",
        "",
        "Degrees, as shares of held-out pictures with the degree right: `all`, at any degree between; `clear`, within "
        f"{NEAR} of a whole degree; `far`, of latents 1.2 to 2 times as long as usual; `within one` degree. `person`: "
        "pairs of pictures, with other degrees and in other circumstances, told to be of one person or of two "
        "(`verified`), and the other picture of a person found among all (`found`). `likely`: latents as they are "
        "drawn told from longer ones.",
    ]
    for name, rows in scores.items():
        lines += ["", f"| {name} | shares |", "| --- | --- |"]
        for what, row in rows.items():
            lines.append(f"| {what} | {', '.join(f'{column} {share:.1%}' for column, share in row.items())} |")
    return "\n".join(lines) + "\n"
