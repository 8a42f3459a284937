"""Lints template.yaml twice: as it is written, and as CloudFormation sees it.

cfn-lint checks less inside a SAM resource than inside the plain resources it stands for: a batch that is too large for
a FIFO queue, or a function that outlives its queue's visibility timeout, shows only after the transformation.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cfnlint.decode.cfn_yaml import load
from samtranslator.translator.transform import transform

TEMPLATE = "template.yaml"


class NoManagedPolicies:
    """Every role in the template is written by hand, so there are no names to look up."""

    def load(self):
        return {}


def transformed(path):
    """Returns the template after the SAM transformation, with a made-up place for the code."""
    template = load(path)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://built/by-sam"
    return transform(template, {}, NoManagedPolicies())


def lint(path):
    """Runs cfn-lint, which fails on warnings too, and says whether it was content."""
    command = [Path(sys.executable).with_name("cfn-lint"), "--non-zero-exit-code", "informational", path]
    return subprocess.run(command, check=False).returncode == 0


def main():
    # The transformation asks for a region, not for an account: any will do.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "template.transformed.json")
        plain.write_text(json.dumps(transformed(TEMPLATE), indent=2), encoding="utf-8")
        verdicts = [lint(TEMPLATE), lint(plain)]
    if not all(verdicts):
        sys.exit(f"{TEMPLATE}: see above; line numbers of template.transformed.json are those of the transformation")
    print(f"{TEMPLATE}: no findings, neither as written nor transformed")


if __name__ == "__main__":
    main()
