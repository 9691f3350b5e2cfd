"""How good the estimates and the scores are: cross-validation on ads with prices, beside two simpler methods.

It starts from raw ads and ends with scores, so it is above estimate/ and stages/.
"""
