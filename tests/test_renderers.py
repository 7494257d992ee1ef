import pickle
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from retouch import backends
from retouch.benchmarks import make_renderer as maker
from retouch.simulators import analytic, tiles
from retouch.simulators.neural_renderer import WEIGHTS, PublishedRenderer, load_neural
from retouch.simulators.raster import reference_alpha
from retouch.simulators.renderers import Renderer, make_renderer

BRUSHES = ["bezier", "bezier-opaque", "triangle", "circle"]


def random_shapes(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 10, generator=torch.Generator().manual_seed(seed))


def random_scene(lanes: int = 6, strokes: int = 4, size: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    canvas, mask = torch.rand(lanes, 3, size, size, generator=rng), torch.rand(lanes, 1, size, size, generator=rng)
    return canvas, torch.rand(lanes, strokes, 13, generator=rng), mask


class Half(Renderer):
    """Every stroke covers all the canvas, half opaque."""

    def forward(self, shape: torch.Tensor) -> torch.Tensor:
        return torch.full((len(shape), self.size, self.size), 0.5)


def stroke(**numbers: float) -> np.ndarray:
    names = ("x0", "y0", "x1", "y1", "x2", "y2", "z0", "z2", "w0", "w2")
    return np.array([numbers.get(name, 0.5) for name in names], np.float32)


def test_the_thinnest_dot_of_the_reference_has_radius_one_on_the_doubled_canvas() -> None:
    # in the corner, three of the plus of five pixels are seen, all in one block of 2 x 2
    alpha = reference_alpha(stroke(x0=0, y0=0, x2=0, y2=0, z0=0, z2=0, w0=1, w2=1), size=32)
    assert alpha[0, 0] == 0.75 and alpha.sum() == 0.75


def test_in_the_reference_later_discs_overwrite_and_the_end_is_not_drawn() -> None:
    alpha = reference_alpha(stroke(x0=0, y0=0, x2=0, y2=0, w0=1, w2=0), size=32)  # 100 discs, the last at t = .99
    assert alpha[0, 0] == pytest.approx(0.01)


def test_x_is_the_row_and_the_control_point_is_relative() -> None:
    shape = stroke(x0=0.25, x2=0.25, x1=0.9, y0=0.0, y2=1.0, z0=0, z2=0, w0=1, w2=1)
    rows, columns = reference_alpha(shape, size=64).nonzero()
    assert set(rows) <= {15, 16} and columns.min() == 0 and columns.max() == 63


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("brush", BRUSHES)
def test_analytic_strokes_are_those_of_the_reference(brush: str, size: int) -> None:
    shape = random_shapes(100)
    truth = make_renderer(f"cv2:{brush}", size)(shape)
    error = (make_renderer(f"analytic:{brush}", size)(shape) - truth).square().mean() / truth.square().mean()
    assert error < 0.9 / size  # the reference knows whole pixels only: .7% of the empty canvas's error at 128 px


def test_the_cv2_renderer_draws_the_reference() -> None:
    shape = random_shapes(3)
    drawn = make_renderer("cv2", 64)(shape)
    assert drawn.shape == (3, 64, 64) and drawn.max() > 0.1
    assert np.array_equal(drawn[2].numpy(), reference_alpha(shape[2].numpy(), 64))


@pytest.mark.parametrize("brush", BRUSHES)
def test_swapping_rows_and_columns_transposes_the_stroke(brush: str) -> None:
    shape, renderer = random_shapes(50), make_renderer(f"analytic:{brush}", 64)
    swapped = renderer(shape[:, [1, 0, 3, 2, 5, 4, 6, 7, 8, 9]])
    close = torch.isclose(swapped, renderer(shape).mT, atol=1e-4)
    assert close.float().mean() > 0.9999  # sums in another order can flip which disc is the last, seldom


@pytest.mark.parametrize("brush", BRUSHES)
def test_extreme_strokes_have_finite_opacities_and_gradients(brush: str) -> None:
    corners = random_shapes(200).round()
    still = random_shapes(50)
    still[:, 4:6] = still[:, 0:2]
    shape = torch.cat([corners, still]).requires_grad_()
    alpha = make_renderer(f"analytic:{brush}", 32)(shape)
    alpha.sum().backward()
    assert alpha.min() >= 0 and alpha.max() <= 1
    assert shape.grad is not None and shape.grad.isfinite().all()


@pytest.mark.parametrize("brush, tolerance", list(zip(BRUSHES, [0.03, 0.01, 1e-6, 1e-6], strict=True)))
def test_gradients_are_those_of_finite_differences(brush: str, tolerance: float) -> None:
    renderer, shape = make_renderer(f"analytic:{brush}", 32), random_shapes(30).double()
    weight = torch.rand(32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    loss = lambda x: (renderer(x) * weight).sum((1, 2))
    wanted = shape.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(wanted).sum(), wanted)
    step = 1e-6 * torch.eye(10, dtype=torch.float64)
    numeric = torch.stack([(loss(shape + d) - loss(shape - d)) / 2e-6 for d in step], 1)
    error = (gradient - numeric).norm(dim=1) / numeric.norm(dim=1).clamp_min(1)
    assert error.median() < tolerance


def test_painting_lays_strokes_in_order_and_masks_their_opacity() -> None:
    canvas = torch.full((1, 3, 2, 2), 0.2)
    strokes = torch.cat([torch.zeros(1, 2, 10), torch.tensor([[[1.0, 1.0, 1.0], [0.0, 0.4, 0.0]]])], -1)
    mask = torch.tensor([[[[1.0, 1.0], [0.5, 0.0]]]])
    painted = Half(2).paint(canvas, strokes, mask)
    assert torch.allclose(painted[0, :, 0, 0], torch.tensor([0.3, 0.5, 0.3]))  # .2 -> .6 -> half way to the second
    assert torch.allclose(painted[0, :, 1, 0], torch.tensor([0.3, 0.4, 0.3]))  # a quarter: .2 -> .4 -> .3
    assert torch.allclose(painted[0, :, 1, 1], torch.tensor([0.2, 0.2, 0.2]))


@pytest.mark.parametrize("brush", BRUSHES)
def test_painting_on_tiles_equals_painting_whole_canvases(brush: str) -> None:
    canvas, strokes, mask = random_scene()
    renderer, before = make_renderer(f"analytic:{brush}", 32), canvas.clone()
    for chosen in (None, mask):
        painted = renderer.paint(canvas, strokes, chosen)
        assert torch.equal(painted, Renderer.paint(renderer, canvas, strokes, chosen))
        assert (painted - canvas).abs().max() > 0.1
    assert torch.equal(canvas, before)


def test_the_gradient_of_painting_on_tiles_is_that_of_whole_canvases() -> None:
    canvas, strokes, mask = (value.requires_grad_() for value in random_scene())
    renderer, weight = make_renderer("analytic", 32), torch.rand(6, 3, 32, 32)
    tiles, whole = renderer.paint(canvas, strokes, mask), Renderer.paint(renderer, canvas, strokes, mask)
    got = torch.autograd.grad((tiles * weight).sum(), (canvas, strokes, mask))
    expected = torch.autograd.grad((whole * weight).sum(), (canvas, strokes, mask))
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(b.abs().max()))


