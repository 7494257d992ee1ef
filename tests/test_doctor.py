"""The doctor: every check says fail where it should, and ok of a run that is in order."""

import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import nn
from typer.testing import CliRunner

from retouch.benchmarks import display
from retouch.benchmarks.doctor import CHECKS, diagnose, examine
from retouch.benchmarks.doctor_case import Case, Finding, log_probs
from retouch.benchmarks.plan import plan_run
from retouch.benchmarks.train import Training, experience
from retouch.cli import app
from retouch.simulators.ddim import DDIM
from retouch.simulators.editors import SCHEDULE, TEXT_ENCODER, UNET, embedded_editor, save_editor

NARROW = {
    **UNET,
    "block_out_channels": (16, 16),
    "attention_head_dim": [2, 2],
    "norm_num_groups": 8,
    "cross_attention_dim": 16,
}
SHORT = {**TEXT_ENCODER, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
PAINTING = ("StrokePaint-v0", "env.size=32", "env.steps=3", "env.strokes=2", "env.targets=embedded:16", "num_envs=4")


@pytest.fixture(scope="module")
def make_model(tmp_path_factory):
    """The path of a tiny untrained editor under a schedule."""

    def make(**schedule):
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("editor") / "editor.safetensors"
        save_editor(embedded_editor({"unet": NARROW, "text_encoder": SHORT, "schedule": SCHEDULE | schedule}), path)
        return f"env.model={path}"

    return make


@pytest.fixture(scope="module")
def model(make_model):
    return make_model()


def begun(task, agent, *settings):
    """What ``diagnose`` examines."""
    plan = plan_run(task, agent, settings)
    training = Training.begin(plan)
    (rollout,) = experience(training, plan.run.rollout, 1)
    return Case(plan, training.env.task, training.agent, rollout)


def editing(model, *settings, agent="ppo"):
    usual = {"env.edits": "embedded:16", "env.steps": "3", "env.group": "4", "num_envs": "8", "env.reward": "l1"}
    usual |= {"agent.lr": "3e-4", "agent.window": "0,0", "agent.epochs": "4"}
    if agent == "reinforce":
        del usual["agent.epochs"]
    given = dict(setting.split("=", 1) for setting in (model, *settings))
    return begun("ImageEdit-v0", agent, *(f"{key}={value}" for key, value in (usual | given).items()))


def painting(agent, *settings):
    return begun(PAINTING[0], agent, *PAINTING[1:], *settings)


@pytest.fixture(scope="module")
def edit(model):
    """A case for tests that leave it as it is."""
    return editing(model, "agent.clip=1e-3")


def but(case, run=(), **agent):
    """``case`` with other settings: of the agent, and of the run."""
    plan = replace(case.plan, learner=replace(case.plan.learner, **agent), run=replace(case.plan.run, **dict(run)))
    return replace(case, plan=plan)


def check(name, case) -> Finding:
    return next(each for each in CHECKS if each.name == name)(case)


def verdicts(findings):
    return {finding.name: finding.verdict for finding in findings}


@pytest.mark.parametrize("control", ["latent", "noise"])
def test_a_run_in_order_passes_every_check_and_stays_as_it_was(model, control):
    case = editing(model, f"env.control={control}", "agent.window=0,2", "agent.clip=1e-3")
    before = [parameter.clone() for parameter in case.policy.parameters()]
    findings = examine(case)
    assert verdicts(findings) == {each.name: "ok" for each in CHECKS}
    assert all(finding.measured and finding.advice for finding in findings)
    assert all(map(torch.equal, before, case.policy.parameters()))
    assert all(parameter.grad is None for parameter in case.policy.parameters())


def test_painting_has_checks_of_its_own_and_reasons_for_the_others():
    findings = {finding.name: finding for finding in diagnose(plan_run(PAINTING[0], "ppo", PAINTING[1:]))}
    assert {name for name, finding in findings.items() if finding.verdict == "ok"} == {
        "on-policy ratio", "gradients", "one optimiser step", "optimiser steps", "clip range", "reward",
    }  # fmt: skip
    for name in ("noise of the steps", "weight of the steps", "rounded latents", "rounded network"):
        assert findings[name].verdict == "not applicable" and "no denoiser" in findings[name].advice
    assert findings["groups"].advice == "returns are not judged within groups"
    assert findings["clip range"].measured["nats a step"] == 0.2


def test_agents_without_ratios_or_log_probabilities_say_so():
    scored = {finding.name: finding for finding in examine(painting("reinforce"))}
    assert "takes no ratio" in scored["on-policy ratio"].advice and "takes no ratio" in scored["clip range"].advice
    assert {scored[name].verdict for name in ("gradients", "one optimiser step", "optimiser steps", "reward")} == {"ok"}
    assert scored["optimiser steps"].measured["optimiser steps a rollout"] == 1
    driven = {finding.name: finding for finding in examine(painting("ddpg", "agent.updates=6", "agent.batch=2"))}
    assert driven["gradients"].advice == "ddpg has no log-probabilities"
    assert driven["optimiser steps"].measured == {
        "steps played a rollout": 12,
        "optimiser steps a rollout": 6,
        "steps in each": 2,
        "times each step is learned from": 1.0,
    }


def test_a_log_probability_that_is_not_that_of_the_rollout_is_found(edit):
    path = edit.rollout
    perturbed = path.extras["log_prob"].clone()
    assert check("on-policy ratio", edit).measured["largest |ratio - 1|"] < 1e-5
    for off, verdict in ((3e-4, "warning"), (2e-3, "fail"), (float("nan"), "fail")):
        perturbed[1, 2] = path.extras["log_prob"][1, 2] + off
        found = check("on-policy ratio", replace(edit, rollout=replace(path, extras={"log_prob": perturbed})))
        assert found.verdict == verdict
        assert found.measured["largest |ratio - 1|"] == pytest.approx(off, rel=0.05, nan_ok=True)


def test_dropout_in_a_policy_is_found():
    case = painting("ppo")
    assert check("on-policy ratio", case).verdict == "ok"
    case.policy.body = nn.Sequential(nn.Dropout(0.9), case.policy.body)
    case.policy.head.linear.weight.data *= 1000
    assert check("on-policy ratio", case).verdict == "fail"


def test_log_probabilities_are_those_of_their_rows(edit):
    expected = torch.stack(
        [edit.policy(step.obs)[0].log_prob(step.action) for step in map(edit.rollout.__getitem__, range(3))]
    )
    torch.testing.assert_close(log_probs(edit.policy, edit.rollout, rows=5), expected.detach(), atol=1e-5, rtol=1e-5)


def test_steps_without_noise_are_found(make_model):
    certain = make_model(set_alpha_to_one=True)
    case = editing(certain)
    found = check("noise of the steps", case)
    assert found.verdict == "warning" and found.measured["steps without noise"] == 1
    assert "with 1 step left" in found.advice and "agent.window=0,2" in found.advice
    assert found.measured["deviation by step"][-1] == 0 and len(found.measured["deviation by step"]) == 3
    dropped = check("noise of the steps", but(case, window=(0, 2)))
    assert dropped.verdict == "ok" and dropped.measured["of them learned from"] == 0
    assert check("noise of the steps", but(case, window=(2, 3))).verdict == "fail"
    still = editing(certain, "env.eta=0")
    found = {finding.name: finding for finding in examine(still)}
    assert found["noise of the steps"].verdict == found["weight of the steps"].verdict == "fail"
    assert found["sampler and trainer"].verdict == "ok"
    assert found["gradients"].verdict == found["one optimiser step"].verdict == "fail"


def test_the_weight_of_a_step_is_how_its_mean_answers_to_the_denoiser(edit):
    found = check("weight of the steps", edit)
    ddim, latent = edit.task.ddim, torch.randn(3, 48, 8, 8)
    left, output = torch.tensor([3, 2, 1]), torch.randn(3, 48, 8, 8)
    (mean, deviation), (moved, _) = (ddim.gaussian(output + shift, latent, left) for shift in (0, 1))
    slope = ((moved - mean) / deviation).abs().mean((1, 2, 3))
    torch.testing.assert_close(torch.tensor(found.measured["by step learned from"]), slope, rtol=1e-3, atol=0)
    assert found.verdict == "warning" and "agent.window=0,2" in found.advice
    assert found.measured["largest / smallest"] == pytest.approx((slope.max() / slope.min()).item(), rel=1e-3)
    assert check("weight of the steps", but(edit, window=(0, 2))).verdict == "ok"


def test_a_precision_that_breaks_the_clip_range_is_named(model, edit):
    wide, tight = but(edit, clip=0.2), but(edit, clip=1e-5)
    assert "half precision would do" in check("rounded latents", wide).advice
    latents, network = check("rounded latents", tight), check("rounded network", tight)
    assert "in float16 or bfloat16 they would break the clip range" in latents.advice
    assert "bfloat16" in network.advice and {latents.verdict, network.verdict} == {"ok"}
    for found in (latents, network):
        assert found.measured["bfloat16"] > found.measured["float16"] > 0
        assert max(found.measured["bfloat16 by step"]) == found.measured["bfloat16"]
    half = check("rounded network", editing(model, "agent.clip=1e-5", "env.dtype=bfloat16"))
    assert half.verdict == "warning" and "set env.dtype=float32" in half.advice


def test_a_policy_that_is_not_the_sampler_is_found(model):
    case = editing(model)
    assert max(check("sampler and trainer", case).measured.values()) < 1e-5
    case.policy.sampler = DDIM(case.task.editor.schedule, 3, eta=0.5)
    found = check("sampler and trainer", case)
    assert found.verdict == "fail" and found.measured["without exploring"] < 1e-5
    unguided = check("sampler and trainer", editing(model, "env.scale=7,2"))
    assert unguided.verdict == "warning" and "policy.cfg=none leaves out the guidance" in unguided.advice
    assert check("sampler and trainer", editing(model, "env.scale=7,2", "policy.cfg=full")).verdict == "ok"


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("agent.minibatch=10",),
        ("agent.minibatch=5", "agent.accumulate=2", "agent.epochs=3"),
        ("agent.window=0,2", "agent.minibatch=4", "agent.by_episode=true"),
        ("agent.share=0.5", "agent.minibatch=3"),
    ],
)
def test_the_optimiser_takes_as_many_steps_as_it_says(settings):
    case = painting("ppo", *settings)
    taken = []
    case.agent.optimizer.register_step_post_hook(lambda *_: taken.append(1))
    said = check("optimiser steps", case).measured
    case.agent.update(case.rollout)
    assert len(taken) == said["optimiser steps a rollout"]


