"""The style of a picture: what the losses are, which blocks are chosen, that it is resumed exactly, and what is refused."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

import tfl
from tfl.cli.main import cli
from tfl.errors import BackboneError, BadImageError, DataError, RecipeError, RunError
from tfl.styling.options import StyleOptions
from tfl.styling.pictures import decoded, read_picture
from tfl.styling.transfer import transfer_style


def styled(folder, *, minutes=60.0, resume=False, **options):
    chosen = StyleOptions(**{"size": 64, "steps": 6, "every": 2, **options})
    return transfer_style(
        "sample:leaf", "sample:waves", folder, chosen, minutes=minutes, resume=resume, console=Console(quiet=True)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return styled(tmp_path_factory.mktemp("style") / "whole")


@pytest.mark.slow
def test_the_losses_fall_and_every_file_is_there(whole):
    start, end = whole.document["losses"]["start"], whole.document["losses"]["end"]
    content, style = whole.document["blocks"]["content"], whole.document["blocks"]["style"]
    assert len(content) == 1 and len(style) > 1
    assert start[f"content {content[0]}"] < 1e-9 and all(start[f"style {name}"] == pytest.approx(1) for name in style)
    assert end["total"] < 0.8 * start["total"] and end[f"content {content[0]}"] > 0
    rows = list(csv.DictReader((whole.folder / "losses.csv").open()))
    assert [int(row["step"]) for row in rows] == list(range(7)) and float(rows[-1]["total"]) == pytest.approx(
        end["total"], rel=1e-5
    )
    assert list(whole.document["pictures"]) == ["0", "2", "4", "6"]
    last = np.asarray(Image.open(whole.folder / "pictures" / "step_00006.png"))
    assert last.shape == (64, 64, 3) and np.array_equal(last, np.asarray(Image.open(whole.result)))
    page = whole.report.read_text()
    assert "Step by step" in page and page.count('alt="the picture after') == 5 and 'src="http' not in page


@pytest.mark.slow
def test_what_was_stopped_comes_to_the_same_pixels(whole, tmp_path, monkeypatch):
    from tfl.styling.optimise import Optimisation

    step = Optimisation.step

    def stopped(self):
        if self.steps == 5:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Optimisation, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        styled(tmp_path / "a")
    monkeypatch.setattr(Optimisation, "step", step)
    assert not (tmp_path / "a" / "result.png").exists()
    for other, message in (({"style_weight": 3.0}, "style_weight"), ({"size": 80}, "size")):
        with pytest.raises(RunError, match=message):
            styled(tmp_path / "a", resume=True, **other)
    again = styled(tmp_path / "a", resume=True)
    for name in ("result.png", "losses.csv", "pictures/step_00006.png"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    longer = styled(tmp_path / "a", resume=True, steps=8)
    assert longer.document["steps"] == 8 and longer.document["seconds"]["steps"] == 2
    with pytest.raises(RunError, match="already holds"):
        styled(tmp_path / "a")
    (tmp_path / "a" / "state.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(RunError, match="damaged"):
        styled(tmp_path / "a", resume=True, steps=8)


def test_a_loss_is_what_the_paper_says():
    import tensorflow as tf

    from tfl.styling.losses import Targets, gram

    rng = np.random.default_rng(0)
    photo, painting, now = (rng.uniform(0, 1, (1, 5, 4, 3)).astype(np.float32) for _ in range(3))

    def by_hand(maps):
        places = maps[0].reshape(-1, 3)
        return places.T @ places / 20

    assert np.allclose(gram(tf.constant(photo))[0], by_hand(photo), atol=1e-6)
    targets = Targets.of(tf.constant(photo), {"a": photo}, {"a": painting}, content=["a"], style=["a"])
    found = targets.losses(tf.constant(now), {"a": now})
    far = ((by_hand(photo) - by_hand(painting)) ** 2).sum()
    assert float(found["style a"]) == pytest.approx(((by_hand(now) - by_hand(painting)) ** 2).sum() / far, rel=1e-4)
    spread = ((photo - photo.mean(axis=(1, 2))) ** 2).mean()
    assert float(found["content a"]) == pytest.approx(((now - photo) ** 2).mean() / spread, rel=1e-4)


@pytest.mark.slow
def test_noise_is_that_of_the_seed_and_named_blocks_are_taken(tmp_path):
    blocks = {"content_blocks": ("unit5_out",), "style_blocks": ("stem_out", "unit3_out"), "start": "noise", "steps": 2}
    one, other = (styled(tmp_path / str(seed), seed=seed, **blocks) for seed in (0, 1))
    assert one.document["blocks"] == {"content": ["unit5_out"], "style": ["stem_out", "unit3_out"]}
    assert not one.document["measured"] and one.document["losses"]["start"]["content unit5_out"] > 0.1
    assert one.result.read_bytes() != other.result.read_bytes()


def test_a_photo_keeps_its_proportions(tmp_path):
    Image.new("RGB", (200, 100), (10, 200, 30)).save(tmp_path / "wide.jpg")
    assert decoded(read_picture(tmp_path / "wide.jpg"), 80).shape == (40, 80, 3)
    assert decoded(read_picture(tmp_path / "wide.jpg"), None).shape == (100, 200, 3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"content_weight": 0, "style_weight": 0}, RecipeError, "Neither"),
        ({"backbone": tfl.Backbone("mini", weights=None)}, BackboneError, "random weights"),
        ({"backbone": tfl.Backbone("LeNet")}, BackboneError, "LeNet"),
        ({"style_blocks": ("unit33_out",)}, RecipeError, "Allowed: stem_out, unit1_out"),
        ({"size": 31}, RecipeError, "at least 32"),
        ({"minutes": 1e-9}, RecipeError, "--minutes"),
    ],
)
def test_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        styled(tmp_path / "a", **options)
    assert not (tmp_path / "a" / "settings.json").exists()


def test_too_much_memory_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr("tfl.styling.network.available_memory", lambda: 1_000_000)
    with pytest.raises(RecipeError, match=r"GB of memory.*Allowed: a size of about \d+ px"):
        styled(tmp_path / "a")


def test_what_is_no_picture_is_refused(tmp_path):
    tmp_path.joinpath("text.jpg").write_text("once upon a time")
    Image.new("RGB", (400, 20)).save(tmp_path / "thin.png")
    for name, error, message in (
        ("text.jpg", BadImageError, "text.jpg cannot be read"),
        ("thin.png", BadImageError, "too small"),
        ("none.jpg", DataError, "no file"),
        (".", DataError, "folder"),
    ):
        with pytest.raises(error, match=message):
            read_picture(tmp_path / name)
    with pytest.raises(DataError, match="Did you mean `waves`"):
        read_picture("sample:wave")


@pytest.mark.slow
def test_the_command_answers(tmp_path):
    words = ["style", "sample:leaf", "sample:mosaic", "--size", "48", "--steps", "2", "--out", str(tmp_path / "a"), "--json"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["steps"] == 2 and found["size"] == [48, 48] and found["result"].endswith("result.png")
    assert CliRunner().invoke(cli, ["style", "sample:leaf", "sample:mosaic", "--resume"]).exit_code == 2
    result = CliRunner().invoke(cli, ["style", "gone.jpg", "sample:mosaic", "--out", str(tmp_path / "b")])
    assert result.exit_code == 2 and "There is no file gone.jpg" in result.stderr
