"""What a user may set: hyperparameters, suites and training files, their defaults, and the checks of all of them."""
