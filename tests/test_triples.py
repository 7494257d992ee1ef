"""Editing problems on disk: a folder of triples, and MagicBrush in both published layouts."""

import io
import json
import warnings

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from retouch.simulators import triples
from retouch.simulators.datasets import hashed_split
from retouch.simulators.edits import UNKNOWN, make_edits
from retouch.simulators.images import write_image

SIZE = 16


def everything(edits):
    return edits[torch.arange(len(edits))]


def picture(red=0, side=40):
    return np.full((side, side, 3), (red, 10, 20), np.uint8)


def square_mask(side=40):
    """White on the right half."""
    mask = np.zeros((side, side), np.uint8)
    mask[:, side // 2 :] = 255
    return mask


def write_triple(root, name, text="make it red", red=0, **parts):
    write_image(root / f"{name}.png", picture(red))
    write_image(root / f"{name}.mask.png", parts.get("mask", square_mask()))
    if "target" in parts:
        write_image(root / f"{name}.target.png", parts["target"])
    (root / f"{name}.txt").write_text(text)


def write_archive(root, count=3):
    """MagicBrush's archive of one split: sessions of two turns."""
    turns, captions = [], {}
    for session in range(100, 100 + count):
        for number in (1, 2):
            source = f"{session}-input.png" if number == 1 else f"{session}-output1.png"
            mask, target = f"{session}-mask{number}.png", f"{session}-output{number}.png"
            pictures = root / "images" / str(session)
            write_image(pictures / f"{session}-input.png", picture(session))
            write_image(pictures / target, picture(session, 80))
            cut = np.dstack([picture(session), np.full((40, 40), 255, np.uint8)])
            cut[10:30, 10:30] = 0
            Image.fromarray(cut).save(pictures / mask)
            turns.append({"input": source, "mask": mask, "output": target, "instruction": f"turn {number}"})
            captions.setdefault(str(session), {})[target] = f"{session} after {number}"
    (root / "edit_turns.json").write_text(json.dumps(turns))
    (root / "local_descriptions.json").write_text(json.dumps(captions))


# a folder of triples


def test_a_folder_of_triples(tmp_path):
    write_triple(tmp_path, "one", "make it\n  red ", red=9, target=picture(200))
    write_triple(tmp_path / "deep", "two.b", red=50)
    edits = make_edits(str(tmp_path), SIZE, "all")
    assert edits.instructions == ["make it red", "make it red"] and edits.objects == ["", ""]
    edit = everything(edits)
    assert edit.source[:, 0, 0, 0].tolist() == [50, 9] and edit.target[:, 0, 0, 0].tolist() == [50, 200]
    assert (edit.mask[:, 0, :, SIZE // 2 :] == 255).all() and not edit.mask[:, 0, :, : SIZE // 2].any()
    assert edit.kind.tolist() == [UNKNOWN, UNKNOWN] and edits.check(edit.source / 255, torch.arange(2)) == {}
    assert make_edits(f"folder:{tmp_path}", split="all").size == 512


def test_a_folder_is_split_by_names(tmp_path):
    names = [f"p{number}" for number in range(20)]
    for name in names:
        write_triple(tmp_path, name, f"edit {name}")
    train, test = (make_edits(str(tmp_path), SIZE, split).instructions for split in ("train", "test"))
    assert set(test) == {f"edit {name}" for name in names if hashed_split(name) == "test"} and test
    assert set(train) | set(test) == {f"edit {name}" for name in names} and not set(train) & set(test)


def test_what_is_missing_or_odd_is_reported_by_name(tmp_path):
    write_triple(tmp_path, "good")
    write_triple(tmp_path, "silent", " \n")
    write_triple(tmp_path, "blank", mask=np.zeros((40, 40), np.uint8))
    write_triple(tmp_path, "tall", mask=square_mask()[:20])
    write_triple(tmp_path, "torn")
    (tmp_path / "torn.png").write_bytes((tmp_path / "torn.png").read_bytes()[:60])
    write_image(tmp_path / "alone.png", picture())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        edits = make_edits(str(tmp_path), SIZE, "all")
    told = "\n".join(str(warning.message) for warning in caught)
    assert len(edits) == 1 and len(caught) == 5
    for part in ("skipped alone: there is no alone.mask.png and no alone.txt", "silent.txt holds no instruction",
                 "skipped blank:", "marks nothing to edit", "40 x 20 pixels do not fit a picture of 40 x 40",
                 "torn.png: damaged"):  # fmt: skip
        assert part in told
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="no readable problem"):
        make_edits(str(empty), SIZE, "all")


def test_pictures_of_every_kind(tmp_path):
    """Transparent, 16-bit and grey pictures; a mask that is transparent where to edit."""
    write_triple(tmp_path, "a")
    Image.fromarray(np.zeros((40, 40, 4), np.uint8)).save(tmp_path / "a.png")
    cut = np.full((40, 40, 4), 255, np.uint8)
    cut[:20, :, 3] = 0
    Image.fromarray(cut).save(tmp_path / "a.mask.png")
    write_triple(tmp_path, "b")
    Image.fromarray(np.full((40, 40), 65535, np.uint16)).save(tmp_path / "b.png")
    edit = everything(make_edits(str(tmp_path), SIZE, "all"))
    assert (edit.source == 255).all()
    assert (edit.mask[0, 0, : SIZE // 2] == 255).all() and not edit.mask[0, 0, SIZE // 2 :].any()


def test_a_mask_may_be_the_picture_with_the_region_painted_over():
    source = np.full((4, 4, 3), (200, 30, 60), np.uint8)
    source[0] = 255  # white in the picture already
    painted = np.dstack([source, np.full((4, 4), 255, np.uint8)])
    painted[2:, :2, :3], painted[3, 3, :3] = 255, 0
    expected = np.zeros((4, 4), np.uint8)
    expected[2:, :2] = expected[3, 3] = 255
    np.testing.assert_array_equal(triples.region(painted, source), expected)


# MagicBrush


def test_magicbrush_as_in_its_archive(tmp_path):
    write_archive(tmp_path / "train", 3)
    write_archive(tmp_path / "dev", 2)
    train, test = (make_edits(f"magicbrush:{tmp_path}", SIZE, split) for split in ("train", "test"))
    assert len(train) == 6 and len(test) == 4 and len(make_edits(f"magicbrush:{tmp_path}", SIZE, "all")) == 10
    assert train.instructions[:2] == ["turn 1", "turn 2"] and train.captions[3] == "101 after 2"
    edit = everything(train)
    assert edit.target[:, 0, 0, 0].tolist() == [100, 100, 101, 101, 102, 102]
    middle = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    middle[4:12, 4:12] = True
    assert torch.equal(edit.mask[0, 0] > 127, middle)
    write_archive(tmp_path / "test", 1)
    assert len(make_edits(f"magicbrush:{tmp_path}", SIZE, "test")) == 2


def test_one_split_of_the_archive_alone_is_split_by_sessions(tmp_path):
    write_archive(tmp_path, 20)
    train, test = (set(make_edits(f"magicbrush:{tmp_path}", SIZE, split).captions) for split in ("train", "test"))
    sessions = [{caption.split()[0] for caption in captions} for captions in (train, test)]
    assert not sessions[0] & sessions[1] and len(train) + len(test) == 40 and sessions[1]


def test_an_odd_archive_is_reported(tmp_path):
    write_archive(tmp_path, 2)
    (tmp_path / "images" / "101" / "101-mask2.png").unlink()
    with pytest.warns(UserWarning, match="skipped 101-output2.png: .*101-mask2.png: there is no such file"):
        assert len(make_edits(f"magicbrush:{tmp_path}", SIZE, "all")) == 3
    (tmp_path / "edit_turns.json").write_text('[{"input": "1-input.png"}]')
    with pytest.raises(ValueError, match="entry 0 is .* expected an object with input, mask"):
        make_edits(f"magicbrush:{tmp_path}", SIZE, "all")
    (tmp_path / "edit_turns.json").write_text("[")
    with pytest.raises(ValueError, match="edit_turns.json: not JSON"):
        make_edits(f"magicbrush:{tmp_path}", SIZE, "all")
    (tmp_path / "edit_turns.json").unlink()
    with pytest.raises(ValueError, match="no split 'train' of MagicBrush: expected data"):
        make_edits(f"magicbrush:{tmp_path}", SIZE)


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def test_magicbrush_as_on_the_hub(tmp_path):

    def table(path, count):
        rows = [{"img_id": str(number), "turn_index": 1, "source_img": encoded(picture(number)),
                 "mask_img": encoded(square_mask()), "instruction": f"edit {number}",
                 "target_img": encoded(picture(100 + number))} for number in range(count)]  # fmt: skip
        rows[-1]["mask_img"] = {"bytes": b"no image", "path": None}
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    (tmp_path / "data").mkdir()
    table(tmp_path / "data" / "train-00000-of-00002-1a.parquet", 70)
    table(tmp_path / "data" / "train-00001-of-00002-2b.parquet", 3)
    table(tmp_path / "data" / "dev-00000-of-00001-3c.parquet", 3)
    with pytest.warns(UserWarning, match="skipped (69|2)-1: (69|2)-1 mask_img: not an image"):
        train = make_edits(f"magicbrush:{tmp_path}", SIZE)
    assert train.instructions[67:] == ["edit 67", "edit 68", "edit 0", "edit 1"]
    assert everything(train).target[-1, 0, 0, 0] == 101 and train.captions[0] == "edit 0"
    with pytest.warns(UserWarning):
        assert len(make_edits(f"magicbrush:{tmp_path}", SIZE, "test")) == 2
    parquet.write_table(pyarrow.table({"img_id": ["1"]}), tmp_path / "data" / "dev-00000-of-00001-3c.parquet")
    with pytest.raises(ValueError, match="no column 'instruction'"):
        make_edits(f"magicbrush:{tmp_path}", SIZE, "test")
    (tmp_path / "data" / "dev-00000-of-00001-3c.parquet").write_bytes(b"torn")
    with pytest.raises(ValueError, match="damaged parquet file"):
        make_edits(f"magicbrush:{tmp_path}", SIZE, "test")
