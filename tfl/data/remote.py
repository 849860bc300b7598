"""Sources on the network are not read: how each kind is downloaded."""

from __future__ import annotations

import re

from tfl.errors import DataError

_REMOTE = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>.*)|(?P<site>kaggle|hf|huggingface):(?P<name>.*)", re.IGNORECASE | re.DOTALL
)
_HUB = re.compile(
    r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/datasets/(?P<name>[^/?#]+(/(?!tree|viewer|blob|resolve)[^/?#]+)?)",
    re.IGNORECASE,
)
_KAGGLE = re.compile(
    r"(https?://)?(www\.)?kaggle\.com/(datasets/(?P<name>[^/?#]+/[^/?#]+)|(c|competitions)/(?P<contest>[^/?#]+))", re.IGNORECASE
)


def check_local(source: str) -> None:
    """Raises where a source is an address on the network; the message says how to download it.

    Raises:
        DataError: It is.

    Example:

    >>> from tfl.data.remote import check_local
    >>> check_local("data/leaves")
    >>> check_local("https://example.org/leaves.zip")
    Traceback (most recent call last):
    ...
    tfl.errors.DataError: A source on the network is not read. Received: https://example.org/leaves.zip. Download it first: ...
    """
    match = _REMOTE.fullmatch(source.strip())
    if match is None and not _HUB.match(source) and not _KAGGLE.match(source):
        return
    if match is not None and (match["scheme"] or "").lower() == "file":
        raise DataError(
            "A source is a path, not a file:// address.", received=source[:300], fix=f"Use --data /{match['rest'].strip('/')}"
        )
    raise DataError(
        "A source on the network is not read.",
        received=source[:300],
        fix=f"Download it first: {_how(source.strip(), match)}",
    )


def _how(source: str, match: re.Match[str] | None) -> str:
    scheme = (match["scheme"] or match["site"] or "").lower() if match else "https"
    rest = ((match["rest"] or match["name"] or "") if match else source).strip("/")
    hub, kaggle = _HUB.match(source), _KAGGLE.match(source)
    if hub or scheme in ("hf", "huggingface"):
        return _hub(hub["name"] if hub else rest.removeprefix("datasets/"))
    if kaggle or scheme == "kaggle":
        if kaggle and kaggle["contest"]:
            return f"kaggle competitions download -c {kaggle['contest']}, then --data {kaggle['contest']}.zip"
        name = kaggle["name"] if kaggle else rest
        return f"kaggle datasets download -d {name}, then --data {name.split('/')[-1]}.zip"
    if scheme == "s3":
        return f"aws s3 cp --recursive {source} examples, then --data examples"
    if scheme == "gs":
        return f"gcloud storage cp --recursive {source} examples, then --data examples"
    if scheme in ("http", "https", "ftp"):
        name = rest.split("?")[0].split("/")[-1] or "FILE"
        return f"curl -L -o {name} '{source}', then --data {name}"
    return "then name the file or folder with --data"


def _hub(name: str) -> str:
    folder = name.split("/")[-1]
    return f"hf download {name} --repo-type dataset --local-dir {folder}, then --data {folder}"
