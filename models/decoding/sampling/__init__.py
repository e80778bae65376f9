"""From scores to next tokens, for all rows of a step at once, greedy or sampled.

Tokens are drawn by an exponential race: score plus noise, the largest wins. The noise of a
token depends on its row's seed, on the position and on the token alone, so a text does not
depend on who else is computed.
"""
