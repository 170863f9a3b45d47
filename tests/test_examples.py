"""The examples in docstrings run, and no public name lacks one."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from pkgutil import walk_packages

import pytest

import napari_graysam

GUI = "napari_graysam._napari"


def modules() -> list[str]:
    """Return every module that needs no GUI; programs are not imported."""
    found = (one.name for one in walk_packages(napari_graysam.__path__, "napari_graysam."))
    return [name for name in found if not name.startswith(GUI) and not name.endswith(".__main__")]


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = (
        test for name in ("napari_graysam", *modules()) for test in finder.find(import_module(name))
    )
    return [test for test in found if test.examples]


def runnable(docstring: str | None) -> list[doctest.Example]:
    found = doctest.DocTestParser().get_examples(docstring or "")
    return [example for example in found if not example.options.get(doctest.SKIP)]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_example(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", napari_graysam.__all__)
def test_a_public_name_shows_what_it_does(name):
    docstring = inspect.getdoc(getattr(napari_graysam, name))
    _, found, text = (docstring or "").partition("\nExamples\n--------\n")
    assert found, f"{name} has no Examples"
    assert runnable(text), f"no example of {name} runs"


NEED_EXTRAS = {"napari_graysam.comparison.tracking.score_tracks"}
"""Whose packages the tests' environment cannot have."""


def test_no_example_is_skipped():
    skipped = [
        example.name
        for example in examples()
        if any(one.options.get(doctest.SKIP) for one in example.examples)
    ]
    assert set(skipped) <= NEED_EXTRAS