def test_amounts_are_those_of_the_settings(edit):
    whole = check("optimiser steps", but(edit, window=(0, 2), minibatch=4, by_episode=True))
    assert whole.measured == {
        "environments": 8,
        "steps learned from": 16,
        "optimiser steps a rollout": 16,
        "steps in each": 4,
        "environments in each, up to": 2,
    }
    uneven = check("optimiser steps", but(edit, minibatch=10))
    assert uneven.verdict == "warning" and "rests on 4 steps" in uneven.advice


def test_episodes_that_are_cut_are_found(edit):
    for rollout, verdict in ((2, "fail"), (4, "warning"), (6, "ok")):
        assert check("optimiser steps", but(edit, {"rollout": rollout})).verdict == verdict
    unended = check("gradients", replace(edit, rollout=edit.rollout[:2]))
    assert unended.verdict == "not applicable" and "no episode ends" in unended.advice
    assert "begins where the rollout has ended" in check("optimiser steps", but(edit, window=(5, 6))).advice


def test_groups_in_which_nothing_can_be_compared_are_found(model, edit):
    assert check("groups", edit).measured == {"groups": 2, "episodes in the smallest": 4, "largest": 4}
    alone = editing(model, "env.group=1", "agent.group=source,instruction")
    assert check("groups", alone).verdict == "fail" and "set env.group" in check("groups", alone).advice
    uneven = check("groups", editing(model, "seed=2"))
    assert uneven.verdict == "warning" and "multiples of env.group" in uneven.advice
    few = check("groups", but(edit, least=16, history=32))
    assert few.verdict == "warning" and "until agent.history=32 has seen that many" in few.advice
    scored = check("groups", editing(model, agent="reinforce"))
    assert scored.verdict == "ok" and scored.measured["groups"] == 2


