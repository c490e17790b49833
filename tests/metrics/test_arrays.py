import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from disbench.metrics import METRICS, udr
from disbench.metrics.arrays import to_array
from disbench.metrics.table import as_table


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


FACTORS = np.random.default_rng(0).integers(7, size=(200, 2))
CODES = np.column_stack([FACTORS[:, 1] * 2.0, FACTORS[:, 0] + FACTORS[:, 1] / 8])  # exact in bfloat16


def with_graph(codes: np.ndarray) -> torch.Tensor:
    return torch.tensor(codes, requires_grad=True) * 1.0


@pytest.mark.parametrize("metric", ["mig", "mcc", "factor_vae_score", "dci_disentanglement"])
@pytest.mark.parametrize(
    "kind",
    [
        np.ndarray.tolist,
        lambda array: array.astype(np.float16),
        torch.tensor,
        lambda array: torch.tensor(array).half(),
        lambda array: torch.tensor(array).bfloat16(),
        lambda array: torch.tensor(array, requires_grad=True),
        with_graph,
        lambda array: list(with_graph(array).bfloat16()),  # a list of rows
        lambda array: pd.DataFrame(array, columns=["a", "b"]),
    ],
    ids=["list", "float16", "tensor", "half", "bfloat16", "leaf", "graph", "rows", "frame"],
)
def test_a_metric_scores_every_kind_of_input_alike(metric: str, kind: Callable[[np.ndarray], object]) -> None:
    options = {"model": "random_forest"} if metric == "dci_disentanglement" else {}
    expected = METRICS[metric](CODES, FACTORS, **options)
    assert expected > 0.3
    assert METRICS[metric](kind(CODES), kind(FACTORS.astype(float)), **options) == expected


def test_a_metric_leaves_the_tensor_its_gradient() -> None:
    leaf = torch.tensor(CODES, requires_grad=True)
    codes = leaf * 2
    METRICS["mig"](codes, torch.tensor(FACTORS))
    codes.sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == np.full(CODES.shape, 2.0).tolist()


def test_a_tensor_without_values_says_where_to_encode() -> None:
    with pytest.raises(ValueError, match=r"got one of shape \(200, 2\) on the meta device.*on the CPU or a GPU"):
        METRICS["mig"](torch.empty(200, 2, device="meta"), FACTORS)


def test_nullable_and_categorical_factors_score_as_their_numbers() -> None:
    frame = pd.DataFrame({"a": pd.array(FACTORS[:, 0], "Int64"), "b": pd.Categorical(FACTORS[:, 1])})
    assert METRICS["mig"](CODES, frame) == METRICS["mig"](CODES, FACTORS)


def test_columns_with_names_are_named_beside_their_numbers() -> None:
    factors = pd.DataFrame({"constant": 1, "size": FACTORS[:, 0], "color": FACTORS[:, 1]})
    plain = METRICS["mig"].detail(CODES, factors.to_numpy())
    detail = METRICS["mig"].detail(pd.DataFrame(CODES, columns=["z_a", "z_b"]), factors)
    assert [(line["factor"], line["factor_name"], line["code"], line["code_name"]) for line in detail["factors"]] == [
        (1, "size", 1, "z_b"),
        (2, "color", 0, "z_a"),
    ]
    assert METRICS["mig"].detail(CODES, factors)["factors"][0].keys() - plain["factors"][0].keys() == {"factor_name"}
    assert "factor_name" not in plain["factors"][0]
    assert detail["constant_factors"] == plain["constant_factors"] == [0]
    fields = np.rec.fromarrays(CODES.T, names=["z_a", "z_b"])
    assert METRICS["mutual_info_score"].detail(fields)["codes"][0]["other_name"] == "z_b"


def test_the_names_stay_with_the_rows_that_are_taken() -> None:
    table = as_table(CODES, pd.DataFrame(FACTORS, columns=["size", "color"])).take(np.arange(100))
    assert METRICS["mig"].detail(table)["factors"][1]["factor_name"] == "color"


def test_a_tensor_with_the_negative_bit_is_read():
    real = torch.arange(6.0).reshape(3, 2)
    assert to_array(torch.complex(real, real).conj().imag).tolist() == (-real).tolist()


FRAME = pd.DataFrame({"z": [0.1, 0.2, 0.3, 0.5]}, index=["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (["a", "b", "d", "c"], r"rows in another order\. Sort one as the other: factors\.loc\[codes\.index\]"),
        (["a", "b", "c", "e"], r"the row 'e' of factors alone\. .*factors\.to_numpy\(\)"),
        (range(4), "the row 0 of factors"),
    ],
)
def test_frames_of_codes_and_factors_with_other_indices_are_refused(index: Sequence[object], words: str) -> None:
    factors = pd.DataFrame({"size": [0, 1, 0, 1]}, index=index)
    with pytest.raises(ValueError, match=f"codes and factors need the same index, got {words}"):
        as_table(FRAME, factors)
    with pytest.raises(ValueError, match=r"tables\[0\] and tables\[1\] need the same index"):
        udr([FRAME, factors])
    with pytest.raises(ValueError, match="codes and std need the same index"):
        as_table(FRAME, std=factors)
    assert as_table(FRAME, factors.to_numpy()).labels[:, 0].tolist() == [0, 1, 0, 1]


def test_frames_with_the_same_index_are_matched() -> None:
    factors = pd.DataFrame({"size": [0, 1, 0, 1]}, index=FRAME.index)
    assert as_table(FRAME, factors).labels[:, 0].tolist() == [0, 1, 0, 1]
    turned = FRAME.index[::-1]
    assert as_table(FRAME.loc[turned], factors.loc[turned]).labels[:, 0].tolist() == [1, 0, 1, 0]
    with pytest.raises(ValueError, match="codes and factors need the same rows, got 4 and 3"):
        as_table(FRAME, factors[:3])


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_tensor_is_refused_with_advice(layout: torch.layout) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the interface of nested tensors is a prototype
        nested = torch.nested.nested_tensor([torch.rand(3), torch.rand(3)], layout=layout)
    with pytest.raises(ValueError, match=r"got a nested tensor; stack its parts: torch\.stack\(tensor\.unbind\(\)\)"):
        as_table(nested)
