"""What was measured of a run's confidence, in words: calibration, prediction sets, out-of-distribution scores. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfl.evaluate.out_of_distribution import with_current_names
from tfl.evaluate.render import percent


def confidence_facts(metrics: Mapping[str, Any], *, nouns: str = "examples") -> dict[str, Any]:
    """What the report's section says, from `metrics.json`; empty where the run has no confidence.

    Args:
        metrics: Dictionary, `metrics.json` of a run.
        nouns: String, what its examples are called. Defaults to "examples".

    Returns:
        `count` (test examples), `rows` (name, on validation and on test before and after), `temperature`, and for each part
        (`temperature_sentence`, `sets_sentence`, `out_of_distribution_sentence`) sentences; `reliability` before and after. Of
        tasks without classes `parts`, by name the figures of each, and the sentences.
    """
    figures = with_current_names(metrics.get("confidence") or {})
    if not figures:
        return {}
    if any("." in part for part in figures):  # of several targets, whose sections tell theirs
        distant = figures["out_of_distribution"]
        said = _joined(out_of_distribution_sentence(distant, nouns), distant["note"])
        return {"count": distant["test"]["count"], "parts": dict(figures), "out_of_distribution_sentence": said}
    if "temperature" not in figures:
        return _other_facts(figures, nouns)
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
        "temperature_sentence": _joined(_temperature_sentence(temperature, nouns), temperature["note"]),
        "sets_sentence": _joined(sets_sentence(sets, nouns), sets["note"]),
        "out_of_distribution_sentence": _joined(out_of_distribution_sentence(distant, nouns), distant["note"]),
        "reliability": {"before": test["reliability"][0], "after": test["reliability"][1]},
    }


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _temperature_sentence(temperature: Mapping[str, Any], nouns: str) -> str:
    value = temperature["value"]
    if abs(value - 1) < 0.005:
        return f"The validation {nouns} ask for no change of how sure the network is."
    direction = "less sure" if value > 1 else "surer"
    return f"Dividing its logits by {value:.3g} makes the network {direction}, without changing which class comes first."


def sets_sentence(sets: Mapping[str, Any], nouns: str) -> str:
    """How the prediction sets did on the test examples, as a sentence."""
    test = sets["test"]
    low, high = test["coverage_interval"]
    promised = sets["promised"]
    verdict = (
        "as promised"
        if low <= promised <= high
        else "more often than promised"
        if low > promised
        else f"less often than promised: the test {nouns} are not like the validation {nouns}, or the network was chosen by those"
    )
    return (
        f"{percent(test['coverage'])} of the sets hold the right class (exact 95% interval {percent(low)} to {percent(high)}; "
        f"{percent(promised)} was promised), {verdict}. A set has {test['mean_size']:.2f} classes on average, and "
        f"{percent(test['single'])} have one."
    )


def out_of_distribution_sentence(figures: Mapping[str, Any], nouns: str) -> str:
    """How many of the test examples are out of distribution, as a sentence."""
    test = figures["test"]
    low, high = test["share_interval"]
    return (
        f"{test['out_of_distribution']} of {test['count']} test {nouns} are called out of distribution: {percent(test['share'])} "
        f"(exact 95% interval {percent(low)} to {percent(high)}; at most {percent(1 - figures['promised'])} was aimed at). "
        f"Compared with {figures['bank']:,} training {nouns}."
    )


def calibration_sentence(figures: Mapping[str, Any], nouns: str) -> str:
    """What calibrating each label did to its probabilities, as a sentence."""
    before, after = figures["test"]["calibration_error"]
    loss, loss_after = figures["test"]["log_loss"]
    return (
        f"The probabilities of {figures['own']} labels were calibrated by their own validation {nouns}: on the test split the "
        f"calibration error goes from {percent(before)} to {percent(after)}, the log loss from {loss:.3f} to {loss_after:.3f}."
    )


def thresholds_sentence(figures: Mapping[str, Any], nouns: str) -> str:
    """How the chosen thresholds do, as a sentence."""
    test = figures["test"]
    return (
        f"A label is given from its own threshold on, the one with the highest F1 on the validation split. On the test split "
        f"these give a macro-F1 of {test['macro_f1']:.3f}{_interval(test, 'macro_f1')} and {percent(test['accuracy'])} right "
        "labels."
    )


def intervals_sentence(figures: Mapping[str, Any], nouns: str) -> str:
    """How often the intervals hold the true number, as a sentence."""
    test = figures["test"]
    exact = test["coverage_interval"]
    spread = f" (exact 95% interval {percent(exact[0])} to {percent(exact[1])})" if exact else ""
    grows = " They are wider where errors are larger." if any(figures.get("growth", ())) else ""
    return (
        f"{percent(test['coverage'])} of the intervals hold the true number{spread}; {percent(figures['promised'])} was promised."
        f"{grows}"
    )


_SENTENCES: dict[str, Callable[[Mapping[str, Any], str], str]] = {
    "calibration": calibration_sentence,
    "thresholds": thresholds_sentence,
    "intervals": intervals_sentence,
    "out_of_distribution": out_of_distribution_sentence,
}


def _other_facts(figures: Mapping[str, Any], nouns: str) -> dict[str, Any]:
    said = {f"{part}_sentence": _joined(_SENTENCES[part](rows, nouns), rows["note"]) for part, rows in figures.items()}
    reliable = ((figures.get("calibration") or {}).get("test") or {}).get("reliability")
    return {
        "count": figures["out_of_distribution"]["test"]["count"],
        "parts": dict(figures),
        **said,
        **({"reliability": {"before": reliable[0], "after": reliable[1]}} if reliable else {}),
    }


def _interval(figures: Mapping[str, Any], name: str) -> str:
    edges = figures.get(f"{name}_interval")
    return f" (95% interval {edges[0]:.3f} to {edges[1]:.3f})" if edges else ""


def console_lines(figures: Mapping[str, Any], *, nouns: str = "examples") -> list[str]:
    """A run's confidence in a few lines for a terminal."""
    if any("." in part for part in figures):
        return _lines_of_targets(figures, nouns)
    if "temperature" not in figures:
        lines = [_SENTENCES[part](rows, nouns) for part, rows in figures.items()]
        return [*lines, *(f"note: {note}" for note in dict.fromkeys(part["note"] for part in figures.values()) if note)]
    temperature, sets, distant = (figures[part] for part in ("temperature", "sets", "out_of_distribution"))
    (loss, loss_after), (error, error_after) = (temperature["test"][key] for key in ("log_loss", "calibration_error"))
    lines = [
        f"temperature {temperature['value']:.3g}: on the test {nouns} log loss {loss:.3f} to {loss_after:.3f}, "
        f"calibration error {percent(error)} to {percent(error_after)}",
        f"sets of {sets['test']['mean_size']:.2f} classes hold the right one for {percent(sets['test']['coverage'])} "
        f"({percent(sets['promised'])} promised)",
        f"{distant['test']['out_of_distribution']} of {distant['test']['count']} test {nouns} are called out of distribution",
    ]
    return [*lines, *(f"note: {part['note']}" for part in (temperature, sets, distant) if part["note"])]


def _lines_of_targets(figures: Mapping[str, Any], nouns: str) -> list[str]:
    """The lines of each of several targets, with its name in front, and what is said of all examples."""
    distant, lines = figures["out_of_distribution"], list[str]()
    for target in dict.fromkeys(part.partition(".")[0] for part in figures if "." in part):
        own = {part.partition(".")[2]: rows for part, rows in figures.items() if part.startswith(f"{target}.")}
        about_all = console_lines({"out_of_distribution": distant}, nouns=nouns)
        said = console_lines({**own, "out_of_distribution": distant}, nouns=nouns)
        kept = [line for line in said if line not in about_all and "out of distribution" not in line]
        lines += [f"{target}: {line}" for line in kept]
    return [*lines, out_of_distribution_sentence(distant, nouns), *([f"note: {distant['note']}"] if distant["note"] else [])]
