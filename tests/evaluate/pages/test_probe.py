"""The chart of a depth profile."""

from tfl.evaluate.pages.probe import depth_profile_chart


def document(metric="accuracy", together=None):
    rows = [
        {"block": f"b<{place}>", "taps": [f"b<{place}>"], "accuracy": 0.5 + place / 10, "interval": [0.4, 0.9]}
        | {"macro_f1": 0.3 + place / 10, "macro_f1_interval": [0.2, 0.6]}
        for place in range(3)
    ]
    return {"rows": rows, "metric": metric, "best": "b<1>", "commonest": 0.25, "together": together}


def named(figure):
    return {trace.get("name"): trace for trace in figure["data"]}


def test_score_band_best_and_the_commonest_class():
    figure = depth_profile_chart(document())
    traces = named(figure)
    assert traces["accuracy"]["y"] == [0.5, 0.6, 0.7] and traces["95% interval"]["y"] == [0.4] * 3
    assert figure["data"][0]["y"] == [0.9] * 3 and traces["95% interval"]["fill"] == "tonexty"
    assert (traces["best"]["x"], traces["best"]["y"]) == ([1], [0.6])
    assert traces["always the commonest class"]["y"] == [0.25, 0.25]


def test_names_are_escaped():
    figure = depth_profile_chart(document())
    assert figure["layout"]["xaxis"]["ticktext"] == ["b&lt;0&gt;", "b&lt;1&gt;", "b&lt;2&gt;"]
    assert "<" not in str(named(figure)["accuracy"]["customdata"])


def test_by_macro_f1_and_with_several_blocks():
    traces = named(depth_profile_chart(document("macro_f1", {"taps": ["a", "b"], "macro_f1": 0.55})))
    assert traces["macro-F1"]["y"] == [0.3, 0.4, 0.5] and traces["95% interval"]["y"] == [0.2] * 3
    assert traces["2 blocks side by side"]["y"] == [0.55, 0.55] and "always the commonest class" not in traces
