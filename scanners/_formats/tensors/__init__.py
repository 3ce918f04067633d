"""Weight files: headers that may lie, and the numbers behind them."""
