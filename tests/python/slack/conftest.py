"""Fixtures for Slack's official Python packages against the simulated Slack and the release program of the intake.

The environment variables RIE, INTAKE and LOCAL_CHAT are the paths of the binaries.
"""

import os

import pytest
from slack_sdk import WebClient

from shared.local_chat import BOT_TOKEN, LocalSlack


@pytest.fixture(scope="session")
def chat(tmp_path_factory):
    chat = LocalSlack(os.environ["LOCAL_CHAT"], tmp_path_factory.mktemp("local-chat"))
    yield chat
    chat.stop()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """Removes the variables in which the packages find proxies, tokens and signing secrets."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith("SLACK_"):
            monkeypatch.delenv(name)


@pytest.fixture
def client(chat):
    # No retries, so that each method is one HTTP call.
    yield WebClient(BOT_TOKEN, base_url=f"{chat.url}/api/", retry_handlers=[])
    chat.clear_faults()