def test_the_clip_range_is_told_in_nats(edit):
    found = check("clip range", edit)
    assert found.measured["nats a step"] == pytest.approx(3.072)
    assert found.measured["nats in the steps learned from"] == pytest.approx(3 * 3.072)
    never, at_once = (check("clip range", but(edit, clip=clip)) for clip in (0.2, 1e-7))
    assert never.verdict == at_once.verdict == "warning"
    assert "hardly anything is ever clipped: agent.clip=5.2e-04" in never.advice and "at once" in at_once.advice


def test_rewards_that_teach_nothing_are_found(edit):
    def rewarded(*last):
        reward = torch.zeros_like(edit.rollout.reward)
        reward[-1] = torch.tensor(last)
        return check("reward", replace(edit, rollout=replace(edit.rollout, reward=reward)))

    constant = rewarded(*[0.1] * 8)
    assert constant.verdict == "fail" and "all returns are equal" in constant.advice
    assert rewarded(*[float("nan")] + [1.0] * 7).verdict == "fail"
    assert rewarded(*[float("inf")] + [1.0] * 7).verdict == "fail"
    dead = rewarded(1, 1, 1, 1, 0, 0, 0, 0)
    assert dead.verdict == "fail" and dead.measured["groups alive"] == 0
    half = rewarded(1, 0, 0, 0, 1, 1, 1, 1)
    assert half.verdict == "ok" and half.measured["groups alive"] == 0.5
    assert half.measured["mean return"] == 0.625 and (half.measured["least"], half.measured["most"]) == (0, 1)


