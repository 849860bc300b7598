"""Commands on what is damaged: what they may answer, and what they must leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result


@contextmanager
def untouched(folder: Path, *, but: tuple[str, ...] = ()) -> Iterator[None]:
    """Fails where a file below `folder` appears, vanishes or changes in the block, but for those named."""

    def look() -> dict[str, bytes]:
        names = {file: file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
        return {name: file.read_bytes() for file, name in names.items() if name not in (*but, ".lock")}

    before = look()
    yield
    assert look() == before


def tfl_says(*words: object) -> Result:
    """`tfl WORDS`: done, or one message and exit 2. A traceback or a defect fails the test."""
    from tfl.cli.main import cli

    result = CliRunner().invoke(cli, [str(word) for word in words])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code in (0, 2), result.output + result.stderr
    assert "Traceback" not in result.output + result.stderr
    return result
