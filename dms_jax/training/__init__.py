"""What a step does: random transforms, losses, optimizers, the state, and the step compiled of them."""
