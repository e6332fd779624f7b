"""A short run of tools/fuzz_decoders.py with fixed seeds; one that finds something stays here."""

import importlib.util
from pathlib import Path

import pytest

from cext import threads

TOOL = Path(__file__).parents[2] / "tools" / "fuzz_decoders.py"
SEEDS = [1, 20240, 4294967295]
CASES = 5000


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_decoders", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", SEEDS)
def test_random_and_mutated_bytes_give_tags_or_the_decoders_own_error(fuzz, seed, monkeypatch):
    monkeypatch.setattr(threads, "TAGS_A_THREAD", 16)
    for number in range(CASES):
        fuzz.run_case(seed, number)
