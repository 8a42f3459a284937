"""A simulated chat platform (crates/local-chat) as a process, and its control endpoints. The constants are Slack's."""

import json
import re
from urllib.parse import quote

from shared.processes import Program, call

TEAM, CHANNEL = "T0LOCALCHAT", "C0OPSCHANGE"
REQUESTER, APPROVER, BYSTANDER = "U0REQUESTER", "U00APPROVER", "U0BYSTANDER"
SIGNING_SECRET = "0c41a7d2e9f35b688f1d2c3b4a596877"
BOT_TOKEN = "xoxb-local-chat"


class LocalChat:
    """One process for a whole test run, with the platform's default workspace."""

    def __init__(self, binary, folder, platform):
        # An empty environment: no proxy and no other workspace.
        command = [binary, "--platform", platform]
        self.program = Program(command, {}, folder, f"local-chat-{platform}")
        address = self.program.wait_until(
            lambda: re.search(r"simulated at (http://\S+)", self.program.log()), "local-chat prints its address"
        )
        self.url = address[1]

    def stop(self):
        self.program.stop()

    def control(self, verb, path, /, **parameters):
        """Calls a control endpoint and returns the content of its response. An error status fails the test."""
        body = json.dumps(parameters).encode() if parameters else None
        status, headers, content = call(verb, f"{self.url}/control/{path}", body)
        assert status == 200, (path, parameters, status, content)
        return json.loads(content) if headers["content-type"].startswith("application/json") else content.decode()

    # ---- What people do

    def command(self, text, user, **parameters):
        """Types a command. Returns what the app responded, or the signed request with `send=False`."""
        return self.control("POST", "command", text=text, user=user, **parameters)

    def click(self, action, user, **parameters):
        """Clicks a button: that of the named message, or of the newest message that has it."""
        return self.control("POST", "click", action=action, user=user, **parameters)

    # ---- What people see

    def conversation(self, conversation):
        return self.control("GET", f"conversations/{quote(conversation, safe='')}")

    def messages(self, conversation):
        return self.control("GET", f"conversations/{quote(conversation, safe='')}?format=json")

    # ---- What the app did

    def journal(self):
        """All calls of the API."""
        return self.control("GET", "journal")

    def plan_fault(self, **fault):
        self.control("POST", "faults", **fault)

    def clear_faults(self):
        self.control("DELETE", "faults")


class LocalSlack(LocalChat):
    """The simulated Slack. Commands and clicks are those of the default workspace."""

    def __init__(self, binary, folder):
        super().__init__(binary, folder, "slack")

    def command(self, text, user=REQUESTER, channel=CHANNEL, **parameters):
        return super().command(text, user, channel=channel, **parameters)

    def click(self, action, user, channel=CHANNEL, **parameters):
        return super().click(action, user, channel=channel, **parameters)

    def messages(self, conversation=CHANNEL):
        return super().messages(conversation)

    def set_channel(self, **parameters):
        self.control("POST", "channels", **parameters)

    def post(self, **arguments):
        """Posts a message as the app, and returns it as people see it."""
        headers = {"content-type": "application/json; charset=utf-8", "authorization": f"Bearer {BOT_TOKEN}"}
        body = json.dumps({"channel": CHANNEL, **arguments}).encode()
        _, _, content = call("POST", f"{self.url}/api/chat.postMessage", body, headers)
        response = json.loads(content)
        assert response["ok"], response
        return next(message for message in self.messages() if message["ts"] == response["ts"])
