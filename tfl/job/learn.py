"""How the network of a run learns: without labels, stage by stage, and from a target without labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tfl.adapt.adapt import adapt_network, target_metrics
from tfl.adapt.target import TargetData
from tfl.advice.auto import choose_stages, take_over_choice
from tfl.data.extra_data import ExtraData, with_extra
from tfl.data.listing import write_extra_listing
from tfl.evaluate.report.adapt import adapt_sentences
from tfl.evaluate.report.extra_data import extra_sentence, likeness_sentence
from tfl.evaluate.report.pretrain import collapse_sentence, pretrain_sentence
from tfl.job.job import Job
from tfl.job.told import tell_lines
from tfl.recipe import GENERATE, PRETRAIN, Auto
from tfl.runs import AUTO, CHOSEN, EXTRA
from tfl.storage import finite
from tfl.train.extra_data import choose_extra
from tfl.train.precompute import precompute
from tfl.train.pretrain.pretrain import pretrain, with_pretrained
from tfl.train.stage import train_stage
from tfl.train.stopping import Stop


def learn(job: Job) -> dict[str, Any]:
    """Trains the network of a run.

    Returns:
        What `metrics.json` has of an adaptation, under `target`; empty where there was none.
    """
    if job.recipe.pretrain is not None:
        with job.clock.step(PRETRAIN):
            pretrain_network(job)
    if job.further.extra is not None:
        with job.clock.step("extra"):
            add_extra(job, job.further.extra)
    if isinstance(job.recipe.stages, Auto):
        with job.clock.step("choice"):
            choose(job, job.recipe.stages)
    train(job)
    if job.further.target is None:
        return {}
    with job.clock.step("adapt"):
        return adapt(job, job.further.target)


def pretrain_network(job: Job) -> None:
    """Goes on from the backbone that learned without labels, where that is better."""
    found = pretrain(job.run, job.recipe, job.bundle, job.further.unlabelled, console=job.console)
    tell_lines(job.console, [pretrain_sentence(found, nouns=job.nouns), collapse_sentence(found)])
    job.run.update_manifest(pretrain={"kept": found["kept"], "sha256": found["sha256"]})
    job.build_again(with_pretrained(job.run, job.recipe))


def add_extra(job: Job, extra: ExtraData) -> None:
    """Trains on extra examples too: as the run has decided, or decides now."""
    run = job.run
    if not run.path(EXTRA).is_file():
        found = choose_extra(job.assembled, job.bundle, extra, recipe=job.recipe, console=job.console)
        about = {
            "format": 1,
            "source": extra.bundle.data.source,
            "found": extra.found,
            "usable": len(extra),
            "notes": extra.notes(),
        }
        write_extra_listing(run.folder, extra.take(found["drawn"]))
        run.write_json(EXTRA, finite({**about, **found}))
    document = run.read_json(EXTRA)
    tell_lines(job.console, [likeness_sentence(document, nouns=job.nouns), extra_sentence(document, nouns=job.nouns)])
    job.training = with_extra(job.bundle, extra, np.array(document["drawn"], np.int64))
    if job.recipe.head.probe == "knn":  # it holds the training examples
        job.build_again(job.recipe, job.training)


def choose(job: Job, auto: Auto) -> None:
    """Goes on with the head and the stages that do best on held-out examples, or with those of the run that is repeated."""
    job.tell("choice", "head and stages, on held-out examples")
    if job.repeats is not None and not job.run.path(CHOSEN).is_file():
        take_over_choice(job.run, job.repeats)
    auto = replace(auto, refit=False) if job.further.need_held_out else auto
    options: dict[str, Any] = {"precision": job.precision, "class_weights": job.class_weights(job.training)}
    found = choose_stages(job.run, job.recipe, auto, job.training, **options, console=job.console)
    job.build_again(replace(found, backbone=job.recipe.backbone))  # that of a run that is repeated may lie in that run
    if job.run.read_json(AUTO)["refit"]:
        job.training = job.training.with_validation()


def train(job: Job) -> None:
    """Trains stage after stage, on features that were computed before the first."""
    job.run.write_json("plans.json", {name: plan.freeze.as_json() for name, plan in job.plans.items()})
    with job.clock.step("features"):
        precompute(job.run, job.assembled, job.training, recipe=job.recipe, plans=job.plans, console=job.console)
    pool = None if job.further.unlabelled is None else job.further.unlabelled.bundle
    options: dict[str, Any] = {
        "recipe": job.recipe,
        "class_weights": job.class_weights(job.training),
        "console": job.console,
        "unlabelled": pool,
    }
    for name, plan in job.plans.items():
        job.tell(f"stage {name}")
        job.console.print(plan.freeze.table())
        if plan.stage.on == "data" and job.recipe.task == GENERATE:
            from tfl.language.measure import keep_start

            with job.clock.step("style"):
                keep_start(job.run, job.assembled.model, job.training)
        read = job.further.others if plan.stage.on == "others" else None
        with job.clock.step(name):
            train_stage(job.run, job.assembled, plan.stage, read or job.training, plan=plan, stop=Stop(), **options)


def adapt(job: Job, target: TargetData) -> dict[str, Any]:
    """Adapts the network in place."""
    job.tell("adapt", "to the target without its labels")
    options: dict[str, Any] = {"recipe": job.recipe, "class_weights": job.class_weights(job.training), "repeats": job.repeats}
    document = adapt_network(job.run, job.assembled, job.training, target, **options, console=job.console)
    tell_lines(job.console, adapt_sentences(document, nouns=job.nouns))
    return {"target": target_metrics(document)}
