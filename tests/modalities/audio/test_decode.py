"""Files of every format, rate and number of channels become samples of one length at one rate."""

import numpy as np
import pytest
import tensorflow as tf
from sound_files import encoded, tone, wav, with_chunk

import tfl
from tfl.errors import BadImageError, MissingExtraError
from tfl.modalities.audio.convert import readable_by_graph
from tfl.modalities.audio.decode import decode_wav, decode_wavs
from tfl.modalities.audio.modality import AudioModality
from tfl.modalities.audio.spectrogram import spectrogram_input
from tfl.modalities.audio.wav import as_int16, read_wav_header, write_wav

SECONDS, RATE = 0.5, 16000
PIECE = np.stack([tone(level=0.6), tone(880.0, level=0.2)], axis=1)
OTHERS = {
    "24 bits": encoded(PIECE, RATE, "WAV", "PCM_24"),
    "32 bits": encoded(PIECE, RATE, "WAV", "PCM_32"),
    "float": encoded(PIECE, RATE, "WAV", "FLOAT"),
    "double": encoded(PIECE, RATE, "WAV", "DOUBLE"),
    "extensible": encoded(PIECE, RATE, "WAVEX", "PCM_16"),
    "flac": encoded(PIECE, RATE, "FLAC"),
    "aiff": encoded(PIECE, RATE, "AIFF"),
    "with a list": with_chunk(wav(PIECE), b"LIST", b"INFOISFT\x03\0\0\0abc"),
}
LOSSY = {
    "8 bits": (encoded(PIECE, RATE, "WAV", "PCM_U8"), 0.01),
    "u-law": (encoded(PIECE, RATE, "WAV", "ULAW"), 0.03),
    "mp3": (encoded(PIECE, RATE, "MP3"), 0.05),
    "vorbis": (encoded(PIECE, RATE, "OGG", "VORBIS"), 0.05),
    "opus": (encoded(PIECE, RATE, "OGG", "OPUS"), 0.05),
}
MODALITY = AudioModality(tfl.Data("x", image_size=(32, 32), input=tfl.Audio(seconds=SECONDS, sample_rate=RATE)))


@pytest.fixture(scope="module")
def through_dataset():
    """Samples as a dataset makes them."""
    return tf.function(lambda content: MODALITY.samples(MODALITY.decode(MODALITY.convert(tf.stack([content]))))[0])


