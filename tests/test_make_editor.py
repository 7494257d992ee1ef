"""The training of the shipped editor."""

import os
import signal

import pytest
import torch

from retouch.benchmarks import editor_card, make_editor, make_half_editor
from retouch.benchmarks.checkpoint import read_tensors, write_tensors
from retouch.benchmarks.editor_card import shares
from retouch.benchmarks.lessons import train
from retouch.benchmarks.make_editor import Trainer, make
from retouch.simulators.editors import load_editor
from retouch.simulators.edits import make_edits


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"PROBLEMS": 16, "PROBE": 2, "TEST": 4, "BATCH": 4}.items():
        monkeypatch.setattr(make_editor, name, value)
    monkeypatch.setattr(editor_card, "STEPS", (1,))


def test_the_exact_target_solves_every_problem_and_the_input_none():
    problems = make_edits("embedded:64", split="test", seed=0)
    target = problems[torch.arange(64)].target.float() / 255
    kinds = ("insertion", "removal", "replacement", "transformation")
    answered = shares(problems, lambda image, instruction: target)
    assert answered == dict.fromkeys(("success", *kinds, "done", "kept"), 1.0)
    copied = shares(problems, lambda image, instruction: image)
    assert copied == {**dict.fromkeys(("success", *kinds, "done"), 0.0), "kept": 1.0}


def test_training_lowers_the_error():
    trainer = Trainer(0)

    def error():
        torch.manual_seed(5)
        with torch.no_grad():
            return trainer.error(torch.arange(16)).item()

    before = error()
    for _ in range(25):
        trainer.update(0.0)
    assert error() < 0.8 * before


def test_a_condition_is_dropped_as_often_as_instruct_pix2pix_drops_it(monkeypatch):
    trainer, seen = Trainer(0), []

    def predict(latent, t, condition, text):
        told = (text - trainer.editor.empty).abs().amax((1, 2)) > 1e-6
        seen.append(torch.stack([told, condition.abs().amax((1, 2, 3)) > 0], 1))
        return latent

    monkeypatch.setattr(trainer.editor, "predict", predict)
    with torch.no_grad():
        trainer.error(torch.randint(16, (2000,)))
    told, shown = seen[0].t()
    for share, expected in ((told & shown, 0.85), (~told & shown, 0.05), (told & ~shown, 0.05), (~told & ~shown, 0.05)):
        assert share.double().mean().item() == pytest.approx(expected, abs=0.02)


def test_a_training_resumed_equals_one_that_never_stopped(tmp_path):
    whole, first = Trainer(0), Trainer(0)
    torch.manual_seed(1)
    for _ in range(3):
        whole.update(0.5)
    torch.manual_seed(1)
    first.update(0.5)
    write_tensors(tmp_path / "checkpoint.pt", first.state_dict())
    first.try_out()
    second = Trainer(0)
    second.load_state_dict(read_tensors(tmp_path / "checkpoint.pt"))
    for _ in range(2):
        second.update(0.5)
    assert second.updates == 3
    for part in ("editor", "average"):
        pairs = zip(getattr(second, part).parameters(), getattr(whole, part).parameters(), strict=True)
        assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_a_checkpoint_of_another_seed_is_refused():
    trainer = Trainer(1)
    with pytest.raises(ValueError, match="seed 2, not 1"):
        trainer.load_state_dict({"seed": 2})


def test_ctrl_c_keeps_what_was_learned(tmp_path, monkeypatch, capsys):
    update = Trainer.update

    def interrupted_update(trainer, done):
        update(trainer, done)
        if trainer.updates == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "update", interrupted_update)
    with pytest.raises(KeyboardInterrupt):
        train(Trainer(0), 5.0, tmp_path / "editor.safetensors")
    assert "the same command goes on" in capsys.readouterr().out
    assert read_tensors(tmp_path / "editor.partial.pt")["updates"] == 2
    make(tmp_path, minutes=1e-5, seed=0)
    assert "update 2" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["editor.md", "editor.safetensors"]


def test_make_writes_weights_and_their_card(tmp_path, capsys):
    table = make(tmp_path, minutes=0.002)
    editor = load_editor(str(tmp_path / "editor.safetensors"))
    assert editor.latent_shape(32) == (48, 8, 8)
    assert list(table) == ["return the input", "1 steps", "1 steps, guidance 4 / 1.2"]
    card = (tmp_path / "editor.md").read_text()
    assert "--minutes 0.002 --seed 0" in card
    assert "| return the input | 0.0% |" in card
    assert "updates/s" in capsys.readouterr().out


def test_the_half_trained_editor_goes_on_from_the_shipped_one(tmp_path, monkeypatch):
    """Its targets are wrong half of the time, which its card says; the shipped editor is where it starts."""
    monkeypatch.setattr(make_half_editor, "PROBLEMS", "imperfect:16")
    make_half_editor.make(tmp_path, minutes=1e-5)
    half, shipped = load_editor(str(tmp_path / "editor-half.safetensors")), load_editor("shipped")
    pairs = zip(half.parameters(), shipped.parameters(), strict=True)
    assert max((mine - theirs).abs().max().item() for mine, theirs in pairs) < 0.01
    card = (tmp_path / "editor-half.md").read_text()
    assert "retouch make-weights half-editor" in card and "imperfect:16" in card
