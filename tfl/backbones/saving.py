"""What Keras makes anew for each layer that it saves or loads, made once."""

from __future__ import annotations

from keras.src.backend.common.global_state import get_global_attribute, set_global_attribute
from keras.src.saving.saving_lib import get_attr_skipset


def remember_skipped_attributes() -> None:
    """Call before Keras saves or loads a network: that then takes about half of the time, with the same result.

    Keras walks over the attributes of each layer, but for those that any layer has. It means to keep the list of these, but 3.15
    keeps it as `saving_attr_skipset_Layer` and looks for `saving_attr_skiplist_Layer`
    (`keras/src/saving/saving_lib.py`, `get_attr_skipset`), so it makes the list, and a layer to ask, for every layer again.
    Keras holds such lists by thread, and drops them at `keras.utils.clear_session()`.
    """
    for kind in ("Operation", "Layer", "Functional", "Sequential"):
        name = f"saving_attr_skiplist_{kind}"
        if get_global_attribute(name) is None:
            set_global_attribute(name, get_attr_skipset(kind))
