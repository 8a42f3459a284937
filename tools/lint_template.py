"""Lints template.yaml three times: as SAM reads it, as it is written, and as CloudFormation sees it.

`sam validate --lint` is what a user runs before a deployment: cfn-lint behind SAM's own reading of the file. Both check
less inside a SAM resource than inside the plain resources it stands for: a batch that is too large for a FIFO queue, or a
function that outlives its queue's visibility timeout, shows only after the transformation. Nothing here needs a network,
an AWS account or a file of the user's.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cfnlint.decode.cfn_yaml import load
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform

TEMPLATE = "template.yaml"

# The transformation and SAM ask for a region, not for an account: any will do.
REGION = "us-east-1"


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


def environment(home):
    """Returns the linters' whole environment: nothing of the user's, and nothing that leads to AWS."""
    # Once a week SAM asks PyPI for a newer version of itself, unless a file in its folder says that it just did.
    folder = Path(home, ".aws-sam")
    folder.mkdir()
    Path(folder, "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}), encoding="utf-8")
    return {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "HOME": home,
        "PATH": os.defpath,
        "SAM_CLI_TELEMETRY": "0",
    }


def run(program, *arguments, env):
    """Runs a program of the virtual environment that this script runs in, and says whether it was content."""
    command = [Path(sys.executable).with_name(program), *arguments]
    return subprocess.run(command, env=env, check=False).returncode == 0


def cfn_lint(path, env):
    """Runs cfn-lint, which fails on warnings too."""
    return run("cfn-lint", "--non-zero-exit-code", "informational", path, env=env)


def cfn_lint_transformed(path, home, env):
    """Runs cfn-lint on what the transformation makes of the template, if it makes anything of it."""
    try:
        resources = transformed(path)
    except InvalidDocumentException as error:
        print(*(cause.message for cause in error.causes), sep="\n")
        return False
    plain = Path(home, "template.transformed.json")
    plain.write_text(json.dumps(resources, indent=2), encoding="utf-8")
    return cfn_lint(plain, env)


def sam_validate(path, home, env):
    """Runs SAM's own linter, without the samconfig.toml that lies beside the template of whoever deploys it."""
    config = Path(home, "samconfig.toml")
    config.write_text("version = 0.1\n", encoding="utf-8")
    return run("sam", "validate", "--lint", "--template-file", path, "--config-file", config, env=env)


def main():
    os.environ["AWS_DEFAULT_REGION"] = REGION
    with tempfile.TemporaryDirectory() as home:
        env = environment(home)
        verdicts = [
            sam_validate(TEMPLATE, home, env),
            cfn_lint(TEMPLATE, env),
            cfn_lint_transformed(TEMPLATE, home, env),
        ]
    if not all(verdicts):
        sys.exit(f"{TEMPLATE}: see above; line numbers of template.transformed.json are those of the transformation")
    print(f"{TEMPLATE}: no findings, neither as SAM reads it, nor as written, nor transformed")


if __name__ == "__main__":
    main()
