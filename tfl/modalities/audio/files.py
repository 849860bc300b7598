"""How files and columns of sounds are called."""

from tfl.modalities.files import FileKind

FILES = FileKind(
    kind="audio",
    suffixes=frozenset(
        (
            *(".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf"),
            *(".m4a", ".aac", ".wma", ".amr", ".mp4a", ".ac3", ".ape", ".wv"),  # named by the check of their content, not read
        )
    ),
    columns=(
        *("path", "filename", "file", "filepath", "filepaths", "audio", "audiopath", "audiofile", "audiofilename", "sound"),
        *("wav", "wavfile", "clip", "clippath", "recording", "fname", "slicefilename", "audioid", "clipid", "name", "id"),
    ),
    feature="Audio",
    starts={b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3", b"FORM": ".aiff"},
    numbered=frozenset(
        ("audio", "sound", "rec", "recording", "track", "voice", "memo", "clip", "file", "sample", "untitled", "wav", "zoom")
    ),
    crossed_names=True,
    fillers=frozenset(("audio", "audios", "sounds", "sound", "wav", "wavs", "clips", "recordings")),
    recipe="tfl.Audio()",
)
