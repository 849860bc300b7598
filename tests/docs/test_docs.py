"""Python blocks in README and guides run, top to bottom, one file after the other's own scope; links lead somewhere."""

import re
from pathlib import Path

import pytest

PAGES = [
    Path("README.md"),
    Path("CONTRIBUTING.md"),
    *sorted(Path("docs").glob("*.md")),
    Path("tfl/modalities/image/backbones/weights/mini.md"),
]


WITH_MINI = (Path("README.md"), Path("tfl/modalities/image/backbones/weights/mini.md"))
"""Pages whose blocks run with `mini` as it is; those of the others do with its shallow stand-in, which has the same blocks."""


@pytest.mark.slow
@pytest.mark.usefixtures("short_trainings", "few_draws")
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_python_blocks_run(page, request):
    if page not in WITH_MINI:
        request.getfixturevalue("shallow_mini")
    scope = {"__name__": "docs"}
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)):
        exec(compile(code, f"{page}, block {number}", "exec"), scope)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_between_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
