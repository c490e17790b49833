"""Ways of training that have not been timed on a GPU: several seeds as one model, one trial on several devices."""
