import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """The longest module first: at the end no test process waits for another."""
    items.sort(key=lambda item: item.path.name != "test_whole.py")
