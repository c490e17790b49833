import json
import logging
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.trials.tables.named_table import NamedTable
from disbench.benchmarks.trials.tables.tables import read_named_table

FACTORS = np.random.default_rng(0).integers(0, 5, (60, 2))
CODES = FACTORS @ [[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]] + np.random.default_rng(1).normal(size=(60, 3)).round(6)
ARRAYS = {"codes": CODES, "factors": FACTORS}


def assert_is_the_table(found: NamedTable) -> None:
    assert np.asarray(found.codes, float) == pytest.approx(CODES, abs=1e-9)
    assert np.array_equal(found.factors, FACTORS)


def frame(codes: str = "z", factors: str = "v") -> pd.DataFrame:
    columns = {f"{codes}{d}": CODES[:, d] for d in range(3)} | {f"{factors}{k}": FACTORS[:, k] for k in range(2)}
    return pd.DataFrame(columns)


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def save_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["z"], file["labels"] = CODES, FACTORS


def save_mat73(path: Path) -> None:
    """MATLAB writes its arrays column by column, which HDF5 shows as transposed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["codes"], file["factors"] = CODES.T, FACTORS.T
        file.create_group("#refs#")


WRITERS = {
    "t.npz": lambda path: np.savez(path, z=CODES, y=FACTORS),
    "t.h5": save_h5,
    "old.mat": lambda path: savemat(path, ARRAYS),
    "new.mat": save_mat73,
    "t.pt": lambda path: torch.save({"latents": torch.tensor(CODES), "labels": torch.tensor(FACTORS)}, path),
    "pair.pth": lambda path: torch.save((torch.tensor(CODES, requires_grad=True), torch.tensor(FACTORS)), path),
    "t.csv": lambda path: frame().to_csv(path, index=False),
    "index.csv": lambda path: frame().to_csv(path),
    "t.tsv": lambda path: frame("code_", "factor_").to_csv(path, sep="\t", index=False),
    "europe.csv": lambda path: frame("mu_", "y").to_csv(path, sep=";", decimal=",", index=False, encoding="utf-8-sig"),
    "t.parquet": lambda path: frame("latent_", "label_").to_parquet(path),
    "lists.parquet": lambda path: pd.DataFrame({name: list(array) for name, array in ARRAYS.items()}).to_parquet(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_is_read_from_every_usual_file(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert_is_the_table(read_named_table(tmp_path / name))


def test_two_npy_files_are_a_table(tmp_path: Path) -> None:
    for name, array in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", array)
    assert_is_the_table(read_named_table(tmp_path / "codes.npy", factors=str(tmp_path / "factors.npy")))
    with pytest.raises(ValueError, match=r"single array; name the other one: --factors factors\.npy"):
        read_named_table(tmp_path / "codes.npy")


def test_arrays_of_other_names_are_named_by_options(tmp_path: Path) -> None:
    path = npz(tmp_path / "t.npz", a=CODES, b=FACTORS)
    assert_is_the_table(read_named_table(path, codes="a", factors="b"))
    with pytest.raises(ValueError, match="lacks 'c'; it holds 'a', 'b'"):
        read_named_table(path, codes="c", factors="b")
    words = ["score", path, "--codes", "a", "--factors", "b", "--metrics", "mig", "--json"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["scores"]["mig"] > 0


def test_several_candidates_are_listed_with_the_option_that_chooses(tmp_path: Path) -> None:
    path = npz(tmp_path / "t.npz", z=CODES, mean=CODES, latents_values=FACTORS, latents_classes=FACTORS)
    with pytest.raises(ValueError, match=r"several arrays that may be the codes: z, mean\. Name one: --codes z"):
        read_named_table(path)
    with pytest.raises(ValueError, match=r"may be the factors: latents_values, latents_classes\. Name one: --factors"):
        read_named_table(path, codes="z")
    assert_is_the_table(read_named_table(path, codes="z", factors="latents_classes"))


def test_the_names_codes_and_factors_are_taken_before_others(tmp_path: Path) -> None:
    assert_is_the_table(read_named_table(npz(tmp_path / "t.npz", **ARRAYS, z=CODES + 1, labels=FACTORS + 1)))


def test_columns_are_chosen_by_their_names_or_beginnings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    columns = frame("dim", "v").rename(columns={"v0": "shape", "v1": "hue"}).assign(note="x")
    columns.to_csv(tmp_path / "t.csv", index=False)
    found = read_named_table(tmp_path / "t.csv", codes="dim", factors="shape,hue")
    assert_is_the_table(found)
    assert (found.factor_names, found.code_names) == (("shape", "hue"), ("dim0", "dim1", "dim2"))
    assert "left out: note" in caplog.text
    with pytest.raises(ValueError, match=r"no columns of codes.*dim0, dim1.*Columns named z\*"):
        read_named_table(tmp_path / "t.csv", factors="shape")
    with pytest.raises(ValueError, match="no column 'size'"):
        read_named_table(tmp_path / "t.csv", codes="dim", factors="size")


@pytest.mark.parametrize("name", ["codes_std_{}", "z_std_{}", "z_std{}", "code.sigma.{}"])
@pytest.mark.parametrize("options", [{}, {"codes": "z", "factors": "v"}])
def test_columns_of_deviations_are_no_codes_and_go_with_their_codes(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    deviations = np.abs(CODES) + 0.25
    columns = {name.format(d): deviations[:, d] for d in (2, 0, 1)} | {"z_logvar_0": deviations[:, 0]}
    frame().assign(**columns).to_csv(tmp_path / "t.csv", index=False)
    found = read_named_table(tmp_path / "t.csv", **options)
    assert_is_the_table(found)
    assert found.codes_std == pytest.approx(deviations)


def test_a_deviation_without_its_code_is_refused(tmp_path: Path) -> None:
    frame().assign(z_std_0=1.0, z_std_7=1.0, z_std_2=1.0).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="one column of deviations for each code: z0, z1, z2 and z_std_0, z_std_7"):
        read_named_table(tmp_path / "t.csv")


def test_words_in_a_table_are_numbered_and_named(tmp_path: Path) -> None:
    words = np.array(["ball", "cube", "cone", "ring", "star"])
    ranks = np.argsort(np.argsort(words))
    frame("z", "factor_").assign(factor_0=words[FACTORS[:, 0]]).to_csv(tmp_path / "t.csv", index=False)
    found = read_named_table(tmp_path / "t.csv")
    assert found.factors[:, 0].tolist() == ranks[FACTORS[:, 0]].tolist()
    text = read_named_table(npz(tmp_path / "t.npz", codes=CODES, factors=words[FACTORS]))
    assert text.factors.tolist() == ranks[FACTORS].tolist()


@pytest.mark.parametrize("cell", ["None", "N/A", "-", ""])
def test_a_missing_factor_in_a_table_is_named_and_nobody_is_told_to_bin(tmp_path: Path, cell: str) -> None:
    text = frame().astype({"v0": object})
    text.loc[3, "v0"] = cell
    text.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="factor v0 has no value in line 5"):
        read_named_table(tmp_path / "t.csv")
    factors = FACTORS.astype(float)
    factors[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"factor v1 has a missing value \(NaN\) in row 3") as caught:
        read_named_table(npz(tmp_path / "t.npz", codes=CODES, factors=factors))
    assert "bin" not in str(caught.value)


def test_a_code_that_is_no_number_is_named(tmp_path: Path) -> None:
    text = frame().astype({"z1": object})
    text.loc[0, "z1"] = "?"
    text.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"code z1 needs numbers, got '\?' in line 2"):
        read_named_table(tmp_path / "t.csv")


def test_trailing_axes_of_length_one_are_dropped_and_others_refused(tmp_path: Path) -> None:
    assert_is_the_table(read_named_table(npz(tmp_path / "t.npz", codes=CODES[:, :, None, None], factors=FACTORS)))
    maps = np.zeros((60, 3, 2, 2))
    with pytest.raises(ValueError, match=r"codes needs shape.*codes\.reshape\(len\(codes\), -1\)"):
        read_named_table(npz(tmp_path / "t.npz", codes=maps, factors=FACTORS))


@pytest.mark.parametrize(
    ("codes", "factors", "words"),
    [
        (CODES.T, FACTORS.T, r"transposed.*Use codes\.T and factors\.T"),
        (CODES[:, :2].T, FACTORS.T, r"transposed.*Use codes\.T and factors\.T"),
        (CODES.T, FACTORS, r"codes is transposed.*Use codes\.T\."),
        (CODES, FACTORS.T, r"factors is transposed.*Use factors\.T\."),
        (CODES, np.zeros((0, 2)), r"factors is empty: it has shape \(0, 2\)"),
        (np.float64(3), FACTORS, r"codes is empty: it has shape \(\)"),
    ],
)
def test_an_array_of_another_shape_gets_the_advice_that_fits(
    tmp_path: Path, codes: Any, factors: NDArray[Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        read_named_table(npz(tmp_path / "t.npz", codes=codes, factors=factors))


def test_a_structured_array_is_columns_with_names(tmp_path: Path) -> None:
    structured = np.array([tuple(row) for row in FACTORS.tolist()], dtype=[("shape", "i4"), ("hue", "i4")])
    found = read_named_table(npz(tmp_path / "t.npz", codes=CODES, factors=structured))
    assert_is_the_table(found)
    assert found.factor_names == ("shape", "hue")


def test_a_factor_like_an_identifier_is_named_in_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    factors = np.column_stack([FACTORS, np.arange(60)])
    assert read_named_table(npz(tmp_path / "t.npz", codes=CODES, factors=factors)).factors.shape == (60, 3)
    assert "Factor v2 has another value in each of the 60 rows" in caplog.text


def test_unsigned_integers_above_two_to_the_63_stay_as_they_are(tmp_path: Path) -> None:
    large = np.uint64(2**63) + FACTORS.astype(np.uint64)
    found = read_named_table(npz(tmp_path / "t.npz", codes=CODES, factors=large)).factors
    assert found.dtype == np.uint64
    assert np.array_equal(found, large)


def test_a_tensor_without_a_numpy_type_is_read(tmp_path: Path) -> None:
    codes = torch.tensor(CODES).bfloat16().requires_grad_()
    torch.save({"codes": codes, "factors": torch.tensor(FACTORS)}, tmp_path / "t.pt")
    assert np.array_equal(read_named_table(tmp_path / "t.pt").codes, codes.detach().float().numpy())


class Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_no_pickle_is_opened_and_nobody_is_told_to_open_it(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "opened")
    torch.save({"codes": trap}, tmp_path / "t.pt")
    npz(tmp_path / "t.npz", codes=np.array([trap], dtype=object), factors=FACTORS)
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(trap))
    for name, words in (
        ("t.pt", r"numpy\.savez\('table\.npz'"),
        ("t.npz", r"codes holds Python objects; save codes\.astype\(float\)"),
        ("t.pkl", r"is not opened.*numpy\.savez\('table\.npz'"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            read_named_table(tmp_path / name)
        assert "weights_only" not in str(caught.value)
        assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("name", ["t.xlsx", "t.json", "t.feather"])
def test_other_files_get_the_line_that_converts_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(
        ValueError, match=r'python -c "import pandas; pandas\.read_.*\.to_csv\(\'t\.csv\', index=False\)"'
    ):
        read_named_table(tmp_path / name)


def external(file: h5py.File, path: Path) -> None:
    file.create_dataset("codes", CODES.shape, "f8", external=[(str(path / "raw"), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout(CODES.shape, "f8")
    layout[:] = h5py.VirtualSource(str(path / "absent.h5"), "codes", CODES.shape)
    file.create_virtual_dataset("codes", layout)


def external_link(file: h5py.File, path: Path) -> None:
    file["codes"] = h5py.ExternalLink(str(path / "other.h5"), "codes")


def soft_link(file: h5py.File, path: Path) -> None:
    file["elsewhere"] = CODES
    file["codes"] = h5py.SoftLink("/elsewhere")


@pytest.mark.parametrize("write", [external, virtual, external_link, soft_link])
@pytest.mark.parametrize("array", ["codes", "codes_std"])
def test_an_array_of_another_file_is_refused_and_never_read_as_zeros(tmp_path: Path, write: Any, array: str) -> None:
    (tmp_path / "raw").write_bytes(CODES.tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["codes"] = CODES
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["factors"] = FACTORS
        write(file, tmp_path)
        if array != "codes":
            file.move("codes", array)
            file["codes"] = CODES
    with pytest.raises(ValueError, match=rf"{array} needs to be an array in the file itself"):
        read_named_table(tmp_path / "t.h5")


def test_a_file_that_unpacks_to_far_more_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disbench.benchmarks.trials.tables.table_files.PACKED_BYTES", 2**16)
    bomb = np.zeros((60, 2**12))
    np.savez_compressed(tmp_path / "t.npz", codes=bomb, factors=FACTORS)
    torch.save({"codes": torch.zeros(1).expand(60, 2**12), "factors": torch.tensor(FACTORS)}, tmp_path / "t.pt")
    savemat(tmp_path / "t.mat", {"codes": bomb, "factors": FACTORS}, do_compression=True)
    pd.DataFrame({f"z{d}": np.zeros(2**17) for d in range(2)} | {"v0": np.zeros(2**17)}).to_parquet(
        tmp_path / "t.parquet"
    )
    for name in ("t.npz", "t.pt", "t.mat", "t.parquet"):
        with pytest.raises(ValueError, match=r"unpacks to|expands to"):
            read_named_table(tmp_path / name)


def test_an_hdf5_array_that_declares_any_size_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("codes", (2**40, 3), "f8", chunks=(1, 3))
        file["factors"] = FACTORS
    with pytest.raises(ValueError, match=r"codes declares .* bytes"):
        read_named_table(tmp_path / "t.h5")


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("codes.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        archive.writestr("factors.npy", b"")
    with pytest.raises(ValueError, match=r"t\.npz cannot be read"):
        read_named_table(tmp_path / "t.npz")


@pytest.mark.parametrize("suffix", ["npz", "h5", "mat", "pt", "csv", "parquet", "npy"])
def test_pipes_folders_and_cut_files_are_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    (tmp_path / f"folder.{suffix}").mkdir()
    (tmp_path / f"cut.{suffix}").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
    for name in ("pipe", "folder", "cut", "absent"):
        with pytest.raises(ValueError, match=rf"{name}\.{suffix}"):
            read_named_table(tmp_path / f"{name}.{suffix}")


def test_what_was_read_under_another_name_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read_named_table(npz(tmp_path / "t.npz", z=CODES, labels=FACTORS))
    assert "Codes are read from 'z' and factors from 'labels'." in caplog.text


def test_names_and_groups_are_read_from_matlab(tmp_path: Path) -> None:
    names = np.array(["shape", "hue"], dtype=object)
    savemat(tmp_path / "t.mat", {**ARRAYS, "factor_names": names, "group": np.array([1, 2, 2])})
    found = read_named_table(tmp_path / "t.mat")
    assert found.factor_names == ("shape", "hue")
    assert found.group is not None
    assert found.group.tolist() == [1, 2, 2]
