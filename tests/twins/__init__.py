"""Both twins of every algorithm and the naive oracle, walked side by side on one virtual clock."""
