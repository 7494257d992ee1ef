import pytest
import torch

from retouch.agents.returns import explained_variance, gae, monte_carlo, td_target


def column(*xs):
    return torch.tensor(xs)[:, None]


def test_gae_by_hand():
    """Two steps, the second one terminal: gamma 0.5, lambda 0.5."""
    advantage = gae(
        column(1.0, 2.0), column(0.5, 1.0), column(1.0, 9.0), column(False, True), column(False, True), 0.5, 0.5
    )
    # delta_1 = 2 - 1 = 1; delta_0 = 1 + 0.5 * 1 - 0.5 = 1; A_0 = 1 + 0.25 * 1
    torch.testing.assert_close(advantage, column(1.25, 1.0))


def test_gae_bootstraps_where_truncated():
    cut = gae(column(0.0), column(0.0), column(4.0), column(False), column(True), 0.5, 1.0)
    end = gae(column(0.0), column(0.0), column(4.0), column(True), column(True), 0.5, 1.0)
    assert cut.item() == 2.0 and end.item() == 0.0


def test_gae_does_not_flow_from_one_episode_into_the_one_before():
    reward, zero, done = column(0.0, 100.0), column(0.0, 0.0), column(True, False)
    assert gae(reward, zero, zero, done, done, 0.9, 0.9)[0].item() == 0.0


def test_gae_with_lambda_one_is_the_return_less_the_value():
    torch.manual_seed(0)
    reward, value, next_value = torch.rand(3, 5, 4)
    done = torch.zeros(5, 4, dtype=torch.bool)
    done[-1] = True
    returns, _ = monte_carlo(reward, done, 0.9)
    torch.testing.assert_close(gae(reward, value, value.roll(-1, 0), done, done, 0.9, 1.0), returns - value)
    assert not torch.allclose(gae(reward, value, next_value, done, done, 0.9, 1.0), returns - value)


def test_monte_carlo_knows_what_it_does_not_know():
    returns, known = monte_carlo(column(1.0, 1.0, 1.0), column(False, True, False), 0.5)
    assert known.squeeze(1).tolist() == [True, True, False]
    assert returns.squeeze(1).tolist()[:2] == [1.5, 1.0]


def test_td_target_stops_at_the_end_alone():
    target = td_target(torch.tensor([1.0, 1.0]), torch.tensor([4.0, 4.0]), torch.tensor([False, True]), 0.5)
    assert target.tolist() == [3.0, 1.0]


@pytest.mark.parametrize("value, share", [([1.0, 2.0, 3.0], 1.0), ([2.0, 2.0, 2.0], 0.0), ([3.0, 2.0, 1.0], -3.0)])
def test_explained_variance(value, share):
    assert explained_variance(torch.tensor(value), torch.tensor([1.0, 2.0, 3.0])).item() == pytest.approx(share)
