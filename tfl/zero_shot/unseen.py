"""The examples of `Recipe.unseen_data`: labelled, of classes that training does not see, for the report alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfl.data.audit import audit
from tfl.data.bundle import Bundle
from tfl.data.class_names import folded
from tfl.data.source import load_source
from tfl.data.split import Split
from tfl.errors import DataError

if TYPE_CHECKING:
    from tfl.recipe import Data


def load_unseen(data: Data, bundle: Bundle, *, seed: int) -> Bundle:
    """The usable examples, all in the test split, with class names of their own.

    Args:
        data: `Recipe.unseen_data`; how examples become tensors is decided by the data of the seen classes.
        bundle: The examples of the seen classes.
        seed: Draws `data.per_class`.

    Raises:
        DataError: The source cannot be used, has fewer than two classes, or a class that training sees.
        BadImageError: It has files that cannot be used, and `data.on_bad` is `error`.
    """
    examples = load_source(data, seed=seed, check_classes=False)
    known = {folded(name) for name in bundle.examples.class_names}
    if both := [name for name in examples.class_names if folded(name) in known]:
        raise DataError(
            "`unseen_data` has classes that training sees.",
            received=", ".join(both[:10]),
            fix="Name the others with `unseen_data.labels`, or leave these classes out of `data`.",
        )
    if len(examples.class_names) < 2:
        raise DataError(
            "Among one class there is nothing to tell apart.",
            received=", ".join(examples.class_names),
            allowed="two unseen classes or more",
        )
    audited = audit(examples, modality=bundle.modality, on_bad=data.on_bad, keep=True)
    return bundle.of_others(audited, split=Split.only("test", len(audited.examples)), source=data.source)
