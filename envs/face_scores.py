"""What an edited face is worth: the state, the rewards and the metrics of ``FaceDialog``, by name."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rewards.face import attribute_distance, gain, identity_distance, latent_distance, others_distance
from ..simulators.dialog import Dialog, Request
from ..simulators.face_factors import CONTEXT, IDENTITY
from ..simulators.face_user import UserState
from ..simulators.faces import DEGREES, ExactFaces, Faces
from .options import one_of

JUDGES = ("exact", "predictor")
REWARDS = ("latent", "attributes", "identity", "others", "satisfied")


@dataclass(frozen=True)
class Seen:
    """What the judge sees in a picture."""

    degrees: Tensor  # [B, 5] float in [0, 5]
    labels: Tensor  # [B, 5] int64, 0 to 5
    confidence: Tensor  # [B, 5] in [0, 1], of the labels


@dataclass(frozen=True)
class FaceState:
    """Where a batch of dialogs stands."""

    latent: Tensor  # [B, *latent_shape]
    trace: Tensor  # [B, rounds + 1, *latent_shape], the latent after each round; of rounds to come, as it is now
    goal: Tensor  # [B, D], the wanted face; NaN where the world cannot tell
    start: Seen
    seen: Seen
    dialog: Dialog
    user: UserState
    request: Request
    obstacle: Tensor  # [B] int64, place in EXCEPTIONS: what the field could not do of the request
    proposal: Tensor  # [B, D], the edit that the field proposes for what is left of the request
    proposals: Tensor  # [B, rounds, D], what it proposed at the beginning of each round so far
    talk: Tensor  # [B, 2 rounds + 1, WORDS] int64: the user's and the system's words in turn
    step: Tensor  # [B] int64


class FaceScores:
    """Judges the faces of a ``world``, and scores them by ``weights``, {reward: weight}.

    With ``pictures`` metrics look at the faces of all rounds too, which have to be drawn for that. Raises ValueError
    for a judge or a reward that the world is not known exactly enough for.
    """

    def __init__(self, world: Faces, judge: str, weights: Mapping[str, float], pictures: bool = True):
        self.world, self.weights, self.pictures = world, weights, pictures
        self.exact: ExactFaces | None = world if isinstance(world, ExactFaces) else None
        self.judge = one_of("judge", judge, JUDGES)
        if self.exact is None and (judge == "exact" or "latent" in weights):
            wanted = "judge='exact'" if judge == "exact" else "reward 'latent'"
            raise ValueError(f"{wanted} needs the embedded world: of these faces nobody knows the truth")

    def look(self, latent: Tensor) -> Seen:
        """The degrees that faces show."""
        if self.exact is not None and self.judge == "exact":
            degrees = self.exact.degrees(latent)
            labels = degrees.round()
            return Seen(degrees, labels.long(), 1 - 2 * (degrees - labels).abs())
        probability = self.world.judge(self.world.synthesize(latent))
        confidence, labels = probability.max(2)
        degrees = probability @ torch.arange(DEGREES, device=latent.device, dtype=probability.dtype)
        return Seen(degrees, labels, confidence)

    def goal(self, source: Tensor, seen: Seen, wish: Tensor) -> Tensor:
        """The point ``[B, D]`` of the same face with the ``wish``, what it leaves untouched; NaN where nobody knows."""
        if self.exact is None:
            return torch.full_like(self.world.point(source), torch.nan)
        degrees = torch.where(wish.round().long() == seen.labels, seen.degrees, wish)
        return self.world.point(self.exact.reach(source, degrees))

    def rewards(self, state: FaceState, following: FaceState) -> dict[str, Tensor]:
        """``[B]`` each, weighed: what the step gained."""
        return {name: weight * self._reward(name, state, following) for name, weight in self.weights.items()}

    def _reward(self, name: str, state: FaceState, following: FaceState) -> Tensor:
        wish = state.user.wish
        before, after, start = state.seen.degrees, following.seen.degrees, state.start.degrees
        match name:
            case "latent":
                points = (self.world.point(latent) for latent in (state.latent, following.latent, state.trace[:, 0]))
                return gain(*(latent_distance(point, state.goal) for point in points))
            case "attributes":
                return gain(*(attribute_distance(degrees, wish) for degrees in (before, after, start)))
            case "others":
                return gain(*(others_distance(degrees, start, wish) for degrees in (before, after)))
            case "identity":
                latents = torch.cat([state.trace[:, 0], state.latent, following.latent])
                source, old, new = self.world.embed(self.world.synthesize(latents)).chunk(3)
                return gain(identity_distance(old, source), identity_distance(new, source))
        return (following.user.satisfied & ~state.user.satisfied).float()

    def metrics(self, state: FaceState) -> dict[str, Tensor]:
        """``[B]`` each. Those of round K, ``NAME/round_K``, are of the face after it, or the last one.

        ``combined`` is the mean of both distances, each as a share of that at the start: 1 of doing nothing.
        """
        wish, start, exact = state.user.wish, state.start, self.exact
        lanes, moments = state.trace.shape[:2]
        latents = state.trace.flatten(0, 1)
        again = torch.arange(lanes, device=latents.device).repeat_interleave(moments)
        feature = latent_distance(self.world.point(latents), state.goal[again]).view(lanes, moments)
        attribute = attribute_distance(self.look(latents).labels, wish[again]).view(lanes, moments)
        shares = [distance / distance[:, :1].clamp_min(1e-8) for distance in (feature, attribute)]
        rounds = {
            "feature_distance": feature,
            "attribute_distance": attribute,
            "combined": (shares[0] + shares[1]) / 2,
        }
        if self.pictures:
            picture = self.world.synthesize(latents)
            probability, embedding = self.world.witness(picture)
            source = embedding.view(lanes, moments, -1)[:, 0][again]
            rounds["predicted_distance"] = attribute_distance(probability.argmax(2), wish[again]).view(lanes, moments)
            rounds["identity"] = 1 - identity_distance(embedding, source).view(lanes, moments)
        told = {f"{name}/round_{k}": table[:, k] for name, table in rounds.items() for k in range(moments)}
        success = (state.seen.labels == wish.round()).all(1)
        told |= {"success": success.float(), "satisfied": state.user.satisfied.float()}
        told["moved/others"] = others_distance(state.seen.degrees, start.degrees, wish)
        if exact is not None:
            before, after = exact.factors(state.trace[:, 0]), exact.factors(state.latent)
            changed = (after - before).square()
            told |= {"moved/person": changed[:, IDENTITY].mean(1), "moved/circumstances": changed[:, CONTEXT].mean(1)}
        return told
