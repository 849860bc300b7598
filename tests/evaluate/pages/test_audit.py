"""The words of an audit's page."""

from tfl.evaluate.pages.audit import TITLES, title, write_audit_page
from tfl.finding import CONFLICTS, COPIES, LEAKS
from tfl.modalities.image.modality import ImageModality


def document(*findings):
    return {
        **{"source": "p", "deep": False, "files": 0, "usable": 0, "classes": {}, "splits": {}, "proposed": 0},
        **{"version": "0", "seconds": {"files": 1.0}, "backbone": "mini", "findings": list(findings)},
    }


def finding(files, **more):
    return {"kind": "dark", "severity": "warning", "files": files, "note": "`x`", **more}


def test_every_kind_has_a_title():
    assert set(TITLES) >= {*LEAKS, *CONFLICTS, *COPIES}
    assert {*TITLES, *ImageModality.titles} >= set(ImageModality.troubles)
    assert title("near_leaks") == "Leaks: near copies in several splits"
    assert title("near_leaks", ImageModality.titles) == "Leaks: the same photo in several splits"
    assert title("new_kind") == "New kind"


def test_how_many_more_there_are(tmp_path):
    shown = [{"examples": [{"html": "<b>1</b>", "name": "1", "label": "a", "split": ""}], "caption": "c", "more": 0}]
    rows = [finding(["1", "2", "3"]), finding([str(n) for n in range(50)])]
    page = write_audit_page(document(*rows), [shown, []], tmp_path / "a.html").read_text()
    assert "And 2 more;" in page and "And 30 more;" in page and page.count("<li><code>") == 20
    assert 'aria-label="a, 1"><b>1</b></div>' in page


def test_files_that_the_note_names_are_not_listed_again(tmp_path):
    row = {"kind": "zero_bytes", "severity": "error", "files": ["a.jpg"], "note": "a.jpg is empty."}
    page = write_audit_page(document(row), [[]], tmp_path / "a.html").read_text()
    assert "<li><code>" not in page and "more;" not in page


def test_an_empty_audit(tmp_path):
    page = write_audit_page(document(), [], tmp_path / "a.html").read_text()
    assert "Nothing found" in page and "does not look for wrong labels" in page
