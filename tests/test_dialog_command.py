"""`retouch dialog`: what it says, draws and refuses, with a person and with the simulated user."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont
from typer.testing import CliRunner

from retouch.benchmarks import portraits
from retouch.benchmarks.dialog import begin, changes, read_wishes
from retouch.benchmarks.dialog_pictures import COLUMNS, SHOWN, Album, Frame, enlarged, shortened, strip, wrap
from retouch.benchmarks.players import make_player
from retouch.cli import app
from retouch.simulators.images import read_image

LINE = "env.base=line"


def call(*words, said="", code=0):
    result = CliRunner().invoke(app, ["dialog", *map(str, words)], input=said)
    assert result.exit_code == code, result.output
    return result


def refused(*words):
    """The one line that is told, without its beginning."""
    told = call(*words, code=2).stderr
    assert told.startswith("retouch: ") and told.count("\n") == 1
    return told[len("retouch: ") :]


@cache
def player(policy):
    return make_player("FaceDialog-v0", policy, [LINE, "env.rounds=2"], "cpu")


def conversation(policy="field", wishes=()):
    return begin(player(policy).task, player(policy).agent, 0, None, False, wishes)


def test_a_person_talks_and_the_pictures_follow(tmp_path):
    told = call(LINE, "--seed", 3, "--out", tmp_path, said="a bit more beard\nno, less\nthat's all\nmore beard\n")
    lines = told.stdout.splitlines()
    assert "User:   a bit more beard" in lines and "User:   that's all" in lines
    assert "User:   more beard" not in lines  # the dialog was over
    assert any(line.startswith("        [beard 0 to 1") and "round_1.png" in line for line in lines)
    assert lines[lines.index("User:   that's all") + 1].endswith("oodbye!")
    names = {"round_0.png", "round_1.png", "round_2.png", "now.png", "dialog.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    faces = [read_image(tmp_path / f"round_{number}.png") for number in range(3)]
    assert faces[0].shape == (SHOWN, SHOWN, 3) and not np.array_equal(faces[0], faces[1])
    assert np.array_equal(faces[2], read_image(tmp_path / "now.png"))


@pytest.mark.parametrize("end", ["\nmore beard\n", "", " EXIT \nmore beard\n"])
def test_who_leaves_is_told_goodbye_and_keeps_the_pictures(end, tmp_path):
    told = json.loads(call(LINE, "--json", "--out", tmp_path, said="put on sunglasses\n" + end).stdout)
    assert [turn["user"] for turn in told["rounds"]] == ["put on sunglasses"] and told["ended"] == "the user left"
    assert told["wished"] is None and (tmp_path / "dialog.png").exists()
    assert told["reached"]["eyeglasses"] > told["start"]["eyeglasses"] and told["alike"] < 1


def test_ctrl_c_ends_politely(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("retouch.benchmarks.dialog.Conversation.tell", interrupted)
    told = call(LINE, "--out", tmp_path, said="more beard\n")
    assert "oodbye!" in told.stdout and (tmp_path / "dialog.png").exists()


def test_what_is_not_understood_is_asked_back_and_changes_nothing():
    talk = conversation()
    before = talk.state.latent
    long = "make the beard longer " * 40
    for text in ("xyzzy", "\u0431\u043e\u0440\u043e\u0434\u0430", long, "longer bangs and less beard"):
        answer = talk.tell(text)
        assert answer.picture is None and answer.editor and answer.changed == "no change"
    assert torch.equal(talk.state.latent, before) and not talk.over


def test_a_person_may_go_on_for_more_rounds_than_the_task_has():
    talk = conversation()
    pictures = [talk.tell(text).picture for text in ("more beard", "more beard", "older", "longer bangs", "younger")]
    assert all(picture is not None for picture in pictures) and not talk.over
    assert talk.tell("that's all").picture is None and talk.over


def test_nobody_who_edits_leaves_the_face_as_it_was():
    talk = conversation("none")
    first = talk.picture
    assert np.array_equal(talk.tell("put on sunglasses").picture, first)
    assert talk.outcome().alike == pytest.approx(1, abs=1e-5)


def test_the_simulated_user_has_the_wish_that_is_given(tmp_path):
    words = (LINE, "--simulate", "--wish", "beard=4", "--wish", "smiling=5", "--seed", 3, "--out", tmp_path, "--json")
    told = json.loads(call(*words).stdout)
    assert told["wished"] == told["start"] | {"beard": 4, "smiling": 5}
    assert told["rounds"][0]["user"][0].isupper() and len(told["rounds"]) <= 6
    assert told["distance"][0] == pytest.approx((4 - told["start"]["beard"] + 5 - told["start"]["smiling"]) / 5)
    assert json.loads(call(*words).stdout)["rounds"] == told["rounds"]


def test_the_outcome_of_a_simulated_dialog_is_told(tmp_path):
    told = call(LINE, "--simulate", "--out", tmp_path).stdout
    assert all(f"\n{label}" in told for label in ("wished ", "reached ", "missing ", "others ", "ended ", "files "))


def test_a_photo_becomes_a_drawing(tmp_path, monkeypatch):
    Image.fromarray(np.full((30, 60, 3), 99, np.uint8)).save(tmp_path / "photo.png")
    monkeypatch.setattr(portraits, "DRAWN_STEPS", 2)
    told = call(LINE, "--image", tmp_path / "photo.png", "--out", tmp_path / "out").stdout
    assert "No face was found" in told and "a likeness and no more" in told
    assert read_image(tmp_path / "out/dialog.png").shape[1] == 2 * (SHOWN + 12) + 12  # the photo and the drawing


def test_a_head_is_found_in_a_photo():
    pytest.importorskip("skimage")
    from retouch.benchmarks.painters import find_photo

    photo = find_photo("astronaut")[1]
    found = portraits.head(photo)
    top, left = 110 - len(found) // 2, 235 - len(found) // 2  # her face is about there
    assert (
        150 < len(found) < 260 and np.abs(photo[top:][: len(found), left:][:, : len(found)] - found * 1.0).mean() < 60
    )
    assert portraits.head(np.zeros((50, 90, 3), np.uint8)) is None


def test_every_word_is_in_the_strip():
    font = ImageFont.load_default(15)
    lines = wrap("a bit more " + "beard" * 30, font, 200)
    assert "".join(lines).replace(" ", "") == "abitmore" + "beard" * 30
    assert all(font.getlength(line) <= 200 for line in lines)
    assert shortened("a \n b") == "a b" and len(shortened("word " * 99)) <= 200
    face = np.zeros((64, 64, 3), np.uint8)
    frame = Frame(face, [((0, 0, 0), "more beard, please")])
    page = strip([frame] * (COLUMNS + 1))
    assert page.shape[1] == 4 * (SHOWN + 12) + 12  # rows of 4 and 3
    assert enlarged(face).shape == (SHOWN, SHOWN, 3) and enlarged(np.zeros((300, 300, 3), np.uint8)).shape[0] == 300


def test_an_album_counts_its_rounds(tmp_path):
    album = Album(tmp_path)
    assert [album.add(np.zeros((64, 64, 3), np.uint8)).name for _ in range(2)] == ["round_0.png", "round_1.png"]


def test_wishes_and_changes():
    assert read_wishes(["beard=3", "age=0"]) == {2: 3.0, 4: 0.0}
    with pytest.raises(ValueError, match="add --simulate"):
        conversation(wishes=["beard=3"])
    for wish in ("beard=6", "beard=", "nose=1", "beard=-1"):
        with pytest.raises(ValueError, match="such as beard=3"):
            read_wishes([wish])
    assert changes({"beard": 0, "age": 2}, {"beard": 3, "age": 2}) == "beard 0 to 3"


def test_what_cannot_be_is_refused_in_one_line(tmp_path):
    assert "there is no such file" in refused("--image", tmp_path / "none.png", LINE)
    assert "no such policy" in refused("--policy", "nobody", LINE)
    assert "expected 'embedded' or a folder" in refused("--world", tmp_path / "none")
    assert "no setting env.sise" in refused("env.sise=3")


def test_undecodable_lines_are_asked_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["dialog", LINE], input=b"\xff\xfe\nthat's all\n")
    assert result.exit_code == 0 and (tmp_path / "dialogs/face-0/dialog.png").exists()
