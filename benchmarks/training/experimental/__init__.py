"""Ways of training that are optional: several seeds as one model, one trial on several devices, compiled networks."""
