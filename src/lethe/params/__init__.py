"""What params.yaml may hold: typed, validated parameters, one file a section."""