def test_painting_depends_neither_on_the_batch_nor_on_gradients_nor_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas, strokes, mask = random_scene()
    renderer = make_renderer("analytic", 32)
    together = renderer.paint(canvas, strokes, mask)
    lanes = [renderer.paint(*(value[i : i + 1] for value in (canvas, strokes, mask))) for i in range(6)]
    assert torch.equal(together, torch.cat(lanes))
    assert torch.equal(together, renderer.paint(canvas, strokes.clone().requires_grad_(), mask))
    alpha = renderer(strokes[0, :, :10])
    monkeypatch.setattr(analytic, "STROKES", 2)
    monkeypatch.setattr(tiles, "TESTS", 1)
    monkeypatch.setitem(analytic.BATCH, "cpu", 7)
    assert torch.equal(together, renderer.paint(canvas, strokes, mask))
    assert torch.equal(alpha, renderer(strokes[0, :, :10]))


def test_a_canvas_that_no_stroke_touches_is_copied() -> None:
    canvas = torch.rand(2, 3, 32, 32)
    painted = make_renderer("analytic", 32).paint(canvas, torch.zeros(2, 1, 13), torch.zeros(2, 1, 32, 32))
    assert torch.equal(painted, canvas) and painted.data_ptr() != canvas.data_ptr()


