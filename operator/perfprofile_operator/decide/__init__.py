"""Pure rules: from observed state and the time to what is to be done."""
