"""The only training loop and what it needs: batches, optimiser, checkpoints, what is found out between epochs."""
