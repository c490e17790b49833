"""Every dependency has a lower bound, so that a job can install the lowest versions and run the tests with them."""

from pathlib import Path

import pytest
from lowest_versions import lowest_versions


def test_every_dependency_of_a_user_is_pinned_to_its_lower_bound() -> None:
    found = lowest_versions()
    assert found["torch"] == "2.9" and found["optuna"] == "4.0"
    assert found["matplotlib"] == "3.9" and found["scipy"] == "1.13"
    assert "pytest" not in found and "disbench" not in found


def test_a_dependency_without_a_lower_bound_is_refused(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "x"\ndependencies = ["numpy>=2", "scipy"]\noptional-dependencies = {}\n')
    with pytest.raises(ValueError, match="'scipy' has no lower bound"):
        lowest_versions(project)
