import logging

import numpy as np
import pytest

from disbench.datasets.imported.factor_columns import as_matrix, read_column, warn_of_identifiers


def test_whole_floats_are_whole_numbers_from_text_and_from_arrays() -> None:
    for cells in (["3.0", "1", "2.00"], np.array([3.0, 1.0, 2.0], np.float32), np.array([3, 1, 2], np.uint8)):
        column = read_column(cells, "size")
        assert column.indices.tolist() == [2, 0, 1]
        assert column.numbers is not None
        assert column.numbers.dtype == np.int64
        assert column.numbers.tolist() == [3, 1, 2]


def test_fractions_keep_their_values() -> None:
    for cells in (["0.5", "100", "0.25"], np.array([0.5, 100, 0.25])):
        column = read_column(cells, "scale")
        assert column.numbers is not None
        assert column.numbers.tolist() == [0.5, 100.0, 0.25]
        assert column.indices.tolist() == [1, 2, 0]


def test_words_are_numbered_alphabetically_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        columns = [read_column(cells, "shape") for cells in (["cube", "ball"], np.array([b"cube", b"ball"]))]
    for column in columns:
        assert (column.labels, column.indices.tolist(), column.numbers) == (("ball", "cube"), [1, 0], None)
    assert "ball=0, cube=1" in caplog.text


def test_booleans_are_false_then_true() -> None:
    assert read_column(np.array([True, False]), "on").indices.tolist() == [1, 0]
    assert read_column(["True", "FALSE", "true"], "on").indices.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "cell", ["", "None", "none", "null", "NULL", "N/A", "NA", "nan", "NaN", "-", "?", "<NA>", "NaT", "#N/A"]
)
def test_a_missing_value_among_numbers_is_an_error_that_names_column_and_row(cell: str) -> None:
    with pytest.raises(ValueError, match=r"factor size has no value in row 2 .*fill it in"):
        read_column(["1", "2", cell, "3"], "size")


def test_none_is_a_word_among_words_but_an_empty_cell_never_is() -> None:
    assert read_column(["round", "none"], "glasses").labels == ("none", "round")
    with pytest.raises(ValueError, match="factor glasses has no value in row 1"):
        read_column(["round", "", "none"], "glasses")


def test_missing_and_infinite_numbers_of_an_array_are_named() -> None:
    for bad, words in ((np.nan, r"a missing value \(NaN\)"), (np.inf, "an infinite value")):
        with pytest.raises(ValueError, match=rf"factor size has {words} in row 1") as caught:
            read_column(np.array([1.0, bad]), "size")
        assert "bin" not in str(caught.value)


def test_a_mix_of_words_and_numbers_is_an_error_that_names_both() -> None:
    with pytest.raises(ValueError, match=r"factor size mixes numbers and words: 'big' in row 1 .* such as '1'"):
        read_column(["1", "big", "2"], "size")


def test_dates_are_refused_unless_their_text_sorts_as_time_does() -> None:
    assert read_column(["2024-02-01", "2023-11-30"], "day").indices.tolist() == [1, 0]
    for cells in (["31/01/2024", "01/02/2024"], np.array(["2024-01-31"], "M8[D]")):
        with pytest.raises(ValueError, match="factor day holds dates"):
            read_column(cells, "day")


def test_objects_and_complex_numbers_are_refused() -> None:
    for cells in (np.array([{}, {}]), np.array([1j])):
        with pytest.raises(ValueError, match="factor a needs numbers or text"):
            read_column(cells, "a")


def test_numbers_above_two_to_the_53_stay_apart() -> None:
    large = 2**63 + np.arange(3, dtype=np.uint64)
    column = read_column(large, "a")
    assert column.indices.tolist() == [0, 1, 2]
    assert as_matrix([column, column]).dtype == np.uint64
    text = read_column(["9007199254740993", "9007199254740992"], "b")
    assert text.indices.tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"factor b has whole numbers beyond 2\*\*53"):
        as_matrix([text, read_column(["0.5", "1"], "c")])


def test_a_matrix_keeps_integers_where_all_are_whole() -> None:
    words, whole, parts = read_column(["b", "a"], "w"), read_column(["7", "3"], "n"), read_column(["0.5", "2"], "f")
    assert as_matrix([words, whole]).tolist() == [[1, 7], [0, 3]]
    assert as_matrix([words, whole]).dtype == np.int64
    assert as_matrix([words, parts]).tolist() == [[1.0, 0.5], [0.0, 2.0]]


def test_a_factor_with_another_value_in_every_row_is_named_as_a_likely_identifier(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = np.arange(50)
    columns = [read_column(rows, "id"), read_column(rows % 5, "size"), read_column(rows / 7, "angle")]
    warn_of_identifiers(columns)
    assert [record.getMessage().split(" has ")[0] for record in caplog.records] == ["Factor id"]
    caplog.clear()
    warn_of_identifiers(columns[:1])  # a single factor may well be a sweep
    assert not caplog.records
