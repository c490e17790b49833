"""Many trials: suites, engines that run them, their status, searches and budgets."""