def test_a_frozen_policy_is_found(model):
    case = editing(model)
    case.policy.requires_grad_(False)
    assert check("gradients", case).verdict == "fail"
    assert check("one optimiser step", case).advice == "no weight is trained"


def test_a_loss_that_reaches_no_weight_is_found():
    case = painting("ppo", "agent.value_coef=0")
    case.policy.body.register_forward_hook(lambda module, inputs, output: output.detach())
    case.policy.head.requires_grad_(False)
    found = check("gradients", case)
    assert found.verdict == "fail" and found.measured["gradient norm"] == 0


def test_only_the_adapter_gets_gradients(model, edit):
    found = check("gradients", edit)
    assert 0 < found.measured["weights trained"] < found.measured["frozen"]
    assert found.measured["frozen but reached"] == found.measured["tensors not reached"] == 0
    whole = check("gradients", editing(model, "policy.full=true"))
    assert whole.measured["weights trained"] > 10 * found.measured["weights trained"]


def test_a_step_that_goes_too_far_is_found(edit):
    usual = check("one optimiser step", but(edit, window=(0, 2)))
    assert usual.verdict == "ok" and usual.measured["rewarded above others, in log-probability"] > 0
    hasty = check("one optimiser step", but(edit, window=(0, 2), lr=0.3))
    assert hasty.verdict in ("warning", "fail") and hasty.measured["KL"] > 100 * usual.measured["KL"]


def test_findings_are_read_in_narrow_terminals(monkeypatch, capsys):
    monkeypatch.setattr(display, "out", Console(width=60, soft_wrap=True))
    found = [
        Finding("on-policy ratio", "ok", {"clip": 0.2, "by step": [0.1] * 50, "weights": 3072}, "as it should be"),
        Finding("groups", "fail", {}, "every episode is alone in its group, so no better than expected"),
        Finding("reward", "not applicable", {}, "no reward"),
    ]
    display.findings("ppo on Task", found)
    told = capsys.readouterr().out
    assert "clip 0.2, by step 0.1 0.1 0.1 … 0.1 0.1 0.1, weights 3,072" in " ".join(told.split())
    assert told.rstrip().endswith("fail 1, ok 1, not applicable 1") and max(map(len, told.splitlines())) <= 60


def test_the_command_ends_as_its_findings_say(model):
    words = ["doctor", "ImageEdit-v0", "--model", model.removeprefix("env.model="), "env.edits=embedded:16", "--json"]
    small = ["env.steps=2", "env.reward=l1", "num_envs=8", "env.group=4", "agent.lr=3e-4"]
    result = CliRunner().invoke(app, [*words, *small])
    told = json.loads(result.output)
    assert result.exit_code == 0 and told["agent"] == "ppo" and len(told["findings"]) == len(CHECKS)
    assert {"name", "verdict", "measured", "advice"} == told["findings"][0].keys()
    assert CliRunner().invoke(app, [*words, *small, "env.eta=0"]).exit_code == 1
    assert CliRunner().invoke(app, ["doctor", "ImageEdit-v0", "--preset", "nothing"]).exit_code == 2
