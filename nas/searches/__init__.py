"""The searches: all of them ask/tell."""
