"""A small study with simulated raters who have answered all of it."""

import pytest
from simulated_raters import answer_all, small_study

pytest.importorskip("starlette")


@pytest.fixture(scope="session")
def answered(tmp_path_factory):
    study = small_study(tmp_path_factory.mktemp("study") / "it", raters=4)
    for rater in study.database.raters():
        answer_all(study, rater.code)
    return study
