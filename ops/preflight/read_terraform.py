"""Read the Terraform program and directory of an environment, without changing anything."""

from __future__ import annotations

from ops.platform import Platform
from ops.preflight.facts import TerraformFacts


def terraform_facts(platform: Platform) -> TerraformFacts:
    """Run `terraform version` and read the directory's files.

    Raises ConfigError for a missing program, directory or input file, and for a wrapper.
    """
    from ops.terraform import files, image_variables, inputs, program
    from ops.tools import git

    tf = program.connect(platform.settings)
    found = sorted(inputs.input_files(tf))
    tracked = git.tracked(tf.directory, found)
    return TerraformFacts(
        tf.location.name,
        program.version(tf),
        files.required_versions(tf.directory),
        program.is_initialised(tf),
        image_variables.names(platform),
        program.declared_variables(tf),
        files.variable_defaults(tf.directory),
        tuple(
            str(path.relative_to(tf.directory)) if path.is_relative_to(tf.directory) else str(path)
            for path in found
            if path not in tracked
        ),
    )
