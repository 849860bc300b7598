"""How a language model writes before and after it learned from an author: perplexity, continuations, copies and style."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.books import authors_of, read_works
from tfl.data.bundle import Bundle
from tfl.language.sampling import Sampler, Sampling, as_text
from tfl.language.verbatim import LEAST, copied_from
from tfl.language.whose import fit_authors
from tfl.modalities.passage.network import BYTES
from tfl.runs import STYLE, STYLE_START, Run
from tfl.tasks.generate import BLOCKS, DRAWS, interval_of

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

PROMPTS, PROMPT_BYTES, LENGTH = 12, 60, 320
"""Held-out passages whose beginnings are continued, bytes of these beginnings, and of what is written."""


def keep_start(run: Run, model: keras.Model, bundle: Bundle) -> None:
    """Keeps what the network says of the test passages and how it writes, before it learns from the author; once for a run."""
    if run.path(STYLE_START).is_file():
        return
    nats = _test_nats(model, bundle)
    run.write_json(STYLE_START, {"format": 1, "nats": nats.tolist(), "continuations": _continuations(run, model, bundle)})


def measure_style(run: Run, model: keras.Model, bundle: Bundle, nats: NDArray[np.floating]) -> dict[str, Any]:
    """Writes `style.json`: the network before and after, side by side.

    Args:
        run: Its recipe is asked; it has `style_start.json` from `keep_start`.
        model: The trained network.
        bundle: The author's passages.
        nats: `(n,)`, what the trained network says of the test passages.

    Returns:
        The document.
    """
    start, sizes, seed = run.read_json(STYLE_START), bundle.targets_of("test")[:, 0], run.recipe.seed
    before = np.array(start["nats"])
    written = {"before": start["continuations"], "after": _continuations(run, model, bundle)}
    texts = {name: [row["text"] for row in rows] for name, rows in written.items()}
    source = "".join(bundle.examples.bytes_of(int(index)).decode() for index in bundle.indices("train"))
    real = [row["real"] for row in written["after"]]
    document = {
        "format": 1,
        "authors": sorted(set(authors_of(bundle.examples))),
        "trained_before": run.recipe.backbone.name != BYTES or any(stage.on == "others" for stage in run.recipe.fixed_stages),
        "settings": {"length": LENGTH, **dataclasses.asdict(Sampling(seed=seed))},
        "perplexity": {"before": _figure(before, sizes, seed), "after": _figure(nats, sizes, seed)},
        "change": _change(before, nats, sizes, seed),
        "continuations": [
            {"prompt": old["prompt"], "before": old["text"], "after": new["text"], "real": new["real"]}
            for old, new in zip(written["before"], written["after"], strict=True)
        ],
        "copied": {
            "least": LEAST,
            **{name: dataclasses.asdict(copied_from(some, source)) for name, some in {**texts, "real": real}.items()},
        },
        "whose": _whose(run, {**texts, "real": real}),
    }
    run.write_json(STYLE, document)
    return document


def _test_nats(model: keras.Model, bundle: Bundle) -> NDArray[np.float32]:
    dataset = bundle.dataset(bundle.indices("test"), batch_size=64)
    return np.asarray(model.predict(dataset, verbose=0), np.float32)[:, 0]


def _continuations(run: Run, model: keras.Model, bundle: Bundle) -> list[dict[str, str]]:
    """Beginnings of held-out passages, how the model goes on, and how the author does."""
    rows = bundle.indices("test")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(PROMPTS, len(rows))).round().astype(int))]
    prompts, real = [], []
    for index in chosen:
        text = bundle.examples.bytes_of(int(index))
        following = [bundle.examples.bytes_of(int(one)) for one in rows[(rows > index) & (rows < index + 8)]]
        prompt = as_text(text[:PROMPT_BYTES])
        prompts.append(prompt)
        real.append(as_text(b"".join([text[len(prompt.encode()) :], *following])[:LENGTH]))
    modality: Any = bundle.modality
    sampler = Sampler(model, modality.tokenizer, context=modality.settled_tokens)
    found = sampler.write([prompt.encode() for prompt in prompts], LENGTH, Sampling(seed=run.recipe.seed))
    return [
        {"prompt": prompt, "text": as_text(one), "real": true} for prompt, one, true in zip(prompts, found, real, strict=True)
    ]


def _figure(nats: NDArray[np.floating], sizes: NDArray[np.floating], seed: int) -> dict[str, Any]:
    mean, interval = interval_of(nats, sizes, seed=seed)
    return {"value": float(np.exp(mean)), "interval": [float(np.exp(one)) for one in interval]}


def _change(before: NDArray[np.floating], after: NDArray[np.floating], sizes: NDArray[np.floating], seed: int) -> dict[str, Any]:
    """The relative change of the perplexity, with a 95% interval by the same blocks for both."""
    parts = np.array_split(np.arange(len(sizes)), min(BLOCKS, len(sizes)))
    sums = np.array([[np.sum((after - before)[rows], dtype=np.float64), np.sum(sizes[rows], dtype=np.float64)] for rows in parts])
    drawn = sums[np.random.default_rng(seed).integers(0, len(sums), (DRAWS, len(sums)))].sum(axis=1)
    low, high = np.quantile(np.expm1(drawn[:, 0] / drawn[:, 1]), (0.025, 0.975))
    return {"value": float(np.expm1(sums[:, 0].sum() / sums[:, 1].sum())), "interval": [float(low), float(high)]}


def _whose(run: Run, texts: Mapping[str, list[str]]) -> dict[str, Any]:
    """What a classifier of the source's authors says of what was written, and of what the author wrote."""
    recipe = run.recipe
    data = recipe.data
    works = read_works(data.source, on_bad=data.on_bad)
    found = fit_authors(works, length=LENGTH, validation=data.validation, test=data.test, seed=recipe.split_seed)
    if found is None:
        return {"refused": "The source has one author, so that there is nothing to choose from."}
    return {**found.as_json(), **{name: dict(found.ask(some)) for name, some in texts.items()}}
