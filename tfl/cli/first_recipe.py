"""The text of a first recipe, fit to the kind of the examples and to the task."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tempfile
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.recipe import METRICS, OF_NUMBERS, Auto, Data, Recipe, Text, load_recipe

if TYPE_CHECKING:
    from tfl.cli.default_backbone import Choice
    from tfl.cli.mirror import MirrorTest
    from tfl.data.examples import Examples

IMBALANCED = 3.0
_HELD_OUT = ("val", "test")
SHARE = 0.2
"""Of the examples for validation, and for the test."""
_TINY_PX, _LOOKED_AT = 48, 50
"""Pictures up to this size are not enlarged to the network's own; so many of them are looked at."""
_PLAIN_PATH = re.compile(r"[\w./-]+")

_TEMPLATE = '''"""{title}

Data      {about}{note}{left_out}
Run       tfl run {file}
          tfl run {file} --smoke          does everything work, in seconds?
"""

import tfl

recipe = tfl.Recipe(
    name={name},{task}
    data=tfl.Data(
        {source},
{input}
        validation={share},
        test={share},
    ),
{backbone}
{stages}
    monitor=tfl.Monitor({metric}),{class_weight}
    export=("saved_model",),
)
'''

_NAMED = """\
{0}
    backbone=tfl.Backbone({1}),"""
_PRESET = """\
    # A KerasHub preset by name, fetched at the first run, or the folder of one. Others: "bert_small_en_uncased", and for 100
    # languages "xlm_roberta_base_multi". To save one where there is a network:
    # keras_hub.models.Backbone.from_preset(NAME).save_to_preset(FOLDER), and the same with keras_hub.models.Tokenizer.
    backbone=tfl.Backbone({0}),"""
_OWN_SIZE = """\
        # The network sees images at its own size: 96 px for mini, 224 px for most others.
        # More pixels are slower, and help where small details decide:
        # image_size=(160, 160),"""
_SMALL = f"""\
        # The pictures are small themselves ({{0}} × {{1}} px): the network's own size would cost time and add no detail.
        image_size=({_TINY_PX}, {_TINY_PX}),"""
_BITS = """
        # The 16-bit images use values of {bits} bits only; without this they would be too dark.
        bits={bits},"""
_TEXT = """\
        # Cut or padded to a length that fits nearly all training texts; state it with length=128.
        input=tfl.Text({0}),"""
_AUDIO = """\
        # The network sees sounds as log-mel spectrograms, at its own size. The length is chosen from the training sounds;
        # state it with seconds=2.0.{about_rate}
        input=tfl.Audio({rate}),"""
_RATE = " Most files have {0:,} Hz."
_STAGES = """\
    # The head and the stages are chosen by measurement: probes of several blocks, then fine-tuning from the best of them, kept
    # only where held-out {nouns} speak for it. `minutes` bounds all of it; the report says what was tried. To state
    # them instead: stages=(tfl.Stage("head", epochs=30), tfl.Stage("finetune", train=tfl.top_blocks(4), epochs=20)).
    stages=tfl.Auto(
        minutes={minutes:g},{augment}
    ),"""
_AUGMENT = """
{about_flip}
        augment={augment},"""
_CLASS_WEIGHT = """
    # Some classes are much rarer than others: each weighs the same.
    class_weight="balanced","""


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What a first recipe is written for.

    Args:
        data: The data as the recipe will name it, with the kind of the examples.
        task: String, what is predicted.
        examples: What is there.
        choice: The network, and why it.
        mirror: Whether the recipe flips images, and why; None where there is nothing to flip.
    """

    data: Data
    task: str
    examples: Examples
    choice: Choice
    mirror: MirrorTest | None = None

    @property
    def imbalanced(self) -> bool:
        """Whether the largest class is much larger than the smallest, among the examples to train on."""
        if self.task != "classify":
            return False
        import numpy as np

        splits = self.examples.splits
        counts = (self.examples if splits is None else self.examples.take(np.flatnonzero(~np.isin(splits, _HELD_OUT)))).counts()
        return max(counts.values()) > IMBALANCED * min(counts.values())

    @property
    def metric(self) -> str:
        """What the recipe watches."""
        return "val_macro_f1" if self.imbalanced else METRICS[self.task][0]


def recipe_text(file: Path, facts: SourceFacts) -> str:
    """The recipe as Python.

    Args:
        file: Where it will be written.
        facts: What it is written for.
    """
    examples, kind = facts.examples, facts.data.kind
    return _TEMPLATE.format(
        title=f"{file.stem}: one {'photo' if kind == 'image' else examples.noun} → {_predicted(facts)}.",
        about=_about(facts),
        note=f"; {examples.note}" if examples.note else "",
        left_out=_left_out(examples),
        file=file if _PLAIN_PATH.fullmatch(str(file)) else file.name,
        name=quoted(file.stem),
        task="" if facts.task == "classify" else f"\n    task={quoted(facts.task)},",
        source=quoted(facts.data.source),
        input=_input(facts) + _own_columns(facts.data),
        share=SHARE,
        backbone=_backbone(facts),
        stages=_stages(facts),
        metric=quoted(facts.metric),
        class_weight=_CLASS_WEIGHT if facts.imbalanced else "",
    )


def first_recipe(name: str, facts: SourceFacts) -> Recipe:
    """The recipe that `recipe_text` writes, called `name`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.py"
        file.write_text(recipe_text(file, facts), encoding="utf-8")
        recipe = load_recipe(file)
    return dataclasses.replace(recipe, name=name)


