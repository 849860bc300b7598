"""tfl: transfer learning by measurement. Which network, how much of it to freeze, by which strategy?

Importing `tfl` imports no TensorFlow: a recipe is plain data.
"""

from tfl.recipe import (
    Augment,
    Backbone,
    Between,
    Calibration,
    Choice,
    Data,
    Features,
    Head,
    Monitor,
    Recipe,
    Sample,
    Search,
    Stage,
    Tfds,
    blocks,
    load_recipe,
    top_blocks,
)

__version__ = "0.1.0"

__all__ = [
    "Augment",
    "Backbone",
    "Between",
    "Calibration",
    "Choice",
    "Data",
    "Features",
    "Head",
    "Monitor",
    "Recipe",
    "Sample",
    "Search",
    "Stage",
    "Tfds",
    "blocks",
    "load_recipe",
    "top_blocks",
]
