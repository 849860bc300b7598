"""DeBERTa's relative embeddings as a layer that saves and loads within a Functional model, which KerasHub's own does not."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("tfl")
class RelativeEmbeddings(keras.layers.Layer):
    """The normalised embeddings of all relative positions, the same for every example: `(batch, positions, width)`.

    As `RelativeEmbedding` of KerasHub's DeBERTa-v3 (He et al. 2021).

    Args:
        positions: Integer, the number of relative positions.
        width: Integer, the size of each embedding.
        epsilon: Float, of the layer normalisation. Defaults to 1e-7.
    """

    def __init__(self, positions: int, width: int, *, epsilon: float = 1e-7, **options: Any) -> None:
        super().__init__(**options)
        self.positions, self.width, self.epsilon = positions, width, epsilon
        self.layer_norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy, name="layer_norm")

    def build(self, input_shape: Any) -> None:
        """Makes the weights; nothing of the input decides their shapes."""
        self.embeddings = self.add_weight(shape=(self.positions, self.width), name="embeddings")
        self.layer_norm.build((None, self.positions, self.width))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The embeddings, once for each example of the batch `inputs`."""
        found = self.layer_norm(keras.ops.expand_dims(keras.ops.convert_to_tensor(self.embeddings), 0))
        return keras.ops.repeat(found, keras.ops.shape(inputs)[0], axis=0)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """One row for each relative position."""
        return (input_shape[0], self.positions, self.width)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "positions": self.positions, "width": self.width, "epsilon": self.epsilon}

    @classmethod
    def like(cls, original: Any) -> RelativeEmbeddings:
        """A layer with the settings and the weights of KerasHub's."""
        layer = cls(
            2 * original.bucket_size,
            original.hidden_dim,
            epsilon=original.layer_norm_epsilon,
            dtype=original.dtype_policy,
            name=original.name,
        )
        layer.build((None, None, original.hidden_dim))
        layer.embeddings.assign(original.rel_embeddings)
        layer.layer_norm.set_weights(original.layer_norm.get_weights())
        return layer
