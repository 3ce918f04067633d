"""The device worker: one 4-bit base, adapters swapped, tasks scored, statistics."""
