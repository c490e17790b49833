import numpy as np
import pandas as pd
import pytest
import torch

from disbench.metrics import METRICS
from disbench.metrics.arrays import to_array


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_tensors_of_every_type_are_converted(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    assert to_array(tensor).tolist() == [[0, 1], [1, 0]]


def test_a_gradient_and_a_sparse_layout_do_not_matter() -> None:
    tensor = torch.tensor([[1.5, 0.0]], requires_grad=True)
    assert to_array(tensor).tolist() == [[1.5, 0.0]]
    assert to_array(tensor * 2).tolist() == [[3.0, 0.0]]
    assert to_array(tensor.to_sparse()).tolist() == [[1.5, 0.0]]


def test_nullable_and_categorical_columns_become_plain_numbers() -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([3, 1], "Int64"),
            "flag": pd.array([True, False], "boolean"),
            "float": pd.array([0.5, 2], "Float32"),
            "number": pd.Categorical([30, 10]),
            "word": pd.Categorical(["big", "small"], categories=["small", "big"], ordered=True),
            "object": pd.Series([1, 2.5], dtype=object),
        }
    )
    assert to_array(frame).tolist() == [[3, 1, 0.5, 30, 1, 1], [1, 0, 2, 10, 0, 2.5]]


@pytest.mark.parametrize(
    "column",
    [pd.array([1, None], "Int64"), pd.Series([1.0, np.nan]), pd.Categorical(["a", None]), pd.Series(["a", None])],
)
def test_a_missing_value_is_named_by_column_and_row(column: object) -> None:
    with pytest.raises(ValueError, match="column size has a missing value in row 1"):
        to_array(pd.DataFrame({"size": column}))


def test_text_and_objects_say_how_to_convert() -> None:
    with pytest.raises(ValueError, match=r"column shape needs numbers.*frame\['shape'\]\.astype\('category'\)"):
        to_array(pd.DataFrame({"shape": ["cube", "ball"]}))
    with pytest.raises(ValueError, match=r"dtype object with a dict; convert it: array\.astype\(float\)"):
        to_array(np.array([[{}, {}]]))


def test_fields_become_columns() -> None:
    assert to_array(np.array([(1, 2), (3, 4)], dtype=[("a", "i4"), ("b", "i4")])).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match="pass one type of number"):
        to_array(np.array([("x", 2)], dtype=[("a", "U1"), ("b", object)]))


@pytest.mark.parametrize(
    ("codes", "factors", "words"),
    [
        ((5, 60), (3, 60), r"transposed: .*Use codes\.T and factors\.T"),
        ((60, 5), (3, 60), r"factors is transposed: .*Use factors\.T"),
        ((60, 5, 1, 1), (60, 3), r"codes\.reshape\(len\(codes\), -1\)"),
        ((60,), (60, 3), r"a single code is a column: codes\[:, None\]"),
        ((60, 0), (60, 3), "which holds no code"),
        ((), (60, 3), "which holds no code"),
        ((60, 5), (59, 3), "need the same rows, got 60 and 59"),
    ],
)
def test_a_metric_gives_the_advice_that_fits_the_shape(
    codes: tuple[int, ...], factors: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        METRICS["mig"](np.ones(codes), np.ones(factors, int))


def test_a_metric_takes_tensors_with_gradients_and_data_frames() -> None:
    factors = np.arange(400).reshape(200, 2) % 7
    codes = factors + np.random.default_rng(0).normal(size=(200, 2))
    expected = METRICS["mig"](codes, factors)
    tensor = torch.tensor(codes, requires_grad=True)
    frame = pd.DataFrame({"a": pd.array(factors[:, 0], "Int64"), "b": pd.Categorical(factors[:, 1])})
    assert METRICS["mig"](tensor, torch.tensor(factors)) == expected
    assert METRICS["mig"](codes, frame) == expected
