"""How a fine-tune behaves beside its skills: refusals, stereotypes, and texts that are only read. Helpers of evaluators."""