def test_all_channels_are_mixed(through_dataset):
    np.testing.assert_allclose(through_dataset(wav(PIECE)).numpy(), PIECE.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_give_the_same_samples(through_dataset, name):
    content = OTHERS[name]
    assert MODALITY.check(content).trouble == ""
    header = read_wav_header(readable_by_graph(content))
    assert header.plain
    assert (header.rate, header.channels) == (RATE, 2)
    np.testing.assert_allclose(through_dataset(content).numpy(), PIECE.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_give_almost_the_same(through_dataset, name):
    content, tolerance = LOSSY[name]
    middle = slice(1000, -1000)  # encoders fade the edges
    found, wanted = through_dataset(content).numpy()[middle], PIECE.mean(axis=1)[middle]
    assert np.sqrt(np.mean((found - wanted) ** 2)) < tolerance


def test_plain_wav_files_do_not_call_python(monkeypatch):
    from tfl.modalities.audio import modality

    def refuse(content):
        raise RuntimeError("called")

    monkeypatch.setattr(modality, "readable_by_graph", refuse)
    convert = tf.function(MODALITY.convert)
    assert convert(tf.constant([wav(PIECE)])).numpy().tolist() == [wav(PIECE)]
    with pytest.raises(tf.errors.OpError, match="called"):
        convert(tf.constant([wav(PIECE), OTHERS["flac"]]))


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_a_long_sound_is_cut_to_its_middle(rate):
    content = wav(np.concatenate([np.zeros(rate), tone(seconds=0.2, rate=rate), np.zeros(rate)]), rate)
    found = decode_wav(tf.constant(content), seconds=0.2, sample_rate=RATE).numpy()
    assert found.shape == (3200,)
    np.testing.assert_allclose(found[400:-400], tone(seconds=0.2)[400:-400], atol=0.02)


def test_a_short_sound_stands_in_the_middle_of_silence():
    found = decode_wav(tf.constant(wav(tone(seconds=0.1))), seconds=0.3, sample_rate=RATE).numpy()
    assert found.shape == (4800,)
    assert np.abs(found[:1600]).max() == np.abs(found[3200:]).max() == 0
    np.testing.assert_allclose(found[1600:3200], tone(seconds=0.1), atol=1e-4)


def test_samples_beyond_one_are_lowered_and_not_clipped():
    loud = as_int16(np.array([0.0, 2.0, -4.0])) / 32768
    np.testing.assert_allclose(loud, [0.0, 0.5, -1.0], atol=1e-4)


def test_a_file_that_is_cut_short_says_so():
    with pytest.raises(BadImageError, match=r"ends after 956 of 32,000 bytes"):
        readable_by_graph(with_chunk(wav(PIECE), b"LIST", b"")[:1008])


def test_without_soundfile_only_16_bit_wav_is_read(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    assert readable_by_graph(wav(PIECE)) == wav(PIECE)
    assert readable_by_graph(OTHERS["extensible"])[:4] == b"RIFF"
    with pytest.raises(MissingExtraError, match=r"tfl\[audio\]"):
        readable_by_graph(OTHERS["flac"])
    checked = MODALITY.check(OTHERS["flac"])
    assert (checked.trouble, checked.detail) == ("unsupported_format", "FLAC; reading it needs: pip install 'tfl[audio]'")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 0.2, 0.1, 0.30001, 1 / 3, 0.0001])
@pytest.mark.parametrize("lengths", [(2400, 2399, 1, 4801), (2400,), (2401, 7)])
def test_a_batch_at_once_gives_the_samples_of_each_file(seconds, lengths):
    rng, rate = np.random.default_rng(0), 8000
    contents = [write_wav(rng.integers(-32768, 32768, length).astype(np.int16), rate) for length in lengths]
    expected = [decode_wav(tf.constant(content), seconds=seconds, sample_rate=rate).numpy() for content in contents]
    at_once = tf.function(lambda some: decode_wavs(some, seconds=seconds, sample_rate=rate))
    np.testing.assert_array_equal(at_once(tf.constant(contents)).numpy(), expected)
    graph = at_once.get_concrete_function(tf.TensorSpec([None], tf.string))
    for other in (wav(PIECE), wav(tone(seconds=0.1, rate=16000), 16000), with_chunk(contents[0], b"LIST", b"INFO")):
        mixed = decode_wavs(tf.constant([contents[0], other]), seconds=seconds, sample_rate=rate).numpy()
        np.testing.assert_array_equal(mixed[0], expected[0])
        np.testing.assert_array_equal(
            graph(tf.constant([contents[0], other])).numpy()[1],
            decode_wav(tf.constant(other), seconds=seconds, sample_rate=rate).numpy(),
        )


@pytest.mark.parametrize("content", [b"", b"RIFF", write_wav(np.zeros(100, np.int16), 8000)[:60]], ids=len)
def test_what_is_no_sound_is_an_error_in_a_batch_too(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_wavs(tf.constant([wav(PIECE), content]), seconds=0.1, sample_rate=8000)


@pytest.mark.slow
def test_an_exported_graph_takes_bytes(tmp_path):
    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, contents):
            return MODALITY.encode(contents)

    contents = tf.constant([wav(PIECE), wav(tone(seconds=0.2, rate=8000), 8000), with_chunk(wav(PIECE), b"LIST", b"INFO")])
    tf.saved_model.save(Served(), str(tmp_path / "model"))
    there = tf.saved_model.load(str(tmp_path / "model"))(contents).numpy()
    np.testing.assert_allclose(there, MODALITY.encode(contents).numpy(), atol=1)
    assert there.shape == (3, 32, 32, 3)


def test_the_server_and_training_make_the_same_tensors(through_dataset):
    for content in (wav(PIECE), OTHERS["flac"], LOSSY["mp3"][0]):
        trained = spectrogram_input(through_dataset(content)[None], MODALITY.audio, MODALITY.size).numpy()
        served = MODALITY.encode(tf.constant([MODALITY.readable(content)])).numpy()
        np.testing.assert_allclose(trained, served, atol=1)
