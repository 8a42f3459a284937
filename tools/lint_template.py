"""Lints template.yaml with `sam validate --lint`, and with cfn-lint before and after the SAM transformation; and the
templates in examples/, which have no SAM resources, with cfn-lint.

`sam validate --lint` is what users run before a deployment: SAM's own checks and cfn-lint. Both check SAM resources
less strictly than the CloudFormation resources that SAM creates from them. For example, a batch size too large for a
FIFO queue, or a function timeout longer than the queue's visibility timeout, is found only after the transformation.
This program needs no network, AWS account or configuration of the user.
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
EXAMPLES = sorted(str(path) for path in Path("examples").glob("*.yaml"))

# The transformation and SAM need a region but no account. Any region works.
REGION = "us-east-1"


class NoManagedPolicies:
    """The template uses no managed policies, so there are no names to resolve."""

    def load(self):
        return {}


def transformed(path):
    """Returns the template after the SAM transformation, with a placeholder for the code location."""
    template = load(path)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://built/by-sam"
    return transform(template, {}, NoManagedPolicies())


def environment(home):
    """Returns the complete environment of the linters, without the user's configuration and AWS credentials."""
    # SAM looks for a newer version on PyPI once a week, unless this file says that it just did.
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
    """Runs a program of this virtual environment and returns whether it succeeded."""
    command = [Path(sys.executable).with_name(program), *arguments]
    return subprocess.run(command, env=env, check=False).returncode == 0


def cfn_lint(path, env):
    """Runs cfn-lint. Warnings and informational findings also fail."""
    return run("cfn-lint", "--non-zero-exit-code", "informational", path, env=env)


def cfn_lint_transformed(path, home, env):
    """Runs cfn-lint on the transformed template, or prints why the transformation fails."""
    try:
        resources = transformed(path)
    except InvalidDocumentException as error:
        print(*(cause.message for cause in error.causes), sep="\n")
        return False
    plain = Path(home, "template.transformed.json")
    plain.write_text(json.dumps(resources, indent=2), encoding="utf-8")
    return cfn_lint(plain, env)


def sam_validate(path, home, env):
    """Runs SAM's linter without the user's samconfig.toml."""
    config = Path(home, "samconfig.toml")
    config.write_text("version = 0.1\n", encoding="utf-8")
    return run("sam", "validate", "--lint", "--template-file", path, "--config-file", config, env=env)


def main():
    os.environ["AWS_DEFAULT_REGION"] = REGION
    with tempfile.TemporaryDirectory() as home:
        env = environment(home)
        results = [
            sam_validate(TEMPLATE, home, env),
            cfn_lint(TEMPLATE, env),
            cfn_lint_transformed(TEMPLATE, home, env),
            *(cfn_lint(example, env) for example in EXAMPLES),
        ]
    if not all(results):
        sys.exit("The templates have the findings above; template.transformed.json is the transformed template.yaml")
    print(f"{TEMPLATE}: no findings from sam validate, or from cfn-lint before and after the transformation")
    print(*EXAMPLES, sep=", ", end=": no findings from cfn-lint\n")


if __name__ == "__main__":
    main()
