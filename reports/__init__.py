"""Records of finished trials, and the tables, pictures and pages made from them alone."""
