"""Fixtures that several suites use. The environment variable SIMULATOR is the path of the simulator's binary."""

import os

import pytest

from shared.simulator import Simulator


@pytest.fixture(scope="session")
def simulator_process(tmp_path_factory):
    simulator = Simulator(os.environ["SIMULATOR"], tmp_path_factory.mktemp("simulator"))
    yield simulator
    simulator.stop()