def published_forward(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Learning to Paint, section 1.2 of its renderer: written out once more, from the state dict alone."""
    for i in (1, 2, 3, 4):
        x = F.relu(F.linear(x, state[f"fc{i}.weight"], state[f"fc{i}.bias"]))
    x = x.reshape(-1, 16, 16, 16)
    for i in range(1, 9 if "conv8.weight" in state else 7):
        x = F.conv2d(x, state[f"conv{i}.weight"], state[f"conv{i}.bias"], padding=1)
        x = F.relu(x) if i % 2 else F.pixel_shuffle(x, 2)
    return 1 - 1 / (1 + torch.exp(-x[:, 0]))


def random_state(size: int) -> dict[str, torch.Tensor]:
    widths = {
        128: [(16, 32), (32, 32), (8, 16), (16, 16), (4, 8), (8, 4)],
        256: [(16, 64), (64, 64), (16, 32), (32, 32), (8, 16), (16, 16), (4, 8), (8, 4)],
    }[size]
    state = {}
    for i, (before, after) in enumerate([(10, 512), (512, 1024), (1024, 2048), (2048, 4096)], 1):
        state |= {f"fc{i}.weight": torch.randn(after, before) * before**-0.5, f"fc{i}.bias": torch.randn(after)}
    for i, (before, after) in enumerate(widths, 1):
        state |= {f"conv{i}.weight": torch.randn(after, before, 3, 3) * 0.1, f"conv{i}.bias": torch.randn(after)}
    return state


@pytest.mark.parametrize("size", [128, 256])
def test_a_published_renderer_loads_and_draws_what_its_formula_says(size: int, tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    state = random_state(size)
    torch.save(state, tmp_path / "renderer.pkl")
    renderer, shape = make_renderer(f"published:{tmp_path / 'renderer.pkl'}", size), random_shapes(2).requires_grad_()
    drawn = renderer(shape)
    assert drawn.shape == (2, size, size) and drawn.std() > 0.01
    assert torch.allclose(drawn, published_forward(state, shape), atol=1e-5)
    drawn.sum().backward()
    assert shape.grad is not None and shape.grad.abs().max() > 0
    assert not any(weight.requires_grad for weight in renderer.parameters())


def test_the_published_network_has_its_published_number_of_weights() -> None:
    assert sum(weight.numel() for weight in PublishedRenderer().parameters()) == 11_040_812


def test_files_that_are_no_published_renderer_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "renderer.pkl"
    with pytest.raises(FileNotFoundError, match="renderer.pkl"):
        make_renderer(f"published:{path}")
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match="renderer.pkl"):
        make_renderer(f"published:{path}")
    torch.save({"fc1.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="128 px"):
        make_renderer(f"published:{path}")


def test_the_shipped_neural_renderer_draws_strokes_and_is_frozen() -> None:
    renderer, shape = make_renderer("neural"), random_shapes(50)
    truth = make_renderer("cv2")(shape)
    wanted = shape.clone().requires_grad_()
    drawn = renderer(wanted)
    assert (drawn - truth).square().mean() < 0.05 * truth.square().mean()
    drawn.sum().backward()
    assert wanted.grad is not None and wanted.grad.abs().max() > 0
    assert not any(weight.requires_grad for weight in renderer.parameters())
    assert WEIGHTS.stat().st_size < 1_000_000


@pytest.mark.slow
def test_making_weights_writes_a_network_that_loads_and_its_card(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = maker.make(tmp_path, minutes=0.005, test_strokes=4)
    assert load_neural(64, tmp_path / WEIGHTS.name)(random_shapes(2)).shape == (2, 64, 64)
    assert made["renderers"]["analytic"]["mse"] < made["renderers"]["empty canvas"]["mse"]
    assert "empty canvas" in (tmp_path / "renderer.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["renderer.md", "renderer.safetensors"]


@pytest.mark.parametrize("name", ["oil", "analytic:square", "neural:circle", "published:", "published"])
def test_unknown_renderers_are_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(ValueError, match="analytic:triangle.*neural.*published:PATH"):
        make_renderer(name)


@pytest.mark.parametrize("name, size", [("analytic", 100), ("neural", 8), ("analytic", 0)])
def test_sizes_that_tiles_do_not_fill_are_refused(name: str, size: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 16, got {size}"):
        make_renderer(name, size)


def test_missing_weights_name_the_file_and_the_way_out(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FileNotFoundError, match="renderer.safetensors.*make-weights renderer"):
        load_neural(128, tmp_path / "renderer.safetensors")


@pytest.fixture
def traced(monkeypatch):
    """torch.compile traces, and compiles nothing."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    backends.compiled.cache_clear()
    yield
    backends.compiled.cache_clear()


@pytest.mark.parametrize("strokes", [1, 4, analytic.UNROLLED + 1])
@pytest.mark.usefixtures("traced")
def test_traced_for_the_compiler_it_paints_the_same_to_rounding(strokes):
    canvas, strokes, mask = random_scene(strokes=strokes)
    plain, fused = (make_renderer("analytic", 32, compile=compile) for compile in (False, True))
    torch.testing.assert_close(fused.paint(canvas, strokes, mask), plain.paint(canvas, strokes, mask))


@pytest.mark.usefixtures("traced")
def test_traced_for_the_compiler_strokes_beyond_the_canvas_leave_it():
    canvas = torch.rand(2, 3, 32, 32)
    painted = make_renderer("analytic", 32, compile=True).paint(canvas, torch.full((2, 3, 13), 9.0))
    assert torch.equal(painted, canvas)


@pytest.mark.slow
def test_compiled_it_paints_and_learns_the_same_to_rounding():
    plain, fused = make_renderer("analytic:circle", 32), make_renderer("analytic:circle", 32, compile=True)
    for lanes in (1, 5):
        scene = random_scene(lanes)
        torch.testing.assert_close(fused.paint(*scene), plain.paint(*scene))
        canvas, strokes = torch.rand(lanes, 3, 32, 32), torch.rand(lanes, 4, 13, requires_grad=True)
        painted = [renderer.paint(canvas, strokes) for renderer in (plain, fused)]
        torch.testing.assert_close(*painted)
        weight = torch.randn_like(canvas)
        torch.testing.assert_close(*(torch.autograd.grad((image * weight).sum(), strokes)[0] for image in painted))


def test_what_cannot_be_compiled_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="for analytic renderers, not for 'neural'"):
        make_renderer("neural", compile=True)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="needs a C"):
        make_renderer("analytic", compile=True)
