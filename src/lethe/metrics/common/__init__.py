"""What several metrics share: attacks, aggregates, tests, n-grams. Arrays only, no torch."""
