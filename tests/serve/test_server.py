"""What a server needs before it starts: a free port, a token that can be sent, the extra."""

import importlib.util
import socket

import pytest

from tfl.errors import MissingExtraError, RunError, ServingError
from tfl.serve.folder import base_of, recipe_name, stamp_of, versions_in
from tfl.serve.limits import Limits
from tfl.serve.models import Models
from tfl.serve.refusal import RefusedError
from tfl.serve.server import bind, check_extra, read_token


def test_a_port_in_use_is_told():
    with bind("127.0.0.1", 0) as first, pytest.raises(ServingError, match=r"already in use.*--port"):
        bind("127.0.0.1", first.getsockname()[1])


def test_an_address_of_another_machine_is_told():
    with pytest.raises(ServingError, match=r"192\.0\.2\.1.*--host"):
        bind("192.0.2.1", 0)


def test_it_listens_on_ipv6_too():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = bind("::1", 0)
    except ServingError:
        pytest.skip("this machine has no IPv6 loopback")
    listener.close()


def test_the_token_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("TFL_SERVE_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("TFL_SERVE_TOKEN", "from-environment")
    assert read_token(None) == "from-environment"
    file = tmp_path / "token"
    file.write_text("from-file\n")
    assert read_token(file) == "from-file"


@pytest.mark.parametrize("token", ["", "  \n", "two words", "läuse", "a\x00b"])
def test_a_token_that_cannot_be_sent_is_told(tmp_path, token):
    file = tmp_path / "token"
    file.write_text(token)
    with pytest.raises(ServingError, match="token") as caught:
        read_token(file)
    assert not token.strip() or token.strip() not in str(caught.value)


def test_a_missing_token_file_is_told(tmp_path):
    with pytest.raises(ServingError, match="cannot be read"):
        read_token(tmp_path / "nowhere")


def test_an_absent_extra_is_named_with_its_command(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow_serving" else found(name))
    check_extra(rpc=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfl\[serve\]'"):
        check_extra(rpc=True)


@pytest.fixture
def export(tmp_path):
    """`export/saved_model` with versions 1 and 10, and one under way."""
    base = tmp_path / "export" / "saved_model"
    for version in ("1", "10"):
        (base / version / "assets.extra").mkdir(parents=True)
        (base / version / "saved_model.pb").write_bytes(b"x")
        (base / version / "assets.extra" / "tfl.json").write_text(f'{{"recipe": "leaves-{version}"}}')
    (base / "11").mkdir()
    (base / "notes").mkdir()
    return base


def test_versions_are_found_from_the_run_the_export_and_the_folder(export):
    run = export.parent.parent
    (run / "manifest.json").write_text("{}")
    assert base_of(run) == base_of(export.parent) == base_of(export) == export
    assert sorted(versions_in(export)) == [1, 10] and recipe_name(export) == "leaves-10"
    assert base_of(export / "1") == export / "1" and versions_in(export / "1") == {1: export / "1"}


def test_where_there_is_no_export_the_command_that_makes_one_is_named(tmp_path):
    for folder, words in ((tmp_path, "no SavedModel"), (tmp_path / "nowhere", "no folder")):
        with pytest.raises(RunError, match=rf"{words}.*tfl export"):
            base_of(folder)


def test_a_version_that_took_the_place_of_another_has_another_stamp(export):
    before = stamp_of(1, export / "1")
    assert stamp_of(1, export / "1") == before
    (export / "1" / "saved_model.pb").write_bytes(b"y" * 9)
    (export / "1" / "variables").mkdir()
    (export / "1" / "variables" / "new").touch()
    assert stamp_of(1, export / "1") != before


class Loaded:
    """Stands for `ServedVersion`: a folder whose file says `damaged` cannot be loaded."""

    def __init__(self, folder, number, **arguments):
        from tfl.errors import ExportError

        if (folder / "saved_model.pb").read_bytes() == b"damaged":
            raise ExportError("it is damaged")
        self.number, self.folder, self.closed = number, folder, False

    def close(self):
        self.closed = True


@pytest.fixture
def models(export, monkeypatch):
    monkeypatch.setattr("tfl.serve.models.ServedVersion", Loaded)
    return Models.open(export, limits=Limits())


def test_the_highest_version_is_served_under_the_recipes_name(models):
    assert models.name == "leaves-10" and models.latest.number == 10
    assert models.find("leaves-10") is models.find("leaves-10", 10) is models.latest
    for name, number in (("leaves-10", 1), ("other", None), ("other", 10)):
        with pytest.raises(RefusedError, match="Servable not found"):
            models.find(name, number)


def test_a_new_version_takes_over_and_the_old_one_is_closed(models, export):
    old = models.latest
    assert not models.look()
    (export / "11" / "saved_model.pb").write_bytes(b"x")
    assert models.look() and models.latest.number == 11 and old.closed
    assert [state["version"] for state in models.states()] == ["11"]


def test_a_damaged_version_is_told_and_tried_again_once_it_has_changed(models, export):
    (export / "11" / "saved_model.pb").write_bytes(b"damaged")
    assert not models.look() and models.latest.number == 10 and not models.latest.closed
    assert [(state["version"], state["state"]) for state in models.states()] == [("11", "END"), ("10", "AVAILABLE")]
    assert not models.look()
    (export / "11" / "saved_model.pb").write_bytes(b"whole again")
    assert models.look() and models.latest.number == 11 and len(models.states()) == 1


def test_a_version_taken_away_gives_way_to_the_one_below(models, export):
    (export / "10" / "saved_model.pb").unlink()
    assert models.look() and models.latest.number == 1


def test_a_folder_that_vanishes_leaves_what_is_served(models, export):
    export.rename(export.with_name("elsewhere"))
    assert not models.look() and models.latest.number == 10


def test_the_watcher_finds_a_new_version(models, export):
    models.watch(every_s=0.01)
    (export / "11" / "saved_model.pb").write_bytes(b"x")
    import time

    for _ in range(500):
        if models.latest.number == 11:
            break
        time.sleep(0.01)
    models.close()
    assert models.latest.number == 11 and models.latest.closed
