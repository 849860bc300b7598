"""What was measured of a run's confidence, in words: calibration, prediction sets, out-of-distribution scores. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.out_of_distribution import with_current_names
from tfl.evaluate.render import percent


def confidence_facts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the report's section says, from `metrics.json`; empty where the run has no confidence.

    Returns:
        `count` (test images), `rows` (name, on validation and on test before and after), `temperature`, and for each part
        (`temperature_sentence`, `sets_sentence`, `out_of_distribution_sentence`) sentences; `reliability` before and after.
    """
    figures = with_current_names(metrics.get("confidence") or {})
    if not figures:
        return {}
    temperature, sets, distant = (figures[part] for part in ("temperature", "sets", "out_of_distribution"))
    test = temperature["test"]
    return {
        "count": test["count"],
        "temperature": temperature["value"],
        "rows": [
            {
                "name": name,
                "percent": key == "calibration_error",
                **{split: temperature[split][key] for split in ("validation", "test")},
            }
            for name, key in (("Log loss", "log_loss"), ("Calibration error", "calibration_error"))
        ],
        "temperature_sentence": _joined(_temperature_sentence(temperature), temperature["note"]),
        "sets_sentence": _joined(sets_sentence(sets), sets["note"]),
        "out_of_distribution_sentence": _joined(out_of_distribution_sentence(distant), distant["note"]),
        "reliability": {"before": test["reliability"][0], "after": test["reliability"][1]},
    }


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _temperature_sentence(temperature: Mapping[str, Any]) -> str:
    value = temperature["value"]
    if abs(value - 1) < 0.005:
        return "The validation images ask for no change of how sure the network is."
    direction = "less sure" if value > 1 else "surer"
    return f"Dividing its logits by {value:.3g} makes the network {direction}, without changing which class comes first."


def sets_sentence(sets: Mapping[str, Any]) -> str:
    """How the prediction sets did on the test images, as a sentence."""
    test = sets["test"]
    low, high = test["coverage_interval"]
    promised = sets["promised"]
    verdict = (
        "as promised"
        if low <= promised <= high
        else "more often than promised"
        if low > promised
        else "less often than promised: the test images are not like the validation images, or the network was chosen by those"
    )
    return (
        f"{percent(test['coverage'])} of the sets hold the right class (exact 95% interval {percent(low)} to {percent(high)}; "
        f"{percent(promised)} was promised), {verdict}. A set has {test['mean_size']:.2f} classes on average, and "
        f"{percent(test['single'])} have one."
    )


def out_of_distribution_sentence(figures: Mapping[str, Any]) -> str:
    """How many of the test images are out of distribution, as a sentence."""
    test = figures["test"]
    low, high = test["share_interval"]
    return (
        f"{test['out_of_distribution']} of {test['count']} test images are called out of distribution: {percent(test['share'])} "
        f"(exact 95% interval {percent(low)} to {percent(high)}; at most {percent(1 - figures['promised'])} was aimed at). "
        f"Compared with {figures['bank']:,} training images."
    )


def console_lines(figures: Mapping[str, Any]) -> list[str]:
    """A run's confidence in a few lines for a terminal."""
    temperature, sets, distant = (figures[part] for part in ("temperature", "sets", "out_of_distribution"))
    (loss, loss_after), (error, error_after) = (temperature["test"][key] for key in ("log_loss", "calibration_error"))
    lines = [
        f"temperature {temperature['value']:.3g}: on the test images log loss {loss:.3f} to {loss_after:.3f}, "
        f"calibration error {percent(error)} to {percent(error_after)}",
        f"sets of {sets['test']['mean_size']:.2f} classes hold the right one for {percent(sets['test']['coverage'])} "
        f"({percent(sets['promised'])} promised)",
        f"{distant['test']['out_of_distribution']} of {distant['test']['count']} test images are called out of distribution",
    ]
    return [*lines, *(f"note: {part['note']}" for part in (temperature, sets, distant) if part["note"])]
