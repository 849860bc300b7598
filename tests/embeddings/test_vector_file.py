"""Files of vectors: what is written is read, a part at a time; a damaged or torn one is told."""

import numpy as np
import pytest

from tfl.embeddings import vector_file
from tfl.embeddings.vector_file import Rows, beside, check_suffix, open_vectors, refuse_if_there, write_vectors
from tfl.errors import DataError

SUFFIXES = [".parquet", ".npy"]


def rows(*names):
    return Rows(files=names, labels=["ant", *[""] * (len(names) - 1)], fingerprints=[f"f{name}" for name in names])


def written(path, parts=((3,), (2,))):
    rng, start, batches = np.random.default_rng(0), 0, []
    for (count,) in parts:
        names = [f"{at}.png" for at in range(start, start + count)]
        batches.append((rows(*names), rng.normal(size=(count, 4)).astype(np.float32)))
        start += count
    write_vectors(path, {"width": 4, "kind": "image"}, iter(batches), count=start)
    return np.concatenate([vectors for _, vectors in batches])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(vector_file, "ROWS_AT_ONCE", 2)
    path = tmp_path / f"v{suffix}"
    vectors = written(path)
    found = open_vectors(path)
    assert len(found) == 5 and found.width == 4 and found.about == {"format": 1, "width": 4, "kind": "image"}
    assert found.rows.files == [f"{at}.png" for at in range(5)] and found.rows.labels == ["ant", "", "", "ant", ""]
    assert np.array_equal(found.read_all(), vectors) and np.array_equal(found.take([4, 0, 4]), vectors[[4, 0, 4]])
    assert [start for start, _ in found.batches()] == [0, 2, 4]
    assert sum(len(part) for part, _ in found.contents()) == 5


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_parts_that_it_was_made_of_do_not_show(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(vector_file, "ROWS_AT_ONCE", 2)
    one, other = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    whole = rows(*[f"{at}.png" for at in range(5)])
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    write_vectors(one, {"width": 4}, [(whole, vectors)], count=5)
    write_vectors(other, {"width": 4}, [(whole.take([0]), vectors[:1]), (whole.take([1, 2, 3, 4]), vectors[1:])], count=5)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_that_are_not_utf_8_and_lines_survive(tmp_path, suffix):
    names = ["caf\udce9.png", 'a "quoted", name.png', "two\nlines.png"]
    write_vectors(tmp_path / f"v{suffix}", {"width": 2}, [(rows(*names), np.ones((3, 2), np.float32))], count=3)
    assert open_vectors(tmp_path / f"v{suffix}").rows.files == names


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_another_number_of_rows_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    written(path)
    before = path.read_bytes()
    with pytest.raises(DataError, match="Another number"):
        write_vectors(path, {"width": 4}, [(rows("a"), np.zeros((1, 4), np.float32))], count=2)
    assert path.read_bytes() == before and len(open_vectors(path)) == 5


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damage_is_one_message(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    written(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged"):
        open_vectors(path)


def test_a_table_from_another_time_is_told(tmp_path):
    path = tmp_path / "v.npy"
    written(path)
    table = beside(path)[0]
    table.write_text(table.read_text().replace("ant", "bee"))
    with pytest.raises(DataError, match="not from one time"):
        open_vectors(path)
    table.unlink()
    with pytest.raises(DataError, match=r"v\.csv is not beside it"):
        open_vectors(path)


def test_a_parquet_file_of_others_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"file": ["a"]}), tmp_path / "v.parquet")
    with pytest.raises(DataError, match="does not say what made it"):
        open_vectors(tmp_path / "v.parquet")


def test_pandas_reads_the_parquet_file(tmp_path):
    import pyarrow.parquet as pq

    vectors = written(tmp_path / "v.parquet")
    table = pq.read_table(tmp_path / "v.parquet")
    assert table["label"].to_pylist() == ["ant", None, None, "ant", None]
    assert np.allclose(np.stack(table["vector"].to_pylist()), vectors)


def test_what_is_in_the_way_is_told(tmp_path):
    (tmp_path / "v.csv").touch()
    with pytest.raises(DataError, match=r"v\.csv is already there"):
        refuse_if_there(tmp_path / "v.npy")
    with pytest.raises(DataError, match="parquet"):
        check_suffix(tmp_path / "v.txt")
    with pytest.raises(DataError, match="no file of vectors"):
        open_vectors(tmp_path / "nowhere.parquet")
