"""The entangled latent of the embedded faces."""

import pytest
import torch

from retouch.simulators.face_factors import NAMES
from retouch.simulators.face_latent import FaceLatent

PLACE = {name: index for index, name in enumerate(NAMES)}


def noise(count, seed=0):
    return torch.randn(count, 40, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("entanglement", [0.0, 0.75, 1.5])
def test_the_inverse_is_exact(entanglement):
    latent = FaceLatent(entanglement)
    w = noise(1000)
    assert (latent.inverse(latent.factors(w)) - w).abs().max() < 1e-4


def test_constants_are_those_that_were_shipped():
    """A latent that is kept, in a file or a test, shows the same face for good."""
    factors = FaceLatent().factors(torch.linspace(-2, 2, 40)[None])[0]
    assert factors[:5].tolist() == pytest.approx([2.4945, 0.2498, -4.6348, 2.8216, 1.4681], abs=1e-3)


def test_scores_stay_normal():
    """Every step of the flow keeps the standard normal distribution."""
    factors = FaceLatent().factors(noise(20000))
    scores = (factors - FaceLatent().centre) / FaceLatent().spread
    assert scores.mean(0).abs().max() < 0.04
    assert (scores.std(0) - 1).abs().max() < 0.03


def test_the_data_are_biased():
    correlation = torch.corrcoef(FaceLatent().factors(noise(20000)).T)

    def between(one, other):
        return correlation[PLACE[one], PLACE[other]].item()

    assert between("beard", "masculinity") == pytest.approx(0.8 / 1.64**0.5, abs=0.03)
    assert between("eyeglasses", "age") == pytest.approx(0.45 / 1.2025**0.5, abs=0.03)
    assert between("bangs", "age") < -0.2
    assert between("smiling", "age") == pytest.approx(0, abs=0.03)


def test_many_have_no_bangs_no_glasses_no_beard():
    share = (FaceLatent().degrees(noise(20000)).round() == 0).float().mean(0).tolist()
    assert share == pytest.approx([0.40, 0.48, 0.54, 0.17, 0.09], abs=0.03)


def linear_share(entanglement):
    """Of the variance of degrees, what a linear fit explains on other faces."""
    w = torch.cat([noise(8000), torch.ones(8000, 1)], 1)
    raw = FaceLatent(entanglement).factors(w[:, :40])[:, :5]
    fit = torch.linalg.lstsq(w[:6000], raw[:6000]).solution
    return (1 - (w[6000:] @ fit - raw[6000:]).square().mean(0) / raw[6000:].var(0)).mean().item()


def test_entanglement_bends_the_lines():
    shares = [linear_share(entanglement) for entanglement in (0.0, 0.5, 0.75, 1.0)]
    assert shares[0] == pytest.approx(1, abs=1e-4)
    assert shares == sorted(shares, reverse=True)
    assert 0.3 < shares[2] < 0.5


def test_reach_changes_the_degrees_alone():
    latent, w = FaceLatent(), noise(200)
    wanted = 5 * torch.rand(200, 5, generator=torch.Generator().manual_seed(1))
    moved = latent.reach(w, wanted)
    assert (latent.degrees(moved) - wanted).abs().max() < 1e-4
    assert (latent.factors(moved)[:, 5:] - latent.factors(w)[:, 5:]).abs().max() < 1e-4


def test_reaching_what_is_there_moves_nothing():
    """Also where the raw degree lies beyond what is shown, as it does for most who have no beard."""
    latent, w = FaceLatent(), noise(200)
    assert (latent.factors(w)[:, :5] < 0).any()
    assert (latent.reach(w, latent.degrees(w)) - w).abs().max() < 1e-4


def test_both_ways_are_differentiable():
    latent = FaceLatent().double()
    w = noise(2).double().requires_grad_()
    assert torch.autograd.gradcheck(latent.factors, w)
    assert torch.autograd.gradcheck(latent.inverse, w)


def test_an_entanglement_below_zero_is_refused():
    with pytest.raises(ValueError, match="0 or more, got -1"):
        FaceLatent(-1)


def test_missing_constants_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.safetensors"):
        FaceLatent(path=tmp_path / "nowhere.safetensors")
