"""What judges models: shadow models, perturbed variants, downstream tasks, matching, bootstrap intervals."""
