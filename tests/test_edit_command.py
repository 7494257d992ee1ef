"""`retouch edit`: what it writes, tells and refuses, for the embedded world and for a pipeline."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from retouch.benchmarks import edit_command
from retouch.benchmarks.edit import Edited, Sampling, Subject, cut, edit, find_subject, heat_map, overview
from retouch.cli import app
from retouch.simulators.adapters import add_adapter, save_adapter
from retouch.simulators.ddim import DDIM
from retouch.simulators.editor import sample
from retouch.simulators.editors import load_editor
from retouch.simulators.edits import make_edits
from retouch.simulators.images import read_image

ASKED = "remove the red circle"


def adapter(name, folder):
    """The path of an adapter of the editor `name` that changes what it does."""
    editor = load_editor(str(name))
    add_adapter(editor)
    for part, weight in editor.named_parameters():
        if "lora_B" in part:
            torch.nn.init.ones_(weight)
    save_adapter(editor, folder)
    return folder


@pytest.fixture
def photo(tmp_path):
    """A file of 30 x 60 pixels, its middle green, left red and right blue."""
    picture = np.zeros((30, 60, 3), np.uint8)
    picture[:, :15, 0] = picture[:, 15:45, 1] = picture[:, 45:, 2] = 255
    Image.fromarray(picture).save(tmp_path / "flag.png")
    return tmp_path / "flag.png"


def call(*words, code=0):
    result = CliRunner().invoke(app, ["edit", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def refused(*words):
    """The one line that is told, without its beginning."""
    told = call(*words, code=2).stderr
    assert told.startswith("retouch: ") and told.count("\n") == 1
    return told[len("retouch: ") :]


def test_a_picture_is_edited_by_the_reference_sampler(model, photo, tmp_path):
    told = call(photo, "Remove red circle!", "--model", model, "--steps", 3, "--seed", 5, "--out", tmp_path / "out")
    result = read_image(tmp_path / "out/edited.png")
    green = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    editor = load_editor(model)
    noise = torch.Generator().manual_seed(5)
    wanted = sample(editor, DDIM(editor.schedule, 3, 1.0), green, [ASKED], generator=noise)
    assert np.abs(result - 255 * wanted[0].permute(1, 2, 0).numpy()).max() <= 0.51
    assert "32 x 32, the middle of 60 x 30 resized" in told.stdout
    assert told.stdout.splitlines()[-1].endswith(str(tmp_path / "out" / "overview.png"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"edited.png", "overview.png"}


def test_pictures_with_alpha_and_of_16_bits_are_read(model, tmp_path):
    Image.fromarray(np.full((40, 40, 4), 99, np.uint8)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((40, 40), 40000, np.uint16)).save(tmp_path / "deep.png")
    for name in ("clear", "deep"):
        call(tmp_path / f"{name}.png", ASKED, "--model", model, "--steps", 1, "--out", tmp_path / name)
        assert read_image(tmp_path / name / "edited.png").shape == (32, 32, 3)


def test_a_held_out_problem_brings_its_instruction_and_a_verdict(model, tmp_path):
    problems = make_edits("embedded:4", split="test")
    words = ("embedded:3", "--model", model, "--steps", 2, "--out", tmp_path, "--json")
    told = json.loads(call(*words).stdout)
    assert told["instruction"] == problems.instructions[3] and told["size"] == told["picture"] == [32, 32]
    assert told["verdicts"] == {"edited": ["not done", "not kept"]}  # noise, as the editor is untrained
    subject = find_subject("embedded:3")
    assert np.array_equal(subject.picture, problems[torch.tensor([3])].source[0].permute(1, 2, 0).numpy())
    other = json.loads(call("embedded:3", ASKED, *words[1:]).stdout)
    assert other["instruction"] == ASKED and other["verdicts"] == {}


def test_the_exact_answer_is_done_and_kept(model, monkeypatch):
    subject, editor = find_subject("embedded:3"), load_editor(model)
    target = subject.problem[torch.tensor([0])].target / 255
    monkeypatch.setattr(editor, "decode", lambda latent: target)
    assert edit(editor, subject.picture, subject, Sampling(1)).verdict == {"done": True, "kept": True}
    monkeypatch.setattr(editor, "decode", lambda latent: target * torch.nan)
    with pytest.raises(ValueError, match="NaN in torch.float32"):
        edit(editor, subject.picture, subject, Sampling(1))


def test_base_and_fine_tuned_start_from_the_same_noise(model, tmp_path):
    lora, out = adapter(model, tmp_path / "lora"), tmp_path / "out"
    rest = ("--model", model, "--steps", 2, "--seed", 3, "--out")
    told = call("embedded:0", "--lora", lora, "--compare", *rest, out)
    assert told.stdout.splitlines()[-1].endswith("overview.png") and "fine-tuned" in told.stdout
    call("embedded:0", *rest, tmp_path / "alone")
    call("embedded:0", "--lora", lora, *rest, tmp_path / "tuned")
    base, tuned = (read_image(out / f"{name}.png") for name in ("base", "fine-tuned"))
    assert np.array_equal(base, read_image(tmp_path / "alone/edited.png"))
    assert np.array_equal(tuned, read_image(tmp_path / "tuned/edited.png"))
    assert not np.array_equal(base, tuned)


def test_every_step_is_told(model):
    subject, steps = find_subject("embedded:1"), []
    edit(load_editor(model), subject.picture, subject, Sampling(4, guidance=(3.0, 1.5)), lambda: steps.append(1))
    assert len(steps) == 4


def test_a_pipeline_keeps_the_shape_of_the_picture(hub, photo, tmp_path):
    told = call(photo, "Make it rain", "--model", hub, "--steps", 2, "--out", tmp_path / "out")
    assert read_image(tmp_path / "out/edited.png").shape == (8, 16, 3)
    assert "16 x 8, the middle of 60 x 30 resized" in told.stdout
    call(photo, "Make it rain", "--model", hub, "--steps", 2, "--size", 33, "--out", tmp_path / "large")
    assert read_image(tmp_path / "large/edited.png").shape == (16, 32, 3)


def test_a_pipeline_edits_as_diffusers_does_by_default(hub, photo, tmp_path):
    from retouch import backends

    call(photo, "make it rain", "--model", hub, "--steps", 4, "--seed", 7, "--out", tmp_path / "out")
    pipe = backends.diffusers().StableDiffusionInstructPix2PixPipeline.from_pretrained(hub, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    source = cut(read_image(photo), load_editor(str(hub)))
    image = torch.tensor(source).permute(2, 0, 1)[None] / 255
    noise = torch.Generator().manual_seed(7)
    theirs = pipe("make it rain", image=image, num_inference_steps=4, generator=noise, output_type="np").images[0]
    assert np.abs(read_image(tmp_path / "out/edited.png") - 255 * theirs).max() < 1


def test_the_middle_of_a_picture_is_cut(model, photo):
    editor = load_editor(model)
    assert cut(read_image(photo), editor).reshape(-1, 3).tolist() == [[0, 255, 0]] * 32**2
    with pytest.raises(ValueError, match="32 pixels, not 64"):
        cut(read_image(photo), editor, 64)


def test_a_heat_map_is_brightest_where_the_attention_is():
    share = np.zeros((4, 4), np.float32)
    share[0, 3] = 1
    shown = heat_map(np.full((32, 32, 3), 128, np.uint8), share).astype(int).sum(2)
    assert shown.shape == (320, 320)
    assert shown[40, 280] == shown.max() > 2 * shown[280, 40]


@pytest.mark.parametrize("verdict", [{}, {"done": True, "kept": False}])
def test_an_overview_is_as_wide_as_what_there_is_to_see(verdict):
    subject = find_subject("embedded:2")
    edited = Edited(subject.picture, np.ones((4, 4), np.float32), verdict)
    columns = 4 if verdict else 3
    assert overview(subject, subject.picture, {"edited": edited}).shape[1] == columns * 332 + 12 + 24
    both = overview(subject, subject.picture, {"base": edited, "fine-tuned": edited})
    assert both.shape[1] == 3 * 332 + 12 + 24
    endless = Subject("x", subject.picture, "make it " + "very " * 200 + "red")
    assert overview(endless, subject.picture, {"edited": edited}).shape[1] == 3 * 332 + 12 + 24


def test_interrupted_it_writes_nothing(model, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(edit_command, "work", interrupted)
    told = call("embedded:0", "--model", model, "--out", tmp_path / "out", code=130)
    assert told.stderr == "stopped: nothing was written\n" and not (tmp_path / "out").exists()


def test_what_cannot_be_is_refused_in_one_line(model, hub, photo, tmp_path):
    given = ("--model", model)
    assert "there is no such file" in refused(tmp_path / "none.png", ASKED, *given)
    assert "OBJECT is a colour and a shape" in refused(photo, "make it snow", *given)
    assert "say what to do with" in refused(photo, *given)
    assert "expected embedded:N" in refused("embedded:last", *given)
    assert "give one by --lora" in refused(photo, ASKED, "--compare", *given)
    assert "no adapter in" in refused(photo, ASKED, "--lora", tmp_path, *given)
    assert "guidance must be above 0" in refused(photo, ASKED, "--guidance", 0, *given)
    assert "expected one of float32" in refused(photo, ASKED, "--dtype", "int8", *given)
    assert "steps must lie in 1 to 1000" in refused(photo, ASKED, "--steps", 1001, *given)
    lora = adapter(hub, tmp_path / "lora")
    assert "does not fit this denoiser" in refused(photo, ASKED, "--lora", lora, *given)
    (tmp_path / "pipe").mkdir()
    (tmp_path / "pipe/model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    assert "is a FluxPipeline: expected a StableDiffusionInstructPix2" in refused(
        photo, ASKED, "--model", tmp_path / "pipe"
    )
