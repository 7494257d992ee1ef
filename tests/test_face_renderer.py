import pytest
import torch

from retouch.benchmarks.face_pictures import faces_page
from retouch.simulators.face_factors import CONTEXT, FACTORS, IDENTITY, NAMES
from retouch.simulators.face_renderer import FaceRenderer
from retouch.simulators.faces import ATTRIBUTES

REGIONS = {  # rows and columns of 64 where an attribute is seen, and how much each step changes them, at least
    "bangs": (slice(8, 34), slice(14, 50), 0.008),
    "eyeglasses": (slice(20, 40), slice(10, 54), 0.010),
    "beard": (slice(32, 64), slice(10, 54), 0.010),
    "smiling": (slice(38, 50), slice(20, 44), 0.010),
    "age": (slice(0, 64), slice(0, 64), 0.008),
}


@pytest.fixture(scope="module")
def renderer():
    return FaceRenderer(64)


@pytest.fixture(scope="module")
def people():
    factors = torch.randn(12, FACTORS, generator=torch.Generator().manual_seed(2))
    factors[:, :5] = torch.tensor([0.3, 0.3, 0.3, 1.3, 2.3])
    factors[:, CONTEXT] *= 0.3
    return factors


def shown(renderer, people, name, value):
    factors = people.clone()
    factors[:, NAMES.index(name)] = value
    with torch.no_grad():
        return renderer(factors)


def test_the_factors_have_their_places():
    assert FACTORS == len(NAMES) == len(set(NAMES)) == 40
    assert NAMES[:5] == ATTRIBUTES
    assert (NAMES[IDENTITY][0], NAMES[CONTEXT][0]) == ("masculinity", "yaw")


@pytest.mark.parametrize("size", [32, 64, 128])
def test_faces_are_pictures_of_the_size_asked_for(size, people):
    faces = FaceRenderer(size)(people[:3] * 3)
    assert faces.shape == (3, 3, size, size)
    assert torch.isfinite(faces).all()
    assert faces.min() >= 0 and faces.max() <= 1


def test_other_shapes_are_refused(renderer):
    with pytest.raises(ValueError, match=r"\[B, 40\], got \(2, 39\)"):
        renderer(torch.zeros(2, 39))


def test_a_face_does_not_depend_on_its_batch(renderer, people):
    with torch.no_grad():
        torch.testing.assert_close(renderer(people[3:4])[0], renderer(people)[3], atol=1e-5, rtol=0)


def test_every_factor_has_a_gradient(renderer, people):
    factors = people.clone().requires_grad_()
    (renderer(factors) * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert torch.isfinite(factors.grad).all()
    assert (factors.grad.abs().mean(0) > 1e-3).all()


def test_the_gradient_agrees_with_small_steps(people):
    renderer = FaceRenderer(32).double()
    factors = people[:2].double()
    weights = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    slope = torch.func.grad(lambda f: (renderer(f) * weights).sum())(factors)
    direction = torch.randn(2, FACTORS, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    step = 1e-6 * direction
    with torch.no_grad():
        rise = ((renderer(factors + step) - renderer(factors - step)) * weights).sum() / 2e-6
    assert rise.item() == pytest.approx((slope * direction).sum().item(), rel=1e-3)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_step_of_a_degree_is_seen(renderer, people, name):
    rows, columns, least = REGIONS[name]
    degrees = torch.stack([shown(renderer, people, name, float(degree)) for degree in range(6)])[..., rows, columns]
    steps = (degrees[1:] - degrees[:-1]).abs().mean((1, 2, 3, 4))
    assert (steps > least).all(), steps
    from_none = (degrees - degrees[0]).abs().mean((1, 2, 3, 4))
    assert (from_none.diff() > 0).all() if name != "eyeglasses" else from_none[5] > from_none[1]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_degrees_beyond_the_scale_are_cut(renderer, people, name):
    assert torch.equal(shown(renderer, people, name, 9.0), shown(renderer, people, name, 5.0))
    assert torch.equal(shown(renderer, people, name, -3.0), shown(renderer, people, name, 0.0))


@pytest.mark.parametrize(
    "name, rows",
    [("smiling", slice(0, 21)), ("beard", slice(0, 25)), ("bangs", slice(42, 64)), ("eyeglasses", slice(43, 64))],
)
def test_an_attribute_changes_only_what_it_is_about(renderer, people, name, rows):
    change = (shown(renderer, people, name, 5.0) - shown(renderer, people, name, 0.0)).abs()
    assert change[:, :, rows].max() < 1e-6
    assert change.max() > 0.2


@pytest.mark.parametrize("name", NAMES[IDENTITY])
def test_people_differ_at_64_pixels(renderer, people, name):
    change = (shown(renderer, people, name, 1.5) - shown(renderer, people, name, -1.5)).abs().amax(1)
    moved = (change > 0.04).float().sum((1, 2)).mean()
    assert moved > 12, moved  # pixels


def test_the_page_shows_every_degree(renderer):
    page = faces_page(renderer)
    assert page.shape == (7 * 64, 6 * 64, 3)
    assert page.std() > 30


@pytest.mark.gpu
def test_the_accelerator_draws_the_same(renderer, people):
    with torch.no_grad():
        there = FaceRenderer(64).cuda()(people.cuda()).cpu()
        torch.testing.assert_close(there, renderer(people), atol=2e-3, rtol=0)