def _predicted(facts: SourceFacts) -> str:
    names = facts.examples.class_names
    if facts.task in OF_NUMBERS:
        return names[0] if len(names) == 1 else f"{len(names)} numbers"
    return f"one of {len(names)}" if facts.task == "classify" else f"any of {len(names)} labels"


def _about(facts: SourceFacts) -> str:
    examples, counts = facts.examples, facts.examples.counts()
    count = f"{len(examples)} {examples.nouns}"
    if facts.task in OF_NUMBERS:
        import numpy as np

        targets: Any = examples.targets
        low, high = np.nanmin(targets, axis=0), np.nanmax(targets, axis=0)
        ranges = [f"{name} from {a:g} to {b:g}" for name, a, b in zip(examples.class_names, low, high, strict=True)]
        return f"{count} with {', '.join(ranges[:5])}{', …' if len(ranges) > 5 else ''}"
    smallest, largest = min(counts.values()), max(counts.values())
    if facts.task == "multilabel":
        return f"{count} with {len(counts)} labels ({smallest} to {largest} {examples.nouns} per label)"
    return f"{count} in {len(counts)} classes ({smallest} to {largest} per class)"


def _input(facts: SourceFacts) -> str:
    """The lines of the data that say what the examples are."""
    if isinstance(facts.data.input, Text):
        column = facts.data.input.column
        return _TEXT.format("" if column is None else f"column={quoted(column)}")
    if facts.data.kind == "audio":
        rate = usual_rate(facts.examples)
        if rate is None or rate >= 16000:
            return _AUDIO.format(about_rate="", rate="")
        return _AUDIO.format(about_rate=_RATE.format(rate), rate=f"sample_rate={rate}")
    from tfl.modalities.image.bits import bits_in_use

    bits = bits_in_use(facts.examples)
    small = _small_pictures(facts.examples) if facts.choice.minimum_size <= _TINY_PX else None
    return (_SMALL.format(*small) if small else _OWN_SIZE) + ("" if bits is None else _BITS.format(bits=bits))


def _own_columns(data: Data) -> str:
    named = {name: getattr(data, name) for name in ("path_column", "label_column", "test_fold")}
    return "".join(f"\n        {name}={quoted(value)}," for name, value in named.items() if value is not None)


def _backbone(facts: SourceFacts) -> str:
    backbone, comment = facts.choice.backbone, facts.choice.comment
    if facts.data.kind == "text" and not comment:
        return _PRESET.format(quoted(backbone.name))
    arguments = f", arguments={dict(backbone.arguments)}".replace("'", '"') if backbone.arguments else ""
    lines = comment or ("`tfl backbones` lists others.",)
    return _NAMED.format("\n".join(f"    # {line}" for line in lines), quoted(backbone.name) + arguments)


def _stages(facts: SourceFacts) -> str:
    augment = ""
    if facts.mirror is not None:
        flipped = 'tfl.Augment(flip="horizontal")' if facts.mirror.flip else "None"
        augment = _AUGMENT.format(about_flip=_about_flip(facts.mirror), augment=flipped)
    return _STAGES.format(nouns=facts.examples.nouns, minutes=Auto().minutes, augment=augment)


def _about_flip(mirror: MirrorTest) -> str:
    start = "Flipped too" if mirror.flip else 'No tfl.Augment(flip="horizontal")'
    lines = textwrap.wrap(f"{start}: {mirror.reason}.", 96, break_long_words=False)
    return textwrap.indent("\n".join(lines), 8 * " " + "# ")


def _left_out(examples: Examples) -> str:
    """Lines of the recipe's docstring about splits without labels, and how to label them."""
    notes = [finding["note"] for finding in examples.findings if finding["kind"] == "unlabelled_split"]
    lines = [note.replace(". Label", ".\n          Label").replace("\\", "/").replace('"""', "") for note in notes]
    return "".join(f"\nLeft out  {line}" for line in lines)


def quoted(text: str) -> str:
    """A Python string in double quotes; a name that is no Unicode keeps its escapes."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def usual_rate(examples: Examples) -> int | None:
    """The sample rate that most of some sounds have, in Hz; None where none of them can be read."""
    from tfl.modalities.audio.check import check_sound

    rates = Counter(int(found.about["rate"]) for content in _some(examples) if not (found := check_sound(content)).trouble)
    return rates.most_common(1)[0][0] if rates else None


def _small_pictures(examples: Examples) -> tuple[int, int] | None:
    """(height, width) of the largest pictures, where all that were looked at are tiny; else None."""
    if examples.arrays is not None:
        height, width = examples.arrays.shape[1:3]
        return (height, width) if max(height, width) <= _TINY_PX else None
    from tfl.modalities.image.headers import no_size_warnings, read_header

    with no_size_warnings():
        found = [read_header(content) for content in _some(examples)]
    height, width = max(one.height for one in found), max(one.width for one in found)
    return (height, width) if 0 < max(height, width) <= _TINY_PX else None


def _some(examples: Examples) -> list[bytes]:
    """The contents of some examples; an empty one where a file cannot be read, which a run says."""
    step = max(1, len(examples) // _LOOKED_AT)
    return [_bytes_of(examples, index) for index in range(0, len(examples), step)]


def _bytes_of(examples: Examples, index: int) -> bytes:
    with contextlib.suppress(OSError):
        return examples.bytes_of(index)
    return b""
