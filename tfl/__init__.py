"""tfl: transfer learning by measurement. Which network, how much of it to freeze, by which strategy?

Importing `tfl` imports no TensorFlow: a recipe is plain data, and functions such as `run`, `probe` and `embed` are imported
when they are first used.
"""

from typing import TYPE_CHECKING, Any

from tfl.recipe import (
    Adapt,
    Audio,
    AudioAugment,
    Augment,
    Auto,
    Backbone,
    Backbones,
    Between,
    Calibration,
    Choice,
    Data,
    Features,
    Head,
    Image,
    Monitor,
    Passages,
    Pretrain,
    PseudoLabels,
    Recipe,
    Sample,
    Search,
    Stage,
    Table,
    Target,
    Text,
    Tfds,
    Unlabelled,
    ZeroShot,
    blocks,
    load_recipe,
    top_blocks,
)

__version__ = "0.1.0"

__all__ = [
    "Adapt",
    "Audio",
    "AudioAugment",
    "Augment",
    "Auto",
    "Backbone",
    "Backbones",
    "Between",
    "Calibration",
    "Choice",
    "Data",
    "Features",
    "Head",
    "Image",
    "Monitor",
    "Passages",
    "Pretrain",
    "PseudoLabels",
    "Recipe",
    "Sample",
    "Search",
    "Stage",
    "Table",
    "Target",
    "Text",
    "Tfds",
    "Unlabelled",
    "ZeroShot",
    "advise",
    "blocks",
    "embed",
    "load_recipe",
    "load_run",
    "load_vectors",
    "probe",
    "run",
    "similar",
    "study",
    "style",
    "top_blocks",
    "tune",
    "verify",
    "warm",
    "write",
]

if TYPE_CHECKING:
    from tfl.api import advise, embed, load_run, load_vectors, probe, run, similar, study, style, tune, verify, warm, write

_FUNCTIONS = (
    "advise",
    "embed",
    "load_run",
    "load_vectors",
    "probe",
    "run",
    "similar",
    "study",
    "style",
    "tune",
    "verify",
    "warm",
    "write",
)


def __getattr__(name: str) -> Any:
    """The functions of `tfl.api`, at first use (PEP 562): it imports NumPy, which a recipe does not need."""
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfl import api

    return globals().setdefault(name, getattr(api, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
