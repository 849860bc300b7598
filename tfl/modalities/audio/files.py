"""How files and columns of sounds are called."""

from tfl.modalities.files import FileKind

_UNREAD = frozenset((".m4a", ".aac", ".wma", ".amr", ".mp4a", ".ac3", ".ape", ".wv"))

FILES = FileKind(
    kind="audio",
    suffixes=_UNREAD
    | {".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf"},
    unread=_UNREAD,
    how_to_convert="convert each to WAV or FLAC, such as with: ffmpeg -i NAME.m4a NAME.wav",
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
