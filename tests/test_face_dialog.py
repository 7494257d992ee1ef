"""FaceDialog-v0: what is edited, shown, rewarded and measured is the latent that the agent made."""

from functools import cache

import pytest
import torch

from retouch.envs.face_dialog import HIDDEN, SHOWN, FaceDialog
from retouch.envs.random import LaneRandom
from retouch.envs.vector import TorchVectorEnv
from retouch.rewards.face import attribute_distance, latent_distance
from retouch.simulators.face_user import FAR
from retouch.simulators.faces import ATTRIBUTES
from retouch.simulators.semantic_field import field_edit

LANES = 6
PLAIN = ("latent", "degrees", "request", "proposal", "round", "micro_step")


@cache
def made(user=(), reward=("latent", "attributes"), weight=1.0, **settings):
    """A task on the cheap world; tasks keep no state, so tests share them."""
    usual = {"base": "line", "size": 32, "rounds": 3, "micro_steps": 2, "show": PLAIN}
    return FaceDialog(
        user={"kind": "attentive", **dict(user)}, reward=dict.fromkeys(reward, weight), **usual | settings
    )


def luck(lanes=LANES, first=0):
    return LaneRandom(torch.arange(first, first + lanes))


def started(task, lanes=LANES, **options):
    return task.initial(luck(lanes), options)


def acted(task, kind="random", lanes=LANES):
    action = torch.zeros(lanes, *task.action_space.shape)
    if kind == "random":
        return action.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    action[:, 0] = {"field": 1, "nothing": -1}[kind]
    return action


def step(task, state, action):
    return task.step(state, action, luck(len(action), 100))


def vector(task, lanes=LANES):
    return TorchVectorEnv(task, lanes, autoreset_mode="NextStep", tensors="torch")


@pytest.mark.parametrize("control", ["residual", "latent", "fields"])
def test_what_the_agent_made_is_shown_and_scored(control):
    task = made(control=control, micro_steps=1, show=(*SHOWN, *HIDDEN))
    state, action = started(task), acted(task)
    if control == "latent":
        action *= 20
    following, _ = step(task, state, action)
    expected = task.world.move(state.latent, task.controls.edit(state, action))
    assert not torch.allclose(expected, state.latent)
    obs, metrics = task.observe(following), task.metrics(following)
    assert torch.equal(following.latent, expected) and torch.equal(obs["latent"], expected)
    picture = task.world.synthesize(expected)
    assert torch.equal(obs["image"], (picture * 255).round().byte())
    assert torch.equal(task.render(following)[0, ::4, 128:256:4], obs["image"][0].permute(1, 2, 0))
    assert torch.equal(obs["degrees"], task.world.degrees(expected))
    torch.testing.assert_close(metrics["feature_distance/round_1"], latent_distance(expected, state.goal))
    torch.testing.assert_close(
        metrics["attribute_distance/round_1"],
        attribute_distance(task.world.degrees(expected).round(), following.user.wish),
    )


def test_following_the_proposal_is_the_published_round():
    task = made(base="field", micro_steps=1)
    state = started(task)
    assert (state.request.attribute >= 0).all()
    request = state.request
    found = field_edit(task.world, state.latent, request.attribute, request.target, task._judge, task.trials, ahead=8)
    following, _ = step(task, state, acted(task, "field"))
    assert torch.equal(following.latent, task.world.move(state.latent, found.edit))
    assert (following.latent != state.latent).any(1).sum() >= LANES - 1


def test_micro_steps_follow_the_proposal_to_its_end():
    task = made(micro_steps=3)
    state = started(task)
    for _ in range(2):
        state, _ = step(task, state, acted(task, "field"))
    proposed = state.latent + state.proposal
    state, _ = step(task, state, acted(task, "field"))
    torch.testing.assert_close(state.latent, proposed)


