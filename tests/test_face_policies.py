"""Policies for faces that learn nothing, and what the oracle needs."""

from functools import cache

import pytest
import torch

from retouch.benchmarks.evaluate import play
from retouch.benchmarks.face_policies import Editor, Field, Nothing, Oracle
from retouch.benchmarks.recipes import named_policy
from retouch.envs.face_dialog import FaceDialog
from retouch.envs.random import LaneRandom

PLAIN = ("latent", "degrees", "request", "proposal", "round", "micro_step")


@cache
def made(**settings):
    usual = {"base": "line", "size": 32, "pictures": False, "split": "test", "show": PLAIN}
    return FaceDialog(user={"kind": "attentive", "says_degree": 1.0}, **usual | settings)


@cache
def scores(policy, **settings):
    task = made(**settings)
    return play(task, named_policy(policy, task), 32)


@pytest.mark.parametrize("control", ["residual", "latent", "fields"])
def test_no_edit_changes_nothing(control):
    found = scores("none", control=control, rounds=2)
    assert (found["return"] == 0).all() and (found["moved/others"] == 0).all()
    assert torch.equal(found["feature_distance/round_0"], found["feature_distance/round_2"])


def test_dialogs_are_measured_at_their_end_alone():
    assert not any("/steps_" in name for name in scores("none", control="residual", rounds=2))


def test_the_field_comes_nearer_to_the_wish_and_loses_the_person():
    found = {name: values.mean() for name, values in scores("field").items()}
    assert found["attribute_distance/round_5"] < 0.5 * found["attribute_distance/round_0"]
    assert found["moved/person"] > 0.3


def test_the_field_is_the_same_by_either_control():
    residual, latent = (scores("field", control=control, micro_steps=1) for control in ("residual", "latent"))
    for name in ("feature_distance/round_1", "feature_distance/round_5", "success"):
        torch.testing.assert_close(residual[name], latent[name], rtol=1e-3, atol=1e-3)


def test_the_oracle_does_what_is_asked_and_nothing_else():
    found = scores("oracle", control="latent", micro_steps=1)
    assert found["success"].mean() > 0.95
    assert found["moved/person"].max() < 1e-3 and found["moved/circumstances"].max() < 1e-3
    assert (found["feature_distance/round_5"] < 0.05 * found["feature_distance/round_0"]).float().mean() > 0.95


def test_the_oracle_is_there_one_step_before_the_end():
    """Where its own edit reaches far enough; then it follows the field."""
    task, rows = made(radius=4.0), torch.arange(8)
    oracle, state = Oracle(task), task.initial(LaneRandom(rows), {})
    asked, wanted = state.request.attribute, state.request.target
    assert ((state.seen.degrees[rows, asked] - wanted).abs() > 0.5).all()
    for _ in range(3):
        action = oracle(task.observe(state))
        assert (action[:, 0] == -1).all() and action.abs().max() <= 1
        state, _ = task.step(state, action, LaneRandom(rows))
    torch.testing.assert_close(state.seen.degrees[rows, asked], wanted, rtol=0, atol=0.02)
    last = oracle(task.observe(state))
    assert (last[:, 0] == 1).all() and (last[:, 1:] == 0).all()


def test_the_field_needs_proposals():
    for settings in ({"control": "fields"}, {"control": "latent", "show": ("latent",)}):
        with pytest.raises(ValueError, match="nothing proposes edits here"):
            Field(made(**settings))


def test_the_oracle_needs_the_latent():
    with pytest.raises(ValueError, match="the oracle needs the embedded world"):
        Oracle(made(control="fields"))


def test_nothing_plays_where_nothing_is_proposed():
    task = made(control="latent", show=("latent",))
    assert (Nothing(task).act({"latent": torch.ones(3, 40)})[0] == 0).all()


def test_the_shipped_agent_keeps_the_person_better_than_the_field():
    shipped, field = (scores(policy, base="field") for policy in ("shipped", "field"))
    for k in (3, 5):
        assert shipped[f"feature_distance/round_{k}"].mean() < 0.75 * field[f"feature_distance/round_{k}"].mean()
        assert shipped[f"attribute_distance/round_{k}"].mean() < 1.1 * field[f"attribute_distance/round_{k}"].mean()


def test_the_shipped_agent_says_what_it_cannot_play():
    with pytest.raises(ValueError, match="has to see request, round too"):
        Editor(FaceDialog(base="line", show=["latent", "degrees", "micro_step", "proposal"]))
    with pytest.raises(ValueError, match="env.control=residual"):
        Editor(FaceDialog(base="line", control="latent"))
