"""The one model of a worker: a base in four bits that stays, an adapter that is swapped, and the passes through both."""