def test_minus_one_leaves_the_face():
    task = made()
    state = started(task)
    first, measured = state.latent, task.metrics(state)
    for _ in range(6):
        state, terms = step(task, state, acted(task, "nothing"))
        assert torch.equal(state.latent, first)
        assert all((term == 0).all() for term in terms.values())
    following = task.metrics(state)
    assert all(torch.equal(following[name], value) for name, value in measured.items())
    assert (following["moved/person"] == 0).all() and (following["combined/round_3"] == 1).all()
    torch.testing.assert_close(following["identity/round_3"], torch.ones(LANES))


def test_ones_own_edit_is_bounded_by_the_radius():
    task = made(radius=0.5)
    state, action = started(task), acted(task, "nothing")
    action[:, 1:] = 1
    following, _ = step(task, state, action)
    torch.testing.assert_close(following.latent, state.latent + 0.25)


def test_the_published_action_is_twenty_times_the_edit():
    task = made(control="latent")
    state = started(task)
    following, _ = step(task, state, torch.full((LANES, 40), 10.0))
    torch.testing.assert_close(following.latent, state.latent + 0.5)


def test_fields_move_along_each_attribute_and_back():
    task = made(control="fields", micro_steps=1)
    state = started(task)
    action = torch.zeros(LANES, 6)
    action[:, ATTRIBUTES.index("age")] = 1
    older, _ = step(task, state, action)
    age = ATTRIBUTES.index("age")
    rise = older.seen.degrees[:, age] - state.seen.degrees[:, age]
    assert (rise >= 0).all() and rise.mean() > 0.2
    action[:] = 0
    action[:, 5] = 1
    back, _ = step(task, older, action)
    torch.testing.assert_close(back.latent, state.latent)


def test_the_trace_keeps_the_face_after_every_round():
    task = made()
    state = started(task)
    latents = [state.latent]
    for _ in range(3):
        for _ in range(2):
            state, _ = step(task, state, acted(task))
        latents.append(state.latent)
        ahead = [state.latent] * (4 - len(latents))
        assert torch.equal(state.trace, torch.stack(latents + ahead, 1))


def test_the_proposals_keep_those_at_the_beginning_of_rounds():
    task = made(show=(*PLAIN, *HIDDEN))
    state = started(task)
    wanted = torch.zeros(LANES, 3, 40)
    for number in range(3):
        wanted[:, number] = state.proposal
        for _ in range(2):
            assert torch.equal(task.observe(state)["proposals"], wanted)
            state, _ = step(task, state, acted(task))


