"""One simulator for all tests of the official SDK; each begins with a state that has nothing but one key. SIMULATOR names
the program."""

import os

import pytest

from simulated import Simulator


@pytest.fixture(scope="session")
def simulator_process():
    simulator = Simulator(os.environ["SIMULATOR"])
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(simulator_process):
    simulator_process.start_over()
    return simulator_process


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """The SDK asks the environment for proxies, keys and a mode that prints what it sends."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.upper() == "DEBUG" or name.startswith("ALIBABA_CLOUD_"):
            monkeypatch.delenv(name)
