"""The recipe: everything that decides a result, as plain frozen data. Standard library only; TensorFlow is never imported.

Recipe ── Data · Backbone · Head · Stage or Auto (with Augment) · Monitor · Features · Calibration · Adapt ·
          Search (of Choice, Between)
Data   ── one input (images, Text or Audio), or several by name (Image, Text, Audio, Table); several targets by name (Target);
          or Passages of books
Unlabelled ── images without labels, for Pretrain before the stages, or PseudoLabels in one
"""

from tfl.recipe.augment import AudioAugment, Augment
from tfl.recipe.data import Data, Sample, Target, Tfds
from tfl.recipe.files import load_recipe, refuse_missing_paths
from tfl.recipe.inputs import SEVERAL, Audio, Image, Input, Passages, Table, Text
from tfl.recipe.network import Backbone, Backbones, Head, LinearProbe, ProbeMethod
from tfl.recipe.recipe import DATA_PARTS, Recipe
from tfl.recipe.search import Between, Choice, Search
from tfl.recipe.settings import Calibration, ExportFormat, Features, Monitor, Precision
from tfl.recipe.stages import Auto, Stage, Trained, blocks, top_blocks
from tfl.recipe.tasks import (
    DETECT,
    GENERATE,
    HEADS,
    LOWER_IS_BETTER,
    METRICS,
    OF_NUMBERS,
    TASK_OF_KIND,
    TargetKind,
    TaskName,
    lower_is_better,
    metric_alone,
)
from tfl.recipe.unlabelled import ADAPT_METHODS, PRETRAIN, Adapt, AdaptMethod, Pretrain, PseudoLabels, Unlabelled
from tfl.recipe.zero_shot import ZeroShot

__all__ = [
    "ADAPT_METHODS",
    "Adapt",
    "AdaptMethod",
    "Audio",
    "AudioAugment",
    "Augment",
    "Auto",
    "Backbone",
    "Backbones",
    "Between",
    "Calibration",
    "Choice",
    "DATA_PARTS",
    "DETECT",
    "Data",
    "ExportFormat",
    "Features",
    "GENERATE",
    "HEADS",
    "Head",
    "Image",
    "Input",
    "LOWER_IS_BETTER",
    "LinearProbe",
    "METRICS",
    "Monitor",
    "OF_NUMBERS",
    "PRETRAIN",
    "Passages",
    "Precision",
    "Pretrain",
    "ProbeMethod",
    "PseudoLabels",
    "Recipe",
    "SEVERAL",
    "Sample",
    "Search",
    "Stage",
    "TASK_OF_KIND",
    "Table",
    "Target",
    "TargetKind",
    "TaskName",
    "Text",
    "Tfds",
    "Trained",
    "Unlabelled",
    "blocks",
    "load_recipe",
    "lower_is_better",
    "metric_alone",
    "refuse_missing_paths",
    "top_blocks",
    "ZeroShot",
]
