"""Fixtures for the tests of the official SDK. Each test starts with the simulator's default state."""

import os

import pytest


@pytest.fixture
def simulator(simulator_process):
    simulator_process.start_over()
    return simulator_process


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """Removes the variables with which the SDK finds proxies and credentials, and with which it prints requests."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.upper() == "DEBUG" or name.startswith("ALIBABA_CLOUD_"):
            monkeypatch.delenv(name)
