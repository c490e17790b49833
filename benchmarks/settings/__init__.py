"""User settings: hyperparameters, suites and training files, with defaults and validation."""
