"""Confidence in a run folder: fitted, saved, loaded, and refused where it is damaged. No TensorFlow."""

import json

import numpy as np
import pytest
from markupsafe import escape

import tfl
from tfl.errors import RunError
from tfl.evaluate.confidence import ARRAYS, NAME, Confidence, figures_of, fit_confidence, measure_confidence
from tfl.evaluate.report.confidence import confidence_facts, console_lines


def drawn(count, seed, kind=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    logits = 4 * (generator.normal(size=(count, 3)) + 2 * np.eye(3)[labels])
    features = generator.random((count, 6)) + 4 * np.eye(6)[labels if kind == 0 else labels + 3]
    return {
        "logits": logits.astype(np.float32),
        "features": features.astype(np.float32),
        "targets": np.eye(3, dtype=np.float32)[labels],
    }


@pytest.fixture(scope="module")
def fitted():
    confidence = fit_confidence(tfl.Calibration(), **drawn(150, 0), training_features=drawn(100, 1)["features"])
    return measure_confidence(confidence, "test", **drawn(200, 2))


def test_what_was_fitted_holds_on_new_images_and_finds_others(fitted):
    test = {part: rows["test"] for part, rows in fitted.figures.items()}
    before, after = test["temperature"]["log_loss"]
    assert fitted.values["temperature"] > 1.5 and after < before
    assert test["sets"]["coverage_interval"][0] <= 0.9 <= test["sets"]["coverage_interval"][1] + 0.02
    assert test["out_of_distribution"]["share"] < 0.05
    other = drawn(50, 3, kind=1)
    assert fitted.answer(other["logits"], other["features"])["is_out_of_distribution"].mean() > 0.95


def test_it_comes_back_from_a_folder_as_it_was(fitted, tmp_path):
    assert Confidence.load(tmp_path) is None
    fitted.save(tmp_path)
    again, images = Confidence.load(tmp_path), drawn(20, 4)
    assert json.loads(json.dumps(again.figures)) == json.loads(json.dumps(fitted.figures))
    expected, found = (one.answer(images["logits"], images["features"]) for one in (fitted, again))
    for name, value in expected.items():
        assert (found[name] == value).all(), name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([NAME, ARRAYS])
    first = (tmp_path / ARRAYS).read_bytes()
    fitted.save(tmp_path)
    assert (tmp_path / ARRAYS).read_bytes() == first


def test_the_file_of_an_earlier_version_is_read(fitted, tmp_path):
    fitted.save(tmp_path)
    document = json.loads((tmp_path / NAME).read_text())
    old = {"familiar": document.pop("in_distribution"), "unfamiliar_threshold": document.pop("out_of_distribution_threshold")}
    figures = document["figures"]
    figures["unfamiliar"] = figures.pop("out_of_distribution")
    del document["task"]
    (tmp_path / NAME).write_text(json.dumps({**document, **old}))
    again = Confidence.load(tmp_path)
    assert again.out_of_distribution_threshold == fitted.out_of_distribution_threshold
    assert again.figures["out_of_distribution"]["threshold"] == fitted.figures["out_of_distribution"]["threshold"]


def _edit(**changes):
    def damage(folder):
        document = json.loads((folder / NAME).read_text())
        (folder / NAME).write_text(json.dumps({**document, **changes}))

    return damage


def _other_bank(folder):
    np.savez(folder / ARRAYS, bank=np.ones((4, 6), np.float16))


def _pickled(folder):
    np.savez(folder / ARRAYS, bank=np.array([{"a": 1}], object))


DAMAGE = {
    "no arrays": lambda folder: (folder / ARRAYS).unlink(),
    "half the arrays": lambda folder: (folder / ARRAYS).write_bytes((folder / ARRAYS).read_bytes()[:300]),
    "no archive": lambda folder: (folder / ARRAYS).write_text("no"),
    "another bank": _other_bank,
    "pickled": _pickled,
    "no JSON": lambda folder: (folder / NAME).write_text("{"),
    "a list": lambda folder: (folder / NAME).write_text("[]"),
    "text for a number": _edit(temperature="1.0"),
    "no number": _edit(set_threshold=None),
    "zero degrees": _edit(temperature=0.0),
    "a neighbour too far": _edit(nearest=1000),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_one_message(fitted, tmp_path, damage):
    fitted.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(RunError, match=r"(?s)is damaged.*tfl evaluate .* --confidence"):
        Confidence.load(tmp_path)


def test_few_and_perfect_validation_images_are_told(tmp_path):
    few = drawn(4, 5)
    few["logits"] = 9 * few["targets"]
    fitted = fit_confidence(tfl.Calibration(), **few, training_features=few["features"])
    notes = [rows["note"] for rows in measure_confidence(fitted, "test", **drawn(9, 6)).figures.values()]
    assert "All 4 validation examples are right" in notes[0]
    assert "the set holds every class" in notes[1] and "too few to call 0.99" in notes[2]
    fitted = measure_confidence(fitted, "test", **drawn(9, 6))
    assert fitted.figures["sets"]["test"]["mean_size"] == 3.0
    assert sum(line.startswith("note: ") for line in console_lines(fitted.figures)) == 3


def test_the_report_says_what_was_measured(fitted, new_run):
    from tfl.evaluate.report.page import write_report

    run = new_run()
    plain = write_report(run.folder).read_text()
    assert "Are the probabilities calibrated?" in plain and "Sets that hold the right class" not in plain
    run.write_json("metrics.json", {**run.read_json("metrics.json"), "confidence": figures_of(fitted)})
    page, facts = write_report(run.folder).read_text(), confidence_facts(run.read_json("metrics.json"), nouns="images")
    for part in ("Sets that hold the right class", "Images of another kind", f"temperature {fitted.values['temperature']:.3g}"):
        assert part in page
    for sentence in (facts["temperature_sentence"], facts["sets_sentence"], facts["out_of_distribution_sentence"]):
        assert str(escape(sentence)) in page
    assert "90.0% was promised" in facts["sets_sentence"] and "less sure" in facts["temperature_sentence"]
    assert json.loads(run.path("report.json").read_text())["confidence"]["count"] == 200


@pytest.mark.parametrize(
    ("interval", "said"), [([0.85, 0.95], "as promised"), ([0.92, 1.0], "more often"), ([0.5, 0.8], "less often")]
)
def test_a_broken_promise_is_told(fitted, interval, said):
    from tfl.evaluate.report.confidence import sets_sentence

    sets = fitted.figures["sets"]
    assert said in sets_sentence({**sets, "test": {**sets["test"], "coverage_interval": interval}}, "images")


@pytest.mark.parametrize("changes", [{"coverage": 1.0}, {"coverage": 0.2}, {"familiar": 1}, {"familiar": "0.9"}])
def test_settings_that_cannot_be_promised_are_refused(changes):
    with pytest.raises(tfl.errors.RecipeError, match="Calibration"):
        tfl.Calibration(**changes)


def test_a_recipe_takes_the_settings_and_an_older_one_loads():
    recipe = tfl.Recipe(name="r", data=tfl.Data("x"), backbone=tfl.Backbone("mini"))
    assert recipe.confidence == tfl.Calibration() and tfl.Recipe.from_json(recipe.to_json()) == recipe
    document = json.loads(recipe.to_json())
    assert document.pop("confidence") == {"coverage": 0.9, "familiar": 0.99}
    assert tfl.Recipe.from_json(json.dumps(document)) == recipe
    changed = recipe.override("confidence.coverage", "0.95")
    assert changed.confidence == tfl.Calibration(coverage=0.95)
    without = changed.override("confidence", "none")
    assert without.confidence is None and tfl.Recipe.from_json(without.to_json()) == without
