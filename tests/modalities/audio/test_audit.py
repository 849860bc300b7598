"""Silent, clipped, short, offset and copied sounds are found, and clean ones are not."""

import numpy as np
import pytest
from sound_files import encoded, tone, wav

from tfl.data.examples import Examples
from tfl.modalities.audio.audit import compared_waves, correlation, facts_of, level_findings, near_copies
from tfl.modalities.audio.checks import AudioChecks
from tfl.modalities.audio.sample import draw_sounds
from tfl.modalities.base import Audited

SOUNDS = draw_sounds(per_class=4, seed=5)


def examples_of(contents: list[bytes], labels: list[int] | None = None) -> Examples:
    column = np.empty(len(contents), object)
    column[:] = contents
    return Examples(class_names=("a", "b"), labels=labels or [0] * len(contents), contents=column)


def test_each_trouble_is_found_once():
    clean, rng = tone(), np.random.default_rng(0)
    contents = [
        wav(clean),
        wav(np.zeros(8000)),
        wav(1e-4 * clean),
        wav(np.clip(3 * clean, -0.8, 0.8)),
        wav(clean[:400]),
        wav(0.2 * clean + 0.3),
        wav(0.1 * rng.normal(size=8000)),
    ]
    found = {one["kind"]: one["files"] for one in level_findings(examples_of(contents))}
    assert found == {"silent": ["#1", "#2"], "clipped": ["#3"], "very_short": ["#4"], "offset": ["#5"]}


def test_notes_read_well_for_one_and_for_several():
    notes = {one["kind"]: one["note"] for one in level_findings(examples_of([wav(np.zeros(8000)), wav(np.zeros(9000))]))}
    assert notes["silent"].startswith("2 sounds have no sample above -60 dB, and teach")
    notes = {one["kind"]: one["note"] for one in level_findings(examples_of([wav(np.zeros(400))]))}
    assert notes["silent"] == "1 sound has no sample above -60 dB, and teaches a network nothing but silence: #0."
    assert notes["very_short"] == "1 sound is shorter than 50 ms: #0."


def test_the_drawn_sounds_are_clean():
    everything = Examples(class_names=SOUNDS.class_names, labels=SOUNDS.labels, contents=SOUNDS.contents)
    assert level_findings(everything) == []
    assert near_copies(compared_waves(everything)) == []


@pytest.mark.parametrize("change", ["louder", "shifted", "noise", "mp3", "rate", "cut"])
def test_a_changed_copy_is_found_among_others(change):
    import librosa

    samples = np.frombuffer(SOUNDS.contents[1][44:], "<i2") / 32768
    rng = np.random.default_rng(0)
    copy = {
        "louder": lambda: wav(samples * 0.3),
        "shifted": lambda: wav(np.concatenate([np.zeros(900), samples])),
        "noise": lambda: wav(samples + 0.05 * samples.std() * rng.normal(size=len(samples))),
        "mp3": lambda: encoded(samples, 16000, "MP3"),
        "rate": lambda: wav(librosa.resample(samples, orig_sr=16000, target_sr=22050), 22050),
        "cut": lambda: wav(samples[200:-200]),
    }[change]()
    assert near_copies(compared_waves(examples_of([*SOUNDS.contents, copy]))) == [(1, len(SOUNDS.contents))]


def test_copies_of_two_sources_are_found_by_their_prints():
    one, two, three = SOUNDS.contents[:3]
    louder = wav(np.frombuffer(one[44:], "<i2") / 40000)
    here, there = (AudioChecks(Audited(examples=examples_of(some), batches=iter)) for some in ([two, one], [three, louder]))
    prints = here.prints + there.prints
    assert [members.tolist() for members in prints.near_sets(["a", "b", "c", "d"])] == [[1, 3]]
    assert prints.near_sets(["a", "b", "c", "b"]) == []  # exact copies alone


def test_correlation_of_other_sounds_is_low():
    rng = np.random.default_rng(1)
    assert correlation(rng.normal(size=4000), rng.normal(size=3000)) < 0.2


def test_peaks_are_no_clipping():
    assert facts_of(wav(tone(level=0.99))).clipped == 0
    assert facts_of(wav(tone(30.0, level=0.99, rate=44100), 44100)).clipped == 0
    assert facts_of(wav(np.clip(tone(level=2.0), -1, 1))).clipped > 0.1
