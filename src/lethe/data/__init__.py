"""Text becomes examples, splits, pairs and token rows."""