def test_rewards_sum_to_what_was_gained():
    names = ("latent", "attributes", "identity", "others", "satisfied")
    task = made(reward=names, weight=2.0, micro_steps=1)
    state = first = started(task)
    sums = dict.fromkeys((f"reward/{name}" for name in names), 0.0)
    for _ in range(3):
        state, terms = step(task, state, acted(task, "field"))
        assert terms.keys() == sums.keys()
        sums = {name: sums[name] + terms[name] for name in sums}
    metrics, wish = task.metrics(state), first.user.wish
    feature = [metrics[f"feature_distance/round_{k}"] for k in (0, 3)]
    torch.testing.assert_close(sums["reward/latent"], 2 * (1 - feature[1] / feature[0]), rtol=1e-4, atol=1e-4)
    shown = [attribute_distance(seen.degrees, wish) for seen in (first.seen, state.seen)]
    torch.testing.assert_close(sums["reward/attributes"], 2 * (1 - shown[1] / shown[0]), rtol=1e-4, atol=1e-4)
    faces = [task.world.embed(task.world.synthesize(latent)) for latent in (first.latent, state.latent)]
    alike = (faces[0] * faces[1]).sum(1)
    torch.testing.assert_close(sums["reward/identity"], 2 * (alike - 1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sums["reward/others"], -2 * metrics["moved/others"], rtol=1e-4, atol=1e-4)
    assert torch.equal(sums["reward/satisfied"], 2 * metrics["satisfied"])


def test_a_face_and_a_wish_can_be_asked_for():
    task = made()
    env = vector(task, 2)
    latent, wish = torch.linspace(-1, 1, 40).tolist(), [0, 1, 2, 3, 4]
    obs, _ = env.reset(seed=0, options={"latent": latent, "wish": wish})
    torch.testing.assert_close(obs["latent"], torch.tensor([latent, latent]))
    assert env.state.user.wish.tolist() == [wish, wish]


@pytest.mark.parametrize(
    "options", [{"latent": [0.0] * 3}, {"latent": [1e9] * 40}, {"wish": [6] * 5}, {"wish": [1, 2]}, {"face": [0.0]}]
)
def test_impossible_faces_and_wishes_are_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        vector(made(), 2).reset(seed=0, options=options)


@pytest.mark.parametrize("changes", [(2, 3), (1, 1), (5, 5)])
def test_a_wish_is_far_in_some_attributes(changes):
    task = made(changes=changes)
    state = started(task, 200)
    wish, labels = state.user.wish, state.start.labels
    changed = wish != labels
    assert set(changed.sum(1).tolist()) == set(range(changes[0], changes[1] + 1))
    assert ((wish - labels).abs()[changed] >= FAR).all()
    assert wish.min() >= 0 and wish.max() <= 5 and torch.equal(wish, wish.round())
    assert changed.any(0).all()  # every attribute at some time


def test_the_goal_is_the_same_person_with_the_wish():
    task = made()
    state = started(task)
    degrees, wish = task.world.degrees(state.goal), state.user.wish
    kept = wish == state.start.labels
    torch.testing.assert_close(degrees[kept], state.seen.degrees[kept], rtol=0, atol=1e-3)
    torch.testing.assert_close(degrees[~kept], wish[~kept], rtol=0, atol=1e-3)
    factors = [task.world.factors(latent)[:, 5:] for latent in (state.latent, state.goal)]
    torch.testing.assert_close(*factors, rtol=0, atol=1e-3)


def test_reaching_the_wish_satisfies_and_ends():
    task = made(control="latent", micro_steps=1)
    env = vector(task)
    env.reset(seed=0)
    action = 20 * (env.state.goal - env.state.latent)
    _, _, terminated, truncated, _ = env.step(action)
    metrics = task.metrics(env.state)
    assert terminated.all() and not truncated.any()
    assert (metrics["success"] == 1).all() and (metrics["satisfied"] == 1).all()
    assert (metrics["attribute_distance/round_3"] == 0).all()


def test_the_last_round_ends_it():
    env = vector(made())
    env.reset(seed=0)
    ended = torch.zeros(LANES, dtype=torch.bool)
    for _ in range(6):
        assert not ended.all()
        _, _, terminated, _, _ = env.step(acted(env.task, "nothing"))
        ended |= terminated
    assert ended.all()


@pytest.mark.parametrize("show", [("image",), ("latent", "goal"), ("dialog", "round"), (*SHOWN, *HIDDEN)])
def test_what_is_shown_can_be_chosen(show):
    task = made(show=show)
    obs = task.observe(started(task))
    assert set(task.observation_space.spaces) == set(show) == set(obs)
    for name, space in task.observation_space.spaces.items():
        assert space.contains(obs[name][0].numpy() if space.shape else obs[name][0].item())


def test_rounds_and_micro_steps_are_counted():
    task = made()
    state, seen = started(task), []
    for _ in range(4):
        obs = task.observe(state)
        seen.append((obs["round"][0].item(), obs["micro_step"][0].item()))
        state, _ = step(task, state, acted(task, "nothing"))
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_request_is_what_is_left_of_it():
    task = made(user=(("says_degree", 1.0),))
    state = started(task)
    for _ in range(2):
        asked = state.request.attribute
        obs = task.observe(state)
        rows = torch.arange(LANES)
        left = state.request.target - state.seen.degrees[rows, asked]
        torch.testing.assert_close(obs["request"][rows, asked], left)
        assert ((obs["request"] != 0).sum(1) <= 1).all()
        state, _ = step(task, state, acted(task, "field"))


def test_dialogs_are_told_in_turn():
    task = made(show=("dialog",), micro_steps=1)
    state = started(task)
    spoken = [(task.observe(state)["dialog"] != 0).any(2)]
    state, _ = step(task, state, acted(task, "nothing"))
    spoken.append((task.observe(state)["dialog"] != 0).any(2))
    assert spoken[0].tolist() == [[True, *[False] * 6]] * LANES
    assert (spoken[1][:, :2]).all() and not spoken[1][:, 3:].any()


def test_other_people_to_train_with_and_to_measure_on():
    train, test = started(made()), started(made(split="test"))
    assert not torch.isclose(train.latent, test.latent).all(1).any()
    assert torch.equal(train.latent, started(made()).latent)


def test_a_seed_is_the_same_dialog_in_any_company():
    task = made(user=(("mistakes", 0.3), ("changes_mind", 0.3)))
    together = started(task, 4)
    alone = task.initial(luck(1, 2), {})
    following = task.step(together, acted(task, "field", 4), luck(4))[0]
    lonely = task.step(alone, acted(task, "field", 1), luck(1, 2))[0]
    assert torch.equal(together.latent[2:3], alone.latent) and torch.equal(together.talk[2:3], alone.talk)
    torch.testing.assert_close(following.latent[2:3], lonely.latent)
    assert torch.equal(following.talk[2:3], lonely.talk)


def test_a_predictor_can_judge():
    task = made(judge="predictor", show=(*PLAIN, "image"), micro_steps=1)
    state = started(task)
    seen, probability = state.seen, task.world.judge(task.world.synthesize(state.latent))
    assert torch.equal(seen.labels, probability.argmax(2)) and torch.equal(seen.confidence, probability.amax(2))
    torch.testing.assert_close(seen.degrees, (probability * torch.arange(6)).sum(2))
    truth = task.world.degrees(state.latent)
    assert ((seen.labels - truth).abs() <= 1.5).float().mean() > 0.9
    following, _ = step(task, state, acted(task, "field"))
    assert torch.equal(following.seen.labels, task.scores.look(following.latent).labels)


def test_metrics_without_pictures_are_those_that_need_none():
    with_pictures, without = (made(pictures=choice) for choice in (True, False))
    state = started(without)
    missing = with_pictures.metrics(state).keys() - without.metrics(state).keys()
    assert {name.partition("/")[0] for name in missing} == {"identity", "predicted_distance"} and len(missing) == 8


@pytest.mark.parametrize(
    "settings",
    [
        {"rounds": 0},
        {"micro_steps": 0},
        {"trials": 0},
        {"changes": (3, 2)},
        {"changes": (0, 2)},
        {"changes": (1, 6)},
        {"show": ("picture",)},
        {"judge": "mother"},
        {"control": "brush"},
        {"reward": "beauty"},
        {"user": "angry"},
        {"split": "validation"},
        {"world": "/no/such/folder"},
        {"base": "curve"},
    ],
)
def test_bad_arguments_are_refused_by_name(settings):
    ((name, value),) = settings.items()
    told = str(value[0]) if name == "show" else name if isinstance(value, int | tuple) else str(value)
    with pytest.raises(ValueError, match=told):
        FaceDialog(**{"base": "line", "size": 32} | settings)


def test_a_missing_listener_is_told():
    with pytest.raises(FileNotFoundError, match="no language encoder at /no/such/folder"):
        FaceDialog(base="line", size=32, listener="/no/such/folder")


def test_a_step_without_luck_is_refused():
    task = made()
    with pytest.raises(ValueError, match="rng"):
        task.transition(started(task), acted(task), None)


def test_states_go_on_where_they_were():
    task = made()
    env, again = vector(task), vector(task)
    env.reset(seed=0)
    env.step(acted(task))
    again.reset(seed=5)
    again.load_state_dict(env.state_dict())
    one, two = (each.step(acted(task, "field"))[0] for each in (env, again))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(env.state.user.wish, again.state.user.wish)
