"""Tasks for the evaluation harness that need no network: NAME.yaml in its format, and NAME.jsonl, their data."""
