"""Pure decisions over frozen facts: plans, verdicts, differences, findings. No I/O."""
