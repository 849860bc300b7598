"""The drawn sounds are a function of their seed, and their classes cannot be told by level or pitch alone."""

import numpy as np
import pytest

import tfl
from tfl.data.source import load_source
from tfl.errors import DataError
from tfl.modalities.audio.check import check_sound
from tfl.modalities.audio.sample import draw_sounds, load_sample


def test_the_same_seed_draws_the_same_bytes():
    one, again, other = draw_sounds(per_class=1), draw_sounds(per_class=1), draw_sounds(per_class=1, seed=1)
    assert list(one.contents) == list(again.contents)
    assert all(a != b for a, b in zip(one.contents, other.contents, strict=True))


def test_it_is_a_source():
    examples = load_source(tfl.Sample("sounds", input=tfl.Audio(), per_class=5))
    assert (len(examples), examples.noun, examples.note) == (30, "sound", "synthesised, not recorded")
    about = check_sound(examples.bytes_of(0)).about
    assert about == {"seconds": 1.0, "rate": 16000, "channels": 1, "bits": 16}


def test_an_unknown_name_is_refused():
    with pytest.raises(DataError, match="Did you mean `sounds`"):
        load_sample("sound")


@pytest.mark.slow
def test_loudness_and_mean_spectrum_do_not_decide():
    """A linear classifier on the mean spectrum, which has no time, is far from what a network reaches."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sample = draw_sounds(per_class=30)
    waves = np.stack([np.frombuffer(content[44:], "<i2") for content in sample.contents]) / 32768
    power = np.abs(np.fft.rfft(waves)[:, :-1].reshape(len(waves), 40, -1)) ** 2
    features = np.log(power.mean(axis=2) + 1e-9)
    score = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), features, sample.labels).mean()
    assert score < 0.8
