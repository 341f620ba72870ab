"""Names in place of the indices of classes, where the library `datasets` knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_class_names(columns: dict[str, list[Any]], features: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Columns in which each index of a class, also in a list, is its name; None where there is none (-1).

    Args:
        features: `datasets.Features` of these columns and perhaps of others.
    Raises:
        ValueError: an index is none of the class's.
    """
    found = dict(columns)
    for name, values in columns.items():
        feature = features.get(name)
        if hasattr(feature, "int2str"):
            found[name] = [class_name(feature, value) for value in values]
        elif hasattr(each := getattr(feature, "feature", None), "int2str"):
            found[name] = [
                None if tags is None else [class_name(each, tag) for tag in tags] for tags in values
            ]
    return found


def class_name(feature: Any, value: Any) -> str | None:
    """The name of a class given by its index, as a number or as text, or by its name."""
    if value is None or value != value or value == "" or value in feature.names:
        return value or None
    index = int(value)
    return feature.int2str(index) if index >= 0 else None
