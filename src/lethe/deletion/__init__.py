"""Deletion requests: what they ask for, what is certified of them, and where their texts still lie."""
